package httpserve

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/certtest"
)

// With a certificate the port speaks TLS 1.2 or newer and nothing else, and a renewed
// certificate is served without a restart.
func TestThePortSpeaksTLS(t *testing.T) {
	t.Parallel()
	old := certtest.New(t)
	encrypted, err := Certificate(old.Certificate, old.Key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler(), Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), TLS: encrypted})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	ask := func(scheme string, c *tls.Config) (string, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		res, err := client.Get(scheme + "://" + s.Addr() + "/healthz")
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	if body, err := ask("https", old.Client(t)); err != nil || body != "ok\n" {
		t.Errorf("%q, %v", body, err)
	}
	if body, _ := ask("http", nil); body == "ok\n" {
		t.Error("it answers in the clear")
	}
	if _, err := ask("https", &tls.Config{}); err == nil {
		t.Error("a client that does not know the authority was answered")
	}
	ancient := old.Client(t)
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := ask("https", ancient); err == nil {
		t.Error("TLS 1.1 is spoken")
	}

	renewed := certtest.New(t)
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Second) // files of one moment look the same
	if err := os.Chtimes(renewed.Certificate, later, later); err != nil {
		t.Fatal(err)
	}
	move(renewed.Certificate, old.Certificate)
	if _, err := ask("https", old.Client(t)); err != nil {
		t.Errorf("between the new certificate and its key: %v", err)
	}
	move(renewed.Key, old.Key)
	if body, err := ask("https", renewed.Client(t)); err != nil || body != "ok\n" {
		t.Errorf("with the new certificate: %q, %v", body, err)
	}
	if _, err := Certificate(old.Certificate, "/nowhere"); err == nil {
		t.Error("a key that is not there is no error")
	}
}

func TestMetricsAskForTheirToken(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler(), Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), MetricsToken: "let-me-see"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "let-me-see": 401, "Bearer let-me-see": 200} {
		w := recorded(s, "/metrics", header)
		if w != want {
			t.Errorf("%q: %d", header, w)
		}
	}
	if got := recorded(s, "/healthz", ""); got != 200 {
		t.Errorf("health asks for a token: %d", got)
	}
}

func recorded(s *Server, path, authorization string) int {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	return w.Code
}
