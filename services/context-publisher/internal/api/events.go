package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

// events streams what changes in the workspace as server-sent events until the client
// goes or falls behind. Each event is named after its kind and carries a watch.Change.
// A client that comes back with Last-Event-ID gets what it missed; where that is no
// longer known, an event named reset tells it to read everything anew.
func (a *API) events(w http.ResponseWriter, r *http.Request, _ Workspace) error {
	changes, missed, complete, err := a.o.Hub.Subscribe(r.Context(), access.From(r.Context()).Workspace, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		// The server's own write timeout is for answers that end.
		_ = stream.SetWriteDeadline(time.Now().Add(2 * a.o.KeepAlive))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return stream.Flush() == nil
	}
	change := func(c watch.Change) bool {
		data, err := json.Marshal(c)
		if err != nil {
			return false
		}
		return send("id: %s\nevent: %s\ndata: %s\n\n", EventID(c), c.Kind, data)
	}
	if !send("retry: 2000\n: connected\n\n") {
		return nil
	}
	if !complete && !send("event: reset\ndata: {}\n\n") {
		return nil
	}
	for _, c := range missed {
		if !change(c) {
			return nil
		}
	}
	alive := time.NewTicker(a.o.KeepAlive)
	defer alive.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case c, open := <-changes:
			if !open || !change(c) {
				return nil
			}
		case <-alive.C:
			if !send(": keep-alive\n\n") {
				return nil
			}
		}
	}
}
