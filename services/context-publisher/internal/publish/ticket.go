package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
)

// maxEmbedded is how much of a ticket's body is embedded, in bytes: what follows is logs
// and traces more often than meaning.
const maxEmbedded = 2000

// ticket takes one event about a ticket. An older version than the known one changes
// nothing; the same version again does what may have been left undone.
func (s *shard) ticket(ctx context.Context, m bus.Message) error {
	in, err := event.Payload[event.Ticket](m.Envelope)
	if err != nil {
		return bus.Permanent(err)
	}
	t := in.Ticket
	if t.Workspace != m.Workspace || t.Key == "" {
		return bus.Permanent(errors.New("read ticket event: the ticket has no key or another workspace than its event"))
	}
	a := addressOf(t)
	st, before, err := s.admit(ctx, a, t)
	if err != nil || st.Version > t.Version {
		return err
	}
	if t.Deleted || t.Restricted || m.Type == event.TicketDeleted {
		return s.close(ctx, a, t, in.Origin)
	}
	vector, err := s.row(ctx, t)
	if err != nil {
		return err
	}
	at := attach.Ticket{Tracker: t.Tracker, Key: t.Key, URL: t.URL, Title: t.Title, Body: t.Body, Space: s.Embedder.Space().ID(), Vector: vector}
	if t.Category == feedback.Done {
		s.index.put(a, nil)
	} else {
		s.index.put(a, &at)
	}
	previous := in.Previous
	if previous == "" && before.Status != t.Status {
		previous = before.Status
	}
	moved := m.Type == event.TicketMoved || m.Type == event.TicketCreated || before.Category != t.Category
	named, err := s.naming(ctx, t)
	if err != nil {
		return err
	}
	return s.refresh(ctx, a, named, in.Origin.AcceptedAt, func(st *keyed.Ticket) (row func(context.Context) error) {
		if !moved && st.Moved != t.Version {
			return nil
		}
		if st.Moved != t.Version {
			st.Moved, st.MovedAt = t.Version, st.Revision
			switch t.Category {
			case feedback.InProgress:
				st.PickedUp, st.PickedUpAt = st.Revision, t.UpdatedAt
			case feedback.Done:
				st.DoneAt = st.Revision
			}
		}
		return func(ctx context.Context) error { return s.move(ctx, t, previous, st.MovedAt) }
	})
}

// admit makes the newest version of a ticket known. It returns the state after, and the
// one before; a state with a newer version than the ticket's was left alone.
func (s *shard) admit(ctx context.Context, a address, t feedback.Ticket) (after, before keyed.Ticket, err error) {
	defer s.locks.lock(a)()
	key := keyed.TicketKey(a.workspace, a.tracker, a.key)
	for {
		st, revision, err := s.tickets.Get(ctx, key)
		if err != nil || revision > 0 && st.Version > t.Version {
			return st, st, err
		}
		before := st
		if st.Category != t.Category {
			st.Since = t.UpdatedAt
		}
		st.Workspace, st.Tracker, st.Key, st.Connection = t.Workspace, t.Tracker, t.Key, t.Connection
		st.Version, st.Status, st.Category = t.Version, t.Status, t.Category
		st.Closed = t.Deleted || t.Restricted
		if _, err := s.tickets.Put(ctx, key, st, revision); errors.Is(err, keyed.ErrConflict) {
			continue
		} else if err != nil {
			return st, before, err
		}
		s.index.note(a, st)
		return st, before, nil
	}
}

var ticketColumns = []string{"workspace", "tracker", "key", "connection", "external_id", "project", "title", "body", "status", "category",
	"labels", "assignee", "url", "restricted", "created_at", "updated_at", "space", "vector", "version", "deleted"}

// row embeds a ticket and writes it.
func (s *shard) row(ctx context.Context, t feedback.Ticket) ([]float32, error) {
	body := t.Body
	if len(body) > maxEmbedded {
		body = body[:maxEmbedded]
	}
	vectors, err := s.Embedder.Embed(ctx, []string{t.Title + "\n" + body})
	if err != nil {
		return nil, fmt.Errorf("embed ticket: %w", bus.Unavailable(err))
	}
	err = s.insert(ctx, "tickets", ticketColumns, [][]any{{t.Workspace, string(t.Tracker), t.Key, t.Connection, t.ExternalID, t.Project,
		t.Title, t.Body, t.Status, string(t.Category), append([]string{}, t.Labels...), t.Assignee, t.URL, uint8(0),
		t.CreatedAt, t.UpdatedAt, s.Embedder.Space().ID(), vectors[0], uint64(max(t.Version, 0)), uint8(0)}})
	return vectors[0], err
}

func (s *shard) move(ctx context.Context, t feedback.Ticket, previous string, revision uint64) error {
	return s.insert(ctx, "ticket_moves",
		[]string{"workspace", "tracker", "key", "version", "status", "category", "previous", "revision", "at"},
		[][]any{{t.Workspace, string(t.Tracker), t.Key, uint64(max(t.Version, 0)), t.Status, string(t.Category), previous, revision, t.UpdatedAt}})
}

// close takes a deleted or restricted ticket out: its words and its attachments leave the
// tables, and its block is removed by whoever takes the event.
func (s *shard) close(ctx context.Context, a address, t feedback.Ticket, origin event.Origin) error {
	s.index.put(a, nil)
	deleted := uint8(0)
	if t.Deleted || !t.Restricted {
		deleted = 1
	}
	err := s.insert(ctx, "tickets", ticketColumns, [][]any{{t.Workspace, string(t.Tracker), t.Key, t.Connection, t.ExternalID, "",
		"", "", t.Status, string(t.Category), []string{}, "", "", uint8(1), t.CreatedAt, t.UpdatedAt, "", []float32{},
		uint64(max(t.Version, 0)), deleted}})
	if err != nil {
		return err
	}
	defer s.locks.lock(a)()
	key := keyed.TicketKey(a.workspace, a.tracker, a.key)
	for {
		st, revision, err := s.tickets.Get(ctx, key)
		if err != nil {
			return err
		}
		known, err := s.attached(ctx, a)
		if err != nil {
			return err
		}
		next := st
		next.Writes++
		next.Closed, next.Due, next.Hash = true, time.Time{}, ""
		if err := s.writeAttachments(ctx, a, next.Writes, nil, known); err != nil {
			return err
		}
		e, err := event.New(event.BriefRevised, "context-publisher", a.workspace, a.key,
			feedback.ID("evt", "brief", a.workspace, string(a.tracker), a.key, "closed", fmt.Sprint(t.Version)), s.Now(),
			event.Brief{Tracker: a.tracker, Ticket: a.key, Revision: int64(st.Revision), Closed: true, AcceptedAt: origin.AcceptedAt,
				Changes: []string{"the ticket was deleted or restricted"}})
		if err != nil {
			return bus.Permanent(err)
		}
		if _, err := s.Bus.Publish(ctx, bus.Subject("briefs", a.workspace), e); err != nil {
			return err
		}
		if err := s.tell(ctx, a, &next, nil, origin.AcceptedAt); err != nil {
			return err
		}
		if _, err := s.tickets.Put(ctx, key, next, revision); errors.Is(err, keyed.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		s.index.note(a, next)
		s.metrics.briefs.WithLabelValues("closed").Inc()
		return nil
	}
}

// insert writes keyed rows; a row that can never be written makes the event a dead letter.
func (s *shard) insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	return insert(ctx, s.Store, table, columns, rows)
}
