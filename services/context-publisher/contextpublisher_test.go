package contextpublisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/schemas"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// valid checks an event against its schema.
func valid(t *testing.T, e event.Envelope) {
	t.Helper()
	raw, err := schemas.Events.ReadFile("events/" + string(e.Type) + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	body, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s is not valid: %v", e.Type, err)
	}
}

// The whole service: a ticket comes, its context is written and served, a decision is taken
// over HTTP, and everybody who watches is told.
func TestATicketsContextIsWrittenServedAndDecidedOn(t *testing.T) {
	t.Parallel()
	b, db := bustest.New(t), storetest.New(t)
	jira := vendortest.NewJira(vendortest.JiraOptions{Email: "bot@acme.example", APIToken: "jira-token"})
	url, err := jira.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = jira.Close() })
	jira.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "CSV export stops", Status: "To Do", Category: "new"})

	token := "a-token-that-is-long-enough"
	service, err := contextpublisher.New(contextpublisher.Config{PublicURL: "https://throughline.example", Workspaces: []config.Workspace{{
		ID: "acme", APITokens: []config.Token{{Name: "ci", Token: config.NewSecret(token), Scopes: []string{"read", "decide"}}},
		Connections: []config.Connection{{ID: "acme-jira", Type: "jira", BaseURL: url, Email: "bot@acme.example", APIToken: config.NewSecret("jira-token")},
			{ID: "acme-linear", Type: "linear"}},
	}}}, contextpublisher.Deps{Bus: b, Store: db, Embedder: embed.Lexical(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Now: time.Now, Holder: "test"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	service.Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	watching, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	changes, err := watch.New(b).Watch(watching, "acme")
	if err != nil {
		t.Fatal(err)
	}
	briefs := bustest.Collect(t, b, bus.Briefs, "briefs.*.acme")
	decisions := bustest.Collect(t, b, bus.Signals, "decisions.*.acme")

	said := time.Now().Add(-time.Hour)
	w := worldtest.New("acme", db, b)
	w.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Ingrid Solvang", Text: "The CSV export stops half way on large boards.", At: said, Severity: 0.7},
		worldtest.Saying{Cluster: "clu_login", Customer: "Suki Amaral", Text: "Two factor codes arrive too late to sign in.", At: said})
	e, err := event.New(event.TicketCreated, "ingestor", "acme", "PROJ-1", "evt_1", said, event.Ticket{
		Origin: event.Origin{Delivery: "dlv_1", Sequence: 1, AcceptedAt: time.Now()},
		Ticket: feedback.Ticket{Workspace: "acme", Tracker: feedback.Jira, Connection: "acme-jira", Key: "PROJ-1", ExternalID: "1",
			Title: "CSV export stops half way on large boards", Status: "To Do", Category: feedback.Open, Version: 1, CreatedAt: said, UpdatedAt: said}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), bus.Subject("tickets", "acme"), e); err != nil {
		t.Fatal(err)
	}
	first := bustest.Await(t, briefs)
	valid(t, first.Envelope)

	ask := func(method, path, accept, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Accept", accept)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	status, text := ask("GET", "/v1/tickets/jira/PROJ-1/brief", "text/markdown", "")
	if status != http.StatusOK || !strings.Contains(text, "> “The CSV export stops half way on large boards.” Ingrid Solvang, zendesk") {
		t.Errorf("brief: %d %s", status, text)
	}
	status, text = ask("GET", "/v1/clusters", "application/json", "")
	var ranked struct {
		Items []struct {
			ID   string `json:"id"`
			Rank uint32 `json:"rank"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(text), &ranked); err != nil || status != http.StatusOK || len(ranked.Items) != 2 || ranked.Items[0].Rank != 1 {
		t.Errorf("clusters: %d %s", status, text)
	}
	status, text = ask("POST", "/v1/tickets/jira/PROJ-1/attachments", "application/json", `{"action":"pin","cluster":"clu_login","reason":"the same release"}`)
	if status/100 != 2 {
		t.Fatalf("pin: %d %s", status, text)
	}
	valid(t, bustest.Await(t, decisions).Envelope)
	second := bustest.Await(t, briefs)
	valid(t, second.Envelope)
	if p, err := event.Payload[event.Brief](second.Envelope); err != nil || p.Revision != 2 || !p.Material {
		t.Errorf("after the pin: %+v (%v)", p, err)
	}
	if _, text = ask("GET", "/v1/tickets/jira/PROJ-1/brief", "text/markdown", ""); !strings.Contains(text, "Two factor codes") {
		t.Errorf("the pinned cluster is not in the brief: %s", text)
	}
	told := map[string]int{}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for told[watch.Brief] < 2 || told[watch.Clusters] < 1 {
		select {
		case c := <-changes:
			if c.Workspace != "acme" {
				t.Fatalf("told of %s", c.Workspace)
			}
			told[c.Kind]++
		case <-deadline.C:
			t.Fatalf("told %v", told)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b, db := bustest.New(t), storetest.New(t)
	deps := func() contextpublisher.Deps {
		return contextpublisher.Deps{Bus: b, Store: db, Embedder: embed.Lexical(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now, Holder: "test"}
	}
	if _, err := contextpublisher.New(contextpublisher.Config{}, contextpublisher.Deps{}); err == nil {
		t.Error("no dependencies are accepted")
	}
	for what, w := range map[string]config.Workspace{
		"a digest at no time":     {ID: "acme", Digest: config.Digest{At: "25:00"}},
		"slack without its token": {ID: "acme", Digest: config.Digest{At: "07:30", To: []config.Destination{{Slack: &config.SlackDestination{Connection: "x", Channel: "C1"}}}}},
		"jira without an address": {ID: "acme", Connections: []config.Connection{{ID: "j", Type: "jira", BaseURL: "not an address", Email: "a@b.example", APIToken: config.NewSecret("x")}}},
	} {
		if _, err := contextpublisher.New(contextpublisher.Config{Workspaces: []config.Workspace{w}}, deps()); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
