package ingestor_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/ingestor"
	"github.com/throughline-dev/throughline/services/ingestor/internal/backfill"
)

// trackerHistory is a tracker's stand-in with so many issues, numbered from 1.
type trackerHistory struct {
	*vendortest.Server
	kind    string
	key     func(n int) string
	limited vendortest.Fault
	connect func(*config.Connection, string)
}

const issues = 125

func trackerHistories(t *testing.T) []trackerHistory {
	t.Helper()
	var minutes atomic.Int64
	tick := func() time.Time { return past.Add(time.Duration(minutes.Add(1)) * time.Minute) }
	title := func(n int) string { return fmt.Sprintf("Ticket %d", n) }

	j := vendortest.NewJira(vendortest.JiraOptions{Email: "bot@acme.example", APIToken: "token", Now: tick})
	g := vendortest.NewGitHub(vendortest.GitHubOptions{Token: "token", Now: tick})
	l, err := vendortest.NewLinear(vendortest.LinearOptions{APIKey: "token", Now: tick})
	if err != nil {
		t.Fatal(err)
	}
	all := []trackerHistory{
		{j.Server, "jira", func(n int) string { return fmt.Sprintf("PROJ-%d", n) }, vendortest.JiraLimited("jira-burst-based", 3*time.Second), func(c *config.Connection, url string) {
			c.Email, c.APIToken, c.BaseURL = "bot@acme.example", config.NewSecret("token"), url
		}},
		{g.Server, "github", func(n int) string { return fmt.Sprintf("acme/web#%d", n) }, vendortest.GitHubSecondaryLimit(3 * time.Second), func(c *config.Connection, url string) {
			c.Token, c.BaseURL = config.NewSecret("token"), url
		}},
		{l.Server, "linear", func(n int) string { return fmt.Sprintf("ENG-%d", n) }, vendortest.LinearLimited(now.Add(3 * time.Second)), func(c *config.Connection, url string) {
			c.APIKey, c.BaseURL = config.NewSecret("token"), url
		}},
	}
	for n := 1; n <= issues; n++ {
		j.AddIssue(vendortest.JiraIssue{Key: all[0].key(n), Summary: title(n), Description: "words", Status: "In Progress", Category: "indeterminate"})
		g.AddIssue(vendortest.GitHubIssue{Key: all[1].key(n), Title: title(n), State: "closed"})
		l.AddIssue(vendortest.LinearIssue{Key: all[2].key(n), Title: title(n), State: "In Progress", StateType: "started"})
	}
	return all
}

// Of the tickets that a tracker has, those that no webhook told of, or told an older state of,
// are brought as the tracker has them, whatever limits and failures come between; what is
// known comes no second time.
func TestTicketsAreBackfilled(t *testing.T) {
	t.Parallel()
	for _, v := range trackerHistories(t) {
		t.Run(v.kind, func(t *testing.T) {
			t.Parallel()
			url, err := v.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = v.Close() })
			connected := func(c *ingestor.Config, d *ingestor.Deps) {
				for i := range c.Workspaces[0].Connections {
					if k := &c.Workspaces[0].Connections[i]; k.Type == v.kind {
						v.connect(k, url)
					}
				}
				d.Wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			}
			path := "/v1/connections/acme-" + v.kind + "/backfill"
			run := func(h *harness) backfill.Report {
				t.Helper()
				if a := h.api(http.MethodPost, path, `{"since":"`+past.Add(-time.Hour).Format(time.RFC3339)+`"}`); a.status != http.StatusAccepted {
					t.Fatalf("%d %s", a.status, a.body)
				}
				var job backfill.Job
				h.until("the backfill", func() bool {
					job = read[backfill.Job](t, h.api(http.MethodGet, path, ""), http.StatusOK)
					return job.State != backfill.Running
				})
				if job.State != backfill.Done {
					t.Fatalf("%+v", job)
				}
				h.settle()
				return job.Report
			}
			v.FailEvery(2, v.limited)
			v.FailMatching(2, func(*http.Request) bool { return true }, vendortest.Unavailable())
			empty := start(t, connected)
			if r := run(empty); r.Missing != issues || r.Known != 0 {
				t.Errorf("first: %+v", r)
			}
			told := []event.Ticket{}
			for _, e := range empty.events(bus.Tickets) {
				p, err := event.Payload[event.Ticket](e)
				if err != nil {
					t.Fatal(err)
				}
				told = append(told, p)
			}
			if len(told) != issues {
				t.Fatalf("%d tickets told", len(told))
			}
			// Another knows all of them but two, and of one an older state.
			h := start(t, connected)
			var rows [][]any
			for _, p := range told {
				version := uint64(p.Ticket.Version)
				switch p.Ticket.Key {
				case v.key(7), v.key(125):
					continue
				case v.key(12):
					version--
				}
				if p.Ticket.Title == "" || p.Ticket.Category == "open" || p.Ticket.Project == "" {
					t.Errorf("read as %+v", p.Ticket)
				}
				rows = append(rows, []any{"acme", string(p.Ticket.Tracker), p.Ticket.Key, version})
			}
			if err := h.store.Insert(t.Context(), "tickets", []string{"workspace", "tracker", "key", "version"}, rows, ""); err != nil {
				t.Fatal(err)
			}
			r := run(h)
			if r.Missing != 2 || r.Outdated != 1 || r.Known != issues-3 || r.Limited+r.Retries == 0 {
				t.Errorf("second: %+v", r)
			}
			keys := []string{}
			for _, e := range h.events(bus.Tickets) {
				keys = append(keys, e.Subject)
			}
			slices.Sort(keys)
			want := []string{v.key(7), v.key(12), v.key(125)}
			slices.Sort(want)
			if !slices.Equal(keys, want) {
				t.Errorf("told of %v, want %v", keys, want)
			}
		})
	}
}
