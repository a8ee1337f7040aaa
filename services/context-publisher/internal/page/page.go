// Package page serves the web page: the ranking, a cluster with its quotes, tickets with
// their briefs, feedback, and the digest, for people. It needs no build step and loads
// nothing from elsewhere.
//
// It promises: every page works without script, by keyboard and by screen reader, light
// and dark, on a phone; script only brings what changed while one looks, and never under
// the pointer. Customers' words are shown as text without hidden characters, their links
// only where they lead to the web. Who is not signed in sees the sign-in form and nothing
// else; who may only read is offered no decision. What another workspace has is not found.
//
// It refuses inline script and style (a strict Content-Security-Policy) and posts from other
// sites. Sessions are kept by pkg/access/session; the cookie holds a random value, unreadable
// to script.
package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/attempts"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets
var assets embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm is the most bytes of a form.
const maxForm = 256 << 10

// Options are what the page needs; all fields but OpenID are required. The keyring knows the
// sessions. OpenID is where people sign in besides by token, nil for nowhere. Random gives the
// ids of decisions.
type Options struct {
	Keyring  *access.Keyring
	Sessions *session.Sessions
	OpenID   *openid.Provider
	Open     api.Open
	Desk     Desk
	Logger   *slog.Logger
	Now      func() time.Time
	Random   io.Reader
}

// Page answers the routes of the web page.
type Page struct {
	o        Options
	views    map[string]*template.Template
	failures *attempts.Failures // to sign in
}

// New makes the page. It fails only where its own templates do not parse.
func New(o Options) (*Page, error) {
	p := &Page{o: o, views: map[string]*template.Template{}, failures: attempts.New(o.Now)}
	names, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	for _, name := range names {
		view := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		t, err := template.New("layout.html").Funcs(p.functions()).ParseFS(templates, "templates/layout.html", "templates/parts.html", name)
		if err != nil {
			return nil, fmt.Errorf("parse templates: %w", err)
		}
		p.views[view] = t
	}
	return p, nil
}

// Register adds the routes to mux.
func (p *Page) Register(mux *http.ServeMux) {
	files := http.StripPrefix("/assets/", http.FileServerFS(sub(assets, "assets")))
	mux.Handle("GET /assets/{file}", guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		files.ServeHTTP(w, r)
	})))
	mux.Handle("GET /login", guarded(http.HandlerFunc(p.loginForm)))
	mux.Handle("POST /login", guarded(http.HandlerFunc(p.login)))
	mux.Handle("POST /logout", guarded(http.HandlerFunc(p.logout)))
	if p.o.OpenID != nil {
		mux.Handle("GET /login/openid", guarded(http.HandlerFunc(p.toProvider)))
		mux.Handle("GET "+openid.CallbackPath, guarded(http.HandlerFunc(p.fromProvider)))
	}
	mux.Handle("GET /audit", guarded(p.signedIn(access.Administer, p.audit)))
	mux.Handle("POST /workspace", guarded(p.signedIn(access.Read, p.enter)))
	for pattern, view := range map[string]func(*request) error{
		"GET /{$}":                             p.roadmap,
		"GET /clusters/{id}":                   p.cluster,
		"GET /clusters/{id}/why":               p.why,
		"GET /tickets":                         p.tickets,
		"GET /tickets/{tracker}/{key}":         p.ticket,
		"GET /tickets/{tracker}/{key}/compare": p.compare,
		"GET /feedback":                        p.feedback,
		"GET /feedback/{id}":                   p.feedbackItem,
		"GET /inbox":                           p.inbox,
		"GET /quality":                         p.quality,
		"GET /decisions":                       p.decisions,
		"GET /connections":                     p.connections,
		"GET /operations":                      p.operations,
		"GET /digest":                          p.digestToday,
		"GET /digest/{date}":                   p.digest,
	} {
		mux.Handle(pattern, guarded(p.signedIn(access.Read, view)))
	}
	for pattern, act := range map[string]func(*request) error{
		"POST /clusters/{id}/decisions":             p.decide,
		"POST /signals/{id}/correction":             p.correct,
		"POST /decisions/{id}/undo":                 p.undo,
		"POST /tickets/{tracker}/{key}/attachments": p.attach,
	} {
		mux.Handle(pattern, guarded(p.signedIn(access.Decide, act)))
	}
}

func sub(f fs.FS, dir string) fs.FS {
	s, err := fs.Sub(f, dir)
	if err != nil {
		panic(fmt.Sprintf("page: the embedded folder %s is not there: %v", dir, err))
	}
	return s
}

// guarded sets what every answer of the page carries and refuses posts from other sites.
func guarded(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusForbidden, "the request comes from another site", "")
	}))
	inner := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "private, no-store")
		h.Set("Vary", "Cookie")
		inner.ServeHTTP(w, r)
	})
}

// request is one request of a signed-in person.
type request struct {
	w         http.ResponseWriter
	r         *http.Request
	workspace api.Workspace
	who       access.Principal
}

func (p *Page) signedIn(scope access.Scope, view func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok, err := p.o.Keyring.Who(r)
		if err != nil {
			p.cannotSignIn(w, r, err, "/")
			return
		}
		if !ok || !who.May(access.Read) {
			http.Redirect(w, r, door(r), http.StatusSeeOther)
			return
		}
		p.renew(w, r)
		p.o.Keyring.Noted(scope, who, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			req := &request{w, r, p.o.Open(who.Workspace), who}
			if !who.May(scope) {
				p.fail(req, http.StatusForbidden, "You may not do this here", "It needs the scope "+string(scope)+", which your token or your membership does not have. Ask an administrator of the workspace.")
				return
			}
			if err := view(req); err != nil {
				p.failed(req, err)
			}
		})).ServeHTTP(w, r)
	})
}

// invalid is a form that cannot be taken as it is; the message is shown.
type invalid string

func (e invalid) Error() string { return string(e) }

func (p *Page) failed(req *request, err error) {
	var bad invalid
	switch {
	case req.r.Context().Err() != nil:
	case errors.As(err, &bad):
		p.fail(req, http.StatusBadRequest, "This cannot be done as asked", string(bad))
	case errors.Is(err, api.ErrNotFound):
		p.fail(req, http.StatusNotFound, "There is nothing here", "It may have been removed, or the address has a typing error.")
	case errors.Is(err, read.ErrCursor):
		p.fail(req, http.StatusBadRequest, "This page of the list is gone", "Start again from its beginning.")
	case errors.Is(err, api.ErrRefused):
		p.fail(req, http.StatusUnprocessableEntity, "This cannot be done as asked", err.Error()+".")
	case bus.IsUnavailable(err):
		p.o.Logger.WarnContext(req.r.Context(), "page has to wait", "route", req.r.Pattern, "workspace", req.who.Workspace, "error", err)
		req.w.Header().Set("Retry-After", "2")
		p.fail(req, http.StatusServiceUnavailable, "The store cannot be asked just now", "Try again in a moment.")
	default:
		p.o.Logger.ErrorContext(req.r.Context(), "page failed", "route", req.r.Pattern, "workspace", req.who.Workspace, "error", err)
		p.fail(req, http.StatusInternalServerError, "This page could not be made", "Try again in a moment. The server's log says why.")
	}
}

func (p *Page) fail(req *request, status int, title, detail string) {
	_ = p.show(req, status, "error", title, "", map[string]any{"Detail": detail})
}

// frame is what the layout shows around a view.
type frame struct {
	Title, Section string
	Workspace, Who string
	Workspaces     []string // that the person may go to, where there are several
	May            bool     // take decisions
	Administers    bool
	SignedIn       bool
	Live           bool
	Decided        string // the id of a decision that was just taken
	Here           string // where to come back to
	Now            time.Time
	Fresh          api.Freshness
	View           any
}

// show renders a view. Nothing is sent before it is whole.
func (p *Page) show(req *request, status int, view, title, section string, data any) error {
	f := frame{Title: title, Section: section, Workspace: req.who.Workspace, Who: req.who.Name, May: req.who.May(access.Decide), Administers: req.who.May(access.Administer), SignedIn: true, Workspaces: p.workspaces(req.r),
		Live: section != "" && section != "digest", Now: p.o.Now(), View: data, Here: req.r.URL.Path}
	if id := req.r.URL.Query().Get("decided"); strings.HasPrefix(id, "dec_") {
		f.Decided = id
	}
	if section != "" {
		fresh, err := req.workspace.Freshness(req.r.Context())
		if err != nil {
			return err
		}
		f.Fresh = fresh
	}
	return p.render(req.w, status, view, f)
}

func (p *Page) render(w http.ResponseWriter, status int, view string, f frame) error {
	var b bytes.Buffer
	if err := p.views[view].Execute(&b, f); err != nil {
		return fmt.Errorf("render %s: %w", view, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a reader that went away is no fault of ours
	return nil
}
