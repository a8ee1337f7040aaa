// Package httpserve runs an HTTP server the way every Throughline process does: time
// limits on everything a slow client could hold open, a panic answered with a problem
// document, readiness that asks each part, and a stop that lets requests finish.
package httpserve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/throughline-dev/throughline/pkg/problem"
)

// Check is one part of readiness. Probe returns nil when the part can work; its error
// is shown to operators, so it says what to do and holds no secret.
type Check struct {
	Name  string
	Probe func(context.Context) error
}

// Options describe a server.
type Options struct {
	Addr     string // host:port; port 0 lets the kernel choose
	Handler  http.Handler
	Checks   []Check
	Details  map[string]string // shown by /readyz beside the checks, such as the durability mode
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger

	MetricsToken string      // asked for at /metrics as a bearer token; "" lets everybody read them
	TLS          *tls.Config // nil serves in the clear, for a proxy that ends TLS; Certificate makes one
}

// Server is a listener that is bound but not yet serving.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
}

// New binds the address, so that a taken port is an error at start.
func New(o Options) (*Server, error) {
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", o.Handler)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", ready(o.Checks, o.Details))
	mux.Handle("GET /metrics", guarded(o.MetricsToken, "metrics need a token", "send metrics.token of the configuration as a bearer token", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{})))
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS)
	}
	return &Server{listener: l, log: o.Logger, http: &http.Server{
		Handler:           recovering(o.Logger, mux),
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then lets requests finish for at most five seconds. Event
// streams end at once: their requests' contexts are cancelled with ctx.
func (s *Server) Run(ctx context.Context) error {
	streams, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return streams }
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	time.AfterFunc(500*time.Millisecond, cancel)
	if err := s.http.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

// Close gives the listener back when Run was never called.
func (s *Server) Close() error { return s.listener.Close() }

// recovering answers a panic with a problem document and logs its place without the
// request's content.
func recovering(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				log.Error("handler panicked", "method", r.Method, "pattern", r.Pattern, "panic", fmt.Sprintf("%T", v))
				problem.Write(w, http.StatusInternalServerError, "something went wrong here", "it was logged; try again")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// ready runs every check side by side and answers 200 only if all pass.
func ready(checks []Check, details map[string]string) http.Handler {
	type part struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
		Error string `json:"error,omitempty"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		parts := make([]part, len(checks))
		var wg sync.WaitGroup
		for i, c := range checks {
			wg.Go(func() {
				parts[i] = part{Name: c.Name, Ready: true}
				if err := c.Probe(ctx); err != nil {
					parts[i] = part{Name: c.Name, Error: err.Error()}
				}
			})
		}
		wg.Wait()
		all := true
		for _, p := range parts {
			all = all && p.Ready
		}
		w.Header().Set("Content-Type", "application/json")
		if !all {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": all, "parts": parts, "details": details})
	})
}
