package publish

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
)

// nearTickets is how many of the open tickets nearest to a changed cluster are scored, by
// meaning and by words each.
const nearTickets = 20

// world takes one change of clusters: the tickets they are attached to, and the open
// tickets they now match, are refreshed, at once or with what else is gathered.
func (s *shard) world(ctx context.Context, m bus.Message) error {
	in, err := event.Payload[event.World](m.Envelope)
	if err != nil {
		return bus.Permanent(err)
	}
	clusters := slices.Clone(in.Clusters)
	for _, p := range slices.Concat(in.Merged, in.Split) {
		clusters = append(clusters, p.From, p.To)
	}
	slices.Sort(clusters)
	clusters = slices.Compact(clusters)
	if len(clusters) == 0 {
		return nil
	}
	tickets, err := s.concerned(ctx, m.Workspace, clusters, in.Position)
	if err != nil {
		return err
	}
	for a, also := range tickets {
		if err := s.touch(ctx, a, also, in.Origin.AcceptedAt); err != nil {
			return err
		}
	}
	return nil
}

// concerned tells the tickets whose context a change of clusters may change: those they
// are attached to in any mode, and open tickets that they refer to or match, each with the
// clusters that brought it here.
func (s *shard) concerned(ctx context.Context, ws string, clusters []string, position uint64) (map[address][]string, error) {
	out := map[address][]string{}
	rows, err := s.Store.Conn().Query(ctx, `SELECT tracker, ticket, cluster FROM attachments FINAL
		WHERE workspace = ? AND cluster IN ? AND mode != 'rejected' ORDER BY tracker, ticket, cluster`, ws, clusters)
	if err != nil {
		return nil, query.Failed("find tickets of clusters", err)
	}
	defer rows.Close()
	for rows.Next() {
		var tracker, key, cluster string
		if err := rows.Scan(&tracker, &key, &cluster); err != nil {
			return nil, query.Failed("find tickets of clusters", err)
		}
		a := address{ws, feedback.Tracker(tracker), key}
		out[a] = append(out[a], cluster)
	}
	if err := rows.Err(); err != nil {
		return nil, query.Failed("find tickets of clusters", err)
	}
	candidates, err := s.candidates(ctx, ws, clusters, nil)
	if err != nil {
		return nil, err
	}
	matcher, err := s.matcher(ctx, ws, position)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		for _, a := range s.index.referring(ws, c) {
			out[a] = union(out[a], []string{c.Cluster})
		}
		near := s.index.nearest(ws, c, nearTickets)
		for _, r := range matcher.Board.Rank(c, nearTickets) {
			near = append(near, address{ws, r.Ticket.Tracker, r.Ticket.Key})
		}
		for _, a := range near {
			t, ok := s.index.ticket(a)
			if ok && out[a] == nil && len(matcher.Match(t, []attach.Candidate{c}, nil)) > 0 {
				out[a] = []string{c.Cluster}
			}
		}
	}
	return out, nil
}

// touch refreshes a ticket whose clusters changed. The first change after a quiet Gather
// is written at once; what follows is gathered: the ticket's state says when it is due and
// which clusters to look at, so that the event can be settled and a restart loses nothing.
//
// Everything is looked at under the ticket's lock: a write that was under way when this
// change came may not have seen it, so the change waits for it and then gets a due time.
func (s *shard) touch(ctx context.Context, a address, clusters []string, acceptedAt time.Time) error {
	defer s.locks.lock(a)()
	key := keyed.TicketKey(a.workspace, a.tracker, a.key)
	for {
		st, revision, err := s.tickets.Get(ctx, key)
		if err != nil || revision == 0 || st.Closed {
			return err
		}
		if st.Due.IsZero() && s.Now().Sub(st.WroteAt) >= s.Gather {
			return s.refreshLocked(ctx, a, clusters, acceptedAt, nil)
		}
		s.metrics.briefs.WithLabelValues("gathered").Inc()
		next := st
		next.Also = union(st.Also, clusters)
		if next.Due.IsZero() {
			next.Due = st.WroteAt.Add(s.Gather)
		}
		if next.AcceptedAt.IsZero() {
			next.AcceptedAt = acceptedAt
		}
		if next.Mark == "" {
			next.Mark = bus.Mark(ctx)
		}
		if len(next.Also) == len(st.Also) && next.Due.Equal(st.Due) && next.AcceptedAt.Equal(st.AcceptedAt) {
			return nil
		}
		if _, err := s.tickets.Put(ctx, key, next, revision); errors.Is(err, keyed.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		s.index.note(a, next)
		return nil
	}
}

// maxAlso bounds how many clusters a ticket's state gathers: those beyond are found by
// their meaning, like all others.
const maxAlso = 100

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxAlso)]
}

// decision follows a pin or a rejection, or one taken back: the brief is built again at
// once. Every other decision is the clusterer's, whose changes come as worlds.
func (s *shard) decision(ctx context.Context, m bus.Message) error {
	in, err := event.Payload[event.Decision](m.Envelope)
	if err != nil {
		return bus.Permanent(err)
	}
	d := in.Decision
	if d.Ticket == "" || d.Tracker == "" {
		return nil
	}
	return s.refresh(ctx, address{m.Workspace, d.Tracker, d.Ticket}, nil, time.Time{}, nil)
}
