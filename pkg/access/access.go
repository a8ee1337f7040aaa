// Package access decides who may do what: it maps a bearer token, or who is signed in at the
// page, to a workspace and scopes, and has what they do noted. Tokens are kept as SHA-256
// hashes and compared in constant time.
package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

// Principal is who calls: a token of a workspace, or one of its members. Via is how they
// showed who they are.
type Principal struct {
	Workspace string
	Name      string
	Scopes    []Scope
	Via       Via
}

// Via is a way to show who one is.
type Via string

// The ways: a token with the request, a session begun with a token, a session begun at the
// OpenID provider.
const (
	ByToken   Via = "token"
	BySession Via = "page"
	ByOpenID  Via = "openid"
)

// May reports whether the principal has a scope. Administer includes all others.
func (p Principal) May(s Scope) bool {
	return slices.Contains(p.Scopes, s) || slices.Contains(p.Scopes, Administer)
}

type entry struct {
	hash      [sha256.Size]byte
	principal Principal
}

// member is who an OpenID provider may vouch for.
type member struct {
	group, email string
	principal    Principal
}

// Sessions tell who a browser's cookie belongs to.
type Sessions interface {
	Find(ctx context.Context, value string) (Identity, bool, error)
}

// Recorder notes what somebody did. It does not fail: where it cannot note it, it says so in
// the log, since what was done is done.
type Recorder interface {
	Record(ctx context.Context, who Principal, r *http.Request, status int)
}

// Keyring knows every token and member. It is immutable and safe for concurrent use.
type Keyring struct {
	entries  []entry
	members  []member
	sessions Sessions
	recorder Recorder
}

// NewKeyring collects the tokens and the members of all workspaces.
func NewKeyring(workspaces []config.Workspace) *Keyring {
	k := &Keyring{}
	for _, w := range workspaces {
		for _, t := range w.APITokens {
			hash, ok := hashOf(t)
			if !ok {
				continue
			}
			p := Principal{Workspace: w.ID, Name: t.Name, Scopes: scopes(t.Scopes), Via: ByToken}
			k.entries = append(k.entries, entry{hash, p})
		}
		for _, m := range w.Members {
			k.members = append(k.members, member{m.Group, m.Email, Principal{Workspace: w.ID, Scopes: scopes(m.Scopes), Via: ByOpenID}})
		}
	}
	return k
}

// hashOf is what a token is known by; false for one that is not given, or not as a hash is.
func hashOf(t config.Token) (hash [sha256.Size]byte, ok bool) {
	if t.Token.Value() != "" {
		return sha256.Sum256([]byte(t.Token.Value())), true
	}
	b, err := hex.DecodeString(t.SHA256)
	if err != nil || copy(hash[:], b) != len(hash) || len(b) != len(hash) {
		return hash, false
	}
	return hash, true
}

func scopes(words []string) []Scope {
	out := make([]Scope, len(words))
	for i, s := range words {
		out[i] = Scope(s)
	}
	return out
}

// With is the keyring that also knows sessions, and has noted what people do. Either may be
// nil: then nobody is signed in by a cookie, and nothing is noted.
func (k *Keyring) With(s Sessions, r Recorder) *Keyring {
	return &Keyring{entries: k.entries, members: k.members, sessions: s, recorder: r}
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

// SessionCookie is the cookie that carries a signed-in browser's session.
const SessionCookie = "throughline_session"

// Token reads the bearer token of a request from its Authorization header.
func Token(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// Who tells who a request comes from: by its token, or for a browser without an Authorization
// header by its session. It fails where the sessions cannot be asked.
func (k *Keyring) Who(r *http.Request) (Principal, bool, error) {
	if r.Header.Get("Authorization") != "" {
		p, ok := k.Lookup(Token(r))
		return p, ok, nil
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil || k.sessions == nil {
		return Principal{}, false, nil
	}
	id, ok, err := k.sessions.Find(r.Context(), c.Value)
	if err != nil || !ok {
		return Principal{}, false, err
	}
	all := k.Principals(id)
	if len(all) == 0 {
		return Principal{}, false, nil
	}
	if i := slices.IndexFunc(all, func(p Principal) bool { return p.Workspace == id.Workspace }); i >= 0 {
		return all[i], true, nil
	}
	return all[0], true, nil
}

// Require answers 401 without a known token or session, 403 without the scope or where a page
// of another site asks with a person's session, and else calls next with the principal in the
// context. What somebody changed with the scope decide or
// administer is noted, also where it was refused.
func (k *Keyring) Require(s Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok, err := k.Who(r)
		switch {
		case err != nil:
			w.Header().Set("Retry-After", "2")
			problem.Write(w, http.StatusServiceUnavailable, "it cannot be told just now who is signed in", "try again in a moment")
			return
		case !ok:
			w.Header().Set("WWW-Authenticate", `Bearer realm="throughline"`)
			problem.Write(w, http.StatusUnauthorized, "a valid token is required", "send it as Authorization: Bearer TOKEN")
			return
		case p.Via != ByToken && http.NewCrossOriginProtection().Check(r) != nil:
			problem.Write(w, http.StatusForbidden, "the request comes from another site", "")
			return
		}
		k.Noted(s, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !p.May(s) {
				problem.Write(w, http.StatusForbidden, "the token may not do this", "it needs the scope "+string(s))
				return
			}
			next.ServeHTTP(w, r.WithContext(With(r.Context(), p)))
		})).ServeHTTP(w, r)
	})
}

// Noted has noted what somebody did with a scope, once it is done: requests that change
// something, but for feedback coming in, which is stored as it came anyway.
func (k *Keyring) Noted(s Scope, who Principal, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.recorder == nil || r.Method == http.MethodGet || r.Method == http.MethodHead || s != Decide && s != Administer {
			next.ServeHTTP(w, r)
			return
		}
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r)
		k.Record(r, who, seen.code)
	})
}

// Record has a request noted by itself: a sign-in is nobody's before it is done.
func (k *Keyring) Record(r *http.Request, who Principal, status int) {
	if k.recorder != nil {
		k.recorder.Record(r.Context(), who, r, status)
	}
}

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Identity is who signed in at the page: the holder of a token, by its hash, or a person whom
// an OpenID provider vouches for. Email is set only where the provider has verified it.
// Workspace is the one that they look at, of those that they are a member of.
type Identity struct {
	Token     string   `json:"token,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	Subject   string   `json:"subject,omitempty"`
	Email     string   `json:"email,omitempty"`
	Name      string   `json:"name,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Workspace string   `json:"workspace,omitempty"`
}

// Holder is the identity of whoever holds a token; false for an unknown one.
func (k *Keyring) Holder(token string) (Identity, bool) {
	p, ok := k.Lookup(token)
	if !ok {
		return Identity{}, false
	}
	h := sha256.Sum256([]byte(token))
	return Identity{Token: hex.EncodeToString(h[:]), Workspace: p.Workspace}, true
}

// Principals lists who an identity is, in each workspace that it belongs to, in the order of
// the configuration. Somebody whom several members describe has the scopes of all.
func (k *Keyring) Principals(id Identity) []Principal {
	var out []Principal
	if id.Token != "" {
		for _, e := range k.entries {
			if hex.EncodeToString(e.hash[:]) == id.Token {
				p := e.principal
				p.Via = BySession
				out = append(out, p)
			}
		}
		return out
	}
	for _, m := range k.members {
		if !(m.group != "" && slices.Contains(id.Groups, m.group)) && !(m.email != "" && strings.EqualFold(m.email, id.Email)) {
			continue
		}
		i := slices.IndexFunc(out, func(p Principal) bool { return p.Workspace == m.principal.Workspace })
		if i < 0 {
			p := m.principal
			p.Name, p.Scopes = cmp.Or(id.Email, id.Name, id.Subject), slices.Clone(p.Scopes)
			out = append(out, p)
			continue
		}
		for _, s := range m.principal.Scopes {
			if !slices.Contains(out[i].Scopes, s) {
				out[i].Scopes = append(out[i].Scopes, s)
			}
		}
	}
	return out
}
