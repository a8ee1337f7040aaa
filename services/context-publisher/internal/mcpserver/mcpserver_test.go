package mcpserver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mcpserver"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

var update = flag.Bool("update", false, "write the golden files")

var offer = mcpserver.Offer{Version: "test", Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}

const golden = "../../../../schemas/mcp/tools.json"

var eras = map[string]string{"modern": "2026-07-28", "legacy": "2025-11-25", "old": "2025-03-26"}

// site is a server with /mcp and /v1 for two workspaces, of which acme is filled.
type site struct {
	*httptest.Server
	world *apitest.World
}

func serve(t *testing.T) site {
	t.Helper()
	return serveNoting(t, nil)
}

// serveNoting serves with an audit log.
func serveNoting(t *testing.T, log access.Recorder) site {
	t.Helper()
	world := apitest.New()
	world.Fill("acme")
	keys := apitest.Keys("acme", "globex").With(nil, log)
	hub := api.NewHub([]string{"acme", "globex"}, world.Watch)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	endpoint := mcpserver.NewHTTP(mcpserver.Options{Keyring: keys, Workspaces: []string{"acme", "globex"}, Open: world.Open, Hub: hub, Logger: logger,
		Random: rand.Reader, Version: "test", SessionTimeout: time.Minute, KeepAlive: 20 * time.Millisecond, Pace: mcpserver.Pace{PerSecond: 1000, Burst: 1000}})
	mux := http.NewServeMux()
	endpoint.Register(mux)
	api.New(api.Options{Keyring: keys, Open: world.Open, Hub: hub, Logger: logger, Now: func() time.Time { return apitest.Now }, Random: rand.Reader, KeepAlive: time.Second}).Register(mux)
	s := site{httptest.NewServer(mux), world}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- hub.Run(ctx) }()
	go func() { ended <- endpoint.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// withToken sends a token, and further headers, with every request.
type withToken struct {
	token   string
	headers map[string]string
}

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	for k, v := range w.headers {
		r.Header.Set(k, v)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (s site) connect(t *testing.T, token, version string, o *mcp.ClientOptions) (*mcp.ClientSession, error) {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: s.URL + "/mcp", HTTPClient: &http.Client{Transport: withToken{token: token}}, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: version})
	if err == nil {
		t.Cleanup(func() { session.Close() })
	}
	return session, err
}

func (s site) mustConnect(t *testing.T, workspace, version string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	session, err := s.connect(t, apitest.ReaderToken(workspace), version, o)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// connectAs connects with a token of its own choice.
func (s site) connectAs(t *testing.T, token string) *mcp.ClientSession {
	t.Helper()
	session, err := s.connect(t, token, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

type head struct {
	AsOf     time.Time `json:"as_of"`
	Revision *uint64   `json:"revision"`
	LagMS    *int64    `json:"lag_ms"`
	Fence    string    `json:"fence"`
}

// call calls a tool that must answer, and returns its text and its data.
func call(t *testing.T, s *mcp.ClientSession, tool string, args map[string]any) (string, map[string]any, head) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	text := res.Content[0].(*mcp.TextContent).Text
	if res.IsError {
		t.Fatalf("%s: %s", tool, text)
	}
	b, _ := json.Marshal(res.StructuredContent)
	var data map[string]any
	var h head
	if json.Unmarshal(b, &data) != nil || json.Unmarshal(b, &h) != nil {
		t.Fatalf("%s: data is %s", tool, b)
	}
	if h.Revision == nil || h.LagMS == nil || h.Fence == "" || !strings.Contains(text, "Revision ") {
		t.Errorf("%s does not say how current it is: %s", tool, b)
	}
	if size := feedback.Tokens(text) + feedback.Tokens(string(b)); size > 4000 {
		t.Errorf("%s answers %d tokens", tool, size)
	}
	return text, data, h
}

func refused(t *testing.T, s *mcp.ClientSession, tool string, args map[string]any) string {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return err.Error()
	}
	if !res.IsError {
		t.Fatalf("%s %v was answered", tool, args)
	}
	return res.Content[0].(*mcp.TextContent).Text
}

func TestListing(t *testing.T) {
	t.Parallel()
	site := serve(t)
	s := site.mustConnect(t, "acme", "", nil)
	tools, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	templates, err := s.ListResourceTemplates(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := s.ListPrompts(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{tools.CacheScope, templates.CacheScope, prompts.CacheScope} {
		if scope != "private" {
			t.Errorf("cache scope %q", scope)
		}
	}
	for _, tool := range tools.Tools {
		if a := tool.Annotations; !a.ReadOnlyHint || *a.DestructiveHint || !*a.OpenWorldHint || tool.Description == "" {
			t.Errorf("%s: %+v", tool.Name, a)
		}
	}
	all, err := site.connectAs(t, apitest.Token("acme")).ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var decide []*mcp.Tool
	for _, tool := range all.Tools {
		if !slices.ContainsFunc(tools.Tools, func(known *mcp.Tool) bool { return known.Name == tool.Name }) {
			decide = append(decide, tool)
			if a := tool.Annotations; a.ReadOnlyHint || *a.DestructiveHint || *a.OpenWorldHint {
				t.Errorf("%s: %+v", tool.Name, a)
			}
		}
	}
	got, err := json.MarshalIndent(map[string]any{"tools": tools.Tools, "decideTools": decide, "resourceTemplates": templates.ResourceTemplates, "prompts": prompts.Prompts}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	compact, _ := json.Marshal(all.Tools)
	if size := feedback.Tokens(string(compact)); size >= 2500 || len(tools.Tools) != 7 || len(decide) != 3 {
		t.Errorf("%d tools in %d tokens", len(tools.Tools), size)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the listing is not that of %s (-update writes it):\n%s", golden, got)
	}
}

func TestConversation(t *testing.T) {
	t.Parallel()
	for era, version := range eras {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			s := serve(t).mustConnect(t, "acme", version, nil)
			if got := s.InitializeResult().ProtocolVersion; got != version {
				t.Fatalf("talks %s", got)
			}
			for _, ref := range []string{"PROJ-142", "jira:proj-142", "https://acme.example/browse/PROJ-142", "feature/proj-142-stream-rows"} {
				text, data, _ := call(t, s, "get_ticket_context", map[string]any{"ticket": ref})
				if !strings.Contains(text, "Our month-end export stops at exactly 10,000 rows") || data["revision"] != 2.0 || data["changed"] != true {
					t.Errorf("%s: %s", ref, text)
				}
			}
			if text, _, _ := call(t, s, "get_ticket_context", map[string]any{"ticket": "https://github.com/acme/scanner/pull/31"}); !strings.Contains(text, "Zebra TC52") {
				t.Error(text)
			}
			text, data, _ := call(t, s, "whats_changed", map[string]any{"ticket": "PROJ-142"})
			if !strings.Contains(text, "new voices") || data["since_revision"] != 1.0 || data["material"] != true {
				t.Error(text)
			}
			if text, _, _ := call(t, s, "whats_changed", map[string]any{"ticket": "PROJ-142", "since_revision": 2}); !strings.Contains(text, "Nothing changed") {
				t.Error(text)
			}
			if text, _, _ := call(t, s, "search_feedback", map[string]any{"query": "okta"}); strings.Count(text, "<customer-words") != 3 { // two items and the notice
				t.Error(text)
			}
			_, data, _ = call(t, s, "list_clusters", map[string]any{"limit": 3})
			first := data["clusters"].([]any)[0].(map[string]any)
			if len(data["clusters"].([]any)) != 3 || first["rank"] != 1.0 {
				t.Errorf("%v", data)
			}
			if text, _, _ := call(t, s, "get_cluster", map[string]any{"id": first["id"]}); !strings.Contains(text, "jira:PROJ-142") {
				t.Error(text)
			}
			if text, _, _ := call(t, s, "list_tickets", nil); !strings.Contains(text, "github:acme/scanner#31") {
				t.Error(text)
			}
			for _, name := range []string{"start_ticket", "review_against_feedback"} {
				prompt, err := s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: name, Arguments: map[string]string{"ticket": "PROJ-142"}})
				if err != nil || !strings.Contains(prompt.Messages[0].Content.(*mcp.TextContent).Text, "jira:PROJ-142") {
					t.Errorf("%v %v", prompt, err)
				}
			}
			item := feedback.ID("itm", "acme", "Our month-end export stops at exactly 10,000 rows and nobody notices until finance complains.")
			text, data, _ = call(t, s, "get_quote", map[string]any{"item": item, "words": "stops at  exactly 10,000 rows"})
			if data["verbatim"] != true || !strings.Contains(text, "nobody notices") || !strings.Contains(text, "word for word") {
				t.Error(text)
			}
			if _, data, _ := call(t, s, "get_quote", map[string]any{"item": item, "words": "stops at exactly 9,000 rows"}); data["verbatim"] != false {
				t.Errorf("%v", data)
			}
			resources, err := s.ListResources(t.Context(), nil)
			if err != nil || len(resources.Resources) != 3 || resources.Resources[0].URI != mcpserver.BriefURI(feedback.Jira, "PROJ-142") ||
				era == "modern" && resources.CacheScope != "private" {
				t.Errorf("%+v %v", resources, err)
			}
			read, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: mcpserver.BriefURI(feedback.GitHub, "acme/scanner#31")})
			if err != nil || !strings.Contains(read.Contents[0].Text, "Zebra TC52") || era == "modern" && read.CacheScope != "private" {
				t.Errorf("%+v %v", read, err)
			}
		})
	}
}

// TestDecisions records decisions over HTTP and over stdio, and refuses them to a token that
// may only read, whatever it sends.
func TestDecisions(t *testing.T) {
	t.Parallel()
	site := serve(t)
	cluster := site.world.Workspace("acme").First()
	remote, err := mcpserver.NewRemote(site.URL, apitest.Token("acme"), site.Client())
	if err != nil {
		t.Fatal(err)
	}
	a, b := mcp.NewInMemoryTransports()
	far := offer
	far.Decides = true
	if _, err := mcpserver.NewWorkspace(remote, far).Connect(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	stdio, err := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, nil).Connect(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stdio.Close()
	steps := []struct {
		tool string
		args map[string]any
		want feedback.Decision
	}{
		{"attach_cluster", map[string]any{"ticket": "feature/eng-77-roles", "cluster": cluster, "reason": "asked by Ines"},
			feedback.Decision{Action: feedback.Pin, Cluster: cluster, Tracker: feedback.Linear, Ticket: "ENG-77", Reason: "asked by Ines"}},
		{"reject_cluster", map[string]any{"ticket": "PROJ-142", "cluster": cluster, "reason": "another export"},
			feedback.Decision{Action: feedback.Reject, Cluster: cluster, Tracker: feedback.Jira, Ticket: "PROJ-142", Reason: "another export"}},
		{"record_decision", map[string]any{"action": "rename", "cluster": cluster, "name": "Truncated exports", "reason": "clearer"},
			feedback.Decision{Action: feedback.Rename, Cluster: cluster, Name: "Truncated exports", Reason: "clearer"}},
	}
	for how, s := range map[string]*mcp.ClientSession{"modern": site.connectAs(t, apitest.Token("acme")), "stdio": stdio} {
		for _, step := range steps {
			text, data, _ := call(t, s, step.tool, step.args)
			all := site.world.Workspace("acme").Decisions()
			got := all[len(all)-1]
			if got.ID != data["decision"] || got.By != "maya" || !strings.Contains(text, got.ID) {
				t.Errorf("%s %s: %+v, answered %s", how, step.tool, got, text)
			}
			got.ID, got.By, got.At, got.Workspace = "", "", time.Time{}, ""
			if !reflect.DeepEqual(got, step.want) {
				t.Errorf("%s %s: %+v, want %+v", how, step.tool, got, step.want)
			}
			undone, _, _ := call(t, s, "record_decision", map[string]any{"action": "undo", "decision": data["decision"], "reason": "a mistake"})
			if !strings.Contains(undone, "undo") {
				t.Error(undone)
			}
		}
		for _, args := range []map[string]any{
			{"action": "erase", "cluster": cluster, "reason": "x"}, {"action": "merge", "cluster": cluster, "reason": "x"}, {"action": "rename", "cluster": cluster, "name": "x", "reason": " "},
			{"action": "undo", "cluster": cluster, "reason": "x"}, {"action": "ignore", "cluster": "../x", "reason": "x"}, {"action": "ignore", "cluster": cluster, "reason": strings.Repeat("x", 2001)},
		} {
			refused(t, s, "record_decision", args)
		}
		refused(t, s, "attach_cluster", map[string]any{"ticket": "NONE-1", "cluster": cluster, "reason": "x"})
	}
	taken := len(site.world.Workspace("acme").Decisions())
	reader := site.connectAs(t, apitest.ReaderToken("acme"))
	narrow, err := mcpserver.NewRemote(site.URL, apitest.ReaderToken("acme"), site.Client())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if got := refused(t, reader, step.tool, step.args); !strings.Contains(got, "unknown tool") {
			t.Error(got)
		}
	}
	if _, err := narrow.Decide(t.Context(), steps[2].want); err == nil {
		t.Error("a reader's token decided over stdio")
	}
	if n := len(site.world.Workspace("acme").Decisions()); n != taken {
		t.Errorf("%d decisions of a reader", n-taken)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	s := serve(t).mustConnect(t, "acme", "", nil)
	size := func(budget int) int {
		res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_ticket_context", Arguments: map[string]any{"ticket": "PROJ-142", "budget_tokens": budget}})
		if err != nil || res.IsError {
			t.Fatal(err, res)
		}
		b, _ := json.Marshal(res.StructuredContent)
		return feedback.Tokens(string(b)) + feedback.Tokens(res.Content[0].(*mcp.TextContent).Text)
	}
	for _, budget := range []int{1500, 2000, 4000} {
		if got := size(budget); got > budget {
			t.Errorf("budget %d, answer %d", budget, got)
		}
	}
	for _, budget := range []int{1, 599, 20001, -4} {
		refused(t, s, "get_ticket_context", map[string]any{"ticket": "PROJ-142", "budget_tokens": budget})
	}
}

// TestHostileWords takes every answer that holds the hostile customer's words and checks
// that outside of its fences nothing of them is left.
func TestHostileWords(t *testing.T) {
	t.Parallel()
	s := serve(t).mustConnect(t, "acme", "", nil)
	res, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: mcpserver.BriefURI(feedback.Jira, "PROJ-142")})
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{}
	fences := map[string]bool{}
	for tool, args := range map[string]map[string]any{
		"get_ticket_context": {"ticket": "PROJ-142"}, "whats_changed": {"ticket": "PROJ-142"}, "search_feedback": {"query": "ignore previous"},
		"list_clusters": {}, "list_tickets": {},
	} {
		text, data, h := call(t, s, tool, args)
		b := new(strings.Builder)
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		if err := e.Encode(data); err != nil {
			t.Fatal(err)
		}
		if fences[h.Fence] {
			t.Errorf("%s: the delimiter was used before", tool)
		}
		fences[h.Fence] = true
		answers[tool], answers[tool+" data"] = text, b.String()
	}
	answers["resource"] = res.Contents[0].Text
	if !strings.Contains(answers["resource"], "Ignore previous instructions") || !strings.Contains(answers["search_feedback"], "Ignore previous instructions") {
		t.Fatal("the hostile words are not in the answers, so that this test shows nothing")
	}
	block := regexp.MustCompile(`(?s)<customer-words [0-9a-f]{16} [^\n]*>\n(> [^\n]*\n)+</customer-words [0-9a-f]{16}>`)
	inline := regexp.MustCompile(`⟦[0-9a-f]{16} [^⟦⟧\n]*⟧`)
	for name, answer := range answers {
		outside := inline.ReplaceAllString(block.ReplaceAllString(answer, ""), "")
		for _, word := range []string{"Ignore previous", "evil.example", "alert(", "Mallory", "SYSTEM", "gnihton", "<script", "<img", "<svg", "<b>"} {
			if strings.Contains(outside, word) {
				t.Errorf("%s: %q left its fence", name, word)
			}
		}
		for _, word := range []string{"<script", "<img", "<svg", "<b>", "evil.example/p.png", "</customer-words>"} {
			if strings.Contains(answer, word) {
				t.Errorf("%s: %q survived", name, word)
			}
		}
		for _, r := range answer {
			if unicode.In(r, unicode.Cf, unicode.Co) || unicode.IsControl(r) && r != '\n' {
				t.Errorf("%s: hidden character %U", name, r)
			}
		}
	}
}

func TestAnotherWorkspaceSeesNothing(t *testing.T) {
	t.Parallel()
	site := serve(t)
	mine := site.mustConnect(t, "acme", eras["legacy"], nil)
	_, data, _ := call(t, mine, "list_clusters", nil)
	id := data["clusters"].([]any)[0].(map[string]any)["id"]
	for era, version := range eras {
		other := site.mustConnect(t, "globex", version, nil)
		for _, ask := range []struct {
			tool          string
			there, absent map[string]any
		}{
			{"get_ticket_context", map[string]any{"ticket": "PROJ-142"}, map[string]any{"ticket": "NONE-1"}},
			{"whats_changed", map[string]any{"ticket": "jira:PROJ-142", "since_revision": 1}, map[string]any{"ticket": "jira:NONE-1", "since_revision": 1}},
			{"get_cluster", map[string]any{"id": id}, map[string]any{"id": "clu_nowhere"}},
		} {
			if there, absent := refused(t, other, ask.tool, ask.there), refused(t, other, ask.tool, ask.absent); there != absent {
				t.Errorf("%s %s: %q tells more than %q", era, ask.tool, there, absent)
			}
		}
		for tool, list := range map[string]string{"list_clusters": "clusters", "list_tickets": "tickets"} {
			if _, data, _ := call(t, other, tool, nil); len(data[list].([]any)) != 0 {
				t.Errorf("%s: %v", tool, data)
			}
		}
		if text, _, _ := call(t, other, "search_feedback", map[string]any{"query": "export"}); strings.Contains(text, "month-end") {
			t.Error(text)
		}
		uri := mcpserver.BriefURI(feedback.Jira, "PROJ-142")
		if _, err := other.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err == nil {
			t.Error("another workspace's brief was read")
		}
		if version < eras["modern"] { // in the modern era the answer to listen is a stream that ends
			if err := other.Subscribe(t.Context(), &mcp.SubscribeParams{URI: uri}); err == nil {
				t.Error("another workspace's brief was subscribed to")
			}
		}
	}
}

// TestSessionStaysInItsWorkspace sends one workspace's session id with another's token.
func TestSessionStaysInItsWorkspace(t *testing.T) {
	t.Parallel()
	site := serve(t)
	id := site.mustConnect(t, "acme", eras["legacy"], nil).ID()
	if id == "" {
		t.Fatal("no session id")
	}
	ask := func(token string) *http.Response {
		return post(t, site, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, token, map[string]string{"Mcp-Session-Id": id, "MCP-Protocol-Version": eras["legacy"]})
	}
	if got := ask(apitest.ReaderToken("acme")).StatusCode; got != http.StatusOK {
		t.Errorf("its own token: %d", got)
	}
	if got := ask(apitest.Token("acme")).StatusCode; got != http.StatusNotFound {
		t.Errorf("a token of the same workspace that may do more: %d", got)
	}
	if got := ask(apitest.ReaderToken("globex")).StatusCode; got != http.StatusNotFound {
		t.Errorf("another workspace's token: %d", got)
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	for era, version := range eras {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			site := serve(t)
			site.world.Fill("globex")
			told := func(into chan string) *mcp.ClientOptions {
				return &mcp.ClientOptions{ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
					select {
					case into <- r.Params.URI:
					default:
					}
				}}
			}
			mine, others := make(chan string, 1), make(chan string, 1)
			uri := mcpserver.BriefURI(feedback.GitHub, "acme/scanner#31")
			for workspace, into := range map[string]chan string{"acme": mine, "globex": others} {
				if err := site.mustConnect(t, workspace, version, told(into)).Subscribe(t.Context(), &mcp.SubscribeParams{URI: uri}); err != nil {
					t.Fatal(err)
				}
			}
			// Subscribing ends before the server's stream is open: tell until it is heard.
			again := time.NewTicker(10 * time.Millisecond)
			defer again.Stop()
			for {
				select {
				case got := <-mine:
					if got != uri {
						t.Errorf("told of %s", got)
					}
					select {
					case <-others:
						t.Error("another workspace was told")
					default:
					}
					return
				case <-again.C:
					site.world.Change(watch.Change{ID: "1", Workspace: "acme", Kind: watch.Clusters})
					site.world.Change(watch.Change{ID: "2", Workspace: "acme", Kind: watch.Brief, Tracker: feedback.GitHub, Ticket: "acme/scanner#31", Revision: 2})
				case <-t.Context().Done():
					t.Fatal("never told")
				}
			}
		})
	}
}

func post(t *testing.T, s site, body, token string, headers map[string]string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// hello opens a session.
const hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`

func TestTheDoor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	token := apitest.ReaderToken("acme")
	for name, c := range map[string]struct {
		token   string
		headers map[string]string
		want    int
	}{
		"a reader":                {token, nil, http.StatusOK},
		"no token":                {"", nil, http.StatusUnauthorized},
		"a wrong token":           {"wrong", nil, http.StatusUnauthorized},
		"a token that only sends": {apitest.IngestToken("acme"), nil, http.StatusForbidden},
		"a browser's cookie":      {"", map[string]string{"Cookie": "throughline_session=" + token}, http.StatusUnauthorized},
		"another site":            {token, map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		"an opaque origin":        {token, map[string]string{"Origin": "null"}, http.StatusForbidden},
		"another site's fetch":    {token, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		"its own page":            {token, map[string]string{"Origin": s.URL}, http.StatusOK},
	} {
		resp := post(t, s, hello, c.token, c.headers)
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.want)
		}
		if c.want == http.StatusOK && (resp.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(resp.Header.Get("Cache-Control"), "private")) {
			t.Errorf("%s: headers %v", name, resp.Header)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/mcp", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Origin", "https://evil.example")
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a GET from another site: %v %v", resp, err)
	}
}

// A client that is refused learns where to read what a token has to be (RFC 9728).
func TestARefusalNamesTheMetadata(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, token := range []string{"", "wrong"} {
		refusal := post(t, s, "{}", token, nil)
		m := regexp.MustCompile(`^Bearer realm="throughline", resource_metadata="([^"]+)"$`).FindStringSubmatch(refusal.Header.Get("WWW-Authenticate"))
		if refusal.StatusCode != http.StatusUnauthorized || m == nil {
			t.Fatalf("token %q: %d, challenge %q", token, refusal.StatusCode, refusal.Header.Get("WWW-Authenticate"))
		}
		resp, err := http.Get(m[1])
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"resource": s.URL + "/mcp", "resource_name": "Throughline", "scopes_supported": []any{"read", "decide"}, "bearer_methods_supported": []any{"header"}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("metadata %v, want %v", got, want)
		}
	}
}

func TestATokenThatAsksTooOftenWaitsAndOthersDoNot(t *testing.T) {
	t.Parallel()
	world := apitest.New()
	world.Fill("acme")
	hub := api.NewHub([]string{"acme", "globex"}, world.Watch)
	endpoint := mcpserver.NewHTTP(mcpserver.Options{Keyring: apitest.Keys("acme", "globex"), Workspaces: []string{"acme", "globex"}, Open: world.Open, Hub: hub,
		Logger: slog.New(slog.DiscardHandler), Random: rand.Reader, Version: "test", SessionTimeout: time.Minute, KeepAlive: time.Second, PublicURL: "https://throughline.example/",
		Pace: mcpserver.Pace{PerSecond: 0.001, Burst: 2}})
	mux := http.NewServeMux()
	endpoint.Register(mux)
	s := site{httptest.NewServer(mux), world}
	t.Cleanup(s.Close)
	for n, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		resp := post(t, s, hello, apitest.ReaderToken("acme"), nil)
		if resp.StatusCode != want || (want == http.StatusTooManyRequests) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("request %d: %d, Retry-After %q", n+1, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	if resp := post(t, s, hello, apitest.ReaderToken("globex"), nil); resp.StatusCode != http.StatusOK {
		t.Errorf("another token: %d", resp.StatusCode)
	}
	if got := post(t, s, hello, "", nil).Header.Get("WWW-Authenticate"); !strings.Contains(got, `"https://throughline.example/.well-known/oauth-protected-resource/mcp"`) {
		t.Errorf("with a public address the challenge is %q", got)
	}
}

// TestIdleStreamsGetComments listens for a brief that does not change.
func TestIdleStreamsGetComments(t *testing.T) {
	t.Parallel()
	s := serve(t)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["`+mcpserver.BriefURI(feedback.Jira, "PROJ-142")+`"]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`))
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"} {
		req.Header.Set(k, v)
	}
	resp, err := (&http.Client{Transport: withToken{token: apitest.ReaderToken("acme")}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen := ""
	buf := make([]byte, 1024)
	for !strings.Contains(seen, ": keep-alive\n\n") {
		n, err := resp.Body.Read(buf)
		seen += string(buf[:n])
		if err != nil {
			t.Fatalf("%d, %v after %q", resp.StatusCode, err, seen)
		}
	}
	if !strings.Contains(seen, "notifications/subscriptions/acknowledged") {
		t.Errorf("%q", seen)
	}
}

// TestStdioOverARunningServer is what "throughline mcp" does: a session over pipes that
// asks the HTTP API of another process.
func TestStdioOverARunningServer(t *testing.T) {
	t.Parallel()
	site := serve(t)
	remote, err := mcpserver.NewRemote(site.URL, apitest.ReaderToken("acme"), site.Client())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- mcpserver.NewWorkspace(remote, offer).ServeStdio(ctx, fromClient, toClient, remote.Watch(ctx))
	}()
	told := make(chan string, 1)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
		select {
		case told <- r.Params.URI:
		default:
		}
	}})
	s, err := client.Connect(ctx, &mcp.IOTransport{Reader: fromServer, Writer: toServer}, &mcp.ClientSessionOptions{ProtocolVersion: eras["legacy"]})
	if err != nil {
		t.Fatal(err)
	}
	here := site.mustConnect(t, "acme", eras["legacy"], nil)
	for tool, args := range map[string]map[string]any{
		"get_ticket_context": {"ticket": "acme/scanner#31"}, "whats_changed": {"ticket": "PROJ-142"}, "search_feedback": {"query": "okta", "limit": 1},
		"list_clusters": {"kind": "bug"}, "list_tickets": {"limit": 2},
	} {
		far, _, h := call(t, s, tool, args)
		near, _, g := call(t, here, tool, args)
		if strings.ReplaceAll(far, h.Fence, "") != strings.ReplaceAll(near, g.Fence, "") {
			t.Errorf("%s: over stdio\n%s\nover HTTP\n%s", tool, far, near)
		}
	}
	if got := refused(t, s, "get_ticket_context", map[string]any{"ticket": "NONE-1"}); !strings.Contains(got, "no ticket") {
		t.Error(got)
	}
	if err := s.Subscribe(ctx, &mcp.SubscribeParams{URI: mcpserver.BriefURI(feedback.Jira, "PROJ-142")}); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for heard := false; !heard; {
		select {
		case <-told:
			heard = true
		case <-again.C:
			site.world.Change(watch.Change{ID: "5", Workspace: "acme", Kind: watch.Brief, Tracker: feedback.Jira, Ticket: "PROJ-142"})
		case <-ctx.Done():
			t.Fatal("never told")
		}
	}
	toServer.Close()
	if err := <-ended; err != nil {
		t.Errorf("the session ended with %v", err)
	}
}

func TestARemoteThatRefuses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "localhost:8080", "ftp://x", "http://"} {
		if _, err := mcpserver.NewRemote(base, "t", http.DefaultClient); err == nil {
			t.Errorf("%q was accepted", base)
		}
	}
	if _, err := mcpserver.NewRemote("http://127.0.0.1:1", "", http.DefaultClient); err == nil {
		t.Error("no token was accepted")
	}
	site := serve(t)
	remote, err := mcpserver.NewRemote(site.URL, apitest.IngestToken("acme"), site.Client())
	if err != nil {
		t.Fatal(err)
	}
	a, b := mcp.NewInMemoryTransports()
	w := mcpserver.NewWorkspace(remote, offer)
	if _, err := w.Connect(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, nil).Connect(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := refused(t, s, "list_clusters", nil); !strings.Contains(got, "does not accept the token") {
		t.Error(got)
	}
}
