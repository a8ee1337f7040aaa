// Package openid signs people in at an OpenID provider: authorization code flow with PKCE,
// state and nonce (OpenID Connect Core 1.0; RFC 7636; RFC 9207; RFC 9700 for what to refuse).
//
// It promises that an identity comes from an ID token which the provider signed, for us, for
// this browser and for this attempt, and that an e-mail address is one that the provider has
// verified. It refuses to decide what a person may do, to keep tokens of the provider, and to
// repeat what a provider says in an error.
package openid

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/config"
)

// CallbackPath is where the provider sends a browser back to.
const CallbackPath = "/login/callback"

// patience bounds a call to the provider.
const patience = 15 * time.Second

// ErrRefused is a sign-in that does not add up, or that the person or the provider called
// off. ErrAway is a provider that cannot be asked now. Neither repeats what was sent.
var (
	ErrRefused = errors.New("the sign-in was refused")
	ErrAway    = errors.New("the OpenID provider cannot be asked now")
)

func refused(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }

// Provider is one OpenID provider. It is safe for concurrent use. What the provider says of
// itself is asked for when somebody first signs in, and its keys whenever an unknown one signs.
type Provider struct {
	config   config.OIDC
	redirect string
	client   *http.Client
	now      func() time.Time

	mu    sync.Mutex
	found *oidc.Provider
}

// New makes a Provider that sends browsers back to publicURL. It calls nobody. transport may
// be nil.
func New(c config.OIDC, publicURL string, transport http.RoundTripper, now func() time.Time) *Provider {
	return &Provider{config: c, redirect: strings.TrimRight(publicURL, "/") + CallbackPath, client: &http.Client{Transport: transport, Timeout: patience}, now: now}
}

// Name is what people call the provider.
func (p *Provider) Name() string {
	if u, err := url.Parse(p.config.Issuer); err == nil {
		return cmp.Or(p.config.Name, u.Host)
	}
	return p.config.Name
}

// discover asks the provider what it is, once it answers.
func (p *Provider) discover() (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		// The provider keeps this context for its keys: it must outlive the request.
		found, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.config.Issuer)
		if err != nil {
			return nil, fmt.Errorf("%w: its description cannot be had", ErrAway)
		}
		p.found = found
	}
	return p.found, nil
}

func (p *Provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret.Value(), Endpoint: found.Endpoint(), RedirectURL: p.redirect,
		Scopes: append([]string{oidc.ScopeOpenID, "email", "profile"}, p.config.Scopes...)}
}

// attempt is what the browser keeps between leaving and coming back.
type attempt struct{ state, nonce, verifier string }

func (a attempt) String() string { return strings.Join([]string{a.state, a.nonce, a.verifier}, ".") }

func parse(kept string) (attempt, bool) {
	parts := strings.Split(kept, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return attempt{}, false
	}
	return attempt{parts[0], parts[1], parts[2]}, true
}

// Begin gives the address to send a browser to, and what it has to keep meanwhile, out of
// reach of scripts and of other sites.
func (p *Provider) Begin() (address, keep string, err error) {
	found, err := p.discover()
	if err != nil {
		return "", "", err
	}
	draw := func() string {
		b := make([]byte, 24)
		_, _ = rand.Read(b) // crypto/rand does not fail
		return base64.RawURLEncoding.EncodeToString(b)
	}
	a := attempt{draw(), draw(), oauth2.GenerateVerifier()}
	return p.oauth(found).AuthCodeURL(a.state, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)), a.String(), nil
}

// claims are what we read of an ID token or of the provider's answer about a person.
type claims struct {
	Email    string `json:"email"`
	Verified truth  `json:"email_verified"`
	Name     string `json:"name"`
	Known    string `json:"preferred_username"`
}

// truth is a boolean that some providers write as a string.
type truth bool

func (t *truth) UnmarshalJSON(b []byte) error {
	*t = string(b) == "true" || string(b) == `"true"`
	return nil
}

// Finish tells who came back with the provider's answer in query, having kept what Begin gave.
func (p *Provider) Finish(ctx context.Context, kept string, query url.Values) (access.Identity, error) {
	a, ok := parse(kept)
	if !ok || subtle.ConstantTimeCompare([]byte(a.state), []byte(query.Get("state"))) != 1 {
		return access.Identity{}, refused("it was not begun in this browser, or too long ago")
	}
	if query.Get("error") != "" {
		return access.Identity{}, refused("the provider did not sign you in")
	}
	if by := query.Get("iss"); by != "" && by != p.config.Issuer {
		return access.Identity{}, refused("another provider answered")
	}
	found, err := p.discover()
	if err != nil {
		return access.Identity{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), patience)
	defer cancel()
	token, err := p.oauth(found).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(a.verifier))
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode < 500 {
		return access.Identity{}, refused("the provider does not accept its code")
	} else if err != nil {
		return access.Identity{}, fmt.Errorf("%w: its code cannot be redeemed", ErrAway)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(oidc.ClientContext(context.Background(), p.client), &oidc.Config{ClientID: p.config.ClientID, Now: p.now}).Verify(ctx, raw)
	if err != nil {
		return access.Identity{}, refused("the provider's ID token is not valid")
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce)) != 1 {
		return access.Identity{}, refused("the provider's ID token is of another sign-in")
	}
	who := access.Identity{Issuer: id.Issuer, Subject: id.Subject}
	if err := p.describe(&who, id.Claims); err != nil {
		return access.Identity{}, err
	}
	if who.Email == "" || len(who.Groups) == 0 {
		// Some providers tell of a person only where they are asked.
		if info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil && info.Subject == id.Subject {
			if err := p.describe(&who, info.Claims); err != nil {
				return access.Identity{}, err
			}
		}
	}
	return who, nil
}

// describe reads what is told of a person; what is known already stays.
func (p *Provider) describe(who *access.Identity, read func(any) error) error {
	var c claims
	var all map[string]any
	if read(&c) != nil || read(&all) != nil {
		return refused("what the provider tells of you cannot be read")
	}
	if c.Verified {
		who.Email = cmp.Or(who.Email, c.Email)
	}
	who.Name = cmp.Or(who.Name, c.Name, c.Known)
	if len(who.Groups) > 0 {
		return nil
	}
	switch groups := all[p.config.GroupsClaim].(type) {
	case string:
		who.Groups = []string{groups}
	case []any:
		for _, g := range groups {
			if s, ok := g.(string); ok {
				who.Groups = append(who.Groups, s)
			}
		}
	}
	return nil
}
