package access

import (
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

func TestBrowserUsesTheSessionCookieOnlyWithoutAHeader(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: SessionCookie, Value: "from-cookie"})
	if got := Token(r); got != "from-cookie" {
		t.Errorf("got %q", got)
	}
	r.Header.Set("Authorization", "Bearer from-header")
	if got := Token(r); got != "from-header" {
		t.Errorf("got %q", got)
	}
}
