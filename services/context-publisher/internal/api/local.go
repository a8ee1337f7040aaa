package api

import (
	"context"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// freshFor is how long the newest stored item is remembered, so that asking how current
// an answer is does not cost a query for each.
const freshFor = 2 * time.Second

// Local opens workspaces over the read model, the decider and the digests of this process.
func Local(r *read.Reader, d *decide.Decider, digests *digest.Desk, now func() time.Time) Open {
	newest := &newest{read: r, now: now, known: map[string]said{}}
	return func(workspace string) Workspace { return local{r, d, digests, newest, workspace} }
}

type local struct {
	read   *read.Reader
	decide *decide.Decider
	desk   *digest.Desk
	newest *newest
	id     string
}

// newest remembers for a moment when the newest stored item of a workspace was said.
type newest struct {
	read  *read.Reader
	now   func() time.Time
	mu    sync.Mutex
	known map[string]said
}

type said struct{ at, asked time.Time }

func (n *newest) at(ctx context.Context, workspace string) (time.Time, error) {
	n.mu.Lock()
	s := n.known[workspace]
	n.mu.Unlock()
	if now := n.now(); s.asked.IsZero() || now.Sub(s.asked) > freshFor {
		at, err := n.read.NewestSaid(ctx, workspace)
		if err != nil {
			return time.Time{}, err
		}
		s = said{at: at, asked: now}
		n.mu.Lock()
		n.known[workspace] = s
		n.mu.Unlock()
	}
	return s.at, nil
}

func (l local) Freshness(ctx context.Context) (Freshness, error) {
	position, asOf, err := l.read.Watermark(ctx, l.id)
	if err != nil {
		return Freshness{}, err
	}
	newest, err := l.newest.at(ctx, l.id)
	if err != nil {
		return Freshness{}, err
	}
	f := Freshness{Position: position, AsOf: asOf}
	if position > 0 && newest.After(asOf) {
		f.LagMS = newest.Sub(asOf).Milliseconds()
	}
	return f, nil
}

func (l local) Clusters(ctx context.Context, q read.ClusterQuery) (read.Page[read.Cluster], error) {
	return l.read.Clusters(ctx, l.id, q)
}

func (l local) Cluster(ctx context.Context, id string) (read.Cluster, error) {
	return l.read.Cluster(ctx, l.id, id)
}

func (l local) Signals(ctx context.Context, cluster string, limit int, cursor string) (read.Page[read.Signal], error) {
	return l.read.Signals(ctx, l.id, cluster, limit, cursor)
}

func (l local) Explain(ctx context.Context, cluster string) (read.Explanation, error) {
	return l.read.Explain(ctx, l.id, cluster)
}

func (l local) RankDays(ctx context.Context, cluster string) ([]read.RankDay, error) {
	return l.read.RankDays(ctx, l.id, cluster)
}

func (l local) History(ctx context.Context, cluster string) ([]read.Event, error) {
	return l.read.History(ctx, l.id, cluster)
}

func (l local) Feedback(ctx context.Context, q read.FeedbackQuery) (read.Page[read.Item], error) {
	return l.read.Feedback(ctx, l.id, q)
}

func (l local) FeedbackItem(ctx context.Context, id string) (read.Item, error) {
	return l.read.FeedbackItem(ctx, l.id, id)
}

func (l local) Tickets(ctx context.Context, limit int, cursor string) (read.Page[read.TicketHead], error) {
	return l.read.Tickets(ctx, l.id, limit, cursor)
}

func (l local) Ticket(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketDetail, error) {
	return l.read.Ticket(ctx, l.id, tracker, key)
}

func (l local) TicketHead(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketHead, error) {
	return l.read.Head(ctx, l.id, tracker, key)
}

func (l local) TicketContext(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketContext, error) {
	return l.read.Context(ctx, l.id, tracker, key)
}

func (l local) Brief(ctx context.Context, tracker feedback.Tracker, key string, revision uint64) (brief.Brief, error) {
	return l.read.Brief(ctx, l.id, tracker, key, revision)
}

func (l local) Changes(ctx context.Context, tracker feedback.Tracker, key string, since read.Since) (read.Changes, error) {
	return l.read.Changes(ctx, l.id, tracker, key, since)
}

func (l local) Digest(ctx context.Context, date time.Time) (digest.Digest, error) {
	d, found, err := l.desk.Digest(ctx, l.id, date)
	if err == nil && !found {
		err = ErrNotFound
	}
	return d, err
}

func (l local) Audit(ctx context.Context, limit int, cursor string) (read.Page[read.Deed], error) {
	return l.read.Audit(ctx, l.id, limit, cursor)
}

func (l local) Corrections(ctx context.Context) (read.Corrections, error) {
	return l.read.Corrections(ctx, l.id)
}

func (l local) Decide(ctx context.Context, d feedback.Decision) (feedback.Decision, error) {
	d.Workspace = l.id
	return l.decide.Decide(ctx, d)
}

func (l local) Undo(ctx context.Context, id, by, reason string) (feedback.Decision, error) {
	return l.decide.Undo(ctx, l.id, id, by, reason)
}
