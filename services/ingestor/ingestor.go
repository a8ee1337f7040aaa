// Package ingestor is where feedback and tickets come in. It serves the vendors' webhooks
// and the writing half of /v1, makes each delivery durable before it answers, and then
// decodes the deliveries, in order, into feedback items, accounts and tickets.
//
// It promises that a 2xx means durable, that a delivery sent twice or handled twice has
// its effect once, and that a delivery which cannot be decoded is kept as a dead letter
// and holds up nothing. It refuses what is not signed by the connection's vendor.
package ingestor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/audit"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/archive"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
	"github.com/throughline-dev/throughline/services/ingestor/internal/backfill"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
	"github.com/throughline-dev/throughline/services/ingestor/internal/erase"
	"github.com/throughline-dev/throughline/services/ingestor/internal/export"
	"github.com/throughline-dev/throughline/services/ingestor/internal/intake"
	"github.com/throughline-dev/throughline/services/ingestor/internal/lookup"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
	"github.com/throughline-dev/throughline/services/ingestor/internal/replay"
	"github.com/throughline-dev/throughline/services/ingestor/internal/retention"
	"github.com/throughline-dev/throughline/services/ingestor/internal/slackapi"
)

// Appender stores a message and returns when it is durable; bus.Committer is one.
type Appender = intake.Appender

// Config is what an operator sets.
type Config struct {
	// Workspaces, with their connections and tokens.
	Workspaces []config.Workspace
	// InFlight is how many webhooks are worked on at a time; more are answered 503 with
	// Retry-After. 0 means 256.
	InFlight int
	// MaxBody is the most bytes of one webhook. 0 means 1 MiB, and 2.5 MiB for github and email. It
	// is lowered to what the event log takes as one message.
	MaxBody int64
	// RetentionEvery is the pause between looks for what is too old. 0 means a minute.
	RetentionEvery time.Duration
}

// Deps is what the service works with. All of it but Wait and Transport is required.
type Deps struct {
	Bus        *bus.Bus
	Appender   Appender
	Store      *store.DB
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	Holder     string // names this process in leases; unique to it

	// Wait waits between requests to vendors; nil means by the clock.
	Wait func(context.Context, time.Duration) error
	// Transport sends requests to vendors; nil means http.DefaultTransport, which calls any address.
	Transport http.RoundTripper
}

// Service is the ingestor.
type Service struct {
	deps        Deps
	intake      *intake.Intake
	erasures    erase.API
	backfills   backfill.API
	replays     replay.API
	exports     export.API
	workspaces  map[string]string // of the connections
	connections map[string]config.Connection
	outcomes    *prometheus.CounterVec
	retention   map[string]int // days that workspaces keep what is said
	looks       time.Duration
}

// New validates and prepares; it starts nothing and talks to nobody. It fails on missing
// dependencies, on a secret that cannot be one, and on metrics registered twice.
func New(c Config, d Deps) (*Service, error) {
	if d.Bus == nil || d.Appender == nil || d.Store == nil || d.Logger == nil || d.Registerer == nil || d.Now == nil || d.Holder == "" {
		return nil, errors.New("prepare ingestor: every dependency is required")
	}
	metrics, err := intake.NewMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("prepare ingestor: %w", err)
	}
	s := &Service{deps: d, connections: map[string]config.Connection{}, workspaces: map[string]string{}, outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "throughline_ingestor_decoded_total",
		Help: "Deliveries decoded, by kind of connection and outcome (said, met, deleted, erased, ticket, account, dead, or nothing with its reason).",
	}, []string{"kind", "outcome"})}
	if err := d.Registerer.Register(s.outcomes); err != nil {
		return nil, fmt.Errorf("prepare ingestor: register metrics: %w", err)
	}
	s.retention, s.looks = map[string]int{}, cmp.Or(c.RetentionEvery, time.Minute)
	for _, w := range c.Workspaces {
		if w.RetentionDays > 0 {
			s.retention[w.ID] = w.RetentionDays
		}
		for _, k := range w.Connections {
			s.connections[k.ID], s.workspaces[k.ID] = k, w.ID
		}
	}
	keyring := access.NewKeyring(c.Workspaces).With(session.New(d.Bus, d.Now, rand.Reader), audit.New(d.Store, d.Logger, d.Now))
	s.erasures = erase.API{Bus: d.Bus, Keyring: keyring, Logger: d.Logger}
	s.backfills = backfill.API{Bus: d.Bus, Keyring: keyring, Workspaces: s.workspaces, Now: d.Now, Logger: d.Logger}
	s.replays = replay.API{Bus: d.Bus, Keyring: keyring, Now: d.Now, Logger: d.Logger}
	s.exports = export.API{Store: d.Store, Keyring: keyring, Logger: d.Logger}
	s.intake, err = intake.New(intake.Options{
		Workspaces: c.Workspaces, Keyring: keyring, Appender: d.Appender, Bus: d.Bus, Store: d.Store,
		Metrics: metrics, Logger: d.Logger, Now: d.Now,
		Transport: d.Transport, InFlight: c.InFlight, MaxBody: c.MaxBody, MaxMessage: d.Bus.JetStream().Conn().MaxPayload(),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare ingestor: %w", err)
	}
	return s, nil
}

// Register adds the service's routes: /webhooks/{connection}, and under /v1 feedback, customers,
// accounts, connections, dead-letters, replay and export as far as they are the ingestor's.
func (s *Service) Register(mux *http.ServeMux) {
	s.intake.Register(mux)
	s.erasures.Register(mux)
	s.backfills.Register(mux)
	s.replays.Register(mux)
	s.exports.Register(mux)
}

// Run decodes and archives deliveries until ctx ends, which is not an error. The streams
// and buckets must exist (bus.Ensure) and the tables too (store.Migrate).
func (s *Service) Run(ctx context.Context) error {
	outer := ctx
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.alone(ctx, bus.IngestorDecode, s.decode) })
	g.Go(func() error { return s.alone(ctx, "ingestor-erase", s.erase) })
	g.Go(func() error { return s.alone(ctx, "ingestor-backfill", s.backfill) })
	g.Go(func() error { return s.alone(ctx, "ingestor-replay", s.replay) })
	if len(s.retention) > 0 {
		g.Go(func() error { return s.alone(ctx, "ingestor-retention", s.expire) })
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(s.connections)), lookup.Takes) {
		g.Go(func() error { return s.alone(ctx, bus.IngestorLookup, s.lookup) })
	}
	g.Go(func() error {
		return s.deps.Bus.Consume(ctx, bus.Consumer{
			Durable: bus.IngestorArchive, Stream: bus.Deliveries, Batch: 1000, Linger: time.Second,
		}, archive.Handler{Store: s.deps.Store}.Handle)
	})
	if err := g.Wait(); err != nil && outer.Err() == nil {
		return fmt.Errorf("run ingestor: %w", err)
	}
	return nil
}

// alone runs work that one process may do at a time: it waits for the job's lease, works
// until ctx ends or the lease goes to another process, and waits where what it needs does
// not answer.
func (s *Service) alone(ctx context.Context, job string, work func(context.Context, *bus.Lease) error) error {
	for ctx.Err() == nil {
		err := s.aloneOnce(ctx, job, work)
		switch {
		case err == nil || ctx.Err() != nil:
		case bus.IsUnavailable(err):
			s.deps.Logger.Warn("a job waits for what it needs", "job", job, "error", err)
			pause(ctx, time.Second)
		default:
			return fmt.Errorf("%s: %w", job, err)
		}
	}
	return nil
}

func (s *Service) aloneOnce(ctx context.Context, job string, work func(context.Context, *bus.Lease) error) error {
	lease, err := s.deps.Bus.Acquire(ctx, job, s.deps.Holder)
	if err != nil {
		return err
	}
	defer lease.Release(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-lease.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	err = work(ctx, lease)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Service) decode(ctx context.Context, lease *bus.Lease) error {
	states, err := s.deps.Bus.Bucket(ctx, bus.BucketItems)
	if err != nil {
		return err
	}
	erasures, err := s.deps.Bus.Bucket(ctx, bus.BucketErasures)
	if err != nil {
		return err
	}
	h := &decode.Handler{
		Publisher: s.deps.Bus, Store: s.deps.Store, States: states, Erasures: erasures, Connections: s.connections,
		Held: lease.Valid, Outcomes: s.outcomes, Logger: s.deps.Logger,
	}
	return s.deps.Bus.Consume(ctx, bus.Consumer{Durable: bus.IngestorDecode, Stream: bus.Deliveries, Ordered: true}, h.Handle)
}

func (s *Service) erase(ctx context.Context, _ *bus.Lease) error {
	e := &erase.Eraser{Bus: s.deps.Bus, Store: s.deps.Store, Connections: s.connections, Decode: decode.Changes, Logger: s.deps.Logger, Now: s.deps.Now}
	return e.Run(ctx)
}

func (s *Service) expire(ctx context.Context, _ *bus.Lease) error {
	r := &retention.Runner{Bus: s.deps.Bus, Store: s.deps.Store, Appender: s.deps.Appender, Days: s.retention, Every: s.looks, Now: s.deps.Now, Logger: s.deps.Logger}
	return r.Run(ctx)
}

func (s *Service) backfill(ctx context.Context, _ *bus.Lease) error {
	r := &backfill.Runner{
		Bus: s.deps.Bus, Appender: s.deps.Appender, Store: s.deps.Store, Connections: s.connections, Workspaces: s.workspaces, Decode: decode.Changes,
		HTTP: &http.Client{Timeout: time.Minute, Transport: s.deps.Transport}, Wait: s.deps.Wait, Now: s.deps.Now, Logger: s.deps.Logger,
	}
	return r.Run(ctx)
}

// lookup reads the deliveries of connections whose vendor can be asked, and of no others.
func (s *Service) lookup(ctx context.Context, _ *bus.Lease) error {
	cursors, err := s.deps.Bus.Bucket(ctx, bus.BucketCursors)
	if err != nil {
		return err
	}
	wait := s.deps.Wait
	if wait == nil {
		wait = ask.Wait
	}
	h := &lookup.Handler{
		Connections: map[string]config.Connection{}, API: map[string]*slackapi.API{}, Asked: cursors, Now: s.deps.Now, Logger: s.deps.Logger,
		Deliver: func(ctx context.Context, workspace string, c config.Connection, body []byte) error {
			_, err := backfill.Store(ctx, s.deps.Appender, workspace, backfill.Delivery(c, body, s.deps.Now()))
			return err
		},
		Backfill: func(ctx context.Context, workspace, connection string, since time.Time) error {
			return backfill.Begin(ctx, cursors, workspace, connection, since, s.deps.Now())
		},
	}
	client := &http.Client{Timeout: time.Minute, Transport: s.deps.Transport}
	var subjects []string
	for id, c := range s.connections {
		if lookup.Takes(c) {
			h.Connections[id] = c
			if c.Type == "slack" {
				h.API[id] = slackapi.New(c, &ask.Client{HTTP: client, Wait: wait, Counts: new(ask.Counts)})
			}
			subjects = append(subjects, bus.Subject("deliveries", s.workspaces[id], id))
		}
	}
	slices.Sort(subjects)
	return s.deps.Bus.Consume(ctx, bus.Consumer{Durable: bus.IngestorLookup, Stream: bus.Deliveries, Filters: subjects, Batch: 16}, bus.Each(h.Handle))
}

func (s *Service) replay(ctx context.Context, _ *bus.Lease) error {
	r := &replay.Runner{Bus: s.deps.Bus, Store: s.deps.Store, Appender: s.deps.Appender, Logger: s.deps.Logger}
	return r.Run(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// PlainText returns what a reader sees of an HTML fragment, as the decoders take it: its
// visible text, blocks on lines of their own.
func PlainText(html string) string { return plain.FromHTML(html) }
