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

// Register adds GET /v1/customers/{id}/erasure; the id is ours or an e-mail address.
func (a API) Register(mux *http.ServeMux) {
	mux.Handle("GET /v1/customers/{id}/erasure", a.Keyring.Require(access.Administer, http.HandlerFunc(a.show)))
}

func (a API) show(w http.ResponseWriter, r *http.Request) {
	workspace, id := access.From(r.Context()).Workspace, r.PathValue("id")
	if strings.Contains(id, "@") {
		id = feedback.CustomerID(workspace, "", "", id)
	}
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
		problem.Write(w, http.StatusNotFound, "this customer was not erased", "ask for it with DELETE /v1/customers/{id}; the decoder takes note of it after a moment")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(j)
	}
}
