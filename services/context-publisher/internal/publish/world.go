package publish

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
)

// nearTickets is how many of the open tickets nearest to a changed cluster are scored, by
// meaning and by words each.
const nearTickets = 20

// cause is the delivery that a change answers to: when it was accepted, and where in its
// trace it stands.
type cause struct {
	acceptedAt time.Time
	mark       string
}

// earliest is the one that was accepted first, of those that answer to a delivery.
func (c cause) earliest(other cause) cause {
	if c.acceptedAt.IsZero() || !other.acceptedAt.IsZero() && other.acceptedAt.Before(c.acceptedAt) {
		return other
	}
	return c
}

// worlds takes changes of clusters: the tickets they are attached to, and the open tickets
// that they now match or that their words name, are refreshed, at once or with what else is
// gathered.
func (s *shard) worlds(ctx context.Context, ws string, batch []bus.Message) error {
	s.pressing.Add(1)
	defer s.pressing.Add(-1)
	clusters, inputs := map[string]cause{}, map[uint64]cause{}
	for _, m := range batch {
		in, err := event.Payload[event.World](m.Envelope)
		if err != nil {
			return bus.Permanent(err)
		}
		c := cause{in.Origin.AcceptedAt, bus.Mark(m.Trace.Within(ctx))}
		inputs[in.Position] = c
		ids := in.Clusters
		for _, p := range slices.Concat(in.Merged, in.Split) {
			ids = append(ids, p.From, p.To)
		}
		for _, id := range ids {
			clusters[id] = clusters[id].earliest(c)
		}
	}
	if len(clusters) == 0 {
		return nil
	}
	r, err := s.reading(ctx, ws)
	if err != nil {
		return err
	}
	tasks, err := s.concerned(ctx, r, clusters, inputs)
	if err != nil {
		return err
	}
	return s.touch(ctx, r, tasks)
}

// concerned tells the tickets whose context a change of clusters may change: those they
// are attached to in any mode, and open tickets that they refer to or match.
func (s *shard) concerned(ctx context.Context, r *reading, clusters map[string]cause, inputs map[uint64]cause) ([]*task, error) {
	tasks := map[address]*task{}
	add := func(a address, cluster string, c cause) *task {
		t := tasks[a]
		if t == nil {
			t = &task{address: a}
			tasks[a] = t
		}
		t.also = append(t.also, cluster)
		first := cause{t.acceptedAt, t.mark}.earliest(c)
		t.acceptedAt, t.mark = first.acceptedAt, first.mark
		return t
	}
	ids := slices.Sorted(maps.Keys(clusters))
	err := s.query(ctx, "find tickets of clusters", `SELECT tracker, ticket, cluster FROM attachments FINAL
		WHERE workspace = ? AND cluster IN ? AND mode != 'rejected'`, []any{r.workspace, ids}, func(scan func(...any) error) error {
		var tracker, key, cluster string
		err := scan(&tracker, &key, &cluster)
		add(address{r.workspace, feedback.Tracker(tracker), key}, cluster, clusters[cluster])
		return err
	})
	if err != nil {
		return nil, err
	}
	fresh, err := r.candidates(ctx, ids, slices.Min(slices.Collect(maps.Keys(inputs))))
	if err != nil {
		return nil, err
	}
	for _, p := range fresh {
		g, said := r.signals[p.signal]
		item, whole := r.items[p.item]
		if !said || !whole {
			continue
		}
		for _, a := range s.index.named(r.workspace, g.Quote, item.Text) {
			c, ok := inputs[p.position]
			if !ok {
				c = clusters[p.cluster]
			}
			t := add(a, p.cluster, c)
			t.named = append(t.named, p.signal)
		}
	}
	for _, id := range ids {
		c, ok := r.candidate(id, fresh)
		if !ok {
			continue
		}
		near := s.index.holding(r.workspace, id)
		near = append(near, s.index.nearest(r.workspace, c, nearTickets)...)
		for _, t := range r.matcher.Board.Rank(c, nearTickets) {
			near = append(near, t.Ticket)
		}
		near = slices.DeleteFunc(near, func(t attach.Ticket) bool {
			known := tasks[address{r.workspace, t.Tracker, t.Key}]
			return known != nil && slices.Contains(known.also, id)
		})
		for _, t := range r.matcher.Fits(c, near) {
			add(address{r.workspace, t.Tracker, t.Key}, id, clusters[id])
		}
	}
	return slices.Collect(maps.Values(tasks)), nil
}

// touch refreshes tickets whose clusters changed. The first change after a quiet Gather
// is written at once; what follows is gathered: the ticket's state says when it is due and
// which clusters to look at, so that the event can be settled and a restart loses nothing.
//
// Everything is looked at while nobody else works on the ticket: a write that was under way
// when this change came may not have seen it, so the change waits for it and then gets a due
// time.
func (s *shard) touch(ctx context.Context, r *reading, tasks []*task) error {
	for some := range slices.Chunk(tasks, atOnce) {
		if err := s.touchSome(ctx, r, some); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many tickets are refreshed at once at most.
const atOnce = 128

func (s *shard) touchSome(ctx context.Context, r *reading, tasks []*task) error {
	addresses := make([]address, len(tasks))
	for n, t := range tasks {
		addresses[n] = t.address
	}
	defer s.claims.take(addresses...)()
	var now []*task
	for _, t := range tasks {
		gathered, err := s.gathered(ctx, t)
		if err != nil {
			return err
		}
		if !gathered {
			now = append(now, t)
		}
	}
	return s.refresh(ctx, r, now)
}

// gathered puts a task off where the ticket was written a moment ago, and reports whether it
// is seen to.
func (s *shard) gathered(ctx context.Context, t *task) (bool, error) {
	key := keyed.TicketKey(t.workspace, t.tracker, t.key)
	st, known := s.index.state(t.address)
	for {
		if !known {
			var err error
			if st.Ticket, st.revision, err = s.tickets.Get(ctx, key); err != nil {
				return false, err
			}
		}
		if st.revision == 0 || st.Closed {
			return true, nil
		}
		if st.Due.IsZero() && s.Now().Sub(st.WroteAt) >= s.Gather {
			return false, nil
		}
		next := st.Ticket
		next.Also, next.Named = union(st.Also, t.also), newest(st.Named, t.named)
		if next.Due.IsZero() {
			next.Due = st.WroteAt.Add(s.Gather)
		}
		if next.AcceptedAt.IsZero() {
			next.AcceptedAt = t.acceptedAt
		}
		if next.Mark == "" {
			next.Mark = t.mark
		}
		if !slices.Equal(next.Also, st.Also) || !slices.Equal(next.Named, st.Named) || !next.Due.Equal(st.Due) || !next.AcceptedAt.Equal(st.AcceptedAt) {
			revision, err := s.tickets.Put(ctx, key, next, st.revision)
			if errors.Is(err, keyed.ErrConflict) {
				known = false
				continue
			}
			if err != nil {
				return false, err
			}
			s.index.note(t.address, state{next, revision})
		}
		s.metrics.briefs.WithLabelValues("gathered").Inc()
		return true, nil
	}
}

// maxAlso bounds how many clusters a ticket's state gathers: those beyond are found by
// their meaning, like all others. maxNamed bounds the signals that name it: the newest.
const (
	maxAlso  = 100
	maxNamed = 20
)

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxAlso)]
}

// newest appends what is not there yet, and keeps the last maxNamed.
func newest(there, more []string) []string {
	out := slices.Clone(there)
	for _, id := range more {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out[max(0, len(out)-maxNamed):]
}

// decisions follows pins and rejections, and those taken back: the brief is built again at
// once. Every other decision is the clusterer's, whose changes come as worlds.
func (s *shard) decisions(ctx context.Context, ws string, batch []bus.Message) error {
	var tasks []*task
	for _, m := range batch {
		in, err := event.Payload[event.Decision](m.Envelope)
		if err != nil {
			return bus.Permanent(err)
		}
		a := address{ws, in.Decision.Tracker, in.Decision.Ticket}
		if a.key != "" && a.tracker != "" && !slices.ContainsFunc(tasks, func(t *task) bool { return t.address == a }) {
			tasks = append(tasks, &task{address: a, mark: bus.Mark(m.Trace.Within(ctx))})
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	return s.claimed(ctx, ws, tasks)
}

// claimed refreshes tickets while nobody else works on them.
func (s *shard) claimed(ctx context.Context, ws string, tasks []*task) error {
	r, err := s.reading(ctx, ws)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(tasks, atOnce) {
		addresses := make([]address, len(some))
		for n, t := range some {
			addresses[n] = t.address
		}
		release := s.claims.take(addresses...)
		err := s.refresh(ctx, r, some)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}
