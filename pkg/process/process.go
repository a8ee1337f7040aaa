// Package process is what every Throughline binary does around its services: read the
// configuration, log, connect to the event log and the store, make them ready, serve HTTP,
// run, and stop cleanly within ten seconds. The all-in-one and the four binaries differ only
// in the Connections they bring.
package process

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/httpserve"
	"github.com/throughline-dev/throughline/pkg/outbound"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/tracing"
	"github.com/throughline-dev/throughline/schemas"
)

// Service is one of the four services.
type Service interface {
	// Run works until ctx ends, and then returns when what it had taken is done or
	// left to be taken again.
	Run(ctx context.Context) error
	// Register adds its routes.
	Register(mux *http.ServeMux)
}

// Connections are how a process reaches the event log and the store.
type Connections struct {
	NATS   *nats.Conn
	Syncer bus.Syncer
	Admit  func() error // nil, or why no delivery can be taken now
	Store  store.Options
	Checks []httpserve.Check // of what is behind the connections
	Failed <-chan struct{}   // closed when the process must stop and be started again
	Close  func(ctx context.Context)

	// Registry has the metrics of what is behind the connections; nil means that there are
	// none, and Open makes one.
	Registry *prometheus.Registry
}

// External connects to the servers that the configuration names.
func External(c config.Config, log *slog.Logger) (Connections, error) {
	if c.NATS.URL == "" || len(c.ClickHouse.Addr) == 0 {
		return Connections{}, errors.New("this binary needs nats.url and clickhouse.addr; `throughline up` brings its own")
	}
	db, err := StoreOptions(c.ClickHouse)
	if err != nil {
		return Connections{}, err
	}
	nc, err := DialNATS(c.NATS, log)
	if err != nil {
		return Connections{}, err
	}
	return Connections{
		NATS: nc, Syncer: bus.ServerSync{}, Store: db,
		Close: func(context.Context) { nc.Close() },
	}, nil
}

// DialNATS connects to an external NATS and keeps trying while it is away.
func DialNATS(c config.NATS, log *slog.Logger) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("throughline"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false), nats.Timeout(10 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS lost; will reconnect", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("connected to NATS again") }),
	}
	if c.Credentials.Value() != "" {
		opts = append(opts, nats.UserCredentialBytes([]byte(c.Credentials.Value())))
	}
	if c.Username != "" {
		// The answers to each user's requests have subjects of their own, which the server's
		// permissions keep from the other users.
		opts = append(opts, nats.UserInfo(c.Username, c.Password.Value()), nats.CustomInboxPrefix("_INBOX."+c.Username))
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

// StoreOptions are those of an external ClickHouse. It fails where the file of authorities
// cannot be read.
func StoreOptions(c config.ClickHouse) (store.Options, error) {
	o := store.Options{Addr: c.Addr, Database: c.Database, Username: c.Username, Password: c.Password.Value(), Cluster: c.Cluster, Sharded: c.Sharded}
	if !c.TLS {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA == "" {
		return o, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return store.Options{}, fmt.Errorf("read clickhouse.ca: %w", err)
	}
	o.TLS.RootCAs = x509.NewCertPool()
	if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return store.Options{}, errors.New("read clickhouse.ca: there is no certificate in it")
	}
	return o, nil
}

// Process is what services are built from.
type Process struct {
	Config      config.Config
	Logger      *slog.Logger
	Registry    *prometheus.Registry
	Bus         *bus.Bus
	Store       *store.DB
	Connections Connections
	Holder      string            // names this process in leases
	Outbound    http.RoundTripper // to addresses that a workspace's configuration names

	committer *bus.Committer
	traces    *tracing.Provider // nil where no spans are wanted
}

// When everything else in the process gives way to the senders of deliveries: so many of them
// wait at once for each processor, and so many come each second that the pipeline could not
// follow them anyway. What comes is then a backlog in the stream, which is what it is for.
const (
	urgentPerCPU = 8
	urgentRate   = 250
)

// storeWait is how long Open waits for a store that does not answer: one that was started
// with us, or comes back.
const storeWait = time.Minute

// Open makes the event log and the store ready: streams, buckets and tables exist when it
// returns. name is what the process is called among others in traces.
func Open(ctx context.Context, name string, c config.Config, conns Connections, log *slog.Logger) (*Process, error) {
	reg := conns.Registry
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	traces, err := tracing.Open(ctx, c.Traces, name, Version, log)
	if err != nil {
		return nil, err
	}
	var committer *bus.Committer
	b, err := bus.New(conns.NATS, bus.Options{
		Logger: log, Registerer: reg, Syncer: conns.Syncer, Replicas: c.NATS.Replicas, Tracer: traces.TracerProvider(),
		Busy: func() bool { return committer.Pressed(urgentPerCPU*runtime.GOMAXPROCS(0), urgentRate) },
	})
	if err != nil {
		return nil, err
	}
	if err := b.Ensure(ctx); err != nil {
		return nil, err
	}
	conns.Store.Logger, conns.Store.Registerer = log, reg
	if err := store.Await(ctx, conns.Store, storeWait); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, conns.Store)
	if err != nil {
		return nil, err
	}
	migrations, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, migrations); err != nil {
		return nil, err
	}
	guard, err := outbound.NewGuard(c.Outbound.Allow)
	if err != nil {
		return nil, err
	}
	committer = bus.NewCommitter(b.JetStream(), conns.Syncer, bus.CommitterOptions{Admit: conns.Admit, Registerer: reg})
	return &Process{Config: c, Logger: log, Registry: reg, Bus: b, Store: db, Connections: conns, Holder: holder(c.Listen), Outbound: guard.Transport(), committer: committer, traces: traces}, nil
}

// Workspaces lists the ids of the configured workspaces.
func (p *Process) Workspaces() []string {
	var out []string
	for _, w := range p.Config.Workspaces {
		out = append(out, w.ID)
	}
	return out
}

// Ranks are the settings of the workspaces' ranks, by workspace.
func (p *Process) Ranks() map[string]config.Rank {
	out := map[string]config.Rank{}
	for _, w := range p.Config.Workspaces {
		out[w.ID] = w.Rank
	}
	return out
}

// Embedder opens the configured model.
func Embedder(c config.Models) (embed.Embedder, error) {
	const remembered = 20_000 // texts; 768 numbers each are 60 MB
	switch c.Embeddings.Provider {
	case "lexical":
		return embed.Lexical(), nil
	case "openai":
		e, err := embed.NewOpenAI(embed.OpenAIOptions{
			BaseURL: c.Embeddings.BaseURL, APIKey: c.Embeddings.APIKey.Value(), Model: c.Embeddings.Model, Dimensions: c.Embeddings.Dimensions,
		})
		if err != nil {
			return nil, err
		}
		return embed.Cached(e, remembered), nil
	}
	e, err := embed.OpenLocal(ModelsDir(c.Dir), embed.LocalOptions{})
	if err != nil {
		return nil, fmt.Errorf("%w; or set models.embeddings.provider: lexical to do without", err)
	}
	return embed.Cached(e, remembered), nil
}

// Serve runs services behind one HTTP server until ctx ends or one of them fails.
func (p *Process) Serve(ctx context.Context, ready func(addr string), services ...Service) error {
	mux := http.NewServeMux()
	measured, err := httpserve.Measured(mux, p.Registry)
	if err != nil {
		return err
	}
	for _, s := range services {
		s.Register(mux)
	}
	var encrypted *tls.Config
	if files := p.Config.TLS; files.Certificate != "" {
		if encrypted, err = httpserve.Certificate(files.Certificate, files.Key); err != nil {
			return err
		}
	}
	server, err := httpserve.New(httpserve.Options{
		TLS: encrypted, MetricsToken: p.Config.Metrics.Token.Value(),
		Addr: p.Config.Listen, Handler: httpserve.Traced(p.traces.TracerProvider(), measured), Gatherer: p.Registry, Logger: p.Logger,
		Checks:  append(p.checks(), p.Connections.Checks...),
		Details: map[string]string{"durability": p.Connections.Syncer.Mode()},
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if profiles := p.Config.Profiles; profiles.Listen != "" {
		shown, err := httpserve.Profiles(profiles.Listen, profiles.Token.Value(), p.Logger)
		if err != nil {
			_ = server.Close()
			return err
		}
		p.Logger.Info("serving profiles", "address", shown.Addr())
		g.Go(func() error { return shown.Run(ctx) })
	}
	g.Go(func() error { return server.Run(ctx) })
	for _, s := range services {
		g.Go(func() error { return s.Run(ctx) })
	}
	g.Go(func() error {
		select {
		case <-p.Connections.Failed:
			return errors.New("the disk failed to keep what was written; start again once it is sound")
		case <-ctx.Done():
			return nil
		}
	})
	ready(server.Addr())
	return g.Wait()
}

func (p *Process) checks() []httpserve.Check {
	return []httpserve.Check{
		{Name: "store", Probe: p.Store.Ping},
		{Name: "event log", Probe: func(ctx context.Context) error {
			_, err := p.Bus.JetStream().AccountInfo(ctx)
			return err
		}},
	}
}

// Committer appends messages that must survive a power cut before they are acknowledged.
func (p *Process) Committer() *bus.Committer { return p.committer }

// Close lets go of the connections, after what is being committed.
func (p *Process) Close(ctx context.Context) {
	if err := p.committer.Close(ctx); err != nil {
		p.Logger.Warn("closing the committer", "error", err)
	}
	if err := p.Store.Close(); err != nil {
		p.Logger.Warn("closing the store", "error", err)
	}
	if err := p.traces.Close(ctx); err != nil {
		p.Logger.Warn("closing traces", "error", err)
	}
	p.Connections.Close(ctx)
}
