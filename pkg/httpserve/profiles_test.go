package httpserve

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAskForTheirToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		configured, given string
		want              int
	}{
		{"", "", http.StatusOK},
		{"open sesame", "", http.StatusUnauthorized},
		{"open sesame", "Bearer open", http.StatusUnauthorized},
		{"open sesame", "Bearer open sesame", http.StatusOK},
	} {
		s, err := Profiles("127.0.0.1:0", c.configured, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		r, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+"/debug/pprof/goroutine?debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", c.given)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%q for %q answers %d, not %d", c.given, c.configured, res.StatusCode, c.want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, body := get(t, start(t, http.NotFoundHandler())+"/debug/pprof/"); strings.Contains(body, "goroutine") {
		t.Error("the service's own address shows profiles")
	}
}
