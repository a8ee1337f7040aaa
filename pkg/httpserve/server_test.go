package httpserve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func start(t *testing.T, h http.Handler, checks ...Check) string {
	t.Helper()
	s, err := New(Options{Addr: "127.0.0.1:0", Handler: h, Checks: checks, Details: map[string]string{"durability": "barrier"},
		Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
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
	return "http://" + s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestReadinessNamesThePartThatIsNotReady(t *testing.T) {
	t.Parallel()
	url := start(t, http.NotFoundHandler(),
		Check{"broker", func(context.Context) error { return nil }},
		Check{"store", func(context.Context) error { return errors.New("no answer") }})
	status, body := get(t, url+"/readyz")
	var answer struct {
		Parts []struct {
			Name, Error string
			Ready       bool
		}
		Details map[string]string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if status != 503 || !answer.Parts[0].Ready || answer.Parts[1].Error != "no answer" || answer.Details["durability"] != "barrier" {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(t, url+"/healthz"); status != 200 {
		t.Errorf("healthz answers %d", status)
	}
}

func TestPanicIsAProblemDocumentWithoutItsValue(t *testing.T) {
	t.Parallel()
	url := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("customer words") }))
	status, body := get(t, url+"/x")
	if status != 500 || strings.Contains(body, "customer words") || !strings.Contains(body, `"status":500`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestTakenPortIsAnErrorAtStart(t *testing.T) {
	t.Parallel()
	url := start(t, http.NotFoundHandler())
	_, err := New(Options{Addr: strings.TrimPrefix(url, "http://"), Handler: http.NotFoundHandler(), Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Error("bound twice")
	}
}
