package digest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

// Over some days every place and every move in the digest is that of the stored ranking, of
// the day and of the digest before.
func TestEveryRankMoveEqualsTheStoredRanks(t *testing.T) {
	t.Parallel()
	w := worldtest.New("acme", storetest.New(t), nil)
	w.Account(t, "a1", "Nordhaven Retail", 48000, "Enterprise")
	workspace := config.Workspace{ID: "acme", Timezone: "UTC", Digest: config.Digest{At: "07:30"}}
	before, moves := map[string]uint32{}, 0
	for day := range 5 {
		now := until.AddDate(0, 0, day)
		var said []worldtest.Saying
		for c := range 6 {
			for n := range 1 + (c*3+day*5)%7 {
				said = append(said, worldtest.Saying{Cluster: fmt.Sprintf("clu_%d", c), Customer: fmt.Sprintf("p%d-%d-%d", day, c, n), Account: map[bool]string{true: "a1"}[n == 0],
					Text: fmt.Sprintf("Need number %d is not met, says %d.", c, n), At: now.Add(-time.Duration(1+n) * time.Hour), Severity: float64(c+1) / 7})
			}
		}
		w.Say(t, said...)
		d, err := desk(t, w.DB, workspace, now).Keep(t.Context(), "acme", digest.DayOf(now, 7, 30, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		ranks := map[string]uint32{}
		rows, err := w.DB.Conn().Query(t.Context(), `SELECT id, toUInt32(rank) FROM ranked_clusters WHERE workspace = 'acme'`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id string
			var rank uint32
			if err := rows.Scan(&id, &rank); err != nil {
				t.Fatal(err)
			}
			ranks[id] = rank
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		text := digest.Markdown(d)
		for _, list := range [][]digest.Entry{d.Top, d.New, d.Rising, d.Cooling} {
			for _, e := range list {
				if e.Rank != ranks[e.Cluster] || e.Was != before[e.Cluster] {
					t.Errorf("day %d: %s is at %d after %d, stored are %d after %d", day, e.Cluster, e.Rank, e.Was, ranks[e.Cluster], before[e.Cluster])
				}
			}
		}
		for _, e := range d.Top {
			said := fmt.Sprintf("Rank %d, as before", e.Rank)
			switch {
			case before[e.Cluster] == 0:
				said = fmt.Sprintf("Rank %d, not in the last digest", e.Rank)
			case before[e.Cluster] > ranks[e.Cluster]:
				said, moves = fmt.Sprintf("Rank %d, up from %d", e.Rank, before[e.Cluster]), moves+1
			case before[e.Cluster] < ranks[e.Cluster]:
				said, moves = fmt.Sprintf("Rank %d, down from %d", e.Rank, before[e.Cluster]), moves+1
			}
			if !strings.Contains(text, said) {
				t.Errorf("day %d: the digest does not say %q:\n%s", day, said, text)
			}
		}
		if len(d.AtRisk) != 1 || d.AtRisk[0].Name != "Nordhaven Retail" || d.AtRisk[0].Severity < digest.Severe || !strings.Contains(text, "48,000 EUR a year, severity") {
			t.Errorf("day %d: at risk are %+v", day, d.AtRisk)
		}
		before = ranks
	}
	if moves < 5 {
		t.Errorf("only %d moves, so that this shows little", moves)
	}
}

// A ticket that was done in the day is told with who asked for it; one that was reopened, or
// was done before, is not.
func TestWhatShippedIsToldWithWhoAsked(t *testing.T) {
	t.Parallel()
	w := worldtest.New("acme", storetest.New(t), nil)
	w.Say(t, worldtest.Saying{Cluster: "clu_a", Customer: "Ingrid", Account: "a1", Text: "CSV export stops.", At: until.AddDate(0, 0, -3)},
		worldtest.Saying{Cluster: "clu_a", Customer: "Dario", Text: "The CSV export stops.", At: until.AddDate(0, 0, -2)})
	insert := func(table string, columns []string, row ...any) {
		t.Helper()
		if err := w.DB.Insert(t.Context(), table, columns, [][]any{row}, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		key, category string
		done          time.Time
	}{{"PROJ-1", "done", until.Add(-time.Hour)}, {"PROJ-2", "in_progress", until.Add(-2 * time.Hour)}, {"PROJ-3", "done", until.AddDate(0, 0, -2)}} {
		insert("tickets", []string{"workspace", "tracker", "key", "title", "category", "version", "created_at", "updated_at", "deleted"},
			"acme", "jira", c.key, "Export "+c.key, c.category, uint64(2), until, until, uint8(0))
		insert("ticket_moves", []string{"workspace", "tracker", "key", "version", "status", "category", "previous", "revision", "at"},
			"acme", "jira", c.key, uint64(i+1), "Done", "done", "", uint64(1), c.done)
		insert("attachments", []string{"workspace", "tracker", "ticket", "cluster", "mode", "score", "at", "version", "deleted"},
			"acme", "jira", c.key, "clu_a", "automatic", 0.9, until, uint64(1), uint8(0))
	}
	d, err := digest.Build(t.Context(), w.DB, "acme", digest.DayOf(until, 7, 30, time.UTC), until)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Shipped) != 1 || d.Shipped[0].Key != "PROJ-1" || d.Shipped[0].Voices != 2 || d.Shipped[0].Accounts != 1 {
		t.Fatalf("shipped are %+v", d.Shipped)
	}
	if text := digest.Markdown(d); !strings.Contains(text, "jira `PROJ-1`: 2 people from 1 account asked and can be told.") {
		t.Errorf("%s", text)
	}
}

// Whatever a day brought, its digest is read in two minutes and says how much is left out.
func TestADigestIsReadInTwoMinutes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("the export of our monthly report stops ", 30)
	entry := digest.Entry{Cluster: feedback.ID("clu", "x"), Name: long, Rank: 2, Was: 7, Score: 3.2, Terms: brief.Terms{Reach: 2}, Voices: 120, Accounts: 40,
		Worth: []brief.Money{{Amount: 480000, Currency: "EUR"}}, Today: 12, DayPrior: 3, Quote: long + "!", Item: feedback.ID("itm", "x"), Why: "rank 2, up from 7; 12 people in the day, 3 people the day before; mostly reach (2.00 of 3.20)"}
	d := digest.Digest{Date: "2026-11-22", Items: 4000, Voices: 3000}
	for i := range 10 {
		e := entry
		e.Cluster = fmt.Sprintf("clu_%d", i)
		d.Top, d.New, d.Rising, d.Cooling = append(d.Top, e), append(d.New, e), append(d.Rising, e), append(d.Cooling, e)
		d.Tickets = append(d.Tickets, digest.Ticket{Tracker: feedback.Jira, Key: "PROJ-1", Title: long, Revision: 3, Changes: []string{"2 new voices from 2 new accounts", "1 new edge case", "severity rose", "x"}})
		d.Undecided = append(d.Undecided, digest.Pending{Tracker: feedback.Jira, Key: "PROJ-1", Cluster: e.Cluster, Name: long})
		d.Shipped = append(d.Shipped, digest.Shipped{Tracker: feedback.Jira, Key: "PROJ-1", Title: long, Voices: 9, Accounts: 4})
		d.AtRisk = append(d.AtRisk, digest.Risk{Name: long, Worth: brief.Money{Amount: 480000, Currency: "EUR"}, Cluster: e.Cluster, Need: long, Quote: long, Voices: 3})
	}
	text := digest.Markdown(d)
	if n := len(strings.Fields(text)); n > digest.MaxWords+10 {
		t.Errorf("%d words:\n%s", n, text)
	}
	for _, section := range []string{"In progress", "Waiting for a decision", "Accounts at risk", "First in rank", "New", "Rising", "Cooling", "Shipped", "And 9 more."} {
		if !strings.Contains(text, section) {
			t.Errorf("nothing about %q", section)
		}
	}
	if _, blocks := digest.Slack(d, "https://throughline.example/digest/2026-11-22"); len(blocks) > 50 || strings.Contains(fmt.Sprint(blocks), "Cut here") {
		t.Errorf("%d blocks of Slack, or cut", len(blocks))
	}
}
