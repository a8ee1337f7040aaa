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
	p := &Publisher{Options: o}
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
		s := &shard{Publisher: p, index: newIndex()}
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
	index *index
	locks stripes
}

// ackWait is how long the server waits for a sign of life before what a killed publisher
// had in hand goes to its successor.
const ackWait = 5 * time.Second

// The loops of a shard. A batch of one hands each event over as it comes; several loops
// share a durable where waiting for a vendor or the store would hold the others up.
const (
	ticketLoops = 2
	worldLoops  = 2
	briefLoops  = 4
)

func (s *shard) run(ctx context.Context, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range []struct {
		durable, stream, stage string
		loops                  int
		handle                 func(context.Context, bus.Message) error
	}{
		{bus.PublisherTickets, bus.Tickets, "tickets", ticketLoops, s.ticket},
		{bus.PublisherWorlds, bus.Worlds, "worlds", worldLoops, s.world},
		{bus.PublisherBriefs, bus.Briefs, "briefs", briefLoops, s.block},
		{Decisions, bus.Signals, "decisions", 1, s.decision},
	} {
		for range c.loops {
			g.Go(func() error {
				return s.Bus.Consume(ctx, bus.Consumer{
					Durable: fmt.Sprintf("%s-%02d", c.durable, n), Stream: c.stream,
					Filters: []string{fmt.Sprintf("%s.%02d.*", c.stage, n)}, Batch: 1, AckWait: ackWait,
				}, bus.Each(s.mine(c.handle)))
			})
		}
	}
	g.Go(func() error { return s.gather(ctx) })
	return g.Wait()
}

// mine leaves events of workspaces that are not configured (any more) alone.
func (s *shard) mine(handle func(context.Context, bus.Message) error) func(context.Context, bus.Message) error {
	return func(ctx context.Context, m bus.Message) error {
		if !s.index.knows(m.Workspace) {
			return nil
		}
		return handle(ctx, m)
	}
}

// gather writes what was gathered when it is due. It looks ten times per Gather, so that
// a write is late by at most a tenth.
func (s *shard) gather(ctx context.Context) error {
	tick := time.NewTicker(max(s.Gather/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, t := range s.index.due(s.Now()) {
			if err := s.refresh(ctx, t, nil, time.Time{}, nil); err != nil && ctx.Err() == nil {
				s.Logger.Warn("gathered changes not written; will try again", "workspace", t.workspace, "tracker", t.tracker, "error", err)
			}
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
