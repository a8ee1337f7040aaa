package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

const description = "../../../../schemas/openapi/openapi.json"

type site struct {
	*httptest.Server
	api   *api.API
	world *apitest.World
	log   *bytes.Buffer
}

func serve(t *testing.T) site {
	t.Helper()
	world := apitest.New()
	world.Fill("acme")
	hub := api.NewHub([]string{"acme", "globex"}, world.Watch)
	log := new(bytes.Buffer)
	a := api.New(api.Options{Keyring: apitest.Keys("acme", "globex"), Open: world.Open, Hub: hub, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Now: func() time.Time { return apitest.Now }, Random: rand.Reader, KeepAlive: 20 * time.Millisecond})
	mux := http.NewServeMux()
	a.Register(mux)
	s := site{httptest.NewServer(mux), a, world, log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s site) do(t *testing.T, method, path, token, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func into[T any](t *testing.T, r *http.Response) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (s site) firstCluster(t *testing.T) string {
	t.Helper()
	return into[api.List[read.Cluster]](t, s.do(t, "GET", "/v1/clusters?limit=1", apitest.Token("acme"), "")).Items[0].ID
}

type openAPI struct {
	Paths map[string]map[string]struct {
		Scope     string `json:"x-scope"`
		ServedBy  string `json:"x-served-by"`
		Responses map[string]struct {
			Content map[string]any `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
}

func described(t *testing.T) (openAPI, *jsonschema.Compiler) {
	t.Helper()
	b, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	var d openAPI
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return d, c
}

func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	d, _ := described(t)
	ours := map[string]bool{}
	for _, r := range serve(t).api.Routes() {
		ours[r.Method+" "+r.Path] = true
		op, ok := d.Paths[r.Path][strings.ToLower(r.Method)]
		if !ok || op.ServedBy != "context-publisher" {
			t.Errorf("%s %s is not described as ours", r.Method, r.Path)
		}
		if op.Scope != string(r.Scope) {
			t.Errorf("%s %s needs %s, described as %s", r.Method, r.Path, r.Scope, op.Scope)
		}
	}
	for path, ops := range d.Paths {
		for method, op := range ops {
			if key := strings.ToUpper(method) + " " + path; op.ServedBy == "context-publisher" && !ours[key] {
				t.Errorf("%s is described and not served", key)
			}
		}
	}
}

// TestAnswersAreAsDescribed asks every route for every status it documents and validates
// the answers against the schema of that status.
func TestAnswersAreAsDescribed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	d, schemas := described(t)
	id := s.firstCluster(t)
	item := into[api.List[read.Item]](t, s.do(t, "GET", "/v1/feedback?limit=1", apitest.Token("acme"), "")).Items[0].ID
	other := into[api.List[read.Cluster]](t, s.do(t, "GET", "/v1/clusters?limit=2", apitest.Token("acme"), "")).Items[1].ID
	decision := into[feedback.Decision](t, s.do(t, "POST", "/v1/clusters/"+id+"/decisions", apitest.Token("acme"), `{"action":"ignore"}`)).ID
	etag := s.do(t, "GET", "/v1/tickets/jira/PROJ-142/brief", apitest.Token("acme"), "").Header.Get("ETag")
	for _, c := range []struct {
		route, method, path, body string
		status                    int
		headers                   []string
	}{
		{"/v1/clusters", "GET", "/v1/clusters", "", 200, nil},
		{"/v1/clusters", "GET", "/v1/clusters?kind=bug&q=ROWS&status=in_progress", "", 200, nil},
		{"/v1/clusters", "GET", "/v1/clusters?source=slack&segment=enterprise&area=export&since=2026-11-01", "", 200, nil},
		{"/v1/clusters", "GET", "/v1/clusters?source=fax", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?since=lately", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?limit=0", "", 400, nil},
		{"/v1/audit", "GET", "/v1/audit", "", 403, nil},
		{"/v1/audit", "GET", "/v1/audit", "", 200, []string{"Authorization", "Bearer " + apitest.BossToken("acme")}},
		{"/v1/audit", "GET", "/v1/audit?limit=0", "", 400, []string{"Authorization", "Bearer " + apitest.BossToken("acme")}},
		{"/v1/clusters", "GET", "/v1/clusters?limit=201", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?limit=x", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?kind=rant", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?status=lost", "", 400, nil},
		{"/v1/clusters", "GET", "/v1/clusters?cursor=!!", "", 400, nil},
		{"/v1/clusters/{id}", "GET", "/v1/clusters/" + id, "", 200, nil},
		{"/v1/clusters/{id}", "GET", "/v1/clusters/clu_none", "", 404, nil},
		{"/v1/clusters/{id}/signals", "GET", "/v1/clusters/" + id + "/signals?limit=2", "", 200, nil},
		{"/v1/clusters/{id}/signals", "GET", "/v1/clusters/" + id + "/signals?limit=999", "", 400, nil},
		{"/v1/clusters/{id}/signals", "GET", "/v1/clusters/clu_none/signals", "", 404, nil},
		{"/v1/clusters/{id}/history", "GET", "/v1/clusters/" + id + "/history", "", 200, nil},
		{"/v1/clusters/{id}/history", "GET", "/v1/clusters/clu_none/history", "", 404, nil},
		{"/v1/clusters/{id}/explain", "GET", "/v1/clusters/" + id + "/explain", "", 200, nil},
		{"/v1/clusters/{id}/explain", "GET", "/v1/clusters/clu_none/explain", "", 404, nil},
		{"/v1/clusters/{id}/ranks", "GET", "/v1/clusters/" + id + "/ranks", "", 200, nil},
		{"/v1/clusters/{id}/ranks", "GET", "/v1/clusters/clu_none/ranks", "", 404, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"rename","name":"Better","reason":"clear"}`, 202, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"merge","into":"` + other + `"}`, 202, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"merge","into":"` + id + `"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"merge","into":"clu_none"}`, 422, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"explode"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"split"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"ignore","name":"x"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"ignore","by":"me"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"ignore"}{}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `[`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/" + id + "/decisions", `{"action":"ignore","reason":"` + strings.Repeat("x", 70000) + `"}`, 400, nil},
		{"/v1/clusters/{id}/decisions", "POST", "/v1/clusters/clu_none/decisions", `{"action":"ignore"}`, 404, nil},
		{"/v1/decisions/{id}", "DELETE", "/v1/decisions/" + decision, "", 202, nil},
		{"/v1/decisions/{id}", "DELETE", "/v1/decisions/dec_none", "", 404, nil},
		{"/v1/feedback", "GET", "/v1/feedback?q=OKTA&since=2026-01-01", "", 200, nil},
		{"/v1/feedback", "GET", "/v1/feedback?since=yesterday", "", 400, nil},
		{"/v1/feedback", "GET", "/v1/feedback?source=fax", "", 400, nil},
		{"/v1/feedback/{id}", "GET", "/v1/feedback/" + item, "", 200, nil},
		{"/v1/feedback/{id}", "GET", "/v1/feedback/itm_none", "", 404, nil},
		{"/v1/tickets", "GET", "/v1/tickets?limit=2", "", 200, nil},
		{"/v1/tickets", "GET", "/v1/tickets?cursor=none", "", 400, nil},
		{"/v1/tickets/{tracker}/{key}", "GET", "/v1/tickets/jira/PROJ-142", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}", "GET", "/v1/tickets/github/acme%2Fscanner%2331", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}", "GET", "/v1/tickets/trello/X-1", "", 404, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief?since=1", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief?since=pickup&budget_tokens=250", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/github/acme%2Fscanner%2331/brief?revision=1", "", 200, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief", "", 304, []string{"If-None-Match", `"x", W/` + etag}},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief?since=-1", "", 400, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/PROJ-142/brief?budget_tokens=2", "", 400, nil},
		{"/v1/tickets/{tracker}/{key}/brief", "GET", "/v1/tickets/jira/NONE-1/brief", "", 404, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/github/acme%2Fscanner%2331/attachments", `{"action":"pin","cluster":"` + id + `"}`, 202, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/jira/PROJ-142/attachments", `{"action":"reject","signal":"sig_1"}`, 202, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/jira/PROJ-142/attachments", `{"action":"pin","cluster":"` + id + `","signal":"sig_1"}`, 400, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/jira/PROJ-142/attachments", `{"action":"merge","cluster":"` + id + `"}`, 400, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/jira/PROJ-142/attachments", `{"action":"pin","cluster":"clu_none"}`, 422, nil},
		{"/v1/tickets/{tracker}/{key}/attachments", "POST", "/v1/tickets/jira/NONE-1/attachments", `{"action":"pin","cluster":"` + id + `"}`, 404, nil},
		{"/v1/digests/{date}", "GET", "/v1/digests/2026-11-22", "", 200, nil},
		{"/v1/digests/{date}", "GET", "/v1/digests/2026-11-23", "", 404, nil},
		{"/v1/digests/{date}", "GET", "/v1/digests/today", "", 200, nil},
		{"/v1/digests/{date}", "GET", "/v1/digests/yesterday", "", 400, nil},
	} {
		resp := s.do(t, c.method, c.path, apitest.Token("acme"), c.body, c.headers...)
		body := text(t, resp)
		name := fmt.Sprintf("%s %s %.80s", c.method, c.path, c.body)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %s", name, resp.StatusCode, c.status, body)
			continue
		}
		if _, ok := d.Paths[c.route][strings.ToLower(c.method)].Responses[fmt.Sprint(c.status)]; !ok {
			t.Errorf("%s: %d is not described", name, c.status)
			continue
		}
		if c.status == http.StatusNotModified {
			continue
		}
		pointer := "openapi.json#/components/schemas/Problem"
		kind := "application/problem+json"
		if c.status < 400 {
			escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
			pointer = fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/application~1json/schema", escape.Replace(c.route), strings.ToLower(c.method), c.status)
			kind = "application/json"
		}
		if got := resp.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: content type %s", name, got)
		}
		schema, err := schemas.Compile(pointer)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v\n%.600s", name, err, body)
		}
		if cache := resp.Header.Get("Cache-Control"); !strings.Contains(cache, "private") && cache != "no-store" {
			t.Errorf("%s: Cache-Control %q", name, cache)
		}
	}
	if s.log.Len() > 0 {
		t.Errorf("logged: %s", s.log)
	}
}

func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, r := range s.api.Routes() {
		path := strings.NewReplacer("{id}", "x", "{tracker}", "jira", "{key}", "X-1", "{date}", "2026-11-22").Replace(r.Path)
		for token, want := range map[string]int{"": 401, "wrong": 401, apitest.IngestToken("acme"): 403} {
			if got := s.do(t, r.Method, path, token, "{}").StatusCode; got != want {
				t.Errorf("%s %s with %q: %d, want %d", r.Method, path, token, got, want)
			}
		}
		if got := s.do(t, r.Method, path, apitest.ReaderToken("acme"), "{}").StatusCode; r.Scope == "decide" && got != 403 {
			t.Errorf("%s %s by a reader: %d", r.Method, path, got)
		}
		if r.Method != "GET" {
			if got := s.do(t, r.Method, path, apitest.Token("acme"), "{}", "Origin", "https://evil.example").StatusCode; got != 403 {
				t.Errorf("%s %s from another site: %d", r.Method, path, got)
			}
		}
	}
}

func TestAnotherWorkspaceIsAbsent(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.firstCluster(t)
	item := into[api.List[read.Item]](t, s.do(t, "GET", "/v1/feedback?limit=1", apitest.Token("acme"), "")).Items[0].ID
	for _, c := range [][3]string{
		{"GET", "/v1/clusters/" + id, ""}, {"GET", "/v1/clusters/" + id + "/signals", ""}, {"GET", "/v1/clusters/" + id + "/history", ""},
		{"GET", "/v1/feedback/" + item, ""}, {"GET", "/v1/tickets/jira/PROJ-142", ""}, {"GET", "/v1/tickets/jira/PROJ-142/brief", ""},
		{"GET", "/v1/digests/2026-11-22", ""}, {"POST", "/v1/clusters/" + id + "/decisions", `{"action":"ignore"}`},
		{"POST", "/v1/tickets/jira/PROJ-142/attachments", `{"action":"pin","cluster":"` + id + `"}`},
		{"DELETE", "/v1/decisions/" + s.world.Workspace("acme").Decisions()[0].ID, ""},
	} {
		resp := s.do(t, c[0], c[1], apitest.Token("globex"), c[2])
		if body := text(t, resp); resp.StatusCode != 404 || strings.Contains(body, id) {
			t.Errorf("%v: %d %s", c, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/v1/clusters", "/v1/feedback", "/v1/tickets"} {
		if l := into[api.List[any]](t, s.do(t, "GET", path, apitest.Token("globex"), "")); len(l.Items) != 0 {
			t.Errorf("%s: %d items", path, len(l.Items))
		}
	}
	if n := len(s.world.Workspace("acme").Decisions()); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

func TestADigestInEveryFormat(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for accept, want := range map[string][2]string{
		"text/markdown":                     {"text/markdown; charset=utf-8", "# What customers said, 2026-11-22"},
		"text/html,application/xml;q=0.9":   {"text/html; charset=utf-8", "<h1>What customers said, 2026-11-22</h1>"},
		"application/vnd.slack+json":        {"application/json", `"type":"header"`},
		"application/json, text/html;q=0.2": {"application/json", `"date":"2026-11-22"`},
		"*/*":                               {"application/json", `"date":"2026-11-22"`},
	} {
		resp := s.do(t, "GET", "/v1/digests/today", apitest.Token("acme"), "", "Accept", accept)
		if body := text(t, resp); resp.Header.Get("Content-Type") != want[0] || !strings.Contains(body, want[1]) {
			t.Errorf("%s: %s %.300s", accept, resp.Header.Get("Content-Type"), body)
		}
	}
}

// broken fails every list of tickets with err.
type broken struct {
	api.Workspace
	err error
}

func (b broken) Tickets(context.Context, int, string) (read.Page[read.TicketHead], error) {
	return read.Page[read.TicketHead]{}, b.err
}

func TestAFailureSaysNothingOfItself(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{500: errors.New("secret detail"), 503: bus.Unavailable(errors.New("secret detail"))} {
		world, log := apitest.New(), new(bytes.Buffer)
		a := api.New(api.Options{Keyring: apitest.Keys("acme"), Open: func(w string) api.Workspace { return broken{world.Open(w), err} }, Hub: api.NewHub(nil, world.Watch),
			Logger: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now, Random: rand.Reader, KeepAlive: time.Second})
		mux := http.NewServeMux()
		a.Register(mux)
		s := site{Server: httptest.NewServer(mux)}
		t.Cleanup(s.Close)
		resp := s.do(t, "GET", "/v1/tickets", apitest.Token("acme"), "")
		if body := text(t, resp); resp.StatusCode != want || strings.Contains(body, "secret") || !strings.Contains(log.String(), "secret detail") {
			t.Errorf("%d, want %d: %s, logged %s", resp.StatusCode, want, body, log)
		}
	}
}

func TestPagesCoverTheListOnce(t *testing.T) {
	t.Parallel()
	s := serve(t)
	seen := map[string]bool{}
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		l := into[api.List[read.Cluster]](t, s.do(t, "GET", "/v1/clusters?limit=3&cursor="+url.QueryEscape(cursor), apitest.Token("acme"), ""))
		for _, c := range l.Items {
			if seen[c.ID] {
				t.Errorf("%s twice", c.ID)
			}
			seen[c.ID] = true
		}
		cursor = l.NextCursor
	}
	if len(seen) != 8 {
		t.Errorf("%d clusters", len(seen))
	}
}

func TestBriefAsMarkdown(t *testing.T) {
	t.Parallel()
	s := serve(t)
	resp := s.do(t, "GET", "/v1/tickets/jira/PROJ-142/brief?since=pickup", apitest.Token("acme"), "", "Accept", "text/markdown, application/json;q=0.5")
	body := text(t, resp)
	if resp.Header.Get("Content-Type") != "text/markdown; charset=utf-8" || !strings.Contains(body, "What changed since revision 1") {
		t.Fatalf("%s\n%s", resp.Header.Get("Content-Type"), body)
	}
	for line := range strings.SplitSeq(body, "\n") {
		if strings.Contains(line, "Ignore previous instructions") && !strings.HasPrefix(line, "> ") {
			t.Errorf("customer words outside a quote: %q", line)
		}
	}
	if other := s.do(t, "GET", "/v1/tickets/jira/PROJ-142/brief?since=pickup", apitest.Token("acme"), "").Header.Get("ETag"); other == resp.Header.Get("ETag") {
		t.Error("JSON and Markdown have the same ETag")
	}
}

func TestADecisionIsTakenOnceAndUndone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.firstCluster(t)
	var first feedback.Decision
	for range 2 {
		d := into[feedback.Decision](t, s.do(t, "POST", "/v1/clusters/"+id+"/decisions", apitest.Token("acme"), `{"action":"rename","name":"Exports"}`, "Idempotency-Key", "k1"))
		if first.ID != "" && d.ID != first.ID {
			t.Errorf("%s and %s", first.ID, d.ID)
		}
		first = d
	}
	if first.By != "maya" || !first.At.Equal(apitest.Now) || first.Workspace != "acme" {
		t.Errorf("%+v", first)
	}
	if n := len(s.world.Workspace("acme").Decisions()); n != 2 {
		t.Errorf("%d decisions", n)
	}
	if undo := into[feedback.Decision](t, s.do(t, "DELETE", "/v1/decisions/"+first.ID, apitest.Token("acme"), "")); undo.Undoes != first.ID {
		t.Errorf("%+v", undo)
	}
}

// stream opens /v1/events and returns its blocks of lines.
func (s site) stream(t *testing.T, token, last string) <-chan string {
	t.Helper()
	resp := s.do(t, "GET", "/v1/events", token, "", "Last-Event-ID", last)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	blocks := make(chan string, 100)
	go func() {
		defer close(blocks)
		block := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if lines.Text() == "" {
				blocks <- block
				block = ""
				continue
			}
			block += lines.Text() + "\n"
		}
	}()
	<-blocks // retry and the first comment
	return blocks
}

func next(t *testing.T, blocks <-chan string) string {
	t.Helper()
	for block := range blocks {
		if !strings.HasPrefix(block, ":") {
			return block
		}
	}
	t.Fatal("the stream ended")
	return ""
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, w := range []string{"acme", "globex"} {
		for s.world.Watched(w) == 0 { // the hub begins in its own goroutine
			select {
			case <-t.Context().Done():
				t.Fatal("nobody watches")
			case <-time.After(time.Millisecond):
			}
		}
	}
	mine, others := s.stream(t, apitest.ReaderToken("acme"), ""), s.stream(t, apitest.ReaderToken("globex"), "")
	change := func(workspace, id, ticket string) {
		s.world.Change(watch.Change{ID: id, Workspace: workspace, Kind: watch.Brief, Tracker: feedback.Jira, Ticket: ticket})
	}
	for i := 1; i <= 3; i++ {
		change("acme", fmt.Sprint(i), fmt.Sprintf("PROJ-%d", i))
	}
	change("globex", "9", "GLO-9")
	for i := 1; i <= 3; i++ {
		if got := next(t, mine); !strings.HasPrefix(got, fmt.Sprintf("id: brief.revised:%d\nevent: brief.revised\ndata: {", i)) {
			t.Errorf("event %d: %s", i, got)
		}
	}
	if got := next(t, others); !strings.Contains(got, "GLO-9") {
		t.Errorf("globex was told %s", got)
	}
	again := s.stream(t, apitest.ReaderToken("acme"), "brief.revised:1")
	for i := 2; i <= 3; i++ {
		if got := next(t, again); !strings.Contains(got, fmt.Sprintf("PROJ-%d", i)) {
			t.Errorf("missed %d: %s", i, got)
		}
	}
	if got := next(t, s.stream(t, apitest.ReaderToken("acme"), "brief.revised:77")); !strings.HasPrefix(got, "event: reset") {
		t.Errorf("after an unknown event: %s", got)
	}
	for block := range mine {
		if block == ": keep-alive\n" {
			return
		}
	}
	t.Error("an idle stream got no comment")
}
