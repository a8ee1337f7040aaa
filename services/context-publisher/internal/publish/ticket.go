package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
)

// maxEmbedded is how much of a ticket's body is embedded, in bytes: what follows is logs
// and traces more often than meaning.
const maxEmbedded = 2000

// told is one event about a ticket.
type told struct {
	feedback.Ticket
	kind     event.Type
	origin   event.Origin
	previous string // the status before, where the event says it
	mark     string
}

// ticketEvents takes what was told of tickets. An older version than the known one changes
// nothing; the same version again does what may have been left undone. What was told of one
// ticket is taken in its order.
func (s *shard) ticketEvents(ctx context.Context, ws string, batch []bus.Message) error {
	var all []told
	for _, m := range batch {
		in, err := event.Payload[event.Ticket](m.Envelope)
		if err != nil {
			return bus.Permanent(err)
		}
		if in.Ticket.Workspace != ws || in.Ticket.Key == "" {
			return bus.Permanent(errors.New("read ticket event: the ticket has no key or another workspace than its event"))
		}
		all = append(all, told{in.Ticket, m.Type, in.Origin, in.Previous, bus.Mark(m.Trace.Within(ctx))})
	}
	for len(all) > 0 {
		var now, later []told
		taken := map[address]bool{}
		for _, t := range all {
			if a := addressOf(t.Ticket); !taken[a] {
				taken[a] = true
				now = append(now, t)
			} else {
				later = append(later, t)
			}
		}
		if err := s.take(ctx, ws, now); err != nil {
			return err
		}
		all = later
	}
	return nil
}

// take takes one event of each of some tickets.
func (s *shard) take(ctx context.Context, ws string, all []told) error {
	after, before := make([]keyed.Ticket, len(all)), make([]keyed.Ticket, len(all))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(side)
	for n, t := range all {
		g.Go(func() (err error) {
			after[n], before[n], err = s.admit(within, addressOf(t.Ticket), t.Ticket)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var open []told
	var states []keyed.Ticket
	for n, t := range all {
		switch {
		case after[n].Version > t.Version:
		case t.Deleted || t.Restricted || t.kind == event.TicketDeleted:
			if err := s.close(bus.Resume(ctx, t.mark), addressOf(t.Ticket), t.Ticket, t.origin); err != nil {
				return err
			}
		default:
			open, states = append(open, t), append(states, before[n])
		}
	}
	if len(open) == 0 {
		return nil
	}
	vectors, err := s.ticketRows(ctx, open)
	if err != nil {
		return err
	}
	named, err := s.naming(ctx, ws, open, states)
	if err != nil {
		return err
	}
	tasks := make([]*task, len(open))
	for n, t := range open {
		a := addressOf(t.Ticket)
		at := &attach.Ticket{Tracker: t.Tracker, Key: t.Key, URL: t.URL, Title: t.Title, Body: t.Body, Space: s.Embedder.Space().ID(), Vector: vectors[n]}
		if t.Category == feedback.Done {
			at = nil
		}
		tasks[n] = &task{address: a, anew: s.index.put(a, at), named: named[a], acceptedAt: t.origin.AcceptedAt, mark: t.mark, then: moving(t, states[n])}
	}
	return s.claimed(ctx, ws, tasks)
}

// moving is what an event about a ticket makes of its state: a ticket that moved has its
// revision pinned, and a row of its moves.
func moving(t told, before keyed.Ticket) func(*keyed.Ticket) []any {
	previous := t.previous
	if previous == "" && before.Status != t.Status {
		previous = before.Status
	}
	moved := t.kind == event.TicketMoved || t.kind == event.TicketCreated || before.Category != t.Category
	return func(st *keyed.Ticket) []any {
		st.Sought = true
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
		return []any{t.Workspace, string(t.Tracker), t.Key, uint64(max(t.Version, 0)), t.Status, string(t.Category), previous, st.MovedAt, t.UpdatedAt}
	}
}

// admit makes the newest version of a ticket known. It returns the state after, and the
// one before; a state with a newer version than the ticket's was left alone.
func (s *shard) admit(ctx context.Context, a address, t feedback.Ticket) (after, before keyed.Ticket, err error) {
	defer s.claims.take(a)()
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
		revision, err = s.tickets.Put(ctx, key, st, revision)
		if errors.Is(err, keyed.ErrConflict) {
			continue
		}
		if err != nil {
			return st, before, err
		}
		s.index.note(a, state{st, revision})
		return st, before, nil
	}
}

var ticketColumns = []string{"workspace", "tracker", "key", "connection", "external_id", "project", "title", "body", "status", "category",
	"labels", "assignee", "url", "restricted", "created_at", "updated_at", "space", "vector", "version", "deleted"}

// ticketRows embeds tickets and writes them.
func (s *shard) ticketRows(ctx context.Context, all []told) ([][]float32, error) {
	texts := make([]string, len(all))
	for n, t := range all {
		texts[n] = t.Title + "\n" + t.Body[:min(len(t.Body), maxEmbedded)]
	}
	vectors, err := s.Embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed tickets: %w", bus.Unavailable(err))
	}
	rows := make([][]any, len(all))
	for n, t := range all {
		rows[n] = []any{t.Workspace, string(t.Tracker), t.Key, t.Connection, t.ExternalID, t.Project,
			t.Title, t.Body, t.Status, string(t.Category), append([]string{}, t.Labels...), t.Assignee, t.URL, uint8(0),
			t.CreatedAt, t.UpdatedAt, s.Embedder.Space().ID(), vectors[n], uint64(max(t.Version, 0)), uint8(0)}
	}
	return vectors, s.insert(ctx, "tickets", ticketColumns, rows)
}

// naming finds the signals of feedback that names tickets, of those for which that was not
// done yet: feedback that comes later is looked at as it comes.
func (s *shard) naming(ctx context.Context, ws string, all []told, states []keyed.Ticket) (map[address][]string, error) {
	var needles []string
	var sought []attach.Ticket
	for n, t := range all {
		if states[n].Sought || len(t.Key) < 4 {
			continue
		}
		sought = append(sought, attach.Ticket{Tracker: t.Tracker, Key: t.Key, URL: t.URL})
		needles = append(needles, strings.ToLower(t.Key))
		if t.URL != "" {
			needles = append(needles, strings.ToLower(t.URL))
		}
	}
	out := map[address][]string{}
	if len(sought) == 0 {
		return out, nil
	}
	by := map[string][]address{} // the tickets that an item names
	var items []string
	err := s.query(ctx, "find feedback that names tickets", `SELECT id, text FROM items FINAL WHERE workspace = ?
		AND multiSearchAnyCaseInsensitiveUTF8(text, ?) ORDER BY updated_at DESC LIMIT `+fmt.Sprint(maxNamingItems), []any{ws, needles},
		func(scan func(...any) error) error {
			var id, text string
			if err := scan(&id, &text); err != nil {
				return err
			}
			for _, t := range sought {
				if attach.Refers(t, attach.Candidate{Evidence: []attach.Evidence{{Text: text}}}) {
					by[id] = append(by[id], address{ws, t.Tracker, t.Key})
				}
			}
			if len(by[id]) > 0 {
				items = append(items, id)
			}
			return nil
		})
	if err != nil || len(items) == 0 {
		return out, err
	}
	slices.Reverse(items) // the newest last: they are kept
	signals := map[string][]string{}
	err = s.query(ctx, "find signals of items", `SELECT item, signal FROM assignments FINAL WHERE workspace = ? AND item IN ? ORDER BY signal`, []any{ws, items},
		func(scan func(...any) error) error {
			var item, signal string
			err := scan(&item, &signal)
			signals[item] = append(signals[item], signal)
			return err
		})
	for _, item := range items {
		for _, a := range by[item] {
			out[a] = append(out[a], signals[item]...)
		}
	}
	return out, err
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
	defer s.claims.take(a)()
	key := keyed.TicketKey(a.workspace, a.tracker, a.key)
	for {
		st, revision, err := s.tickets.Get(ctx, key)
		if err != nil {
			return err
		}
		known, err := (&reading{shard: s, workspace: a.workspace}).attachments(ctx, []address{a})
		if err != nil {
			return err
		}
		next := st
		next.Writes++
		next.Closed, next.Due, next.Hash, next.Named = true, time.Time{}, "", nil
		if err := s.insert(ctx, "attachments", attachmentColumns, s.attachmentRows(a, next.Writes, nil, known[a])); err != nil {
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
		revision, err = s.tickets.Put(ctx, key, next, revision)
		if errors.Is(err, keyed.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		s.index.note(a, state{next, revision})
		s.metrics.briefs.WithLabelValues("closed").Inc()
		return nil
	}
}

// insert writes keyed rows; a row that can never be written makes the event a dead letter.
func (s *shard) insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	return insert(ctx, s.Store, table, columns, rows)
}
