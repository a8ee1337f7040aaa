package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// after changes a ticket's state once its newest revision is known, and returns the row
// that is to be written with it, nil for none.
type after func(*keyed.Ticket) func(context.Context) error

// refresh attaches, builds the brief, and writes and publishes what is new. also names
// clusters to look at besides those near, attached and ruled on.
func (s *shard) refresh(ctx context.Context, a address, also []string, acceptedAt time.Time, then after) error {
	defer s.locks.lock(a)()
	return s.refreshLocked(ctx, a, also, acceptedAt, then)
}

// refreshLocked is refresh under the ticket's lock. The order is: decide, write the rows,
// publish, and last the ticket's state; whatever fails before that is done again and
// overwrites itself. Where somebody else (a decision) changed the state meanwhile, it
// begins again with a higher revision.
func (s *shard) refreshLocked(ctx context.Context, a address, also []string, acceptedAt time.Time, then after) error {
	key := keyed.TicketKey(a.workspace, a.tracker, a.key)
	published := uint64(0)
	for {
		st, revision, err := s.tickets.Get(ctx, key)
		if err != nil || revision == 0 || st.Closed {
			return err
		}
		next := st
		next.Due, next.AcceptedAt, next.Also, next.Mark = time.Time{}, time.Time{}, nil, ""
		if acceptedAt.IsZero() || !st.AcceptedAt.IsZero() && st.AcceptedAt.Before(acceptedAt) {
			acceptedAt = st.AcceptedAt
		}
		revised, answers, err := s.revise(bus.Resume(ctx, st.Mark), a, st, &next, union(st.Also, also), published, acceptedAt)
		if errors.Is(err, errNoTicket) {
			return nil
		}
		if err != nil {
			return err
		}
		if revised {
			published = next.Revision
		}
		if then != nil {
			if row := then(&next); row != nil {
				if err := row(ctx); err != nil {
					return err
				}
			}
		}
		if err := s.tell(ctx, a, &next, answers, acceptedAt); err != nil {
			return err
		}
		if _, err := s.tickets.Put(ctx, key, next, revision); errors.Is(err, keyed.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		s.index.note(a, next)
		outcome := "same"
		if revised {
			outcome = "revised"
			s.fresh("context", !st.Due.IsZero(), acceptedAt)
		}
		s.metrics.briefs.WithLabelValues(outcome).Inc()
		return nil
	}
}

// revise scores the ticket's clusters, writes the attachments that changed and, where the
// brief says something new, writes and publishes a revision; next then holds it. It also
// returns the clusters that the ticket is the answer to.
func (s *shard) revise(ctx context.Context, a address, st keyed.Ticket, next *keyed.Ticket, also []string, published uint64, acceptedAt time.Time) (bool, []string, error) {
	t, at, err := s.load(ctx, a)
	if err != nil {
		return false, nil, err
	}
	position, asOf, err := s.watermark(ctx, a.workspace)
	if err != nil {
		return false, nil, err
	}
	known, err := s.attached(ctx, a)
	if err != nil {
		return false, nil, err
	}
	matcher, err := s.matcher(ctx, a.workspace, position)
	if err != nil {
		return false, nil, err
	}
	matches, err := s.match(ctx, a, t, at, st.Rulings, known, also, matcher)
	if err != nil {
		return false, nil, err
	}
	if changed(known, matches) {
		next.Writes++
		if err := s.writeAttachments(ctx, a, next.Writes, matches, known); err != nil {
			return false, nil, err
		}
	}
	in, err := s.input(ctx, t, matches, position, asOf)
	if err != nil {
		return false, nil, err
	}
	if t.Category == feedback.Done {
		in.DoneAt = next.Since
	}
	in.Relevance = make(map[string]float64, len(in.Signals))
	for _, g := range in.Signals {
		in.Relevance[g.ID] = matcher.Relevance(at, g.Quote, at.Space, g.Vector)
	}
	b := brief.Build(in)
	if b.Hash == st.Hash {
		return false, answering(matches), nil
	}
	old, _, err := s.stored(ctx, a, st.Revision)
	if err != nil {
		return false, nil, err
	}
	b.Revision = max(st.Revision, published) + 1
	gone, err := read.Withdrawn(ctx, s.Store, a.workspace, old)
	if err != nil {
		return false, nil, err
	}
	changes := brief.Diff(old, b, gone)
	next.Revision, next.Hash = b.Revision, b.Hash
	if len(b.Clusters)+len(old.Clusters) > 0 {
		// What nothing is attached to is not written: the first that is comes at once.
		next.WroteAt = s.Now()
	}
	if err := s.writeBrief(ctx, a, b, changes); err != nil {
		return false, nil, err
	}
	return true, answering(matches), s.publish(ctx, a, b, changes, acceptedAt, !st.Due.IsZero())
}

// match scores clusters for a ticket: those near it, those that name it, those attached
// before and those ruled on. A ticket that is done keeps what it has and gets nothing new.
func (s *shard) match(ctx context.Context, a address, t feedback.Ticket, at attach.Ticket, ruled map[string]keyed.Ruling,
	known map[string]attached, also []string, matcher attach.Matcher) ([]attach.Match, error) {
	rulings, err := s.rulings(ctx, a.workspace, ruled)
	if err != nil {
		return nil, err
	}
	ids := slices.Clone(also)
	if t.Category != feedback.Done {
		near, err := s.near(ctx, a.workspace, at)
		if err != nil {
			return nil, err
		}
		ids = append(ids, near...)
	}
	signals, err := s.signals(ctx, a.workspace, at)
	if err != nil {
		return nil, err
	}
	if t.Category != feedback.Done {
		holding, err := s.holding(ctx, a.workspace, signals)
		if err != nil {
			return nil, err
		}
		ids = append(ids, holding...)
	}
	for id := range known {
		ids = append(ids, id)
	}
	for id := range rulings {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	candidates, err := s.candidates(ctx, a.workspace, slices.Compact(ids), signals)
	if err != nil {
		return nil, err
	}
	return matcher.Match(at, candidates, rulings), nil
}

// rulings are people's pins and rejections by the cluster that each is in now: a cluster
// that was merged takes its rulings along. The newest stands where two meet.
func (s *shard) rulings(ctx context.Context, ws string, ruled map[string]keyed.Ruling) (map[string]attach.Ruling, error) {
	out := map[string]attach.Ruling{}
	taken := map[string]time.Time{}
	for id, r := range ruled {
		now := id
		for range 64 {
			into := ""
			err := s.query(ctx, "follow merges", `SELECT merged_into FROM clusters FINAL WHERE workspace = ? AND id = ?`, []any{ws, now},
				func(scan func(...any) error) error { return scan(&into) })
			if err != nil {
				return nil, err
			}
			if into == "" || into == now {
				break
			}
			now = into
		}
		if at, ok := taken[now]; !ok || at.Before(r.At) {
			out[now], taken[now] = attach.Ruling{Mode: r.Mode, Decision: r.Decision, By: r.By}, r.At
		}
	}
	return out, nil
}

// attached is an attachment as its row has it.
type attached struct {
	mode     feedback.Mode
	score    float64
	decision string
}

func (s *shard) attached(ctx context.Context, a address) (map[string]attached, error) {
	out := map[string]attached{}
	err := s.query(ctx, "load attachments", `SELECT cluster, mode, score, decision FROM attachments FINAL
		WHERE workspace = ? AND tracker = ? AND ticket = ?`, []any{a.workspace, string(a.tracker), a.key},
		func(scan func(...any) error) error {
			var cluster, mode string
			var at attached
			err := scan(&cluster, &mode, &at.score, &at.decision)
			at.mode = feedback.Mode(mode)
			out[cluster] = at
			return err
		})
	return out, err
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

// writeAttachments writes all of a ticket's attachments at one version, and takes out
// those that are no more.
func (s *shard) writeAttachments(ctx context.Context, a address, version uint64, matches []attach.Match, known map[string]attached) error {
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
	if len(rows) == 0 {
		return nil
	}
	return s.insert(ctx, "attachments", []string{"workspace", "tracker", "ticket", "cluster", "mode", "score", "terms", "reasons",
		"decided_by", "decision", "at", "version", "deleted"}, rows)
}

func (s *shard) writeBrief(ctx context.Context, a address, b brief.Brief, c brief.Changes) error {
	body, err := json.Marshal(b)
	if err != nil {
		return bus.Permanent(fmt.Errorf("write brief: %w", err))
	}
	material := uint8(0)
	if c.Material {
		material = 1
	}
	return s.insert(ctx, "briefs", []string{"workspace", "tracker", "ticket", "revision", "hash", "material", "changes", "body", "position", "created_at"},
		[][]any{{a.workspace, string(a.tracker), a.key, b.Revision, b.Hash, material, c.Lines, string(body), b.Position, b.GeneratedAt}})
}

func (s *shard) publish(ctx context.Context, a address, b brief.Brief, c brief.Changes, acceptedAt time.Time, gathered bool) error {
	e, err := event.New(event.BriefRevised, "context-publisher", a.workspace, a.key,
		feedback.ID("evt", "brief", a.workspace, string(a.tracker), a.key, fmt.Sprint(b.Revision), b.Hash), b.GeneratedAt,
		event.Brief{Tracker: a.tracker, Ticket: a.key, Revision: int64(b.Revision), Hash: b.Hash, Material: c.Material,
			Changes: c.Lines, AcceptedAt: acceptedAt, Gathered: gathered})
	if err != nil {
		return bus.Permanent(err)
	}
	_, err = s.Bus.Publish(ctx, bus.Subject("briefs", a.workspace), e)
	return err
}
