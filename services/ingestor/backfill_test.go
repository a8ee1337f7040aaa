package ingestor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/ingestor"
	"github.com/throughline-dev/throughline/services/ingestor/internal/backfill"
)

// past is when the history that is backfilled begins.
var past = now.Add(-30 * 24 * time.Hour)

// messages is how many messages each vendor's history has, said in threads of five.
const messages = 500

// history is a vendor's stand-in with the webhooks that it sent of what it has.
type history struct {
	*vendortest.Server
	kind     string
	webhooks []string
	limited  vendortest.Fault
	connect  func(*config.Connection, string)
}

func text(i int) string { return fmt.Sprintf("Report %d does not open & shows <error> %d", i, i*7) }

func slackHistory() history {
	s := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	h := history{Server: s.Server, kind: "slack", limited: vendortest.SlackLimited(3 * time.Second), connect: func(c *config.Connection, url string) {
		c.BotToken, c.BaseURL = config.NewSecret("xoxb-1"), url
	}}
	for _, c := range []string{"C1", "C2", "C3"} {
		s.AddChannel(c, c)
	}
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	for i := range messages {
		channel, user := fmt.Sprintf("C%d", 1+i/5%3), fmt.Sprintf("U%d", i%40)
		ts, thread := fmt.Sprintf("%d.000100", past.Unix()+int64(i)*60), fmt.Sprintf("%d.000100", past.Unix()+int64(i/5*5)*60)
		s.AddMessage(channel, vendortest.SlackMessage{TS: ts, ThreadTS: thread, User: user, Text: escape.Replace(text(i))})
		h.webhooks = append(h.webhooks, fmt.Sprintf(`{"type":"event_callback","team_id":"T0ACME000","event_id":"Ev%d","event":{"type":"message","channel":%q,"user":%q,"ts":%q,"thread_ts":%q,"text":%s}}`, i, channel, user, ts, thread, quoted(escape.Replace(text(i)))))
	}
	return h
}

func intercomHistory() history {
	s := vendortest.NewIntercom("token", "app")
	h := history{Server: s.Server, kind: "intercom", limited: vendortest.IntercomLimited(3 * time.Second), connect: func(c *config.Connection, url string) {
		c.APIToken, c.BaseURL = config.NewSecret("token"), url
	}}
	for n := range messages / 5 {
		id := fmt.Sprint(100 + n)
		author := vendortest.IntercomAuthor{Type: "user", ID: fmt.Sprint("c", n%40), Name: "Ada", Email: fmt.Sprintf("c%d@x.example", n%40)}
		c := vendortest.IntercomConversation{ID: id, UpdatedAt: past.Unix() + int64(n)*300 + 240}
		for k := range 5 {
			at := past.Unix() + int64(n)*300 + int64(k)*60
			p := vendortest.IntercomPart{ID: fmt.Sprintf("p%d-%d", n, k), Body: "<p>" + strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text(5*n+k)) + "</p>", Author: author, CreatedAt: at, UpdatedAt: at}
			topic, item := "conversation.user.created", map[string]any{"type": "conversation", "id": id, "created_at": at, "source": p}
			if k == 0 {
				c.Source = p
			} else {
				p.PartType = "comment"
				c.Parts = append(c.Parts, p)
				topic, item = "conversation.user.replied", map[string]any{"type": "conversation", "id": id, "conversation_parts": map[string]any{"conversation_parts": []any{p}}}
			}
			b, _ := json.Marshal(map[string]any{"type": "notification_event", "app_id": "app", "id": fmt.Sprintf("notif_%d_%d", n, k), "topic": topic, "created_at": at, "data": map[string]any{"item": item}})
			h.webhooks = append(h.webhooks, string(b))
		}
		s.AddConversation(c)
	}
	return h
}

func zendeskHistory() history {
	s := vendortest.NewZendesk("bot@acme.example", "token", 30)
	h := history{Server: s.Server, kind: "zendesk", limited: vendortest.ZendeskLimited(3 * time.Second), connect: func(c *config.Connection, url string) {
		c.Email, c.APIToken, c.BaseURL = "bot@acme.example", config.NewSecret("token"), url
	}}
	for u := range int64(40) {
		s.AddUser(vendortest.ZendeskUser{ID: u + 1, Name: "Ada", Role: "end-user"})
	}
	s.AddUser(vendortest.ZendeskUser{ID: 99, Name: "Agent", Role: "agent"})
	for n := range messages / 5 {
		t := vendortest.ZendeskTicket{ID: int64(100 + n), Status: "open", UpdatedAt: past.Add(time.Duration(n) * 5 * time.Minute)}
		for k := range 5 {
			c := vendortest.ZendeskComment{ID: int64(9000 + 5*n + k), AuthorID: int64(n%40 + 1), Body: text(5*n + k), Public: true, CreatedAt: t.UpdatedAt.Add(time.Duration(k) * time.Minute)}
			t.Comments = append(t.Comments, c)
			h.webhooks = append(h.webhooks, fmt.Sprintf(`{"type":"zen:event-type:ticket.comment_added","id":"z%d","time":%q,"detail":{"id":"%d"},"event":{"comment":{"id":"%d","body":%s,"is_public":true,"author":{"id":"%d","is_staff":false,"name":"Ada"}}}}`,
				c.ID, c.CreatedAt.Format(time.RFC3339), t.ID, c.ID, quoted(c.Body), c.AuthorID))
		}
		t.Comments = append(t.Comments, vendortest.ZendeskComment{ID: int64(50000 + n), AuthorID: 99, Body: "internal", CreatedAt: t.UpdatedAt})
		s.AddTicket(t)
	}
	return h
}

// connected points the workspace's connection of a kind to a stand-in; waits between
// requests take no time and are counted.
func connected(t *testing.T, h history, waits *time.Duration) option {
	t.Helper()
	url, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return func(c *ingestor.Config, d *ingestor.Deps) {
		for i := range c.Workspaces[0].Connections {
			if k := &c.Workspaces[0].Connections[i]; k.ID == "acme-"+h.kind {
				h.connect(k, url)
			}
		}
		d.Wait = func(ctx context.Context, d time.Duration) error {
			*waits += d
			return ctx.Err()
		}
	}
}

// said is everything that items say, without how often they were revised on the way.
func (h *harness) said() []string {
	h.t.Helper()
	rows, err := h.store.Conn().Query(h.t.Context(), "SELECT toString(tuple(id, source, conversation, customer, customer_name, customer_email, text, messages, url, created_at, updated_at)) FROM items FINAL ORDER BY id")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// Of five hundred messages one in twenty never came, one in fifty came twice, and the API
// limits, fails and breaks off: backfill ends in what every webhook would have brought.
func TestBackfillEndsInExactEquality(t *testing.T) {
	t.Parallel()
	for _, v := range []history{slackHistory(), intercomHistory(), zendeskHistory()} {
		t.Run(v.kind, func(t *testing.T) {
			t.Parallel()
			var waits time.Duration
			connection := connected(t, v, &waits)
			complete := start(t, connection)
			for _, w := range v.webhooks {
				complete.accepted(v.kind, w)
			}
			complete.settle()

			h := start(t, connection)
			withheld := 0
			for i, w := range v.webhooks {
				if i%20 == 7 {
					withheld++
					continue
				}
				h.accepted(v.kind, w)
				if i%50 == 11 {
					h.accepted(v.kind, w)
				}
			}
			// One message that the vendor has no longer, and nobody told us.
			stale := strings.NewReplacer(`000100"`, `000199"`, `"p0-0"`, `"p0-x"`, `"id":"9000"`, `"id":"8999"`, "Report 0", "Deleted report").Replace(v.webhooks[0])
			stale = strings.Replace(stale, fmt.Sprintf(`"thread_ts":"%d.000199"`, past.Unix()), fmt.Sprintf(`"thread_ts":"%d.000100"`, past.Unix()), 1)
			h.accepted(v.kind, stale)
			h.settle()

			v.FailEvery(6, v.limited)
			v.FailMatching(4, func(*http.Request) bool { return true }, vendortest.Unavailable())
			v.LoseAnswers(3, func(*http.Request) bool { return true })
			path := "/v1/connections/acme-" + v.kind + "/backfill"
			if a := h.api(http.MethodGet, path, ""); a.status != http.StatusNotFound {
				t.Errorf("before: %d %s", a.status, a.body)
			}
			if a := h.api(http.MethodPost, path, `{"since":"`+past.Add(-time.Hour).Format(time.RFC3339)+`"}`); a.status != http.StatusAccepted {
				t.Fatalf("%d %s", a.status, a.body)
			}
			var job backfill.Job
			h.until("the backfill", func() bool {
				job = read[backfill.Job](t, h.api(http.MethodGet, path, ""), http.StatusOK)
				return job.State != backfill.Running
			})
			h.settle()
			r := job.Report
			if job.State != backfill.Done || r.Missing != withheld || r.Removed != 1 || r.Outdated != 0 || r.Limited == 0 || r.Retries < 4 || waits < time.Duration(r.Limited)*3*time.Second {
				t.Errorf("withheld %d, waited %s: %+v", withheld, waits, job)
			}
			if got, want := h.said(), complete.said(); !reflect.DeepEqual(got, want) {
				t.Errorf("%d items, want %d; the first that differs: %s", len(got), len(want), firstDifference(got, want))
			}
			if a := h.do(http.MethodPost, path, map[string]string{"Authorization": "Bearer token-read"}, nil); a.status != http.StatusForbidden {
				t.Errorf("a reader began a backfill: %d", a.status)
			}
			if strings.Contains(h.log.String(), "xoxb-1") {
				t.Error("the log holds the credentials")
			}
		})
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return "\n got " + got[i] + "\nwant " + want[i]
		}
	}
	return "one is longer"
}

func TestBackfillRefusesAndSaysWhatToFix(t *testing.T) {
	t.Parallel()
	v := slackHistory()
	var waits time.Duration
	h := start(t, connected(t, v, &waits), func(c *ingestor.Config, _ *ingestor.Deps) {
		c.Workspaces[0].Connections[0].BotToken = config.NewSecret("xoxb-wrong")
	})
	for body, want := range map[string]int{"{}": 422, "x": 422, `{"since":"2099-01-01T00:00:00Z"}`: 422} {
		if a := h.api(http.MethodPost, "/v1/connections/acme-slack/backfill", body); a.status != want {
			t.Errorf("%s: %d, want %d", body, a.status, want)
		}
	}
	if a := h.api(http.MethodPost, "/v1/connections/nobody/backfill", `{"since":"2026-01-01T00:00:00Z"}`); a.status != http.StatusNotFound {
		t.Errorf("unknown connection: %d", a.status)
	}
	for connection, problem := range map[string]string{"acme-slack": "invalid_auth", "acme-zendesk": "credentials"} {
		path := "/v1/connections/" + connection + "/backfill"
		if a := h.api(http.MethodPost, path, `{"since":"2026-01-01T00:00:00Z"}`); a.status != http.StatusAccepted {
			t.Fatalf("%d %s", a.status, a.body)
		}
		h.until("the refusal", func() bool {
			j := read[backfill.Job](t, h.api(http.MethodGet, path, ""), http.StatusOK)
			return j.State == backfill.Failed && strings.Contains(j.Problem, problem)
		})
	}
}

// Zendesk's answers as they were recorded feed the stand-in: what customers wrote in public
// becomes items, and the private comment of the recorded audit never does.
func TestZendesksRecordedAnswersAreRead(t *testing.T) {
	t.Parallel()
	recorded := func(name string, into any) {
		t.Helper()
		b, err := schemas.Webhooks.ReadFile("webhooks/zendesk/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	var tickets struct {
		Tickets []struct {
			ID        int64     `json:"id"`
			Status    string    `json:"status"`
			UpdatedAt time.Time `json:"updated_at"`
			Requester int64     `json:"requester_id"`
		} `json:"tickets"`
	}
	recorded("api_tickets", &tickets)
	var comments struct {
		Comments []vendortest.ZendeskComment `json:"comments"`
	}
	recorded("api_ticket_comments", &comments)
	var audit struct {
		Audit struct {
			Ticket    int64     `json:"ticket_id"`
			Author    int64     `json:"author_id"`
			CreatedAt time.Time `json:"created_at"`
			Events    []struct {
				ID     int64  `json:"id"`
				Type   string `json:"type"`
				Body   string `json:"body"`
				Public bool   `json:"public"`
			} `json:"events"`
		} `json:"audit"`
	}
	recorded("api_ticket_audit", &audit)

	s := vendortest.NewZendesk("bot@acme.example", "token", 30)
	s.AddUser(vendortest.ZendeskUser{ID: audit.Audit.Author, Name: "Ada", Role: "end-user"})
	private := vendortest.ZendeskTicket{ID: audit.Audit.Ticket, Status: "open", UpdatedAt: audit.Audit.CreatedAt}
	for _, e := range audit.Audit.Events {
		if e.Type == "Comment" {
			private.Comments = append(private.Comments, vendortest.ZendeskComment{ID: e.ID, AuthorID: audit.Audit.Author, Body: e.Body, Public: e.Public, CreatedAt: private.UpdatedAt})
		}
	}
	s.AddTicket(private)
	s.AddUser(vendortest.ZendeskUser{ID: tickets.Tickets[0].Requester, Name: "Grace", Role: "end-user"})
	for i, k := range tickets.Tickets {
		kept := vendortest.ZendeskTicket{ID: k.ID, Status: k.Status, UpdatedAt: k.UpdatedAt}
		if i == 0 {
			kept.Comments = comments.Comments
		}
		s.AddTicket(kept)
	}
	var waits time.Duration
	h := start(t, connected(t, history{Server: s.Server, kind: "zendesk", connect: func(c *config.Connection, url string) {
		c.Email, c.APIToken, c.BaseURL = "bot@acme.example", config.NewSecret("token"), url
	}}, &waits))
	const path = "/v1/connections/acme-zendesk/backfill"
	if a := h.api(http.MethodPost, path, `{"since":"2011-01-01T00:00:00Z"}`); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var job backfill.Job
	h.until("the backfill", func() bool {
		job = read[backfill.Job](t, h.api(http.MethodGet, path, ""), http.StatusOK)
		return job.State != backfill.Running
	})
	h.settle()
	said := h.said()
	if job.State != backfill.Done || len(said) != 1 || strings.Count(said[0], comments.Comments[0].Body) < 2 || !strings.Contains(said[0], "Grace") {
		t.Errorf("%+v\n%q", job, said)
	}
	if len(private.Comments) == 0 || strings.Contains(fmt.Sprint(said), private.Comments[0].Body) {
		t.Error("a private comment was taken, or none was recorded")
	}
}
