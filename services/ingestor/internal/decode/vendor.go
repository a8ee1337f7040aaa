package decode

import (
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/email"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/intercom"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/slack"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/webhook"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/zendesk"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ticket/github"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ticket/jira"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ticket/linear"
)

// Changes says what a delivery means, by the decoder of its kind. c is the connection it
// came through; the zero value serves where that is no longer configured. Every time in
// the result is set: where a vendor tells none, it is that of receipt. The error never
// repeats anything of the body.
func Changes(c config.Connection, d event.Delivery) ([]change.Change, error) {
	out, err := decoder(c, d.Kind)(d)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = dated(out[i], d.ReceivedAt.UTC())
	}
	return out, nil
}

func decoder(c config.Connection, kind string) func(event.Delivery) ([]change.Change, error) {
	switch kind {
	case "slack":
		return slack.Decoder{Bots: c.Bots}.Decode
	case "intercom":
		return intercom.Decode
	case "zendesk":
		return zendesk.Decoder{BaseURL: c.BaseURL}.Decode
	case "webhook":
		return webhook.Decode
	case "email":
		return email.Decoder{Address: c.Email}.Decode
	case "jira":
		return jira.Decode
	case "linear":
		return linear.Decode
	case "github":
		return github.Decode
	case feedbackapi.Feedback, feedbackapi.Accounts, feedbackapi.Deletion, feedbackapi.Erasure, feedbackapi.Expiry:
		return feedbackapi.Decode
	}
	return func(event.Delivery) ([]change.Change, error) {
		return nil, fmt.Errorf("decode delivery: unknown kind")
	}
}

func dated(c change.Change, received time.Time) change.Change {
	or := func(t *time.Time) {
		if t.IsZero() {
			*t = received
		}
	}
	switch c := c.(type) {
	case change.MessageUpserted:
		or(&c.At)
		return c
	case change.MessageDeleted:
		or(&c.At)
		return c
	case change.ConversationStated:
		for i := range c.Messages {
			or(&c.Messages[i].At)
		}
		return c
	case change.ConversationDeleted:
		or(&c.At)
		return c
	case change.ConversationRestored:
		or(&c.At)
		return c
	case change.CustomerErased:
		or(&c.At)
		return c
	case change.ItemWithdrawn:
		or(&c.At)
		return c
	case change.TicketPlaced:
		if or(&c.At); c.Version == 0 {
			c.Version = c.At.UnixMicro()
		}
		return c
	case change.TicketChanged:
		or(&c.Ticket.UpdatedAt)
		if c.Ticket.CreatedAt.IsZero() {
			c.Ticket.CreatedAt = c.Ticket.UpdatedAt
		}
		if c.Ticket.Version == 0 {
			c.Ticket.Version = c.Ticket.UpdatedAt.UnixMicro()
		}
		return c
	}
	return c
}
