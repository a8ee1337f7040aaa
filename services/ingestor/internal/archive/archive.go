// Package archive keeps every delivery as it came in the store, for replay past the
// window of the stream and for "show me what the vendor sent".
package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/replay"
)

// Inserter writes rows durably; store.DB is one.
type Inserter interface {
	Insert(ctx context.Context, table string, columns []string, rows [][]any, token string) error
}

// Handler archives batches of the deliveries stream.
type Handler struct{ Store Inserter }

var columns = []string{"workspace", "sequence", "id", "connection", "kind", "received_at", "headers", "body"}

// Handle archives one batch in one insert. A delivery that cannot be read or stored is a
// dead letter of its own; an unreachable store is waited for.
func (h Handler) Handle(ctx context.Context, batch []bus.Message) []error {
	errs := make([]error, len(batch))
	var rows [][]any
	var places []int // of the rows in the batch
	for i, m := range batch {
		d, err := event.Payload[event.Delivery](m.Envelope)
		if err != nil {
			errs[i] = bus.Permanent(errors.New("read delivery: malformed event"))
			continue
		}
		if d.Headers[replay.Header] != "" {
			continue // the archive is where it comes from
		}
		headers := d.Headers
		if headers == nil {
			headers = map[string]string{}
		}
		rows = append(rows, []any{m.Workspace, m.Sequence, d.ID, d.Connection, d.Kind, d.ReceivedAt.UTC(), headers, string(d.Body)})
		places = append(places, i)
	}
	for len(rows) > 0 {
		err := h.Store.Insert(ctx, "deliveries", columns, rows, token(rows))
		var bad *store.RowError
		if !errors.As(err, &bad) {
			for _, i := range places {
				errs[i] = bus.Unavailable(err)
			}
			break
		}
		errs[places[bad.Index]] = bus.Permanent(fmt.Errorf("archive delivery: %w", err))
		rows, places = slices.Delete(rows, bad.Index, bad.Index+1), slices.Delete(places, bad.Index, bad.Index+1)
	}
	return errs
}

// token names the block by the deliveries in it.
func token(rows [][]any) string {
	parts := []string{}
	for _, r := range rows {
		parts = append(parts, fmt.Sprint(r[0], " ", r[1], " ", r[2]))
	}
	return feedback.ID("deliveries", parts...)
}
