package openid_test

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid/openidtest"
)

var now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

const site = "https://throughline.example"

func clock() time.Time { return now }

func provider(t *testing.T) (*openidtest.Provider, *openid.Provider) {
	t.Helper()
	p := openidtest.New(t, clock, func() string { return site + openid.CallbackPath })
	return p, openid.New(config.OIDC{Issuer: p.Issuer, ClientID: openidtest.ClientID, ClientSecret: config.NewSecret(openidtest.ClientSecret), GroupsClaim: "groups"}, site+"/", nil, clock)
}

// visit goes where the client sends a browser, and returns what the provider sends it back with.
func visit(t *testing.T, address string) url.Values {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), site+openid.CallbackPath) {
		t.Fatalf("%d to %q (%v)", resp.StatusCode, to, err)
	}
	return to.Query()
}

func begin(t *testing.T, p *openid.Provider) (back url.Values, keep string) {
	t.Helper()
	address, keep, err := p.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return visit(t, address), keep
}

func TestWhoSignsIn(t *testing.T) {
	t.Parallel()
	for about, c := range map[string]struct {
		person openidtest.Person
		want   access.Identity
	}{
		"all in the token":        {openidtest.Person{Subject: "1", Claims: map[string]any{"email": "maya@acme.example", "email_verified": true, "name": "Maya", "groups": []string{"product", "all"}}}, access.Identity{Subject: "1", Email: "maya@acme.example", Name: "Maya", Groups: []string{"product", "all"}}},
		"told when asked":         {openidtest.Person{Subject: "2", Told: map[string]any{"email": "li@acme.example", "email_verified": "true", "preferred_username": "li", "groups": "product"}}, access.Identity{Subject: "2", Email: "li@acme.example", Name: "li", Groups: []string{"product"}}},
		"an address not verified": {openidtest.Person{Subject: "3", Claims: map[string]any{"email": "boss@acme.example", "email_verified": false}, Told: map[string]any{"email": "boss@acme.example"}}, access.Identity{Subject: "3"}},
		"told of somebody else":   {openidtest.Person{Subject: "4", Told: map[string]any{"sub": "5", "email": "boss@acme.example", "email_verified": true}}, access.Identity{Subject: "4"}},
		"groups that are no list": {openidtest.Person{Subject: "6", Claims: map[string]any{"groups": map[string]any{"admin": true}}}, access.Identity{Subject: "6"}},
	} {
		outside, p := provider(t)
		outside.SignIn(&c.person)
		back, keep := begin(t, p)
		got, err := p.Finish(t.Context(), keep, back)
		c.want.Issuer = outside.Issuer
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v (%v), want %+v", about, got, err, c.want)
		}
		if _, err := p.Finish(t.Context(), keep, back); !errors.Is(err, openid.ErrRefused) {
			t.Errorf("%s: a code is good twice: %v", about, err)
		}
	}
}

// Every way in which an answer may be another than the one that was asked for is refused, and
// nothing of it is repeated.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	somebody := &openidtest.Person{Subject: "1", Claims: map[string]any{"email": "maya@acme.example", "email_verified": true}}
	claim := func(name string, value any) func(*testing.T, *openidtest.Provider) {
		return func(_ *testing.T, p *openidtest.Provider) { p.Forge(func(c map[string]any) { c[name] = value }) }
	}
	for about, c := range map[string]struct {
		provider func(*testing.T, *openidtest.Provider)
		browser  func(back url.Values, keep *string)
	}{
		"another nonce":         {provider: claim("nonce", "of-another-attempt")},
		"no nonce":              {provider: func(_ *testing.T, p *openidtest.Provider) { p.Forge(func(c map[string]any) { delete(c, "nonce") }) }},
		"for another client":    {provider: claim("aud", "somebody-else")},
		"of another issuer":     {provider: claim("iss", "https://evil.example")},
		"expired":               {provider: claim("exp", now.Add(-time.Minute).Unix())},
		"not yet good":          {provider: claim("nbf", now.Add(time.Hour).Unix())},
		"signed by another key": {provider: func(t *testing.T, p *openidtest.Provider) { p.SignWithAnotherKey(t) }},
		"called off":            {provider: func(_ *testing.T, p *openidtest.Provider) { p.SignIn(nil) }},
		"another state":         {browser: func(back url.Values, _ *string) { back.Set("state", "x") }},
		"no state":              {browser: func(back url.Values, _ *string) { back.Del("state") }},
		"no cookie":             {browser: func(_ url.Values, keep *string) { *keep = "" }},
		"an empty cookie":       {browser: func(back url.Values, keep *string) { back.Set("state", ""); *keep = ".." }},
		"another verifier": {browser: func(_ url.Values, keep *string) {
			*keep = (*keep)[:strings.LastIndex(*keep, ".")+1] + "another-verifier-that-is-long-enough-to-be-one"
		}},
		"another code":           {browser: func(back url.Values, _ *string) { back.Set("code", "guessed") }},
		"from another provider":  {browser: func(back url.Values, _ *string) { back.Set("iss", "https://evil.example") }},
		"an error of a provider": {browser: func(back url.Values, _ *string) { back.Set("error", "<script>") }},
	} {
		outside, p := provider(t)
		outside.SignIn(somebody)
		if c.provider != nil {
			c.provider(t, outside)
		}
		back, keep := begin(t, p)
		if c.browser != nil {
			c.browser(back, &keep)
		}
		who, err := p.Finish(t.Context(), keep, back)
		if !errors.Is(err, openid.ErrRefused) || !reflect.DeepEqual(who, access.Identity{}) || strings.Contains(err.Error(), "<script>") || strings.Contains(err.Error(), "maya") {
			t.Errorf("%s: %+v, %v", about, who, err)
		}
	}
}

func TestAProviderThatIsAwayComesBack(t *testing.T) {
	t.Parallel()
	outside, _ := provider(t)
	outside.SignIn(&openidtest.Person{Subject: "1"})
	away := true
	p := openid.New(config.OIDC{Issuer: outside.Issuer, ClientID: openidtest.ClientID, ClientSecret: config.NewSecret(openidtest.ClientSecret)}, site, flaky(func() bool { return away }), clock)
	if _, _, err := p.Begin(); !errors.Is(err, openid.ErrAway) {
		t.Fatalf("%v", err)
	}
	away = false
	back, keep := begin(t, p)
	away = true
	if _, err := p.Finish(t.Context(), keep, back); !errors.Is(err, openid.ErrAway) {
		t.Errorf("%v", err)
	}
	away = false
	back, keep = begin(t, p)
	if who, err := p.Finish(t.Context(), keep, back); err != nil || who.Subject != "1" {
		t.Errorf("%+v, %v", who, err)
	}
	if p.Name() != strings.TrimPrefix(outside.Issuer, "http://") {
		t.Errorf("it is called %q", p.Name())
	}
}

// flaky is a network that is away at times.
type flaky func() bool

func (f flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if f() {
		return nil, errors.New("no route to host")
	}
	return http.DefaultTransport.RoundTrip(r)
}
