package replay

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// API begins replays and tells how far they are.
type API struct {
	Bus     *bus.Bus
	Keyring *access.Keyring
	Now     func() time.Time
	Logger  *slog.Logger
}

// Register adds GET and POST /v1/replay.
func (a API) Register(mux *http.ServeMux) {
	mux.Handle("GET /v1/replay", a.Keyring.Require(access.Administer, http.HandlerFunc(a.show)))
	mux.Handle("POST /v1/replay", a.Keyring.Require(access.Administer, http.HandlerFunc(a.begin)))
}

func (a API) show(w http.ResponseWriter, r *http.Request) {
	kv, err := a.Bus.Bucket(r.Context(), bus.BucketCursors)
	var j Job
	var revision uint64
	if err == nil {
		j, revision, err = Read(r.Context(), kv, access.From(r.Context()).Workspace)
	}
	switch {
	case err != nil:
		a.unavailable(w, err)
	case revision == 0:
		problem.Write(w, http.StatusNotFound, "nothing was ever replayed", "")
	default:
		answer(w, http.StatusOK, j)
	}
}

// begin starts a replay of everything that is stored by now, in place of an older one.
func (a API) begin(w http.ResponseWriter, r *http.Request) {
	var in struct{ From time.Time }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in); err != nil || in.From.IsZero() || in.From.After(a.Now()) {
		problem.Write(w, http.StatusUnprocessableEntity, "from is not acceptable", `send {"from": "2026-01-31T00:00:00Z"}, a time in the past`)
		return
	}
	j := Job{Workspace: access.From(r.Context()).Workspace, From: in.From.UTC(), Asked: a.Now().UTC(), State: Running}
	kv, err := a.Bus.Bucket(r.Context(), bus.BucketCursors)
	if err == nil {
		var stream jetstream.Stream
		if stream, err = a.Bus.JetStream().Stream(r.Context(), bus.Deliveries); err == nil {
			j.Until = stream.CachedInfo().State.LastSeq
		}
	}
	var revision uint64
	if err == nil {
		_, revision, err = Read(r.Context(), kv, j.Workspace)
	}
	if err == nil {
		_, err = save(r.Context(), kv, j, revision)
	}
	if err != nil {
		a.unavailable(w, err)
		return
	}
	answer(w, http.StatusAccepted, j)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (a API) unavailable(w http.ResponseWriter, err error) {
	a.Logger.Warn("request not answered", "error", err)
	w.Header().Set("Retry-After", "2")
	problem.Write(w, http.StatusServiceUnavailable, "a part that is needed does not answer", "look at /readyz")
}
