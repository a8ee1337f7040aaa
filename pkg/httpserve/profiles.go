package httpserve

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/problem"
)

// Profiles binds an address that shows what the process is busy with: CPU, heap, goroutines
// and locks, as `go tool pprof` reads them, below /debug/pprof/. A profile tells what code
// runs and never what data it runs on, yet taking one costs: a token that is not empty is
// asked for as a bearer token. It is a server of its own, so that no proxy in front of the
// service's address can reach it.
func Profiles(addr, token string, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &Server{listener: l, log: log, http: &http.Server{
		Handler:           recovering(log, guarded(token, "profiles need a token", "send profiles.token of the configuration as a bearer token", mux)),
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// guarded asks for a bearer token, if there is one to ask for, and says without it what is
// needed and how to give it.
func guarded(token, needed, how string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem.Write(w, http.StatusUnauthorized, needed, how)
			return
		}
		next.ServeHTTP(w, r)
	})
}
