package page_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
)

// Whoever was wrong too often waits, with a right token too, and is told how long; others, who
// come from elsewhere, do not. A token that many addresses try is waited for as well, and so is
// a proxy that names a new address with every attempt.
func TestGuessingAtTheDoorIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, "")
	try := func(token, from string) (int, string, string) {
		t.Helper()
		resp, body := b.post("/login", url.Values{"token": {token}}, "X-Forwarded-For", "1.2.3.4, "+from)
		return resp.StatusCode, resp.Header.Get("Retry-After"), body
	}
	for i := range 10 {
		if status, _, _ := try(fmt.Sprint("wrong ", i), "198.51.100.7"); status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, status)
		}
	}
	status, after, body := try(apitest.Token("acme"), "198.51.100.7")
	if status != http.StatusTooManyRequests || after != "900" || !strings.Contains(body, "Try again in 15 minutes.") {
		t.Errorf("a right token after ten wrong ones: %d, Retry-After %s: %s", status, after, body)
	}
	if status, _, _ := try(apitest.Token("acme"), "198.51.100.8"); status != http.StatusSeeOther {
		t.Errorf("a right token from elsewhere: %d", status)
	}
	for i := range 10 {
		try("the same", fmt.Sprintf("203.0.113.%d", i))
	}
	if status, _, _ := try("the same", "203.0.113.99"); status != http.StatusTooManyRequests {
		t.Errorf("one token from eleven addresses: %d", status)
	}
	for i := range 10 {
		try(fmt.Sprint("six ", i), fmt.Sprintf("2001:db8:1:2::%d", i))
	}
	if status, _, _ := try(apitest.Token("acme"), "2001:db8:1:2:ffff::1"); status != http.StatusTooManyRequests {
		t.Errorf("another address of the same network: %d", status)
	}
	for i := range 200 {
		try(fmt.Sprint("many ", i), fmt.Sprintf("100.64.%d.%d", i/100, i%100))
	}
	if status, _, _ := try("another", "192.0.2.200"); status != http.StatusTooManyRequests {
		t.Errorf("a proxy that names an address anew with each of 200 attempts: %d", status)
	}
}

// The window passes, and whoever comes back from the OpenID provider with nothing it vouches for
// counts too.
func TestTheDoorOpensAgain(t *testing.T) {
	t.Parallel()
	h := members(t)
	b := h.browser(t, "")
	for i := range 10 {
		if resp, _ := b.get("/login/callback?state=invented&code=x"); resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, resp.StatusCode)
		}
	}
	if resp, _ := b.get("/login/callback?state=invented&code=x"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the eleventh: %d", resp.StatusCode)
	}
	if _, resp, _ := h.arrive(t, person("product")); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("somebody whom the provider vouches for, from the same address: %d", resp.StatusCode)
	}
	h.now = h.now.Add(16 * time.Minute)
	if _, resp, _ := h.arrive(t, person("product")); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("after the window: %d", resp.StatusCode)
	}
}
