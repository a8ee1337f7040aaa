// Package standalone is Throughline on one machine: the four services, unchanged, over an
// embedded broker and an embedded engine. It differs from the distributed set-up only in how
// connections are made; each engine may also be an external one.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/httpserve"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/classifier"
	"github.com/throughline-dev/throughline/services/clusterer"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// Run starts what the configuration wants embedded, then the four services, and serves until
// ctx ends. ready hears the address that is served on. Everything is stopped in reverse within
// process.StopWithin.
func Run(ctx context.Context, c config.Config, log *slog.Logger, ready func(addr string, p *process.Process)) error {
	conns, err := Connect(ctx, c, log)
	if err != nil {
		return err
	}
	stop := func(close func(context.Context)) {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), process.StopWithin)
		defer cancel()
		close(grace)
	}
	p, err := process.Open(ctx, "throughline", c, conns, log)
	if err != nil {
		stop(conns.Close)
		return err
	}
	defer stop(p.Close)
	services, err := Services(p)
	if err != nil {
		return err
	}
	return p.Serve(ctx, func(addr string) { ready(addr, p) }, services...)
}

// Connect starts or dials the broker and the engine, as configured.
func Connect(ctx context.Context, c config.Config, log *slog.Logger) (process.Connections, error) {
	conns := process.Connections{Registry: prometheus.NewRegistry()}
	var closers []func(context.Context)
	conns.Close = func(ctx context.Context) {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i](ctx)
		}
	}
	fail := func(err error) (process.Connections, error) {
		conns.Close(context.WithoutCancel(ctx))
		return process.Connections{}, err
	}
	if c.ClickHouse.Mode == "embedded" || c.NATS.Mode == "embedded" {
		if err := conns.Registry.Register(newDisk(c.Data)); err != nil {
			return fail(fmt.Errorf("register disk metrics: %w", err))
		}
	}
	var err error
	if conns.Store, err = process.StoreOptions(c.ClickHouse); err != nil {
		return fail(err)
	}
	if c.ClickHouse.Mode == "embedded" {
		e, err := engine.Start(ctx, engine.Options{Dir: filepath.Join(c.Data, "clickhouse"), Logger: log})
		if err != nil {
			return fail(fmt.Errorf("start engine: %w", err))
		}
		closers = append(closers, func(ctx context.Context) { report(log, "stopping the engine", e.Stop(ctx)) })
		conns.Store.Addr, conns.Store.Username, conns.Store.Password = []string{e.Addr()}, engine.Username, e.Password()
		conns.Checks = append(conns.Checks, httpserve.Check{Name: "engine", Probe: e.Healthy})
	}
	if c.NATS.Mode == "embedded" {
		srv, err := broker.Start(ctx, broker.Options{Dir: filepath.Join(c.Data, "nats"), Listen: c.NATS.Listen, Logger: log, Registerer: conns.Registry})
		if err != nil {
			return fail(fmt.Errorf("start broker: %w", err))
		}
		closers = append(closers, func(ctx context.Context) { report(log, "stopping the broker", srv.Stop(ctx)) })
		nc, err := srv.Connect(nats.Name("throughline"))
		if err != nil {
			return fail(fmt.Errorf("connect to the broker: %w", err))
		}
		closers = append(closers, func(context.Context) { nc.Close() })
		conns.NATS, conns.Syncer, conns.Admit, conns.Failed = nc, srv, srv.CheckSpace, srv.Failed()
		conns.Checks = append(conns.Checks, httpserve.Check{Name: "broker", Probe: srv.Healthy})
		return conns, nil
	}
	nc, err := process.DialNATS(c.NATS, log)
	if err != nil {
		return fail(err)
	}
	closers = append(closers, func(context.Context) { nc.Close() })
	conns.NATS, conns.Syncer = nc, bus.ServerSync{}
	return conns, nil
}

func report(log *slog.Logger, what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Warn(what, "error", err)
	}
}

// Services builds the four services over one process's connections. They share the embedding
// model, whose weights are large.
func Services(p *process.Process) ([]process.Service, error) {
	embedder, err := process.Embedder(p.Config.Models)
	if err != nil {
		return nil, err
	}
	in, err := ingestor.New(ingestor.Config{Workspaces: p.Config.Workspaces}, ingestor.Deps{
		Bus: p.Bus, Appender: p.Committer(), Store: p.Store, Logger: p.Logger.With("service", "ingestor"), Registerer: p.Registry, Now: time.Now, Holder: p.Holder, Transport: p.Outbound,
	})
	if err != nil {
		return nil, err
	}
	cl, err := classifier.New(classifier.Config{Workspaces: p.Workspaces(), Chat: p.Config.Models.Chat}, classifier.Deps{
		Bus: p.Bus, Store: p.Store, Embedder: embedder, Logger: p.Logger.With("service", "classifier"), Registerer: p.Registry, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	cs, err := clusterer.New(clusterer.Config{Workspaces: p.Workspaces(), Ranks: p.Ranks()}, clusterer.Deps{
		Bus: p.Bus, Store: p.Store, Logger: p.Logger.With("service", "clusterer"), Registerer: p.Registry, Holder: p.Holder,
	})
	if err != nil {
		return nil, err
	}
	cp, err := contextpublisher.New(contextpublisher.Config{Workspaces: p.Config.Workspaces, SMTP: p.Config.SMTP, SignIn: p.Config.SignIn, PublicURL: p.Config.PublicURL}, contextpublisher.Deps{
		Bus: p.Bus, Store: p.Store, Embedder: embedder, Logger: p.Logger.With("service", "context-publisher"), Registerer: p.Registry, Now: time.Now, Holder: p.Holder, Transport: p.Outbound,
	})
	if err != nil {
		return nil, err
	}
	return []process.Service{in, cl, cs, cp}, nil
}
