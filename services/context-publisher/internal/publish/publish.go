// Package publish keeps the context of tickets fresh: it takes tickets as they move and
// clusters as they change, attaches, builds briefs, and writes each ticket's block to its
// tracker.
//
// It promises: the newest version of a ticket wins whatever the order of events; a brief
// has a new revision only when it says something new; the first change is written at once
// and later ones are gathered into one write per ticket and Gather, also across restarts;
// exactly one block per ticket however often an event comes; a tracker that is down
// delays and never loses, and one that refuses is a recorded outcome, not a dead letter.
//
// One publisher works on a shard at a time, under a lease; what it writes is versioned by
// compare-and-set on the ticket's state, so that a decision taken meanwhile is never lost.
// It refuses to write a block where no customer feedback is attached.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// Gather is the least time between two writes of one ticket's brief.
const Gather = 30 * time.Second

// Decisions is the durable that follows people's pins and rejections; like those of the
// topology it is followed by -<shard>.
const Decisions = "publisher-decisions"

// Options is what a Publisher needs.
type Options struct {
	Bus        *bus.Bus
	Store      *store.DB
	Embedder   embed.Embedder
	Trackers   map[string]tracker.Tracker // by connection
	Workspaces []string
	Holder     string // names this process, for leases
	PublicURL  string // what links in blocks start with; empty writes no link
	Gather     time.Duration
	Budget     int           // tokens of a brief; 0 means brief.DefaultBudget
	Block      int           // tokens of a tracker's block; 0 means 1500
	Pause      time.Duration // the first wait after a tracker failed without asking for one; 0 means 2 s
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Publisher does the work. Make one with New.
type Publisher struct {
	Options
	tickets keyed.Records[keyed.Ticket]
	ledger  keyed.Records[keyed.Write]
	metrics *metrics
	recall  *recall
}

// New checks the options and opens the buckets; it starts nothing.
func New(ctx context.Context, o Options) (*Publisher, error) {
	if o.Bus == nil || o.Store == nil || o.Embedder == nil || o.Logger == nil || o.Registerer == nil || o.Now == nil || o.Holder == "" {
		return nil, errors.New("make publisher: Bus, Store, Embedder, Logger, Registerer, Now and Holder are required")
	}
	if o.Gather == 0 {
		o.Gather = Gather
	}
	if o.Block == 0 {
		o.Block = 1500
	}
	if o.Pause == 0 {
		o.Pause = 2 * time.Second
	}
	p := &Publisher{Options: o, recall: newRecall()}
	var err error
	if p.tickets, err = keyed.Open[keyed.Ticket](ctx, o.Bus, bus.BucketTickets); err != nil {
		return nil, err
	}
	if p.ledger, err = keyed.Open[keyed.Write](ctx, o.Bus, bus.BucketLedger); err != nil {
		return nil, err
	}
	if p.metrics, err = newMetrics(o.Registerer, slices.Sorted(maps.Keys(o.Trackers))); err != nil {
		return nil, err
	}
	return p, nil
}

// Run works on every shard of its workspaces until ctx ends; what is not finished then is
// delivered again.
func (p *Publisher) Run(ctx context.Context) error {
	return p.Bus.PerShard(ctx, "publisher", p.Holder, p.Workspaces, func(ctx context.Context, n int, _ *bus.Lease) error {
		s := &shard{Publisher: p, index: newIndex(), claims: newClaims(), writing: newClaims()}
		for _, ws := range p.Workspaces {
			if feedback.Shard(ws) == n {
				if err := s.open(ctx, ws); err != nil {
					return err
				}
			}
		}
		return s.run(ctx, n)
	})
}

// shard is the work on one shard, in one process at a time.
type shard struct {
	*Publisher
	index    *index
	claims   *claims      // tickets whose context somebody refreshes
	writing  *claims      // tickets whose block somebody writes
	pressing atomic.Int64 // rounds under way that may hold first changes
}

// ackWait is how long the server waits for a sign of life before what a killed publisher
// had in hand goes to its successor.
const ackWait = 5 * time.Second

// How many events a shard takes at once, of each kind. What is asked of the store is asked for
// all of them together, so that under load a round grows and not the queue; blocks wait for a
// vendor, so several loops write them, a few at a time.
const (
	ticketBatch   = 64
	worldBatch    = 256
	decisionBatch = 64
	briefBatch    = 8
	briefLoops    = 4
)

func (s *shard) run(ctx context.Context, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range []struct {
		durable, stream, stage string
		loops, batch           int
		handle                 bus.Handler
	}{
		{bus.PublisherTickets, bus.Tickets, "tickets", 1, ticketBatch, s.round(s.ticketEvents)},
		{bus.PublisherWorlds, bus.Worlds, "worlds", 1, worldBatch, s.round(s.worlds)},
		{Decisions, bus.Signals, "decisions", 1, decisionBatch, s.round(s.decisions)},
		{bus.PublisherBriefs, bus.Briefs, "briefs", briefLoops, briefBatch, s.blocks},
	} {
		for range c.loops {
			g.Go(func() error {
				return s.Bus.Consume(ctx, bus.Consumer{
					Durable: fmt.Sprintf("%s-%02d", c.durable, n), Stream: c.stream,
					Filters: []string{fmt.Sprintf("%s.%02d.*", c.stage, n)}, Batch: c.batch, AckWait: ackWait,
				}, c.handle)
			})
		}
	}
	g.Go(func() error { return s.gather(ctx) })
	return g.Wait()
}

// round hands a batch over, one workspace after the other; events of workspaces that are not
// configured (any more) are left alone. Events that fail together for a reason that waiting
// does not mend are tried one by one, so that none is the end of its neighbours.
func (s *shard) round(take func(ctx context.Context, ws string, batch []bus.Message) error) bus.Handler {
	return func(ctx context.Context, batch []bus.Message) []error {
		errs := make([]error, len(batch))
		of := map[string][]int{}
		for i, m := range batch {
			if s.index.knows(m.Workspace) {
				of[m.Workspace] = append(of[m.Workspace], i)
			}
		}
		for _, ws := range slices.Sorted(maps.Keys(of)) {
			some := make([]bus.Message, len(of[ws]))
			for n, i := range of[ws] {
				some[n] = batch[i]
			}
			err := take(ctx, ws, some)
			alone := err != nil && len(some) > 1 && !bus.IsUnavailable(err) && ctx.Err() == nil
			for n, i := range of[ws] {
				if errs[i] = err; alone {
					errs[i] = take(ctx, ws, some[n:n+1])
				}
			}
		}
		return errs
	}
}

// gather writes what was gathered when it is due. It looks ten times per Gather, so that
// a write is late by at most a tenth, and a little more where first changes go before.
func (s *shard) gather(ctx context.Context) error {
	tick := time.NewTicker(max(s.Gather/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for ws, due := range s.index.due(s.Now()) {
			for some := range slices.Chunk(due, atOnce) {
				s.giveWay(ctx)
				err := s.claimed(ctx, ws, some)
				if err != nil && len(some) > 1 && !bus.IsUnavailable(err) {
					err = nil
					for _, t := range some { // one of them is the reason
						err = errors.Join(err, s.claimed(ctx, ws, []*task{t}))
					}
				}
				if err != nil && ctx.Err() == nil {
					s.Logger.Warn("gathered changes not written; will try again", "workspace", ws, "tickets", len(some), "error", err)
				}
			}
		}
	}
}

// How long what was gathered waits at most for first changes that are under way, and how
// often it looks.
const (
	longestWay = 2 * time.Second
	glance     = 20 * time.Millisecond
)

// giveWay waits while first changes are under way.
func (s *shard) giveWay(ctx context.Context) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for waited := time.Duration(0); s.pressing.Load() > 0 && waited < longestWay; waited += glance {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

type metrics struct {
	freshness *prometheus.HistogramVec
	blocks    *prometheus.CounterVec
	briefs    *prometheus.CounterVec
	calls     *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer, connections []string) (*metrics, error) {
	m := &metrics{
		freshness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_freshness_seconds",
			Help:    "From the 2xx of a delivery to the refreshed brief (stage context) and to the written tracker block (stage tracker), of changes that are told at once (change first) and of those that are gathered (change gathered).",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 45, 60, 120, 300, 900, 3600},
		}, []string{"stage", "change"}),
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_publisher_blocks_total",
			Help: "Writes of tracker blocks by connection and outcome (created, updated, unchanged, gone, removed, delayed, refused).",
		}, []string{"connection", "outcome"}),
		briefs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_publisher_briefs_total",
			Help: "Refreshes of briefs by outcome (revised, same, gathered, closed).",
		}, []string{"outcome"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "throughline_publisher_tracker_seconds", Help: "Time to write one block into a tracker, all of its API's calls, by connection; its count is the number of writes tried.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 10), // 10 ms to 38 s
		}, []string{"connection"}),
	}
	for _, c := range []prometheus.Collector{m.freshness, m.blocks, m.briefs, m.calls} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register publisher metrics: %w", err)
		}
	}
	// What alerts count exists from the start: a series that begins at one never increased.
	for _, stage := range []string{"context", "tracker"} {
		m.freshness.WithLabelValues(stage, "first")
		m.freshness.WithLabelValues(stage, "gathered")
	}
	for _, o := range []string{"revised", "same", "gathered", "closed"} {
		m.briefs.WithLabelValues(o)
	}
	for _, c := range connections {
		m.calls.WithLabelValues(c)
		for _, o := range []string{"created", "updated", "unchanged", "gone", "removed", "delayed", "refused"} {
			m.blocks.WithLabelValues(c, o)
		}
	}
	return m, nil
}

// fresh observes how long ago a delivery was accepted, where one is known.
func (p *Publisher) fresh(stage string, gathered bool, acceptedAt time.Time) {
	if acceptedAt.IsZero() {
		return
	}
	change := "first"
	if gathered {
		change = "gathered"
	}
	p.metrics.freshness.WithLabelValues(stage, change).Observe(p.Now().Sub(acceptedAt).Seconds())
}
