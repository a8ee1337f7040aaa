// Package decode turns accepted deliveries into what the rest of the pipeline works on:
// rows of items and accounts, and events on the items and tickets streams.
//
// It promises that every effect of a delivery happens effectively once. Deliveries are
// taken in order, by one process at a time. What a batch means is a pure function of the
// folded states before it, and the states are saved last: decide, write rows, publish,
// remember, and only then acknowledge. A crash anywhere before the acknowledgement finds
// the states as they were, or some of them already further; the batch then yields the
// same events again, with the same ids, or none where they were published before.
//
// It refuses, as a dead letter, a delivery that cannot be decoded. The reason never holds
// customers' words.
package decode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/erase"
)

// Publisher stores events in order; bus.Bus is one.
type Publisher interface {
	PublishAll(ctx context.Context, out []bus.Outgoing) error
}

// Inserter writes rows durably; store.DB is one.
type Inserter interface {
	Insert(ctx context.Context, table string, columns []string, rows [][]any, token string) error
}

// Handler decodes batches of the deliveries stream. Its fields are set once.
type Handler struct {
	Publisher   Publisher
	Store       Inserter
	States      jetstream.KeyValue           // the bucket of folded conversations
	Erasures    jetstream.KeyValue           // the bucket of erasures
	Connections map[string]config.Connection // by id
	Held        func() bool                  // whether this process may still decide
	Outcomes    *prometheus.CounterVec       // by kind of connection and outcome
	Logger      *slog.Logger

	known  map[string]string    // voices and accounts as they are saved, by key
	erased map[string]time.Time // until when, by key of the customer; read with the first batch
}

// ErrNotHeld is returned when the right to decide was lost while a batch was worked on.
var ErrNotHeld = errors.New("lease is no longer held")

// Handle decodes one batch. It is the bus.Handler of the decode durable.
func (h *Handler) Handle(ctx context.Context, batch []bus.Message) []error {
	errs := make([]error, len(batch))
	meanings := make([]meaning, len(batch))
	for i, m := range batch {
		meanings[i], errs[i] = h.read(m)
	}
	w := &work{handler: h, conversations: map[string]*conversation{}, people: map[string]string{}}
	err := h.remembered(ctx)
	if err == nil {
		err = w.load(ctx, meanings)
	}
	for i := range meanings {
		if err == nil && errs[i] == nil {
			errs[i], err = w.fold(ctx, meanings[i])
		}
	}
	if err == nil {
		err = h.effect(ctx, w)
	}
	for i := range errs {
		if err != nil && errs[i] == nil {
			errs[i] = bus.Unavailable(err)
		}
		h.count(meanings[i], errs[i])
	}
	return errs
}

// remembered reads, once, who was erased until when: what they said before and comes late,
// or comes again, is withdrawn like the rest.
func (h *Handler) remembered(ctx context.Context) error {
	if h.erased != nil {
		return nil
	}
	all, err := erase.All(ctx, h.Erasures)
	if err != nil {
		return err
	}
	h.erased = map[string]time.Time{}
	for _, j := range all {
		h.erased[erase.Key(j.Workspace, j.Customer)] = j.Until
	}
	return nil
}

// effect carries out what was decided, in the only order that survives a crash.
func (h *Handler) effect(ctx context.Context, w *work) error {
	if err := w.write(ctx); err != nil {
		return err
	}
	if !h.Held() {
		return ErrNotHeld
	}
	if err := h.Publisher.PublishAll(ctx, w.events); err != nil {
		return err
	}
	return w.remember(ctx)
}

// meaning is a delivery with what it says.
type meaning struct {
	bus.Message
	delivery event.Delivery
	changes  []change.Change
}

func (h *Handler) read(m bus.Message) (meaning, error) {
	d, err := event.Payload[event.Delivery](m.Envelope)
	if err != nil {
		return meaning{Message: m}, bus.Permanent(fmt.Errorf("read delivery: malformed event"))
	}
	changes, err := Changes(h.Connections[d.Connection], d)
	if err != nil {
		return meaning{Message: m, delivery: d}, bus.Permanent(err)
	}
	return meaning{m, d, changes}, nil
}

func (h *Handler) count(m meaning, err error) {
	kind, outcome := m.delivery.Kind, "nothing"
	switch {
	case bus.IsPermanent(err):
		outcome = "dead"
	case err != nil:
		return // it comes again
	}
	if len(m.changes) > 0 && err == nil {
		outcome = outcomeOf(m.changes[0])
	}
	h.Outcomes.WithLabelValues(kind, outcome).Inc()
}

func outcomeOf(c change.Change) string {
	switch c := c.(type) {
	case change.MessageUpserted, change.ConversationStated:
		return "said"
	case change.MessageDeleted, change.ConversationDeleted, change.ItemWithdrawn:
		return "deleted"
	case change.ConversationRestored:
		return "restored"
	case change.CustomerErased:
		return "erased"
	case change.Expired:
		return "expired"
	case change.TicketChanged, change.TicketPlaced:
		return "ticket"
	case change.AccountChanged, change.AccountTold:
		return "account"
	case change.CustomerMet:
		return "met"
	case change.Labelled:
		return "named"
	case change.Disconnected:
		return "disconnected"
	case change.Nothing:
		return "nothing: " + c.Reason
	}
	return "nothing"
}
