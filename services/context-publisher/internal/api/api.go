package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// The limits of a list.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// maxBody is the most bytes of a decision.
const maxBody = 64 << 10

// Options are what the API needs. Random gives the ids of decisions that carry no
// idempotency key; KeepAlive is the pause between comments on an idle event stream.
type Options struct {
	Keyring   *access.Keyring
	Open      Open
	Hub       *Hub
	Logger    *slog.Logger
	Now       func() time.Time
	Random    io.Reader
	KeepAlive time.Duration
}

// API answers the routes of /v1.
type API struct{ o Options }

// New makes the API. All fields of Options are required.
func New(o Options) *API { return &API{o: o} }

// Route is one route of the API and the scope its callers need.
type Route struct {
	Method, Path string
	Scope        access.Scope
	serve        func(http.ResponseWriter, *http.Request, Workspace) error
}

// Routes lists every route. Paths are in the form of http.ServeMux, which is that of
// OpenAPI, too.
func (a *API) Routes() []Route {
	return []Route{
		{"GET", "/v1/clusters", access.Read, a.clusters},
		{"GET", "/v1/clusters/{id}", access.Read, a.cluster},
		{"GET", "/v1/clusters/{id}/signals", access.Read, a.signals},
		{"GET", "/v1/clusters/{id}/history", access.Read, a.history},
		{"GET", "/v1/clusters/{id}/explain", access.Read, a.explain},
		{"GET", "/v1/clusters/{id}/ranks", access.Read, a.ranks},
		{"POST", "/v1/clusters/{id}/decisions", access.Decide, a.decide},
		{"DELETE", "/v1/decisions/{id}", access.Decide, a.undo},
		{"POST", "/v1/signals/{id}/correction", access.Decide, a.correct},
		{"GET", "/v1/corrections", access.Read, a.corrections},
		{"GET", "/v1/feedback", access.Read, a.feedback},
		{"GET", "/v1/feedback/{id}", access.Read, a.feedbackItem},
		{"GET", "/v1/tickets", access.Read, a.tickets},
		{"GET", "/v1/tickets/{tracker}/{key}", access.Read, a.ticket},
		{"GET", "/v1/tickets/{tracker}/{key}/brief", access.Read, a.brief},
		{"POST", "/v1/tickets/{tracker}/{key}/attachments", access.Decide, a.attach},
		{"GET", "/v1/digests/{date}", access.Read, a.digest},
		{"GET", "/v1/audit", access.Administer, a.audit},
		{"GET", "/v1/events", access.Read, a.events},
	}
}

// Register adds the routes to mux. A browser on another site cannot use them with the
// cookie of a signed-in person.
func (a *API) Register(mux *http.ServeMux) {
	for _, r := range a.Routes() {
		mux.Handle(r.Method+" "+r.Path, sameSite(a.o.Keyring.Require(r.Scope, a.handler(r))))
	}
}

func sameSite(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusForbidden, "the request comes from another site", "")
	}))
	return guard.Handler(next)
}

func (a *API) handler(r Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Vary", "Authorization, Cookie, Accept")
		h.Set("X-Content-Type-Options", "nosniff")
		workspace := access.From(req.Context()).Workspace
		if err := r.serve(w, req, a.o.Open(workspace)); err != nil {
			a.fail(w, req, r, workspace, err)
		}
	})
}

// invalid is a request that cannot be answered as it stands; what says why and holds
// nothing of it.
type invalid struct{ what string }

func (e invalid) Error() string { return e.what }

func (a *API) fail(w http.ResponseWriter, req *http.Request, r Route, workspace string, err error) {
	var bad invalid
	switch {
	case req.Context().Err() != nil:
		return // nobody is listening any more
	case errors.As(err, &bad):
		problem.Write(w, http.StatusBadRequest, "the request cannot be understood", bad.what)
	case errors.Is(err, read.ErrCursor):
		problem.Write(w, http.StatusBadRequest, "the cursor is not one of ours", "start again without a cursor")
	case errors.Is(err, ErrNotFound):
		problem.Write(w, http.StatusNotFound, "there is no such thing in this workspace", "")
	case errors.Is(err, ErrRefused):
		problem.Write(w, http.StatusUnprocessableEntity, "the decision cannot be taken", err.Error())
	case errors.Is(err, ErrStreams):
		problem.Write(w, http.StatusTooManyRequests, "the workspace has too many live streams", "close one")
	case bus.IsUnavailable(err):
		a.o.Logger.WarnContext(req.Context(), "request has to wait", "route", r.Method+" "+r.Path, "workspace", workspace, "error", err)
		w.Header().Set("Retry-After", "2")
		problem.Write(w, http.StatusServiceUnavailable, "the store cannot be asked just now", "try again in a moment")
	default:
		a.o.Logger.ErrorContext(req.Context(), "request failed",
			"route", r.Method+" "+r.Path, "workspace", workspace, "error", err)
		problem.Write(w, http.StatusInternalServerError, "the request could not be answered", "try again; the server's log says why")
	}
}

func answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a reader that went away is no fault of ours
	return nil
}

// List is how every list is answered.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor"`
	Freshness
}

func list[T any](w http.ResponseWriter, r *http.Request, ws Workspace, p read.Page[T]) error {
	fresh, err := ws.Freshness(r.Context())
	if err != nil {
		return err
	}
	if p.Items == nil {
		p.Items = []T{}
	}
	return answer(w, http.StatusOK, List[T]{Items: p.Items, NextCursor: p.NextCursor, Freshness: fresh})
}

func limit(q url.Values) (int, error) {
	if !q.Has("limit") {
		return DefaultLimit, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > MaxLimit {
		return 0, invalid{"limit is a number from 1 to " + strconv.Itoa(MaxLimit)}
	}
	return n, nil
}

// oneOf checks a parameter that takes certain words; empty is allowed.
func oneOf(name, value string, words ...string) error {
	if value == "" {
		return nil
	}
	expected := ""
	for i, w := range words {
		if value == w {
			return nil
		}
		if i > 0 {
			expected += ", "
		}
		expected += w
	}
	return invalid{name + " is one of " + expected}
}

// Statuses are the states of a cluster that can be asked for.
var Statuses = []string{"open", "planned", "in_progress", "shipped", "ignored"}

func kinds() []string {
	words := make([]string, len(feedback.Kinds))
	for i, k := range feedback.Kinds {
		words[i] = string(k)
	}
	return words
}

func trackerAndKey(r *http.Request) (feedback.Tracker, string, error) {
	tracker, key := feedback.Tracker(r.PathValue("tracker")), r.PathValue("key")
	if tracker != feedback.Jira && tracker != feedback.Linear && tracker != feedback.GitHub {
		return "", "", ErrNotFound
	}
	return tracker, key, nil
}
