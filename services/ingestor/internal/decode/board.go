package decode

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
)

// card is a ticket as it was last told, with where it stands on a board. Webhooks of
// boards name the ticket by its node and tell nothing else of it; those of tickets tell
// nothing of the board.
type card struct {
	Ticket   feedback.Ticket         `json:"ticket"`
	Status   string                  `json:"status,omitempty"`
	Category feedback.StatusCategory `json:"category,omitempty"`
	Version  int64                   `json:"version,omitempty"` // of the place on the board
}

func cardKey(workspace, node string) string {
	return workspace + ".card." + feedback.ID("nod", workspace, node)
}

func (o *outcome) card(ctx context.Context, node string) (*card, error) {
	raw, err := o.value(ctx, cardKey(o.Workspace, node))
	if err != nil || raw == "" {
		return nil, err
	}
	c := new(card)
	if err := json.Unmarshal([]byte(raw), c); err != nil {
		return nil, fmt.Errorf("read ticket: malformed state")
	}
	return c, nil
}

func (o *outcome) keep(node string, c *card) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save ticket: %w", err)
	}
	o.people[cardKey(o.Workspace, node)] = string(b)
	return nil
}

// remembered tells of a ticket with the status that it had on its board at that version,
// and keeps it for when it moves there.
func (o *outcome) remembered(ctx context.Context, c change.TicketChanged) error {
	if c.Node == "" {
		o.ticket(c)
		return nil
	}
	known, err := o.card(ctx, c.Node)
	if err != nil {
		return err
	}
	if known == nil {
		known = &card{}
	}
	told := c.Ticket
	onBoard := known.Status != "" && known.Version <= told.Version
	switch {
	case onBoard && c.Type == event.TicketMoved && told.Category != feedback.Done:
		known.Status, known.Category = "", "" // reopened: the board may say done still
	case onBoard && told.Category != feedback.Done && !told.Deleted:
		c.Ticket.Status, c.Ticket.Category = known.Status, known.Category
	}
	if told.Version >= known.Ticket.Version {
		known.Ticket = told
		if err := o.keep(c.Node, known); err != nil {
			return err
		}
	}
	o.ticket(c)
	return nil
}

// placed moves a ticket to where it now stands on its board. A closed one is not opened by
// that; one that was never told of moves nowhere.
func (o *outcome) placed(ctx context.Context, c change.TicketPlaced) error {
	known, err := o.card(ctx, c.Node)
	if err != nil || known == nil || c.Version <= known.Version {
		return err
	}
	before, category := known.Status, known.Category
	if before == "" {
		before, category = known.Ticket.Status, known.Ticket.Category
	}
	known.Status, known.Category, known.Version = c.Status, c.Category, c.Version
	if err := o.keep(c.Node, known); err != nil {
		return err
	}
	t := known.Ticket
	if t.Category == feedback.Done || t.Deleted {
		return nil
	}
	t.Status, t.Category, t.UpdatedAt = c.Status, c.Category, c.At
	t.Version = max(t.Version+1, c.Version)
	o.ticket(change.TicketChanged{Type: event.TicketMoved, Ticket: t, Previous: before, PreviousCategory: category})
	return nil
}
