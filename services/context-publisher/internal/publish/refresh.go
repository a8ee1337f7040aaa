package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// task is a ticket whose context may have changed.
type task struct {
	address
	also       []string  // clusters to look at besides those attached and ruled on
	named      []string  // signals that name the ticket, besides those known
	anew       bool      // what is near the ticket is looked for again, whenever that was done last
	acceptedAt time.Time // of the earliest delivery that this answers to; zero for none
	mark       string    // where in its trace that stands (bus.Mark)

	// then changes the state once its newest revision is known, and returns the row of
	// ticket_moves that is to be written with it, nil for none; nil for no change.
	then func(*keyed.Ticket) []any

	published uint64 // the newest revision that this refresh published
}

// side is how many records are read or written at once.
const side = 8

// refresh attaches, builds the briefs, and writes and publishes what is new. Nobody else may
// work on the tickets: the caller has claimed them. Where somebody else (a decision) changed a
// ticket's state meanwhile, it is done again with a higher revision.
func (s *shard) refresh(ctx context.Context, r *reading, tasks []*task) error {
	for len(tasks) > 0 {
		again, err := s.once(ctx, r, tasks)
		if err != nil {
			return err
		}
		tasks = again
	}
	return nil
}

// work is one task under way.
type work struct {
	*task
	before   keyed.Ticket
	next     keyed.Ticket
	revision uint64 // of the state's record
	row      ticketRow
	known    map[string]attached
	near     surroundings
	matches  []attach.Match
	brief    brief.Brief
	revised  bool
	changes  brief.Changes
}

// once does the tasks and returns those whose state somebody else changed meanwhile. The order
// is: decide, write the rows, publish, and last the states; whatever fails before that is done
// again and overwrites itself.
func (s *shard) once(ctx context.Context, r *reading, tasks []*task) (again []*task, err error) {
	all, err := s.begin(ctx, r, tasks)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if err := s.match(ctx, r, all); err != nil {
		return nil, err
	}
	if err := s.build(ctx, r, all); err != nil {
		return nil, err
	}
	if err := s.rows(ctx, all); err != nil {
		return nil, err
	}
	lost := make([]bool, len(all))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(side)
	for n, w := range all {
		g.Go(func() (err error) {
			lost[n], err = s.finish(bus.Resume(within, cmp.Or(w.mark, w.before.Mark)), w)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for n, w := range all {
		if lost[n] {
			again = append(again, w.task)
		}
	}
	return again, nil
}

// begin reads states and rows, and leaves out tickets that are closed or have no row.
func (s *shard) begin(ctx context.Context, r *reading, tasks []*task) ([]*work, error) {
	all := make([]*work, len(tasks))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(side)
	for n, t := range tasks {
		g.Go(func() error {
			st, revision, err := s.tickets.Get(within, keyed.TicketKey(t.workspace, t.tracker, t.key))
			if err == nil && revision > 0 && !st.Closed {
				all[n] = &work{task: t, before: st, next: st, revision: revision}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w *work) bool { return w == nil })
	if len(all) == 0 {
		return nil, nil
	}
	addresses := make([]address, len(all))
	for n, w := range all {
		addresses[n] = w.address
	}
	rows, err := r.tickets(ctx, addresses)
	if err != nil {
		return nil, err
	}
	known, err := r.attachments(ctx, addresses)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w *work) bool { _, ok := rows[w.address]; return !ok })
	for _, w := range all {
		w.row, w.known = rows[w.address], known[w.address]
		w.next.Due, w.next.AcceptedAt, w.next.Also, w.next.Mark = time.Time{}, time.Time{}, nil, ""
		w.next.Named = newest(w.before.Named, w.named)
		w.also = union(w.before.Also, w.also)
		if w.acceptedAt.IsZero() || !w.before.AcceptedAt.IsZero() && w.before.AcceptedAt.Before(w.acceptedAt) {
			w.acceptedAt = w.before.AcceptedAt
		}
	}
	return all, nil
}

// match scores clusters for each ticket: those near it, those that name it, those attached
// before and those ruled on. A ticket that is done keeps what it has and gets nothing new.
func (s *shard) match(ctx context.Context, r *reading, all []*work) error {
	if err := s.surround(ctx, r, all); err != nil {
		return err
	}
	var ruled, signals []string
	for _, w := range all {
		ruled = append(ruled, slices.Collect(maps.Keys(w.before.Rulings))...)
		signals = append(append(signals, w.near.signals...), w.next.Named...)
	}
	into, err := r.into(ctx, unseen(ruled, map[string]bool{}))
	if err != nil {
		return err
	}
	places, err := r.places(ctx, unseen(signals, map[string]bool{}))
	if err != nil {
		return err
	}
	var clusters []string
	looked := make([][]string, len(all))
	others := make([][]place, len(all))
	rulings := make([]map[string]attach.Ruling, len(all))
	for n, w := range all {
		rulings[n] = rule(w.before.Rulings, into)
		ids := slices.Concat(w.also, slices.Collect(maps.Keys(w.known)), slices.Collect(maps.Keys(rulings[n])))
		open := w.row.Category != feedback.Done
		if open {
			ids = append(ids, w.near.clusters...)
		}
		for _, id := range unseen(slices.Concat(w.near.signals, w.next.Named), map[string]bool{}) {
			if p, ok := places[id]; ok {
				others[n] = append(others[n], p)
				if open {
					ids = append(ids, p.cluster)
				}
			}
		}
		slices.SortFunc(others[n], moreTypical)
		looked[n] = unseen(ids, map[string]bool{})
		clusters = append(clusters, looked[n]...)
	}
	if _, err := r.candidates(ctx, clusters, 0); err != nil {
		return err
	}
	for n, w := range all {
		var candidates []attach.Candidate
		for _, id := range looked[n] {
			if c, ok := r.candidate(id, others[n]); ok {
				candidates = append(candidates, c)
			}
		}
		w.matches = r.matcher.Match(w.row.at, candidates, rulings[n])
	}
	return nil
}

// surround finds what is near the tickets by meaning. What was found is remembered: clusters
// that change find their tickets by themselves.
func (s *shard) surround(ctx context.Context, r *reading, all []*work) error {
	var tickets []attach.Ticket
	var asking []*work
	for _, w := range all {
		known, ok := s.index.surroundings(w.address, s.Now())
		if w.near = known; w.anew || !ok {
			tickets, asking = append(tickets, w.row.at), append(asking, w)
		}
	}
	if len(asking) == 0 {
		return nil
	}
	clusters, signals, err := r.near(ctx, tickets)
	if err != nil {
		return err
	}
	for n, w := range asking {
		w.near = surroundings{clusters[n], signals[n], s.Now()}
		s.index.surround(w.address, w.near)
	}
	return nil
}

// rule is people's pins and rejections by the cluster that each is in now: a cluster that was
// merged takes its rulings along. The newest stands where two meet.
func rule(ruled map[string]keyed.Ruling, into map[string]string) map[string]attach.Ruling {
	out := map[string]attach.Ruling{}
	taken := map[string]time.Time{}
	for id, r := range ruled {
		now := cmp.Or(into[id], id)
		if at, ok := taken[now]; !ok || at.Before(r.At) {
			out[now], taken[now] = attach.Ruling{Mode: r.Mode, Decision: r.Decision, By: r.By}, r.At
		}
	}
	return out
}

// build makes the briefs, and tells which say something new.
func (s *shard) build(ctx context.Context, r *reading, all []*work) error {
	var shown []string
	attached := make([][]string, len(all))
	for n, w := range all {
		attached[n] = answering(w.matches)
		for _, m := range w.matches {
			if m.Mode != feedback.Rejected {
				shown = append(shown, m.Cluster)
			}
		}
	}
	company, err := r.company(ctx, shown, attached)
	if err != nil {
		return err
	}
	var revised []*work
	var old []revision
	for _, w := range all {
		in := r.input(w.row, w.matches, company)
		if w.row.Category == feedback.Done {
			in.DoneAt = w.next.Since
		}
		if w.brief = brief.Build(in); w.brief.Hash != w.before.Hash {
			revised, old = append(revised, w), append(old, revision{w.address, w.before.Revision})
		}
	}
	before, err := s.stored(ctx, r.workspace, old)
	if err != nil {
		return err
	}
	gone, err := read.Withdrawn(ctx, s.Store, r.workspace, slices.Collect(maps.Values(before))...)
	if err != nil {
		return err
	}
	for n, w := range revised {
		w.revised = true
		w.brief.Revision = max(w.before.Revision, w.published) + 1
		w.changes = brief.Diff(before[old[n]], w.brief, gone)
		w.next.Revision, w.next.Hash = w.brief.Revision, w.brief.Hash
		if len(w.brief.Clusters)+len(before[old[n]].Clusters) > 0 {
			// What nothing is attached to is not written: the first that is comes at once.
			w.next.WroteAt = s.Now()
		}
	}
	return nil
}

var (
	attachmentColumns = []string{"workspace", "tracker", "ticket", "cluster", "mode", "score", "terms", "reasons", "decided_by", "decision", "at", "version", "deleted"}
	briefColumns      = []string{"workspace", "tracker", "ticket", "revision", "hash", "material", "changes", "body", "position", "created_at"}
	moveColumns       = []string{"workspace", "tracker", "key", "version", "status", "category", "previous", "revision", "at"}
)

// rows writes what changed into the tables.
func (s *shard) rows(ctx context.Context, all []*work) error {
	var attachments, briefs, moves [][]any
	for _, w := range all {
		if changed(w.known, w.matches) {
			w.next.Writes++
			attachments = append(attachments, s.attachmentRows(w.address, w.next.Writes, w.matches, w.known)...)
		}
		if w.revised {
			body, err := json.Marshal(w.brief)
			if err != nil {
				return bus.Permanent(fmt.Errorf("write brief: %w", err))
			}
			material := uint8(0)
			if w.changes.Material {
				material = 1
			}
			briefs = append(briefs, []any{w.workspace, string(w.tracker), w.key, w.brief.Revision, w.brief.Hash, material, w.changes.Lines, string(body), w.brief.Position, w.brief.GeneratedAt})
		}
		if w.then != nil {
			if row := w.then(&w.next); row != nil {
				moves = append(moves, row)
			}
		}
	}
	if err := s.insert(ctx, "attachments", attachmentColumns, attachments); err != nil {
		return err
	}
	if err := s.insert(ctx, "briefs", briefColumns, briefs); err != nil {
		return err
	}
	return s.insert(ctx, "ticket_moves", moveColumns, moves)
}

// finish tells what is new and keeps the ticket's state; lost means that somebody else
// changed it meanwhile.
func (s *shard) finish(ctx context.Context, w *work) (lost bool, err error) {
	if w.revised {
		if err := s.publish(ctx, w); err != nil {
			return false, err
		}
		w.published = w.brief.Revision
	}
	if err := s.tell(ctx, w.address, &w.next, answering(w.matches), w.acceptedAt); err != nil {
		return false, err
	}
	revision, err := s.tickets.Put(ctx, keyed.TicketKey(w.workspace, w.tracker, w.key), w.next, w.revision)
	if errors.Is(err, keyed.ErrConflict) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	s.index.note(w.address, state{w.next, revision})
	outcome := "same"
	if w.revised {
		outcome = "revised"
		s.fresh("context", !w.before.Due.IsZero(), w.acceptedAt)
	}
	s.metrics.briefs.WithLabelValues(outcome).Inc()
	return false, nil
}

// changed reports whether rows have to be written: another set of clusters, another mode
// or decision, or a score that moved by more than a hundredth.
func changed(known map[string]attached, matches []attach.Match) bool {
	if len(known) != len(matches) {
		return true
	}
	for _, m := range matches {
		k, ok := known[m.Cluster]
		if !ok || k.mode != m.Mode || k.decision != m.Decision || math.Abs(k.score-m.Score) > 0.01 {
			return true
		}
	}
	return false
}

// attachmentRows are all of a ticket's attachments at one version, and those taken out that
// are no more.
func (s *shard) attachmentRows(a address, version uint64, matches []attach.Match, known map[string]attached) [][]any {
	var rows [][]any
	now := s.Now().UTC()
	kept := map[string]bool{}
	for _, m := range matches {
		kept[m.Cluster] = true
		rows = append(rows, []any{a.workspace, string(a.tracker), a.key, m.Cluster, string(m.Mode), m.Score, m.Terms,
			append([]string{}, m.Reasons...), m.DecidedBy, m.Decision, now, version, uint8(0)})
	}
	for cluster, k := range known {
		if !kept[cluster] {
			rows = append(rows, []any{a.workspace, string(a.tracker), a.key, cluster, string(k.mode), 0.0, map[string]float64{},
				[]string{}, "machine", "", now, version, uint8(1)})
		}
	}
	return rows
}

func (s *shard) publish(ctx context.Context, w *work) error {
	b := w.brief
	e, err := event.New(event.BriefRevised, "context-publisher", w.workspace, w.key,
		feedback.ID("evt", "brief", w.workspace, string(w.tracker), w.key, fmt.Sprint(b.Revision), b.Hash), b.GeneratedAt,
		event.Brief{Tracker: w.tracker, Ticket: w.key, Revision: int64(b.Revision), Hash: b.Hash, Material: w.changes.Material,
			Changes: w.changes.Lines, AcceptedAt: w.acceptedAt, Gathered: !w.before.Due.IsZero()})
	if err != nil {
		return bus.Permanent(err)
	}
	_, err = s.Bus.Publish(ctx, bus.Subject("briefs", w.workspace), e)
	return err
}
