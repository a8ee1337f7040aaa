package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/config"
)

func keyring() *Keyring {
	return NewKeyring([]config.Workspace{
		{ID: "acme", APITokens: []config.Token{
			{Name: "reader", Token: config.NewSecret("read-me"), Scopes: []string{"read"}},
			{Name: "boss", Token: config.NewSecret("do-all"), Scopes: []string{"administer"}},
			{Name: "empty", Scopes: []string{"administer"}},
		}},
		{ID: "other", APITokens: []config.Token{{Name: "reader", Token: config.NewSecret("theirs"), Scopes: []string{"read"}}}},
	})
}

func TestRequireAnswersByTokenAndScope(t *testing.T) {
	t.Parallel()
	h := keyring().Require(Decide, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(From(r.Context()).Workspace + "/" + From(r.Context()).Name))
	}))
	for header, want := range map[string]struct {
		status int
		body   string
	}{
		"":               {401, ""},
		"Bearer ":        {401, ""},
		"Bearer wrong":   {401, ""},
		"Basic do-all":   {401, ""},
		"Bearer read-me": {403, ""},
		"bearer do-all":  {200, "acme/boss"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want.status || want.body != "" && w.Body.String() != want.body {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "read-me") {
			t.Errorf("%q: the answer repeats a token", header)
		}
	}
}

func TestTokenDecidesTheWorkspace(t *testing.T) {
	t.Parallel()
	for token, workspace := range map[string]string{"read-me": "acme", "theirs": "other"} {
		if p, ok := keyring().Lookup(token); !ok || p.Workspace != workspace {
			t.Errorf("%+v %v", p, ok)
		}
	}
	if _, ok := keyring().Lookup(""); ok {
		t.Error("an empty token is somebody")
	}
}

// cookies are sessions by the value of their cookie.
type cookies map[string]Identity

func (c cookies) Find(_ context.Context, value string) (Identity, bool, error) {
	if value == "broken" {
		return Identity{}, false, errors.New("the bus is away")
	}
	id, ok := c[value]
	return id, ok, nil
}

// notes are what was recorded, a line each.
type notes []string

func (n *notes) Record(_ context.Context, who Principal, r *http.Request, status int) {
	*n = append(*n, fmt.Sprint(who.Workspace, " ", who.Name, " ", who.Via, " ", r.Method, " ", r.URL.Path, " ", status))
}

func organisation() *Keyring {
	return NewKeyring([]config.Workspace{
		{ID: "acme", APITokens: []config.Token{{Name: "reader", Token: config.NewSecret("read-me"), Scopes: []string{"read"}}}, Members: []config.Member{
			{Group: "product", Scopes: []string{"read", "decide"}}, {Email: "Boss@acme.example", Scopes: []string{"administer"}}, {Group: "support", Scopes: []string{"read"}}}},
		{ID: "labs", Members: []config.Member{{Group: "product", Scopes: []string{"read"}}}},
	})
}

func TestASessionIsWhatTheConfigurationSaysNow(t *testing.T) {
	t.Parallel()
	holder, ok := organisation().Holder("read-me")
	if !ok || strings.Contains(holder.Token, "read-me") {
		t.Fatalf("%+v", holder)
	}
	sessions := cookies{
		"holder":  holder,
		"both":    {Issuer: "i", Subject: "1", Email: "boss@ACME.example", Groups: []string{"support", "product"}},
		"labs":    {Issuer: "i", Subject: "2", Name: "Li", Groups: []string{"product"}, Workspace: "labs"},
		"former":  {Issuer: "i", Subject: "3", Email: "gone@acme.example", Groups: []string{"sales"}, Workspace: "acme"},
		"revoked": {Token: strings.Repeat("0", 64), Workspace: "acme"},
		"nobody":  {},
	}
	k := organisation().With(sessions, nil)
	for value, want := range map[string]string{
		"holder": "acme reader [read] page", "both": "acme boss@ACME.example [read decide administer] openid", "labs": "labs Li [read] openid",
		"former": "", "revoked": "", "nobody": "", "unknown": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: SessionCookie, Value: value})
		p, ok, err := k.Who(r)
		if got := fmt.Sprint(p.Workspace, " ", p.Name, " ", p.Scopes, " ", p.Via); err != nil || ok != (want != "") || ok && got != want {
			t.Errorf("%s: %v %q, %v", value, ok, got, err)
		}
		r.Header.Set("Authorization", "Bearer wrong")
		if _, ok, _ := k.Who(r); ok {
			t.Errorf("%s: a wrong token falls back to the session", value)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: SessionCookie, Value: "holder"})
	if _, ok, _ := organisation().Who(r); ok {
		t.Error("a cookie is somebody where no sessions are known")
	}
}

func TestASessionOfAnotherSiteMayReadAndChangeNothing(t *testing.T) {
	t.Parallel()
	var noted notes
	k := organisation().With(cookies{"boss": {Email: "boss@acme.example"}}, &noted)
	h := k.Require(Decide, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		method, cookie, from string
		want                 int
	}{
		{"POST", "boss", "same-origin", 200}, {"POST", "boss", "cross-site", 403}, {"DELETE", "boss", "same-site", 403}, {"GET", "boss", "cross-site", 200}, {"POST", "broken", "same-origin", 503}, {"POST", "nobody", "same-origin", 401},
	} {
		r := httptest.NewRequest(c.method, "/v1/x", nil)
		r.AddCookie(&http.Cookie{Name: SessionCookie, Value: c.cookie})
		r.Header.Set("Sec-Fetch-Site", c.from)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
	if want := "[acme boss@acme.example openid POST /v1/x 200]"; fmt.Sprint(noted) != want {
		t.Errorf("noted %v", noted)
	}
}

func TestWhatChangesSomethingIsNoted(t *testing.T) {
	t.Parallel()
	var noted notes
	k := keyring().With(nil, &noted)
	for _, scope := range []Scope{Decide, Administer, Ingest, Read} {
		h := k.Require(scope, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			for _, token := range []string{"read-me", "do-all", "nobody"} {
				r := httptest.NewRequest(method, "/"+string(scope), nil)
				r.Header.Set("Authorization", "Bearer "+token)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
	}
	want := "acme reader token POST /decide 403, acme boss token POST /decide 202, acme reader token DELETE /decide 403, acme boss token DELETE /decide 202, " +
		"acme reader token POST /administer 403, acme boss token POST /administer 202, acme reader token DELETE /administer 403, acme boss token DELETE /administer 202"
	if got := strings.Join(noted, ", "); got != want {
		t.Errorf("noted %s", got)
	}
}

// A token that the configuration gives as a hash opens as one that it gives itself; neither is
// in what a process keeps, and what is no hash opens nothing.
func TestTokensAreKeptAsHashes(t *testing.T) {
	t.Parallel()
	const secret = "a-token-that-was-handed-out"
	hash := sha256.Sum256([]byte(secret))
	k := NewKeyring([]config.Workspace{{ID: "acme", APITokens: []config.Token{
		{Name: "hashed", SHA256: hex.EncodeToString(hash[:]), Scopes: []string{"read"}},
		{Name: "given", Token: config.NewSecret("another-token"), Scopes: []string{"read"}},
		{Name: "cut", SHA256: hex.EncodeToString(hash[:31]), Scopes: []string{"administer"}},
		{Name: "longer", SHA256: hex.EncodeToString(hash[:]) + "00", Scopes: []string{"administer"}},
		{Name: "none", SHA256: secret, Scopes: []string{"administer"}},
	}}})
	if p, ok := k.Lookup(secret); !ok || p.Name != "hashed" || p.May(Administer) {
		t.Errorf("%+v, %v", p, ok)
	}
	if p, ok := k.Lookup("another-token"); !ok || p.Name != "given" {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, wrong := range []string{hex.EncodeToString(hash[:]), string(hash[:]), secret + " ", secret[:len(secret)-1]} {
		if p, ok := k.Lookup(wrong); ok {
			t.Errorf("%q is %+v", wrong, p)
		}
	}
	for _, kept := range []string{fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%s", k.entries)} {
		if strings.Contains(kept, secret) || strings.Contains(kept, "another-token") {
			t.Errorf("the keyring holds a token: %s", kept)
		}
	}
}

// Taking a token out of the configuration takes it away from programs, and from who signed in
// with it.
func TestARevokedTokenOpensNothing(t *testing.T) {
	t.Parallel()
	before := keyring()
	holder, ok := before.Holder("do-all")
	if !ok {
		t.Fatal("the token is unknown before")
	}
	after := NewKeyring([]config.Workspace{{ID: "acme", APITokens: []config.Token{{Name: "reader", Token: config.NewSecret("read-me"), Scopes: []string{"read"}}}}}).
		With(cookies{"kept": holder}, nil)
	if p, ok := after.Lookup("do-all"); ok {
		t.Errorf("the token is %+v", p)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: SessionCookie, Value: "kept"})
	if p, ok, err := after.Who(r); ok || err != nil {
		t.Errorf("its session is %+v, %v", p, err)
	}
}
