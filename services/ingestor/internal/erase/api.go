package erase

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// API answers how far an erasure is, with its report.
type API struct {
	Bus     *bus.Bus
	Keyring *access.Keyring
	Logger  *slog.Logger
}

// Register adds GET /v1/customers/{id}/erasure, where the id is ours or an e-mail address, and
// GET /v1/retention, the newest erasure by age.
func (a API) Register(mux *http.ServeMux) {
	mux.Handle("GET /v1/customers/{id}/erasure", a.Keyring.Require(access.Administer, http.HandlerFunc(a.show)))
	mux.Handle("GET /v1/retention", a.Keyring.Require(access.Administer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.tell(w, r, ByAge, "nothing has been erased for its age", "set retention_days of the workspace")
	})))
}

func (a API) show(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if strings.Contains(id, "@") {
		id = feedback.CustomerID(access.From(r.Context()).Workspace, "", "", id)
	}
	a.tell(w, r, id, "this customer was not erased", "ask for it with DELETE /v1/customers/{id}; the decoder takes note of it after a moment")
}

func (a API) tell(w http.ResponseWriter, r *http.Request, id, nothing, hint string) {
	workspace := access.From(r.Context()).Workspace
	kv, err := a.Bus.Bucket(r.Context(), bus.BucketErasures)
	var j Job
	var revision uint64
	if err == nil {
		j, revision, err = Read(r.Context(), kv, workspace, id)
	}
	switch {
	case err != nil:
		a.Logger.Warn("request not answered", "error", err)
		w.Header().Set("Retry-After", "2")
		problem.Write(w, http.StatusServiceUnavailable, "a part that is needed does not answer", "look at /readyz")
	case revision == 0:
		problem.Write(w, http.StatusNotFound, nothing, hint)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(j)
	}
}
