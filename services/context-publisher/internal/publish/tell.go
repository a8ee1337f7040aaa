package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
)

// answering are the clusters, and the single signals, that a ticket is the answer to: a
// suggestion is none yet.
func answering(matches []attach.Match) []string {
	var out []string
	for _, m := range matches {
		if m.Mode == feedback.Automatic || m.Mode == feedback.Pinned {
			out = append(out, m.ID())
		}
	}
	slices.Sort(out)
	return out
}

// tell says on the bus which clusters answer to a ticket and how far it has come, where
// that is not what was said last: the clusterer keeps the clusters' statuses by it. A
// ticket that nothing was ever attached to is not spoken of.
func (s *shard) tell(ctx context.Context, a address, next *keyed.Ticket, clusters []string, acceptedAt time.Time) error {
	category := next.Category
	if next.Closed {
		category, clusters = "", nil
	}
	told := string(category) + " " + strings.Join(clusters, " ")
	if told == next.Told || next.Told == "" && len(clusters) == 0 {
		return nil
	}
	at := next.Since
	if at.IsZero() || next.Closed { // a state from before Since was kept, or the end
		at = time.UnixMicro(max(next.Version, 0)).UTC()
	}
	e, err := event.New(event.TicketAttached, "context-publisher", a.workspace, a.key,
		feedback.ID("evt", "attached", a.workspace, string(a.tracker), a.key, fmt.Sprint(next.Tellings+1), told), at,
		event.Attached{Origin: event.Origin{AcceptedAt: acceptedAt}, Tracker: a.tracker, Ticket: a.key, Category: category, At: at, Clusters: append([]string{}, clusters...)})
	if err != nil {
		return bus.Permanent(err)
	}
	if _, err := s.Bus.Publish(ctx, bus.Subject("attached", a.workspace), e); err != nil {
		return err
	}
	next.Told, next.Tellings = told, next.Tellings+1
	return nil
}
