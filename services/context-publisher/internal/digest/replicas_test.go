package digest_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// Two processes send one digest a day, though each answer of Slack's is lost once, and the one
// that had the shard goes with each day.
func TestTwoSchedulersSendOneDigest(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	w := world(t, b)
	cloud := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	cloud.AddChannel("C0123", "product")
	url, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	poster, err := slackpost.New(slackpost.Config{BaseURL: url, BotToken: "xoxb-1"}, tracker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	workspace := config.Workspace{ID: "acme", Timezone: "Europe/Berlin", Digest: config.Digest{At: "07:30", To: []config.Destination{
		{Slack: &config.SlackDestination{Connection: "acme-slack", Channel: "C0123"}}}}}
	ledger, err := keyed.Open[keyed.Write](t.Context(), b, bus.BucketLedger)
	if err != nil {
		t.Fatal(err)
	}
	for day := 22; day <= 24; day++ {
		now := time.Date(2026, 11, day, 7, 31, 0, 0, zone(t, "Europe/Berlin"))
		cloud.LoseAnswers(1, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "chat.postMessage") })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		began := time.Now()
		var running sync.WaitGroup
		for _, name := range []string{"one", "two"} {
			s, err := digest.NewScheduler(t.Context(), digest.Options{Bus: b, Keep: desk(t, w.DB, workspace, now).Keep, Workspaces: []config.Workspace{workspace},
				Slack: map[string]*slackpost.Poster{"acme-slack": poster}, Holder: fmt.Sprint(name, day), Every: 5 * time.Millisecond,
				Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
				// An hour goes by in some seconds, so that what failed is soon tried again.
				Now: func() time.Time { return now.Add(time.Since(began) * 1000) }})
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		tick := time.NewTicker(5 * time.Millisecond)
		for date := fmt.Sprintf("2026-11-%d", day); ; {
			m, _, err := ledger.Get(t.Context(), keyed.DigestKey("acme", "newest", "slack:acme-slack:C0123"))
			if err != nil {
				t.Fatal(err)
			}
			if m.Hash >= date {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s was not sent within 20 s", date)
			}
		}
		tick.Stop()
		cancel()
		running.Wait()
		if got := len(cloud.Messages("C0123")); got != day-21 {
			t.Fatalf("%d messages after %d days", got, day-21)
		}
	}
}
