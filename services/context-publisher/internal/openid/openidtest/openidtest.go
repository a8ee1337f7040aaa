// Package openidtest is an OpenID provider for tests that behaves as the standards say:
// discovery, the authorization code flow with PKCE, keys, and what it tells of a person. It is
// strict where providers are (codes are good once, for the client, the address and the
// verifier that they were made for) and can be told to go wrong in the ways that a client has
// to notice.
package openidtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The client that the provider knows.
const (
	ClientID     = "throughline"
	ClientSecret = "a-secret-of-the-client"
)

// Person is who signs in, as claims beside the standard's own; Subject is required.
type Person struct {
	Subject string
	Claims  map[string]any // in the ID token
	Told    map[string]any // by the userinfo endpoint
}

// Provider is one provider. The fields may be set between requests.
type Provider struct {
	Issuer string

	mu     sync.Mutex
	person *Person
	forge  func(claims map[string]any)
	key    *rsa.PrivateKey
	signed *rsa.PrivateKey
	codes  map[string]grant
	tokens map[string]Person
}

type grant struct {
	redirect, challenge, nonce string
	person                     Person
}

// New starts a provider whose client may be sent back to the callback.
func New(t testing.TB, now func() time.Time, callback func() string) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{key: key, signed: key, codes: map[string]grant{}, tokens: map[string]Person{}}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.Issuer = server.URL
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token", "jwks_uri": p.Issuer + "/keys", "userinfo_endpoint": p.Issuer + "/userinfo",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) { p.authorize(w, r, callback()) })
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { p.token(w, r, now()) })
	mux.HandleFunc("GET /userinfo", p.userinfo)
	return p
}

// SignIn has the person sign in from now on; nil has them call it off.
func (p *Provider) SignIn(who *Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.person = who
}

// Forge changes the claims of ID tokens before they are signed; nil leaves them.
func (p *Provider) Forge(change func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forge = change
}

// SignWithAnotherKey has tokens signed by a key that the provider does not publish.
func (p *Provider) SignWithAnotherKey(t testing.TB) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed = key
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, callback string) {
	q := r.URL.Query()
	scopes := strings.Fields(q.Get("scope"))
	openid := false
	for _, s := range scopes {
		openid = openid || s == "openid"
	}
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != callback {
		http.Error(w, "unknown client or address", http.StatusBadRequest) // and no redirect: RFC 6749, 4.1.2.1
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.Issuer}}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !openid || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("nonce") == "":
		back.Set("error", "invalid_request")
	case p.person == nil:
		back.Set("error", "access_denied")
		back.Set("error_description", "<script>alert(1)</script>")
	default:
		code := draw()
		p.codes[code] = grant{callback, q.Get("code_challenge"), q.Get("nonce"), *p.person}
		back.Set("code", code)
	}
	http.Redirect(w, r, callback+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request, now time.Time) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != ClientID || secret != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != g.redirect || base64.RawURLEncoding.EncodeToString(verifier[:]) != g.challenge {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{"iss": p.Issuer, "sub": g.person.Subject, "aud": ClientID, "nonce": g.nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for k, v := range g.person.Claims {
		claims[k] = v
	}
	if p.forge != nil {
		p.forge(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.signed}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	access := draw()
	p.tokens[access] = g.person
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": raw})
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	told := map[string]any{"sub": who.Subject}
	for k, v := range who.Told {
		told[k] = v
	}
	answer(w, http.StatusOK, told)
}

func draw() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return hex.EncodeToString(b)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away is no fault of ours
}
