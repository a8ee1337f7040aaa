package wire_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const secret = "Bearer s3cr3t-value"

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func caller(t *testing.T, base string, o wire.Options) *wire.Caller {
	t.Helper()
	if o.Now == nil {
		o.Now = noon
	}
	c, err := wire.New("vendor", base, secret, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNeverFollowsToAnotherHost(t *testing.T) {
	t.Parallel()
	var leaked atomic.Bool
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { leaked.Store(true) })
	base := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) })
	_, err := caller(t, base, wire.Options{}).Do(t.Context(), "read", http.MethodGet, "/x", nil)
	if !wire.IsPermanent(err) || !strings.Contains(err.Error(), "base_url") || leaked.Load() {
		t.Fatalf("err = %v, reached the other host: %v", err, leaked.Load())
	}
}

func TestFollowsOnTheSameHostWithCredentials(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
			return
		}
		if r.Header.Get("Authorization") != secret || r.Header.Get("User-Agent") != "throughline" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	a, err := caller(t, base, wire.Options{}).Do(t.Context(), "read", http.MethodGet, "/old", nil)
	if err != nil || !a.OK() {
		t.Fatalf("answer = %+v, err = %v", a, err)
	}
}

func TestEndsARedirectLoop(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) })
	if _, err := caller(t, base, wire.Options{}).Do(t.Context(), "read", http.MethodGet, "/x", nil); err == nil {
		t.Fatal("no error")
	}
}

func TestTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	_, err := caller(t, base, wire.Options{Timeout: 50 * time.Millisecond}).Do(t.Context(), "read", http.MethodGet, "/x", nil)
	var temporary *wire.TemporaryError
	if !errors.As(err, &temporary) || strings.Contains(err.Error(), "s3cr3t") {
		t.Fatalf("err = %v, want a temporary error", err)
	}
}

func TestBoundsAnswers(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("x", 1<<20)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for range 33 {
			if _, err := w.Write([]byte(page)); err != nil {
				return
			}
		}
	})
	_, err := caller(t, base, wire.Options{}).Do(t.Context(), "read", http.MethodGet, "/x", nil)
	if !wire.IsPermanent(err) || !strings.Contains(err.Error(), "32 MiB") {
		t.Fatalf("err = %v", err)
	}
}

func TestRefusesConfigurations(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "x", "ftp://x.example", "https://u:pw@x.example", "https://x.example?q=1", "https://x.example/#f", "://"} {
		if _, err := wire.New("vendor", base, secret, nil, wire.Options{}); !wire.IsPermanent(err) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: err = %v", base, err)
		}
	}
	for _, auth := range []string{"", " ", "Bearer a\nb"} {
		if _, err := wire.New("vendor", "https://x.example", auth, nil, wire.Options{}); !wire.IsPermanent(err) || strings.Contains(err.Error(), "Bearer") {
			t.Errorf("%q: err = %v", auth, err)
		}
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	c := caller(t, "https://x.example", wire.Options{})
	for name, tc := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"none":                 {nil, time.Minute},
		"seconds":              {map[string]string{"Retry-After": "12"}, 12 * time.Second},
		"zero":                 {map[string]string{"Retry-After": "0"}, time.Second},
		"date":                 {map[string]string{"Retry-After": "Sun, 22 Nov 2026 12:03:00 GMT"}, 3 * time.Minute},
		"past":                 {map[string]string{"Retry-After": "Sun, 22 Nov 2026 11:03:00 GMT"}, time.Second},
		"huge":                 {map[string]string{"Retry-After": "9999999999"}, time.Hour},
		"nonsense":             {map[string]string{"Retry-After": "soon"}, time.Minute},
		"epoch seconds":        {map[string]string{"X-RateLimit-Reset": "1795348920"}, 2 * time.Minute},
		"epoch milliseconds":   {map[string]string{"X-RateLimit-Requests-Reset": "1795348920000"}, 2 * time.Minute},
		"ISO without seconds":  {map[string]string{"X-RateLimit-Reset": "2026-11-22T12:02Z"}, 2 * time.Minute},
		"Retry-After is first": {map[string]string{"Retry-After": "5", "X-RateLimit-Reset": "1795348920"}, 5 * time.Second},
	} {
		h := http.Header{}
		for k, v := range tc.header {
			h.Set(k, v)
		}
		err := c.Refused("write", wire.Answer{Status: 429, Header: h}, nil)
		if got, ok := wire.RetryAfter(err); !ok || got != tc.want {
			t.Errorf("%s: pause = %s, want %s", name, got, tc.want)
		}
	}
}
