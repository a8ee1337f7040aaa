package intake

import (
	"errors"
	"net/http"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/problem"
)

func (in *Intake) listDeadLetters(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	items, err := in.bus.DeadLetters(r.Context(), access.From(r.Context()).Workspace, r.URL.Query().Get("cursor"), limit+1)
	if err != nil {
		in.noDeadLetter(w, err)
		return
	}
	if items == nil {
		items = []bus.DeadLetter{}
	}
	next := ""
	if len(items) > limit {
		items = items[:limit]
		next = items[limit-1].ID
	}
	list(w, items, next)
}

func (in *Intake) showDeadLetter(w http.ResponseWriter, r *http.Request) {
	d, err := in.bus.DeadLetter(r.Context(), access.From(r.Context()).Workspace, r.PathValue("id"))
	if err != nil {
		in.noDeadLetter(w, err)
		return
	}
	write(w, "application/json", http.StatusOK, d)
}

func (in *Intake) dropDeadLetter(w http.ResponseWriter, r *http.Request) {
	if err := in.bus.DropDeadLetter(r.Context(), access.From(r.Context()).Workspace, r.PathValue("id")); err != nil {
		in.noDeadLetter(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (in *Intake) retryDeadLetter(w http.ResponseWriter, r *http.Request) {
	if err := in.bus.RetryDeadLetter(r.Context(), access.From(r.Context()).Workspace, r.PathValue("id")); err != nil {
		in.noDeadLetter(w, err)
		return
	}
	write(w, "application/json", http.StatusAccepted, map[string]string{"status": "accepted"})
}

func (in *Intake) noDeadLetter(w http.ResponseWriter, err error) {
	if errors.Is(err, bus.ErrNoDeadLetter) {
		problem.Write(w, http.StatusNotFound, "there is no such dead letter", "")
		return
	}
	in.unavailable(w, err)
}
