package page

import (
	"net/http"
	"strings"

	"github.com/throughline-dev/throughline/pkg/access"
)

type loginView struct {
	Next  string
	Wrong bool
}

func (p *Page) loginForm(w http.ResponseWriter, r *http.Request) {
	p.askToken(w, r, http.StatusOK, loginView{Next: ours(r.URL.Query().Get("next"))})
}

func (p *Page) askToken(w http.ResponseWriter, r *http.Request, status int, v loginView) {
	if err := p.render(w, status, "login", frame{Title: "Sign in", Now: p.o.Now(), View: v}); err != nil {
		p.o.Logger.ErrorContext(r.Context(), "page failed", "route", r.Pattern, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
	}
}

func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token, next := strings.TrimSpace(r.PostFormValue("token")), ours(r.PostFormValue("next"))
	if who, ok := p.o.Keyring.Lookup(token); !ok || !who.May(access.Read) {
		p.askToken(w, r, http.StatusUnauthorized, loginView{Next: next, Wrong: true})
		return
	}
	http.SetCookie(w, cookie(r, token, int(sessionAge.Seconds())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func cookie(r *http.Request, token string, age int) *http.Cookie {
	return &http.Cookie{Name: access.SessionCookie, Value: token, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")}
}

// ours accepts a place on this site to go to, and is / for any other.
func ours(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}
