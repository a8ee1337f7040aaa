// Package access decides who may do what: it maps a bearer token to a workspace and
// its scopes. Tokens are kept as SHA-256 hashes and compared in constant time.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// Scope is one thing that a token may do.
type Scope string

// The scopes.
const (
	Read       Scope = "read"
	Ingest     Scope = "ingest"
	Decide     Scope = "decide"
	Administer Scope = "administer"
)

// Scopes lists every scope.
var Scopes = []Scope{Read, Ingest, Decide, Administer}

// Principal is who calls: a token of a workspace.
type Principal struct {
	Workspace string
	Name      string
	Scopes    []Scope
}

// May reports whether the principal has a scope. Administer includes all others.
func (p Principal) May(s Scope) bool {
	return slices.Contains(p.Scopes, s) || slices.Contains(p.Scopes, Administer)
}

type entry struct {
	hash      [sha256.Size]byte
	principal Principal
}

// Keyring knows every token. It is immutable and safe for concurrent use.
type Keyring struct{ entries []entry }

// NewKeyring collects the tokens of all workspaces.
func NewKeyring(workspaces []config.Workspace) *Keyring {
	k := &Keyring{}
	for _, w := range workspaces {
		for _, t := range w.APITokens {
			if t.Token.Value() == "" {
				continue
			}
			p := Principal{Workspace: w.ID, Name: t.Name}
			for _, s := range t.Scopes {
				p.Scopes = append(p.Scopes, Scope(s))
			}
			k.entries = append(k.entries, entry{sha256.Sum256([]byte(t.Token.Value())), p})
		}
	}
	return k
}

// Lookup finds the principal of a token. Every entry is compared whatever matched
// before, so that time tells nothing.
func (k *Keyring) Lookup(token string) (Principal, bool) {
	h := sha256.Sum256([]byte(token))
	var found Principal
	ok := false
	for _, e := range k.entries {
		if subtle.ConstantTimeCompare(h[:], e.hash[:]) == 1 {
			found, ok = e.principal, true
		}
	}
	return found, ok && token != ""
}

type principalKey struct{}

// From returns the principal that Require put into a request's context.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// With puts a principal into a context.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// SessionCookie is the cookie that carries a signed-in browser's token.
const SessionCookie = "throughline_session"

// Token reads the bearer token of a request, from the Authorization header, or for a
// browser from the session cookie.
func Token(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	if c, err := r.Cookie(SessionCookie); err == nil {
		return c.Value
	}
	return ""
}

// Require answers 401 without a known token, 403 without the scope, and else calls
// next with the principal in the context.
func (k *Keyring) Require(s Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := k.Lookup(Token(r))
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="throughline"`)
			problem.Write(w, http.StatusUnauthorized, "a valid token is required", "send it as Authorization: Bearer TOKEN")
			return
		}
		if !p.May(s) {
			problem.Write(w, http.StatusForbidden, "the token may not do this", "it needs the scope "+string(s))
			return
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), p)))
	})
}
