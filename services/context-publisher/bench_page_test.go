package contextpublisher_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
)

// BenchmarkPage asks every view and the ranking of /v1 of a workspace with 100,000 items and
// 2,000 clusters in the real store, over HTTP and one after another, and then lets Chromium
// tell what a person waits for. The metrics are of whole answers.
func BenchmarkPage(b *testing.B) {
	db, events := storetest.New(b), bustest.New(b)
	fillBench(b, db)
	token := "a-token-that-is-long-enough"
	service, err := contextpublisher.New(contextpublisher.Config{Workspaces: []config.Workspace{{ID: "acme",
		APITokens: []config.Token{{Name: "maya", Token: config.NewSecret(token), Scopes: []string{"read", "decide"}}}}}},
		contextpublisher.Deps{Bus: events, Store: db, Embedder: embed.Lexical(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now, Holder: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	service.Register(mux)
	server := httptest.NewServer(mux)
	b.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	if _, err := client.PostForm(server.URL+"/login", url.Values{"token": {token}}); err != nil {
		b.Fatal(err)
	}
	largest, item := feedback.ID("clu", "0"), feedback.ID("itm", "7")
	for _, v := range []struct{ name, path string }{
		{"roadmap", "/"},
		{"roadmap-words", "/?q=" + url.QueryEscape("report 13 stops")},
		{"roadmap-filters", "/?kind=bug&source=slack&segment=startup&area=export&since=30d&q=month"},
		{"v1-clusters", "/v1/clusters?limit=50"},
		{"v1-clusters-filters", "/v1/clusters?limit=50&source=slack&segment=startup&area=export&q=month"},
		{"cluster", "/clusters/" + largest},
		{"tickets", "/tickets"},
		{"ticket", "/tickets/jira/PROJ-7"},
		{"feedback", "/feedback"},
		{"feedback-words", "/feedback?q=" + url.QueryEscape("stops after 1777 rows")},
		{"item", "/feedback/" + item},
		{"inbox", "/inbox"},
		{"decisions", "/decisions"},
		{"operations", "/operations"},
	} {
		b.Run(v.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				from := time.Now()
				resp, err := client.Get(server.URL + v.path)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err := resp.Body.Close(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(from))
				if err != nil || resp.StatusCode != http.StatusOK || n < 100 {
					b.Fatalf("%s: %d, %d bytes, %v", v.path, resp.StatusCode, n, err)
				}
			}
			slices.Sort(took)
			for _, p := range []int{50, 95} {
				b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
			}
		})
	}
	script, err := filepath.Abs(filepath.Join("..", "..", ".cache", "browser", "bench.mjs"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "node", script, server.URL, token, largest)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		b.Fatal(err, " (make browser installs what is missing)")
	}
}
