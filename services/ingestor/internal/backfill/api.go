package backfill

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// API begins backfills and tells how far they are.
type API struct {
	Bus        *bus.Bus
	Keyring    *access.Keyring
	Workspaces map[string]string // of the connections
	Now        func() time.Time
	Logger     *slog.Logger
}

// Register adds GET and POST /v1/connections/{id}/backfill.
func (a API) Register(mux *http.ServeMux) {
	mux.Handle("GET /v1/connections/{id}/backfill", a.Keyring.Require(access.Administer, http.HandlerFunc(a.show)))
	mux.Handle("POST /v1/connections/{id}/backfill", a.Keyring.Require(access.Administer, http.HandlerFunc(a.begin)))
}

func (a API) own(w http.ResponseWriter, r *http.Request) (workspace, connection string, ok bool) {
	workspace, connection = access.From(r.Context()).Workspace, r.PathValue("id")
	if a.Workspaces[connection] != workspace {
		problem.Write(w, http.StatusNotFound, "there is no such connection", "")
		return "", "", false
	}
	return workspace, connection, true
}

func (a API) show(w http.ResponseWriter, r *http.Request) {
	workspace, connection, ok := a.own(w, r)
	if !ok {
		return
	}
	kv, err := a.Bus.Bucket(r.Context(), bus.BucketCursors)
	var j Job
	var revision uint64
	if err == nil {
		j, revision, err = Read(r.Context(), kv, workspace, connection)
	}
	switch {
	case err != nil:
		a.unavailable(w, err)
	case revision == 0:
		problem.Write(w, http.StatusNotFound, "this connection was never backfilled", "")
	default:
		answer(w, http.StatusOK, j)
	}
}

// begin starts a backfill anew, also where one is under way.
func (a API) begin(w http.ResponseWriter, r *http.Request) {
	workspace, connection, ok := a.own(w, r)
	if !ok {
		return
	}
	var in struct{ Since time.Time }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in); err != nil || in.Since.IsZero() || in.Since.After(a.Now()) {
		problem.Write(w, http.StatusUnprocessableEntity, "since is not acceptable", `send {"since": "2026-01-31T00:00:00Z"}, a time in the past`)
		return
	}
	kv, err := a.Bus.Bucket(r.Context(), bus.BucketCursors)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	_, revision, err := Read(r.Context(), kv, workspace, connection)
	j := Job{Workspace: workspace, Connection: connection, Since: in.Since.UTC(), Asked: a.Now().UTC(), State: Running}
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
