package digest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// A year is lived through in steps of some minutes, with the process away now and then:
// every date is due exactly once, never before its hour, in three zones with both changes
// of the clock, at hours that are skipped and hours that come twice.
func TestADigestIsDueOnceADayAllYear(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		for _, at := range []string{"07:30", "02:30", "00:00", "23:59"} {
			t.Run(name+" "+at, func(t *testing.T) {
				t.Parallel()
				loc := zone(t, name)
				hour, minute, err := digest.ParseAt(at)
				if err != nil {
					t.Fatal(err)
				}
				random := rand.New(rand.NewPCG(7, uint64(hour)))
				sent, last := map[string]int{}, ""
				begin := time.Date(2026, 1, 1, 12, 0, 0, 0, loc)
				for now := begin; now.Before(begin.AddDate(1, 0, 0)); now = now.Add(time.Duration(7+random.IntN(20)) * time.Minute) {
					if random.IntN(1000) == 0 {
						now = now.Add(time.Duration(random.IntN(60)) * time.Hour) // away
					}
					for _, day := range digest.Due(now, hour, minute, loc, last) {
						if now.Before(day.Until) {
							t.Fatalf("%s is sent before it is due", day.Date)
						}
						if late := now.Sub(day.Until); late > 61*time.Hour {
							t.Fatalf("%s is sent %s late", day.Date, late)
						}
						if length := day.Until.Sub(day.Since); length < 22*time.Hour || length > 26*time.Hour {
							t.Fatalf("%s is %s long", day.Date, length)
						}
						sent[day.Date]++
						last = day.Date
					}
				}
				days := 0
				for date := begin.AddDate(0, 0, 1); date.Before(begin.AddDate(0, 11, 25)); date = date.AddDate(0, 0, 1) {
					days++
					if n := sent[date.Format(time.DateOnly)]; n != 1 {
						t.Errorf("%s was sent %d times", date.Format(time.DateOnly), n)
					}
				}
				if days < 350 {
					t.Fatalf("only %d days were looked at", days)
				}
			})
		}
	}
}

func TestAFirstStartSendsTodaysAtMost(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	if due := digest.Due(now, 7, 30, time.UTC, ""); len(due) != 1 || due[0].Date != "2026-11-22" {
		t.Errorf("due are %+v", due)
	}
	if due := digest.Due(now, 10, 0, time.UTC, ""); len(due) != 1 || due[0].Date != "2026-11-21" {
		t.Errorf("before the hour, due are %+v", due)
	}
	if due := digest.Due(now, 7, 30, time.UTC, "2026-10-01"); len(due) != 8 {
		t.Errorf("after weeks away %d are due", len(due))
	}
}

var until = time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)

func world(t *testing.T, b *bus.Bus) *worldtest.World {
	t.Helper()
	w := worldtest.New("acme", storetest.New(t), b)
	w.Account(t, "a1", "Nordhaven Retail", 48000, "Enterprise")
	old, prior, today := until.AddDate(0, 0, -5), until.Add(-30*time.Hour), until.Add(-3*time.Hour)
	say := func(cluster, customer, account, text string, at time.Time) worldtest.Saying {
		return worldtest.Saying{Cluster: cluster, Customer: customer, Account: account, Text: text, At: at, Severity: 0.6}
	}
	w.Say(t,
		say("clu_exports", "Ingrid", "a1", "CSV export stops half way, says @channel <script>.", old),
		say("clu_exports", "Dario", "", "CSV export stops after some rows.", today), say("clu_exports", "Suki", "", "CSV export stops on Mondays.", today),
		say("clu_exports", "Petter", "", "CSV export stops on my phone.", today),
		say("clu_late", "Ann", "", "Codes arrive late.", prior), say("clu_late", "Ben", "", "Codes arrive too late.", prior),
		say("clu_late", "Cem", "", "Codes come late.", prior), say("clu_late", "Dan", "", "Late codes again.", prior),
		say("clu_new", "Eve", "", "The office television needs a dark mode.", today))
	return w
}

func TestADigestTellsWhatMovedAndWhy(t *testing.T) {
	t.Parallel()
	w := world(t, nil)
	day := digest.DayOf(until, 7, 30, time.UTC)
	yesterday, err := digest.Build(t.Context(), w.DB, "acme", digest.DayOf(until.AddDate(0, 0, -1), 7, 30, time.UTC), until)
	if err != nil {
		t.Fatal(err)
	}
	yesterday.Ranks = map[string]uint32{"clu_exports": 2, "clu_late": 1}
	if err := digest.Keep(t.Context(), w.DB, yesterday); err != nil {
		t.Fatal(err)
	}
	d, err := digest.Build(t.Context(), w.DB, "acme", day, until)
	if err != nil {
		t.Fatal(err)
	}
	if d.Items != 4 || d.Voices != 4 || d.Date != "2026-11-22" || len(d.Top) != 3 {
		t.Errorf("%d items, %d voices, %s, %d on top", d.Items, d.Voices, d.Date, len(d.Top))
	}
	if len(d.New) != 1 || d.New[0].Cluster != "clu_new" || len(d.Rising) != 1 || d.Rising[0].Cluster != "clu_exports" || len(d.Cooling) != 1 || d.Cooling[0].Cluster != "clu_late" {
		t.Fatalf("new %+v, rising %+v, cooling %+v", d.New, d.Rising, d.Cooling)
	}
	if e := d.Rising[0]; e.Today != 3 || e.Was != 2 || len(e.Worth) != 1 || e.Worth[0].Amount != 48000 || !strings.Contains(e.Why, "3 people in the day, 0 people the day before") {
		t.Errorf("rising %+v", e)
	}
	for _, e := range d.Top {
		var rank uint64
		var score float64
		if err := w.DB.Conn().QueryRow(t.Context(), `SELECT toUInt64(rank), score FROM ranked_clusters WHERE workspace = 'acme' AND id = ?`, e.Cluster).Scan(&rank, &score); err != nil {
			t.Fatal(err)
		}
		if uint64(e.Rank) != rank || e.Score != score || d.Ranks[e.Cluster] != e.Rank {
			t.Errorf("%s has rank %d and %f, stored are %d and %f", e.Cluster, e.Rank, e.Score, rank, score)
		}
	}
}

func TestEveryFormatHoldsTheWordsInert(t *testing.T) {
	t.Parallel()
	w := world(t, nil)
	d, err := digest.Build(t.Context(), w.DB, "acme", digest.DayOf(until, 7, 30, time.UTC), until)
	if err != nil {
		t.Fatal(err)
	}
	fallback, blocks := digest.Slack(d, "https://throughline.example/digest/2026-11-22")
	slack, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, b := range blocks {
		total += len([]rune(b.Text.Text))
		if len([]rune(b.Text.Text)) > 3000 {
			t.Errorf("a block of %d characters", len(b.Text.Text))
		}
	}
	if len(blocks) > 50 || total > 13200 || len(fallback) >= 4000 || fallback == "" {
		t.Errorf("%d blocks, %d characters, fallback %d", len(blocks), total, len(fallback))
	}
	page := digest.HTML(d, "")
	if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") || !strings.Contains(page, "<blockquote>") {
		t.Errorf("html: %s", page)
	}
	if strings.Contains(string(slack), "<!channel") || strings.Contains(string(slack), "<script") {
		t.Errorf("slack: %s", slack)
	}
	if text := digest.Markdown(d); strings.Contains(text, "> <script") || strings.Contains(text, " @channel") || !strings.Contains(text, "48,000 EUR") {
		t.Errorf("markdown: %s", text)
	}
}

func desk(t *testing.T, db *store.DB, w config.Workspace, now time.Time) *digest.Desk {
	t.Helper()
	d, err := digest.NewDesk(db, []config.Workspace{w}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheSchedulerSendsOnceADayAndDestinationAcrossRestarts(t *testing.T) {
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
		{Slack: &config.SlackDestination{Connection: "acme-slack", Channel: "C0123"}}, {Email: "pm@acme.example"}}}}
	ledger, err := keyed.Open[keyed.Write](t.Context(), b, bus.BucketLedger)
	if err != nil {
		t.Fatal(err)
	}
	// run looks at one moment until both destinations are done with a date.
	run := func(now time.Time, date string) {
		t.Helper()
		s, err := digest.NewScheduler(t.Context(), digest.Options{Bus: b, Keep: desk(t, w.DB, workspace, now).Keep, Workspaces: []config.Workspace{workspace},
			Slack: map[string]*slackpost.Poster{"acme-slack": poster}, Holder: "test", Every: 5 * time.Millisecond,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			finished := 0
			for _, to := range []string{"slack:acme-slack:C0123", "email:pm@acme.example"} {
				m, _, err := ledger.Get(t.Context(), keyed.DigestKey("acme", "newest", to))
				if err != nil {
					t.Fatal(err)
				}
				if m.Hash >= date {
					finished++
				}
			}
			if finished == 2 {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("%s was not sent within 20 s", date)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	berlin := zone(t, "Europe/Berlin")
	for day := 22; day <= 24; day++ {
		now := time.Date(2026, 11, day, 7, 31, 0, 0, berlin)
		date := fmt.Sprintf("2026-11-%d", day)
		run(now, date)
		run(now.Add(time.Hour), date) // a restart
		if got := len(cloud.Messages("C0123")); got != day-21 {
			t.Fatalf("after %s: %d messages", date, got)
		}
	}
	// Slack takes a message and its answer is lost: the next try finds it.
	cloud.LoseAnswers(1, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "chat.postMessage") })
	run(time.Date(2026, 11, 27, 9, 0, 0, 0, berlin), "2026-11-27") // three days missed and caught up
	if got := len(cloud.Messages("C0123")); got != 6 {
		t.Errorf("%d messages, want one for each of six days", got)
	}
	refused, _, err := ledger.Get(t.Context(), keyed.DigestKey("acme", "2026-11-22", "email:pm@acme.example"))
	if err != nil || refused.State != keyed.Refused || refused.Problem == "" {
		t.Errorf("e-mail is recorded as %+v (%v)", refused, err)
	}
	if d, found, err := digest.Stored(t.Context(), w.DB, "acme", "2026-11-22"); err != nil || !found || d.Workspace != "acme" {
		t.Errorf("the digest was not kept: %v %v", found, err)
	}
}
