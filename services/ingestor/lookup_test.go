package ingestor_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/ingestor"
	"github.com/throughline-dev/throughline/services/ingestor/internal/backfill"
)

// asking starts the service with a Slack connection that can be asked, and captures with :ear:.
func asking(t *testing.T, s *vendortest.Slack) *harness {
	t.Helper()
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return start(t, func(c *ingestor.Config, d *ingestor.Deps) {
		k := &c.Workspaces[0].Connections[0]
		k.BotToken, k.BaseURL, k.Capture = config.NewSecret("xoxb-1"), url, []string{"ear"}
		d.Wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	})
}

// slackTold wraps an event as Slack sends it to the workspace T0ACME000.
func slackTold(id, event string) string {
	return fmt.Sprintf(`{"type":"event_callback","team_id":"T0ACME000","event_id":%q,"event":%s}`, id, event)
}

// asked counts the calls of a method.
func asked(s *vendortest.Slack, method string) int {
	n := 0
	for _, e := range s.Exchanges() {
		if strings.HasPrefix(e.Path, "/api/"+method) {
			n++
		}
	}
	return n
}

// A message that names nobody gets the names of its author and of whom and what it mentions;
// each is asked for once, whatever Slack limits and breaks off on the way.
func TestSlackNamesAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	s := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	s.AddUser(vendortest.SlackUser{ID: "U100", Name: "ada", RealName: "Ada Lovelace", Email: "ada@globex.example", Team: "T0GLOBEX"})
	s.AddUser(vendortest.SlackUser{ID: "U200", Name: "grace", RealName: "Grace Hopper"})
	s.AddTeam("T0GLOBEX", "Globex")
	s.AddChannel("C900", "billing")
	s.FailEvery(3, vendortest.SlackLimited(time.Second))
	s.LoseAnswers(1, func(*http.Request) bool { return true })
	h := asking(t, s)
	for i, text := range []string{"the export fails for me", "<@U200> it fails in <#C900> and <@U404>, &amp; always", "still <@U200>"} {
		h.accepted("slack", slackTold(fmt.Sprint("Ev", i), fmt.Sprintf(`{"type":"message","channel":"C1","user":"U100","user_team":"T0GLOBEX","ts":"179000000%d.000100","text":%q}`, i, text)))
		if i == 1 {
			h.until("every name", func() bool {
				return strings.Contains(strings.Join(h.said(), "\n"), "Ada Lovelace (Globex)") && asked(s, "conversations.info") > 0
			})
			h.settle()
		}
	}
	h.settle()
	said := h.said()
	if len(said) != 3 {
		t.Fatalf("%d items: %q", len(said), said)
	}
	for _, it := range said {
		if !strings.Contains(it, "Ada Lovelace (Globex)") {
			t.Errorf("no name in %s", it)
		}
	}
	if !slices.ContainsFunc(said, func(it string) bool { return strings.Contains(it, "still @Grace Hopper") }) {
		t.Errorf("a mention is not named: %q", said)
	}
	if n := asked(s, "users.info"); n > 8 {
		t.Errorf("three users took %d calls", n)
	}
	if strings.Contains(h.log.String(), "Lovelace") {
		t.Error("the log names a customer")
	}
}

// A reaction with a configured emoji brings in the message under it, a reply in a thread as
// well; any other reaction brings nothing.
func TestAReactionCapturesTheMessageUnderIt(t *testing.T) {
	t.Parallel()
	s := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	s.AddUser(vendortest.SlackUser{ID: "U100", RealName: "Ada Lovelace"})
	s.AddChannel("C900", "billing")
	s.AddMessage("C900", vendortest.SlackMessage{TS: "1790000001.000100", User: "U200", Text: "what is wrong?"})
	s.AddMessage("C900", vendortest.SlackMessage{TS: "1790000002.000100", ThreadTS: "1790000001.000100", User: "U100", Text: "the invoice export stops half way"})
	s.AddMessage("C900", vendortest.SlackMessage{TS: "1790000003.000100", User: "U100", Text: "lunch?"})
	h := asking(t, s)
	for i, r := range []struct{ emoji, ts string }{{"tada", "1790000003.000100"}, {"ear::skin-tone-2", "1790000002.000100"}, {"ear", "1790000009.000100"}, {"ear", "1790000002.000100"}} {
		h.accepted("slack", slackTold(fmt.Sprint("Ev", i), fmt.Sprintf(`{"type":"reaction_added","user":"U1","reaction":%q,"item_user":"U100","item":{"type":"message","channel":"C900","ts":%q},"event_ts":"179000010%d.000100"}`, r.emoji, r.ts, i)))
	}
	h.until("the message", func() bool { return len(h.said()) == 1 && strings.Contains(h.said()[0], "Ada Lovelace") })
	h.settle()
	if said := h.said(); len(said) != 1 || !strings.Contains(said[0], "the invoice export stops half way") || strings.Contains(said[0], "lunch") {
		t.Errorf("%q", said)
	}
}

// What Slack withheld while it limited us is fetched from the minute before on.
func TestARateLimitLeadsToABackfill(t *testing.T) {
	t.Parallel()
	s := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	s.AddChannel("C900", "billing")
	minute := now.Add(-5 * time.Minute)
	s.AddMessage("C900", vendortest.SlackMessage{TS: fmt.Sprintf("%d.000100", minute.Unix()+3), User: "U100", Text: "withheld: the export fails"})
	s.AddMessage("C900", vendortest.SlackMessage{TS: fmt.Sprintf("%d.000100", minute.Add(-time.Hour).Unix()), User: "U100", Text: "long before"})
	h := asking(t, s)
	h.accepted("slack", fmt.Sprintf(`{"token":"x","type":"app_rate_limited","team_id":"T0ACME000","minute_rate_limited":%d,"api_app_id":"A1"}`, minute.Unix()))
	h.until("the withheld message", func() bool { return len(h.said()) == 1 })
	job := read[backfill.Job](t, h.api(http.MethodGet, "/v1/connections/acme-slack/backfill", ""), http.StatusOK)
	if !strings.Contains(h.said()[0], "withheld") || !job.Since.Equal(minute.Add(-time.Minute)) {
		t.Errorf("since %s: %q", job.Since, h.said())
	}
}

// An app that was removed is told of as that, until something comes again.
func TestAnUninstalledAppIsADisconnectedConnection(t *testing.T) {
	t.Parallel()
	h := start(t)
	state := func() string {
		t.Helper()
		page := read[struct {
			Items []struct{ ID, State, Fix string }
		}](t, h.api(http.MethodGet, "/v1/connections", ""), http.StatusOK)
		for _, c := range page.Items {
			if c.ID == "acme-slack" {
				return c.State
			}
		}
		return ""
	}
	h.accepted("slack", slackMessage("hello", ""))
	h.accepted("slack", `{"type":"event_callback","team_id":"T1","event_id":"Ev7","event":{"type":"tokens_revoked","tokens":{"bot":["U1"]}}}`)
	h.accepted("slack", `{"type":"event_callback","team_id":"T1","event_id":"Ev8","event":{"type":"app_uninstalled"}}`)
	h.settle()
	if got := state(); got != "disconnected" {
		t.Errorf("after the app was removed: %s", got)
	}
	h.accepted("slack", `{"type":"event_callback","team_id":"T1","event_id":"Ev9","event":{"type":"message","channel":"C1","user":"U1","ts":"1790000009.000200","text":"back again"}}`)
	h.settle()
	if got := state(); got != "ok" {
		t.Errorf("after it was installed again: %s", got)
	}
}

// Where the bot may not read names, nothing else stops, and Slack is left alone.
func TestARefusedLookupStopsNothing(t *testing.T) {
	t.Parallel()
	s := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1", MissingScopes: []string{"users:read"}})
	h := asking(t, s)
	for i := range 5 {
		h.accepted("slack", slackTold(fmt.Sprint("Ev", i), fmt.Sprintf(`{"type":"message","channel":"C1","user":"U10%d","ts":"179000000%d.000100","text":"it fails"}`, i, i)))
	}
	h.settle()
	if said, n := h.said(), asked(s, "users.info"); len(said) != 5 || n != 1 {
		t.Errorf("%d items, %d calls", len(said), n)
	}
}

// A ticket that was deleted and comes back is read anew through the API.
func TestAnUndeletedTicketIsReadAnew(t *testing.T) {
	t.Parallel()
	z := vendortest.NewZendesk("bot@acme.example", "token", 30)
	z.AddUser(vendortest.ZendeskUser{ID: 1, Name: "Ada", Role: "end-user"})
	z.AddTicket(vendortest.ZendeskTicket{ID: 7, Status: "open", UpdatedAt: now.Add(-time.Minute), Comments: []vendortest.ZendeskComment{
		{ID: 71, AuthorID: 1, Body: "the export fails", Public: true, CreatedAt: now.Add(-time.Hour)},
	}})
	var waits time.Duration
	h := start(t, connected(t, history{Server: z.Server, kind: "zendesk", connect: func(c *config.Connection, url string) {
		c.Email, c.APIToken, c.BaseURL = "bot@acme.example", config.NewSecret("token"), url
	}}, &waits))
	ticket := func(name string, at time.Time, event string) string {
		return fmt.Sprintf(`{"type":"zen:event-type:ticket.%s","id":%q,"time":%q,"detail":{"id":"7"},"event":%s}`, name, name, at.Format(time.RFC3339), event)
	}
	h.accepted("zendesk", ticket("comment_added", now.Add(-time.Hour), `{"comment":{"id":"71","body":"the export fails","is_public":true,"author":{"id":"1","is_staff":false,"name":"Ada"}}}`))
	h.accepted("zendesk", ticket("soft_deleted", now.Add(-10*time.Minute), `{}`))
	h.settle()
	if said := h.said(); len(said) != 0 {
		t.Fatalf("a deleted ticket still says %q", said)
	}
	h.accepted("zendesk", ticket("undeleted", now.Add(-time.Minute), `{}`))
	h.until("the ticket's words", func() bool { return strings.Contains(strings.Join(h.said(), ""), "the export fails") })
}
