package page_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid/openidtest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/page"
)

// deeds are what was noted, a line each.
type deeds struct {
	mu  sync.Mutex
	all []string
}

func (d *deeds) Record(_ context.Context, who access.Principal, r *http.Request, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, fmt.Sprint(who.Workspace, " ", who.Name, " ", who.Via, ": ", r.Pattern, " ", status))
}

// house is a site whose people sign in at a provider, with a clock that is set by hand.
type house struct {
	site
	provider *openidtest.Provider
	noted    *deeds
	now      time.Time
}

func members(t *testing.T) *house {
	t.Helper()
	h := &house{noted: &deeds{}, now: apitest.Now}
	now := func() time.Time { return h.now }
	mux := http.NewServeMux()
	h.site = site{httptest.NewServer(mux), apitest.New(), new(bytes.Buffer)}
	t.Cleanup(h.Close)
	h.world.Fill("acme")
	h.provider = openidtest.New(t, now, func() string { return h.URL + openid.CallbackPath })
	sessions := session.New(bustest.New(t), now, rand.Reader)
	keyring := access.NewKeyring([]config.Workspace{
		{ID: "acme", Members: []config.Member{{Group: "product", Scopes: []string{"read", "decide"}}, {Group: "support", Scopes: []string{"read"}}, {Email: "boss@acme.example", Scopes: []string{"administer"}}, {Group: "robots", Scopes: []string{"decide"}}}},
		{ID: "globex", Members: []config.Member{{Group: "product", Scopes: []string{"read"}}}},
	}).With(sessions, h.noted)
	p, err := page.New(page.Options{Keyring: keyring, Sessions: sessions, Open: h.world.Open, Desk: desk{h.cluster()}, Logger: slog.New(slog.NewTextHandler(h.log, nil)), Now: now, Random: rand.Reader,
		OpenID: openid.New(config.OIDC{Name: "Acme ID", Issuer: h.provider.Issuer, ClientID: openidtest.ClientID, ClientSecret: config.NewSecret(openidtest.ClientSecret), GroupsClaim: "groups"}, h.URL, nil, now)})
	if err != nil {
		t.Fatal(err)
	}
	p.Register(mux)
	return h
}

// arrive follows a person through the provider and back, and returns the last answer.
func (h *house) arrive(t *testing.T, who *openidtest.Person) (browser, *http.Response, string) {
	t.Helper()
	h.provider.SignIn(who)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{t, h.site, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/tickets" || r.URL.Path == "/" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
	if _, body := b.get("/login?next=%2Ftickets"); !strings.Contains(body, `href="/login/openid?next=%2ftickets">Sign in with Acme ID`) {
		t.Fatal("the door does not lead to the provider")
	}
	resp, body := b.get("/login/openid?next=%2Ftickets")
	return b, resp, body
}

func person(groups ...string) *openidtest.Person {
	return &openidtest.Person{Subject: "42", Claims: map[string]any{"email": "maya@acme.example", "email_verified": true, "groups": groups}}
}

func TestPeopleSignInAtTheirProvider(t *testing.T) {
	t.Parallel()
	h := members(t)
	b, resp, _ := h.arrive(t, person("product"))
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/tickets" {
		t.Fatalf("%d to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	for _, c := range resp.Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%+v", c)
		}
	}
	if resp, body := b.get("/clusters/" + h.cluster()); resp.StatusCode != http.StatusOK || !strings.Contains(body, `name="action"`) {
		t.Errorf("who may decide is offered nothing: %d", resp.StatusCode)
	}
	if resp, _ := b.post("/clusters/"+h.cluster()+"/decisions", url.Values{"action": {"ignore"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a decision: %d", resp.StatusCode)
	}
	if d := h.world.Workspace("acme").Decisions(); d[len(d)-1].By != "maya@acme.example" {
		t.Errorf("decided by %q", d[len(d)-1].By)
	}
	if resp, _ := b.get("/audit"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("the audit log is shown to who does not administer: %d", resp.StatusCode)
	}
	if resp, _ := b.post("/workspace", url.Values{"workspace": {"globex"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("going to another workspace: %d", resp.StatusCode)
	}
	if resp, _ := b.get("/clusters/" + h.cluster()); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the other workspace shows what the first one has: %d", resp.StatusCode)
	}
	if resp, _ := b.post("/workspace", url.Values{"workspace": {"initech"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("going where one is no member: %d", resp.StatusCode)
	}
	b.post("/logout", nil)
	want := []string{"acme maya@acme.example openid: GET /login/callback 303", "acme maya@acme.example openid: POST /clusters/{id}/decisions 303",
		"globex maya@acme.example openid: POST /workspace 303", "globex maya@acme.example openid: POST /logout 303"}
	if got := h.noted.all; !slices.Equal(got, want) {
		t.Errorf("noted %q", got)
	}
}

func TestRolesComeFromGroupsAndAddresses(t *testing.T) {
	t.Parallel()
	h := members(t)
	boss := person()
	boss.Claims["email"] = "boss@acme.example"
	unverified := person()
	unverified.Claims["email"], unverified.Claims["email_verified"] = "boss@acme.example", false
	for about, c := range map[string]struct {
		who           *openidtest.Person
		enters        bool
		decide, audit int
	}{
		"a reader":              {person("support"), true, 403, 403},
		"who decides":           {person("support", "product"), true, 303, 403},
		"an administrator":      {boss, true, 303, 200},
		"nobody's member":       {person("sales"), false, 303, 303},
		"who may not read":      {person("robots"), false, 303, 303},
		"an unverified address": {unverified, false, 303, 303},
		"who called it off":     {nil, false, 303, 303},
	} {
		b, resp, body := h.arrive(t, c.who)
		if (resp.StatusCode == http.StatusSeeOther) != c.enters || !c.enters && !strings.Contains(body, `role="alert"`) {
			t.Errorf("%s: %d", about, resp.StatusCode)
		}
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if resp, _ := b.post("/clusters/"+h.cluster()+"/decisions", url.Values{"action": {"reopen"}}); resp.StatusCode != c.decide {
			t.Errorf("%s decides: %d", about, resp.StatusCode)
		}
		if resp, body := b.get("/audit"); resp.StatusCode != c.audit || c.audit == 200 && !strings.Contains(body, "Decided on a cluster") {
			t.Errorf("%s sees the audit log: %d", about, resp.StatusCode)
		}
	}
}

// A sign-in that was begun elsewhere, as by an attacker who wants his own account in another's
// browser, ends at the door; so does a session that is over, also in the middle of a form.
func TestASessionCannotBeGivenOrKept(t *testing.T) {
	t.Parallel()
	h := members(t)
	mine, _, _ := h.arrive(t, person("product"))
	mine.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	begun, _ := mine.get("/login/openid")
	provider, err := mine.http.Get(begun.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer provider.Body.Close()
	victim := h.browser(t, "")
	back, err := url.Parse(provider.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := victim.get(back.RequestURI()); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "was not begun in this browser") {
		t.Errorf("a foreign answer: %d", resp.StatusCode)
	}
	if resp, _ := victim.get("/"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the victim is signed in: %d", resp.StatusCode)
	}

	at, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	value := func() string {
		for _, c := range mine.http.Jar.Cookies(at) {
			if c.Name == access.SessionCookie {
				return c.Value
			}
		}
		return ""
	}
	first := value()
	h.now = h.now.Add(20 * time.Minute)
	if resp, _ := mine.get("/"); resp.StatusCode != http.StatusOK || value() == first || value() == "" {
		t.Errorf("the session's value stays: %d", resp.StatusCode)
	}
	h.now = h.now.Add(session.Idle)
	if resp, _ := mine.post("/clusters/"+h.cluster()+"/decisions", url.Values{"action": {"ignore"}}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/login" {
		t.Errorf("idle, and it decides: %d", resp.StatusCode)
	}
}
