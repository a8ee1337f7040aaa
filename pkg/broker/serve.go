package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// watchEvery is how often a broker that runs by itself looks at its health.
	watchEvery = 5 * time.Second
	// stopTimeout bounds a clean stop.
	stopTimeout = 30 * time.Second
)

// Serve runs a broker as a process of its own until ctx ends, and then stops it
// cleanly and returns nil. options.Listen is required. The default durability
// is [Always] here, because a client in another process has no way to ask for
// a [Server.Sync]; Barrier is refused for that reason. It returns an error when
// the broker does not start or stop. Changes of its health are logged. ready, unless nil, is called once with the running broker.
func Serve(ctx context.Context, options Options, ready func(*Server)) error {
	if options.Listen == "" {
		return errors.New("serve broker: no address to listen on")
	}
	if options.Durability == "" {
		options.Durability = Always
	}
	if options.Durability == Barrier {
		return errors.New("serve broker: barrier works within one process only; use always")
	}
	s, err := Start(ctx, options)
	if err != nil {
		return err
	}
	s.options.Logger.Info("broker is ready", "url", s.ClientURL(), "durability", s.Mode(), "max_store", s.MaxStore())
	if ready != nil {
		ready(s)
	}
	s.watch(ctx, s.options.Logger)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return s.Stop(stopping)
}

// watch logs changes of the broker's health until ctx ends.
func (s *Server) watch(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	healthy := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.checkWithin(ctx, watchEvery)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && healthy:
			logger.Error("broker is unhealthy", "error", err)
		case err == nil && !healthy:
			logger.Info("broker is healthy again")
		}
		healthy = err == nil
	}
}

func (s *Server) checkWithin(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer within %s", d))
	defer cancel()
	return s.Healthy(ctx)
}
