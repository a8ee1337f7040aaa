package page

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid"
)

// attemptCookie holds what an attempt to sign in at the OpenID provider needs to end where it
// began, for attemptAge.
const (
	attemptCookie = "throughline_attempt"
	attemptAge    = 10 * time.Minute
)

type loginView struct {
	Next     string
	Wrong    bool
	Provider string // that people may sign in at, "" for none
	Problem  string
}

func (p *Page) loginForm(w http.ResponseWriter, r *http.Request) {
	p.askToken(w, r, http.StatusOK, loginView{Next: ours(r.URL.Query().Get("next"))})
}

func (p *Page) askToken(w http.ResponseWriter, r *http.Request, status int, v loginView) {
	if p.o.OpenID != nil {
		v.Provider = p.o.OpenID.Name()
	}
	if err := p.render(w, status, "login", frame{Title: "Sign in", Now: p.o.Now(), View: v}); err != nil {
		p.o.Logger.ErrorContext(r.Context(), "page failed", "route", r.Pattern, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
	}
}

// login signs in who has a workspace's token.
func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token, next := strings.TrimSpace(r.PostFormValue("token")), ours(r.PostFormValue("next"))
	if p.mustWait(w, r, token, next) {
		return
	}
	id, ok := p.o.Keyring.Holder(token)
	if ok {
		ok = p.o.Keyring.Principals(id)[0].May(access.Read)
	}
	if !ok {
		p.wasWrong(r, token)
		p.o.Logger.WarnContext(r.Context(), "sign-in refused", "by", "token", "address", r.RemoteAddr)
		p.askToken(w, r, http.StatusUnauthorized, loginView{Next: next, Wrong: true})
		return
	}
	p.begin(w, r, id, next)
}

// begin starts a session for somebody who showed who they are, and goes on.
func (p *Page) begin(w http.ResponseWriter, r *http.Request, id access.Identity, next string) {
	value, err := p.o.Sessions.Begin(r.Context(), id)
	if err != nil {
		p.cannotSignIn(w, r, err, next)
		return
	}
	p.leave(w, r) // nobody goes on in a session that was there before
	http.SetCookie(w, cookie(r, access.SessionCookie, value, session.Age))
	all := p.o.Keyring.Principals(id)
	p.o.Keyring.Record(r, all[max(0, slices.IndexFunc(all, func(who access.Principal) bool { return who.Workspace == id.Workspace }))], http.StatusSeeOther)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (p *Page) cannotSignIn(w http.ResponseWriter, r *http.Request, err error, next string) {
	p.o.Logger.ErrorContext(r.Context(), "sign-in has to wait", "error", err)
	w.Header().Set("Retry-After", "2")
	p.askToken(w, r, http.StatusServiceUnavailable, loginView{Next: next, Problem: "Nobody can be signed in just now. Try again in a moment."})
}

// toProvider sends a browser to the OpenID provider.
func (p *Page) toProvider(w http.ResponseWriter, r *http.Request) {
	next := ours(r.URL.Query().Get("next"))
	address, keep, err := p.o.OpenID.Begin()
	if err != nil {
		p.cannotSignIn(w, r, err, next)
		return
	}
	kept := cookie(r, attemptCookie, keep+"."+base64.RawURLEncoding.EncodeToString([]byte(next)), attemptAge)
	kept.Path = "/login"
	http.SetCookie(w, kept)
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// fromProvider signs in who comes back from the OpenID provider. Whoever it vouches for and no
// workspace has as a member stays outside.
func (p *Page) fromProvider(w http.ResponseWriter, r *http.Request) {
	var keep, next string
	if c, err := r.Cookie(attemptCookie); err == nil {
		i := strings.LastIndexByte(c.Value, '.')
		to, _ := base64.RawURLEncoding.DecodeString(c.Value[i+1:])
		keep, next = c.Value[:max(i, 0)], string(to)
	}
	next = ours(next)
	over := cookie(r, attemptCookie, "", -time.Second)
	over.Path = "/login"
	http.SetCookie(w, over)
	if p.mustWait(w, r, "", next) {
		return
	}
	id, err := p.o.OpenID.Finish(r.Context(), keep, r.URL.Query())
	switch {
	case errors.Is(err, openid.ErrRefused):
		p.wasWrong(r, "")
		p.o.Logger.WarnContext(r.Context(), "sign-in refused", "by", "openid", "address", r.RemoteAddr, "error", err)
		p.askToken(w, r, http.StatusUnauthorized, loginView{Next: next, Problem: "This sign-in did not work: " + strings.TrimPrefix(err.Error(), openid.ErrRefused.Error()+": ") + ". Try it again from here."})
		return
	case err != nil:
		p.cannotSignIn(w, r, err, next)
		return
	}
	all := p.o.Keyring.Principals(id)
	if !slices.ContainsFunc(all, func(who access.Principal) bool { return who.May(access.Read) }) {
		p.o.Logger.WarnContext(r.Context(), "sign-in refused", "by", "openid", "address", r.RemoteAddr, "subject", id.Subject, "error", "member of no workspace")
		p.askToken(w, r, http.StatusForbidden, loginView{Next: next, Problem: "You are signed in at " + p.o.OpenID.Name() + ", and no workspace here has you as a member. Ask an administrator to add your group or your verified e-mail address."})
		return
	}
	id.Workspace = all[0].Workspace
	p.begin(w, r, id, next)
}

// leave ends the session of a request, where it has one.
func (p *Page) leave(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie(access.SessionCookie)
	if err != nil {
		return
	}
	if err := p.o.Sessions.End(r.Context(), c.Value); err != nil {
		p.o.Logger.ErrorContext(r.Context(), "session could not be ended", "error", err)
	}
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	if who, ok, err := p.o.Keyring.Who(r); err == nil && ok {
		p.o.Keyring.Record(r, who, http.StatusSeeOther)
	}
	p.leave(w, r)
	http.SetCookie(w, cookie(r, access.SessionCookie, "", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// enter goes on in another workspace that the same person is a member of.
func (p *Page) enter(req *request) error {
	f, err := form(req)
	if err != nil {
		return err
	}
	c, err := req.r.Cookie(access.SessionCookie)
	if err != nil {
		return invalid("This browser has no session.")
	}
	id, ok, err := p.o.Sessions.Find(req.r.Context(), c.Value)
	if err != nil {
		return err
	}
	to := f.Get("workspace")
	if !ok || !slices.ContainsFunc(p.o.Keyring.Principals(id), func(who access.Principal) bool { return who.Workspace == to && who.May(access.Read) }) {
		return invalid("You are no member of this workspace.")
	}
	id.Workspace = to
	p.begin(req.w, req.r, id, "/")
	return nil
}

// renew replaces the value of a session that is in use.
func (p *Page) renew(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie(access.SessionCookie)
	if err != nil || r.Method != http.MethodGet {
		return
	}
	value, left, err := p.o.Sessions.Renew(r.Context(), c.Value)
	if err != nil {
		p.o.Logger.WarnContext(r.Context(), "session was not renewed", "error", err)
	} else if value != "" {
		http.SetCookie(w, cookie(r, access.SessionCookie, value, left))
	}
}

// workspaces lists those that the person behind a request may look at, where there are several.
func (p *Page) workspaces(r *http.Request) []string {
	c, err := r.Cookie(access.SessionCookie)
	if err != nil {
		return nil
	}
	id, ok, err := p.o.Sessions.Find(r.Context(), c.Value)
	if err != nil || !ok {
		return nil
	}
	var out []string
	for _, who := range p.o.Keyring.Principals(id) {
		if who.May(access.Read) {
			out = append(out, who.Workspace)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// cookie makes a cookie that scripts cannot read and that other sites cannot have sent with
// what changes something. Lax, not Strict: a link in a tracker or in Slack leads to the page,
// not to the door; forms of other sites are refused by their origin as well.
func cookie(r *http.Request, name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")}
}

// ours accepts a place on this site to go to, and is / for any other.
func ours(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// door is the address of the sign-in form that leads back here.
func door(r *http.Request) string {
	if r.Method == http.MethodGet && r.URL.RequestURI() != "/" {
		return "/login?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	return "/login"
}
