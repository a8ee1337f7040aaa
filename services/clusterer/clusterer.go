// Package clusterer is the service that turns signals into clusters: it takes the
// classifier's results in the order of the deliveries they came from, and people's
// decisions as they come, lets each workspace's world decide, and writes what changed
// before it tells anybody.
//
// It promises one assignment per signal whatever is delivered twice, ids that survive every
// restart, and the same clusters for the same inputs. One process decides for a shard at a
// time (a lease with an epoch); a former owner's rows lose and its events are refused. Another
// follows it, and can go on where it ends (standby.go).
package clusterer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/clusterer/internal/journal"
	"github.com/throughline-dev/throughline/services/clusterer/internal/order"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// Config is what an operator sets.
type Config struct {
	Workspaces    []string               // whose worlds to keep
	Ranks         map[string]config.Rank // by workspace; those not named are ranked as documented
	GapWait       time.Duration          // how long a missing result holds up its successors; 0 means 1 m
	SnapshotEvery uint64                 // inputs between snapshots; 0 means 5,000
}

// options are what a workspace's world is made with.
func options(set config.Rank) world.Options {
	o := world.DefaultOptions()
	for name, v := range set.Weights {
		if w := o.Rank.Weights.Of(name); w != nil {
			*w = v
		}
	}
	o.Rank.Segments = set.Segments
	maps.Copy(o.Rank.Boosts, set.Boosts)
	return o
}

// Deps is what the clusterer works with.
type Deps struct {
	Bus        *bus.Bus
	Store      *store.DB
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Holder     string // names this process in leases; unique to it
}

// Service is a clusterer.
type Service struct {
	Config
	Deps
	metrics *metrics
}

// New prepares a clusterer; it starts nothing.
func New(c Config, d Deps) (*Service, error) {
	if d.Bus == nil || d.Store == nil || d.Logger == nil || d.Registerer == nil || d.Holder == "" {
		return nil, errors.New("new clusterer: Bus, Store, Logger, Registerer and Holder are required")
	}
	if c.GapWait == 0 {
		c.GapWait = time.Minute
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 5000
	}
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, err
	}
	return &Service{c, d, m}, nil
}

// Run decides for every shard whose lease it gets, and follows those that it may get, until ctx
// ends. It then takes no more, gives the leases back and saves snapshots.
func (s *Service) Run(ctx context.Context) error {
	return s.Bus.Spread(ctx, bus.Job{Name: "clusterer", Holder: s.Holder, Workspaces: s.Workspaces, Open: func(n int) bus.Worker {
		sh := &shard{Service: s, number: n, tenants: map[string]*tenant{}}
		for _, w := range s.Workspaces {
			if feedback.Shard(w) == n {
				sh.tenants[w] = s.tenant(w)
			}
		}
		return sh
	}})
}

// windowSize bounds how many results wait for their turn in memory.
const windowSize = 4096

// shard is the work on one shard: standing by, and deciding under its lease.
type shard struct {
	*Service
	number  int
	window  *order.Window[world.Input] // of the lease that is held
	mu      sync.Mutex                 // items and decisions are taken one after the other
	tenants map[string]*tenant
}

// Own decides for the shard, from where a former owner ended.
func (sh *shard) Own(ctx context.Context, lease *bus.Lease) error {
	sh.window = order.NewWindow[world.Input](windowSize)
	err := sh.decide(ctx, lease)
	// The shard is let go of first: whoever is next need not wait for snapshots.
	ours := lease.Release(context.WithoutCancel(ctx))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, t := range sh.tenants {
		if !ours || len(t.pending) > 0 || err != nil {
			t.forget() // it may have decided what nobody was told
			continue
		}
		t.save(context.WithoutCancel(ctx))
		t.reigns, t.restored = nil, t.world.Position() // what we wrote stands
	}
	switch {
	case errors.Is(err, bus.ErrFenced):
		sh.Logger.Error("another clusterer owns the shard", "shard", sh.number, "epoch", lease.Epoch)
		return nil
	case passes(err):
		sh.Logger.Warn("let go of the shard; will try again", "shard", sh.number, "error", err)
		return nil
	}
	return err
}

// passes reports whether an error is that the store or the broker is away for now.
func passes(err error) bool {
	return bus.IsUnavailable(err) || store.Retryable(err)
}

func (sh *shard) decide(ctx context.Context, lease *bus.Lease) error {
	for _, t := range sh.tenants {
		if err := t.takeOver(ctx, lease); err != nil {
			return err
		}
	}
	return sh.run(ctx)
}

// How far the clocks of the broker's servers may be apart, and how long before an event that is
// not taken yet results are looked for that came after theirs was passed over.
const (
	clocksDiffer = 10 * time.Second
	lateResults  = 10 * time.Minute
)

func (sh *shard) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stage := func(name string) string { return fmt.Sprintf("%s.%02d.*", name, sh.number) }
	durable := fmt.Sprintf("%s-%02d", bus.Clusterer, sh.number)
	var feeds sync.Once
	fatal := make(chan error, 1)
	g.Go(func() error {
		return sh.Bus.Consume(ctx, bus.Consumer{Durable: durable, Stream: bus.Items, Filters: []string{stage("items")}, Ordered: true},
			func(ctx context.Context, batch []bus.Message) []error {
				feeds.Do(func() {
					sh.window.Pass(batch[0].Sequence - 1) // all before it was taken or passed over
					// A result is stored after the event it answers, by two servers' clocks.
					from := batch[0].StoredAt.Add(-clocksDiffer)
					g.Go(func() error { return sh.results(ctx, stage("signals"), from, time.Time{}) })
					g.Go(func() error { return sh.burials(ctx, stage("deadletters")+"."+bus.Classifier, from) })
					// Results that came late may not have been taken before the shard changed hands.
					// They hold up nobody.
					g.Go(func() error { return sh.results(ctx, stage("signals"), from.Add(-lateResults), from) })
				})
				return sh.refuse(batch, sh.items(ctx, batch), fatal)
			})
	})
	g.Go(func() error {
		return sh.Bus.Consume(ctx, bus.Consumer{Durable: durable + "-decisions", Stream: bus.Signals, Filters: []string{stage("decisions"), stage("attached")}, Ordered: true},
			func(ctx context.Context, batch []bus.Message) []error {
				return sh.refuse(batch, sh.decisions(ctx, batch), fatal)
			})
	})
	g.Go(func() error {
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// refuse answers a whole batch with an error; being fenced ends the shard's work.
func (sh *shard) refuse(batch []bus.Message, err error, fatal chan<- error) []error {
	if errors.Is(err, bus.ErrFenced) {
		select {
		case fatal <- err:
		default:
		}
	}
	return bus.All(batch, bus.Unavailable(err))
}

// items takes a batch of the items stream: for each event, the classifier's result.
func (sh *shard) items(ctx context.Context, batch []bus.Message) error {
	for _, m := range batch {
		t := sh.tenants[m.Workspace]
		if t == nil || m.Sequence <= t.world.ItemSequence() {
			sh.window.Pass(m.Sequence)
			continue
		}
		if !sh.window.Ready(m.Sequence) {
			if err := sh.flush(ctx); err != nil {
				return err
			}
		}
		in, err := sh.window.Await(ctx, m.Sequence, sh.GapWait)
		switch {
		case errors.Is(err, order.ErrDead), errors.Is(err, order.ErrGap):
			sh.metrics.gaps.Inc()
			sh.Logger.Warn("passed over an item without a result", "workspace", m.Workspace, "sequence", m.Sequence, "error", err)
			continue
		case err != nil:
			return err
		}
		if err := sh.take(in, m.Trace); err != nil {
			return err
		}
	}
	for _, late := range sh.window.Late() {
		if err := sh.take(late, bus.Trace{}); err != nil {
			return err
		}
	}
	return sh.flush(ctx)
}

func (sh *shard) decisions(ctx context.Context, batch []bus.Message) error {
	for _, m := range batch {
		in, err := told(m)
		if err != nil || sh.tenants[m.Workspace] == nil {
			sh.Logger.Error("decision not understood", "id", m.ID, "error", err)
			continue
		}
		if err := sh.take(in, m.Trace); err != nil {
			return err
		}
	}
	return sh.flush(ctx)
}

// told reads what people decided, or which clusters answer to a ticket.
func told(m bus.Message) (world.Input, error) {
	in := world.Input{Sequence: m.Sequence, Workspace: m.Workspace}
	if m.Type == event.TicketAttached {
		a, err := event.Payload[event.Attached](m.Envelope)
		in.Attached = &a
		return in, err
	}
	d, err := event.Payload[event.Decision](m.Envelope)
	in.Decision = &d.Decision
	return in, err
}

func (sh *shard) take(in world.Input, from bus.Trace) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.tenants[in.Workspace].take(in, from)
}

func (sh *shard) flush(ctx context.Context) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, t := range sh.tenants {
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// results reads the classifier's results ahead into the window, up to a time unless it is zero.
func (sh *shard) results(ctx context.Context, filter string, from, until time.Time) error {
	return sh.follow(ctx, bus.Signals, filter, from, until, func(m jetstream.Msg, sequence uint64) error {
		e, err := event.Decode(m.Data())
		if err != nil {
			return nil // not a result; the item will be passed over
		}
		c, err := event.Payload[event.Classified](e)
		if err != nil || sh.tenants[e.Workspace] == nil {
			return nil
		}
		return sh.window.Offer(ctx, c.ItemSequence, world.Input{Sequence: sequence, Classified: &c, Workspace: e.Workspace})
	})
}

// burials hears of items that have no result because they became dead letters.
func (sh *shard) burials(ctx context.Context, filter string, from time.Time) error {
	return sh.follow(ctx, bus.DeadLetters, filter, from, time.Time{}, func(m jetstream.Msg, _ uint64) error {
		if sequence, ok := bus.BuriedSequence(m); ok {
			sh.window.Bury(sequence)
		}
		return nil
	})
}

// errUntil ends the following of a stream that was to be followed up to a time.
var errUntil = errors.New("followed up to its end")

// follow reads a stream in order from a time on, without acknowledging, until ctx ends or what
// comes is of the time until, unless that is zero.
func (sh *shard) follow(ctx context.Context, stream, filter string, from, until time.Time, hear func(jetstream.Msg, uint64) error) error {
	for ctx.Err() == nil {
		cons, err := sh.Bus.JetStream().OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
		})
		if err == nil {
			err = sh.listen(ctx, cons, until, hear)
		}
		if errors.Is(err, errUntil) {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			sh.Logger.Warn("reading ahead failed; will start again", "stream", stream, "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (sh *shard) listen(ctx context.Context, cons jetstream.Consumer, until time.Time, hear func(jetstream.Msg, uint64) error) error {
	messages, err := cons.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	go func() {
		<-ctx.Done()
		messages.Stop()
	}()
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if !until.IsZero() && !meta.Timestamp.Before(until) {
			return errUntil
		}
		if err := hear(m, meta.Sequence.Stream); err != nil {
			return err
		}
	}
}

// tenant is one workspace of a shard.
type tenant struct {
	*Service
	workspace string
	subject   string
	world     *world.World // nil while none is restored
	restored  uint64       // position of the snapshot that it came from
	reigns    []journal.Reign
	journal   *journal.Journal
	lease     *bus.Lease
	pending   []journal.Entry      // taken but not yet told
	traces    map[uint64]bus.Trace // of those, by position; without those restored from the log
	written   int                  // of those, how many are in the store
	published uint64               // stream sequence of our last world.changed
	saved     uint64               // position of the last snapshot
}

func (s *Service) tenant(workspace string) *tenant {
	return &tenant{Service: s, workspace: workspace, subject: bus.Subject("worlds", workspace), journal: journal.New(s.Store, s.Bus, workspace, 0)}
}

// take lets the world decide; what it decided is told by flush.
func (t *tenant) take(in world.Input, from bus.Trace) error {
	if t.world.Took(in) {
		return nil
	}
	start := time.Now()
	out, err := t.world.Take(in)
	if err != nil {
		return err
	}
	t.metrics.seconds.WithLabelValues("take").Observe(time.Since(start).Seconds())
	if out.Refused != nil {
		t.Logger.Warn("decision cannot be applied", "workspace", t.workspace, "decision", in.ID(), "error", out.Refused)
	}
	t.metrics.assigned.Add(float64(len(out.Signals)))
	t.metrics.changes.WithLabelValues("merge").Add(float64(len(out.Merged)))
	t.metrics.changes.WithLabelValues("split").Add(float64(len(out.Split)))
	t.pending = append(t.pending, journal.Entry{Input: in, Outcome: out})
	t.traces[out.Position] = from
	return nil
}

// flush writes what is pending, then tells it. After an error the rest stays pending.
func (t *tenant) flush(ctx context.Context) error {
	if len(t.pending) == 0 {
		return nil
	}
	if !t.lease.Valid() {
		return bus.ErrFenced
	}
	start := time.Now()
	if t.written < len(t.pending) {
		if err := t.journal.Append(ctx, t.world, t.pending); err != nil {
			return err
		}
		t.written = len(t.pending)
	}
	for len(t.pending) > 0 {
		e := t.pending[0]
		env, err := changed(t.workspace, e)
		if err != nil {
			return err
		}
		if t.published, err = t.Bus.PublishFenced(t.traces[e.Outcome.Position].Within(ctx), t.subject, env, t.published); err != nil {
			return err
		}
		delete(t.traces, e.Outcome.Position)
		t.pending, t.written = t.pending[1:], t.written-1
	}
	t.pending = nil
	t.metrics.seconds.WithLabelValues("tell").Observe(time.Since(start).Seconds())
	t.metrics.position.WithLabelValues(t.workspace).Set(float64(t.world.Position()))
	if t.world.Position()-t.saved >= t.SnapshotEvery {
		t.save(ctx)
	}
	return nil
}

// save stores a snapshot of what was told, which stands whoever owns the shard now. Failing
// costs time at the next start, no data.
func (t *tenant) save(ctx context.Context) {
	if len(t.pending) > 0 || t.world.Position() == t.saved {
		return
	}
	if err := t.journal.Save(ctx, t.world); err != nil {
		t.Logger.Warn("snapshot not saved", "workspace", t.workspace, "error", err)
		return
	}
	t.saved = t.world.Position()
}

// changed makes the event of one outcome.
func changed(workspace string, e journal.Entry) (event.Envelope, error) {
	p := event.World{Position: e.Outcome.Position, Clusters: e.Outcome.Clusters, Merged: e.Outcome.Merged, Split: e.Outcome.Split, Statuses: e.Outcome.Statuses}
	if p.Clusters == nil {
		p.Clusters = []string{}
	}
	var at time.Time
	switch in := e.Input; {
	case in.Classified != nil:
		p.Origin, at = in.Classified.Origin, in.Classified.Origin.AcceptedAt
	case in.Attached != nil:
		p.Origin, at = in.Attached.Origin, in.Attached.At
		p.Origin.AcceptedAt = time.Time{} // what was fresh about it is the ticket, not the clusters
	default:
		p.Decision, at = e.Input.Decision.ID, e.Input.Decision.At
		p.Origin.AcceptedAt = at
	}
	id := fmt.Sprintf("world:%s:%d", workspace, p.Position)
	return event.New(event.WorldChanged, "clusterer", workspace, fmt.Sprint(p.Position), id, at, p)
}

// Register adds nothing: the clusterer has no routes of its own.
func (s *Service) Register(*http.ServeMux) {}
