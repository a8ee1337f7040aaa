package vendortest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/vendortest"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// client sends requests with one set of credentials.
type client struct {
	t      *testing.T
	base   string
	header map[string]string
}

func start(t *testing.T, s *vendortest.Server, header map[string]string) client {
	t.Helper()
	base, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return client{t, base, header}
}

func (c client) try(method, path, body string) (int, string, error) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

func (c client) do(method, path, body string) (int, string) {
	c.t.Helper()
	status, answer, err := c.try(method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return status, answer
}

func jira(t *testing.T) (*vendortest.Jira, client) {
	site := vendortest.NewJira(vendortest.JiraOptions{Email: "a@b.example", APIToken: "tok", Now: noon})
	site.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "Export fails", Status: "To Do", Category: "new"})
	return site, start(t, site.Server, map[string]string{"Authorization": "Basic YUBiLmV4YW1wbGU6dG9r"})
}

func doc(content string) string {
	return `{"body":{"type":"doc","version":1,"content":[` + content + `]}}`
}

const hello = `{"type":"paragraph","content":[{"type":"text","text":"hello"}]}`

func TestJiraRefuses(t *testing.T) {
	t.Parallel()
	site, c := jira(t)
	for name, body := range map[string]string{
		"plain string":      `{"body":"hello"}`,
		"wrong version":     `{"body":{"type":"doc","version":2,"content":[]}}`,
		"unknown field":     `{"body":{"type":"doc","version":1,"content":[]},"text":"x"}`,
		"unknown attribute": doc(`{"type":"paragraph","style":"x"}`),
		"unknown node":      doc(`{"type":"macro"}`),
		"empty text":        doc(`{"type":"paragraph","content":[{"type":"text","text":""}]}`),
		"text in doc":       doc(`{"type":"text","text":"x"}`),
		"heading level":     doc(`{"type":"heading","attrs":{"level":7},"content":[]}`),
		"empty list":        doc(`{"type":"bulletList","content":[]}`),
		"heading in quote":  doc(`{"type":"blockquote","content":[{"type":"heading","attrs":{"level":1}}]}`),
		"item without text": doc(`{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"bulletList","content":[{"type":"listItem","content":[` + hello + `]}]}]}]}`),
		"strong code":       doc(`{"type":"paragraph","content":[{"type":"text","text":"x","marks":[{"type":"code"},{"type":"strong"}]}]}`),
		"link to nothing":   doc(`{"type":"paragraph","content":[{"type":"text","text":"x","marks":[{"type":"link"}]}]}`),
		"mark in code":      doc(`{"type":"codeBlock","content":[{"type":"text","text":"x","marks":[{"type":"strong"}]}]}`),
		"too long":          doc(`{"type":"paragraph","content":[{"type":"text","text":"` + strings.Repeat("x", 32767) + `"}]}`),
		"not json":          `{`,
	} {
		if status, answer := c.do("POST", "/rest/api/3/issue/PROJ-1/comment", body); status != 400 || !strings.Contains(answer, "errorMessages") {
			t.Errorf("%s: HTTP %d: %s", name, status, answer)
		}
	}
	if n := len(site.Comments("PROJ-1")); n != 0 {
		t.Errorf("%d comments were stored, want none", n)
	}
	if status, _ := c.do("POST", "/rest/api/3/issue/PROJ-9/comment", doc(hello)); status != 404 {
		t.Errorf("comment on a missing issue: HTTP %d", status)
	}
	id := site.AddComment("PROJ-1", "somebody", "mine")
	if status, _ := c.do("PUT", "/rest/api/3/issue/PROJ-1/comment/"+id, doc(hello)); status != 403 {
		t.Errorf("edit of somebody's comment: HTTP %d", status)
	}
	c.header = map[string]string{"Authorization": "Basic eDp5"}
	if status, _ := c.do("GET", "/rest/api/3/myself", ""); status != 401 {
		t.Errorf("wrong credentials: HTTP %d", status)
	}
}

func TestJiraSeesMentions(t *testing.T) {
	t.Parallel()
	site, c := jira(t)
	c.do("POST", "/rest/api/3/issue/PROJ-1/comment", doc(`{"type":"paragraph","content":[{"type":"mention","attrs":{"id":"acc-1"}}]}`))
	if got := site.Comments("PROJ-1"); len(got) != 1 || len(got[0].Mentions) != 1 || got[0].Mentions[0] != "acc-1" {
		t.Fatalf("comments = %+v, want one that mentions acc-1", got)
	}
}

func TestFaultsAndLoss(t *testing.T) {
	t.Parallel()
	site, c := jira(t)
	post := func() int {
		status, _, err := c.try("POST", "/rest/api/3/issue/PROJ-1/comment", doc(hello))
		if err != nil {
			return -1
		}
		return status
	}
	site.FailNext(2, vendortest.JiraLimited("jira-burst-based", time.Second))
	if a, b, ok := post(), post(), post(); a != 429 || b != 429 || ok != 201 {
		t.Errorf("HTTP %d, %d, %d, want 429, 429, 201", a, b, ok)
	}
	site.LoseAnswers(1, func(r *http.Request) bool { return r.Method == "POST" })
	if lost := post(); lost != -1 {
		t.Errorf("HTTP %d, want a cut connection", lost)
	}
	if n := len(site.Comments("PROJ-1")); n != 2 {
		t.Errorf("%d comments, want two: the lost answer's was applied", n)
	}
	site.FailEvery(3, vendortest.Unavailable())
	got := fmt.Sprint(post(), post(), post(), post(), post(), post())
	if got != "201 201 502 201 201 502" {
		t.Errorf("every third: %s", got)
	}
	site.Heal()
	if got := fmt.Sprint(post(), post(), post()); got != "201 201 201" {
		t.Errorf("after Heal: %s", got)
	}
}

func TestHoldAndWritten(t *testing.T) {
	t.Parallel()
	site, c := jira(t)
	gate := site.Hold(func(r *http.Request) bool { return r.Method == "POST" })
	done := make(chan int)
	go func() {
		status, _, _ := c.try("POST", "/rest/api/3/issue/PROJ-1/comment", doc(hello))
		done <- status
	}()
	<-gate.Arrived()
	if n := len(site.Comments("PROJ-1")); n != 0 {
		t.Errorf("%d comments while held, want none", n)
	}
	gate.Release()
	if status := <-done; status != 201 {
		t.Errorf("HTTP %d after release", status)
	}
	status, page := c.do("GET", "/_written", "")
	var got struct{ Tickets []vendortest.Written }
	if err := json.Unmarshal([]byte(page), &got); err != nil || status != 200 {
		t.Fatalf("HTTP %d: %s", status, page)
	}
	if len(got.Tickets) != 1 || len(got.Tickets[0].Blocks) != 1 || got.Tickets[0].Blocks[0].Text != "hello" || !got.Tickets[0].Blocks[0].Own {
		t.Errorf("written = %+v", got.Tickets)
	}
	for _, e := range site.Exchanges() {
		if raw, err := json.Marshal(e); err != nil || strings.Contains(string(raw), "YUBiLmV4YW1wbGU6dG9r") {
			t.Errorf("an exchange holds the credentials: %s", raw)
		}
	}
}

func TestGitHubRefuses(t *testing.T) {
	t.Parallel()
	cloud := vendortest.NewGitHub(vendortest.GitHubOptions{Token: "tok", Now: noon})
	cloud.AddIssue(vendortest.GitHubIssue{Key: "acme/app#1", Title: "Export fails", State: "open"})
	id := cloud.AddComment("acme/app#1", "octocat", "mine")
	good := map[string]string{"Authorization": "Bearer tok", "User-Agent": "x", "X-GitHub-Api-Version": "2022-11-28"}
	c := start(t, cloud.Server, good)
	for name, tc := range map[string]struct {
		method, path, body string
		change             map[string]string
		want               int
	}{
		"token":       {"GET", "/user", "", map[string]string{"Authorization": "Bearer x"}, 401},
		"no agent":    {"GET", "/user", "", map[string]string{"User-Agent": ""}, 403},
		"version":     {"GET", "/user", "", map[string]string{"X-GitHub-Api-Version": "1"}, 400},
		"blank":       {"POST", "/repos/acme/app/issues/1/comments", `{"body":" "}`, nil, 422},
		"too long":    {"POST", "/repos/acme/app/issues/1/comments", `{"body":"` + strings.Repeat("x", 65537) + `"}`, nil, 422},
		"not json":    {"POST", "/repos/acme/app/issues/1/comments", `{`, nil, 400},
		"missing":     {"POST", "/repos/acme/app/issues/2/comments", `{"body":"x"}`, nil, 404},
		"somebody's":  {"PATCH", fmt.Sprintf("/repos/acme/app/issues/comments/%d", id), `{"body":"x"}`, nil, 403},
		"no comment":  {"PATCH", "/repos/acme/app/issues/comments/1", `{"body":"x"}`, nil, 404},
		"other verbs": {"PUT", "/repos/acme/app/issues/1/comments", `{}`, nil, 404},
		"other query": {"POST", "/graphql", `{"query":"query { x }"}`, nil, 200},
	} {
		cc := c
		cc.header = map[string]string{}
		for k, v := range good {
			cc.header[k] = v
		}
		for k, v := range tc.change {
			cc.header[k] = v
		}
		if status, answer := cc.do(tc.method, tc.path, tc.body); status != tc.want {
			t.Errorf("%s: HTTP %d, want %d: %s", name, status, tc.want, answer)
		}
	}
	if got := cloud.Comments("acme/app#1"); len(got) != 1 || got[0].Body != "mine" {
		t.Errorf("comments = %+v, want the one there was", got)
	}
}

func TestLinearRefuses(t *testing.T) {
	t.Parallel()
	cloud, err := vendortest.NewLinear(vendortest.LinearOptions{APIKey: "key", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	issue := cloud.AddIssue(vendortest.LinearIssue{Key: "ENG-1", Title: "Export fails", State: "Todo", StateType: "unstarted"})
	c := start(t, cloud.Server, map[string]string{"Authorization": "key"})
	ask := func(query, name, variables string) string {
		raw, err := json.Marshal(query)
		if err != nil {
			t.Fatal(err)
		}
		_, answer := c.do("POST", "/graphql", fmt.Sprintf(`{"query":%s,"operationName":%q,"variables":%s}`, raw, name, variables))
		return answer
	}
	create := `mutation M($input: CommentCreateInput!) { commentCreate(input: $input) { success comment { id } } }`
	id := "9e7f763f-6ff6-47aa-9fa0-374949baf04a"
	ok := fmt.Sprintf(`{"input":{"id":%q,"issueId":%q,"body":"x"}}`, id, issue)
	for name, tc := range map[string]struct{ query, op, variables, want string }{
		"unknown field":     {`query Q { viewer { secret } }`, "Q", `{}`, "GRAPHQL_VALIDATION_FAILED"},
		"wrong name":        {`query Q { viewer { id } }`, "R", `{}`, "OPERATION_RESOLUTION_FAILURE"},
		"missing variable":  {create, "M", `{}`, "BAD_USER_INPUT"},
		"unknown input":     {create, "M", `{"input":{"issueId":"x","text":"y"}}`, "BAD_USER_INPUT"},
		"wrong type":        {`query Q($id: Int) { issue(id: $id) { id } }`, "Q", `{"id":1}`, "GRAPHQL_VALIDATION_FAILED"},
		"missing issue":     {create, "M", `{"input":{"issueId":"ENG-9","body":"x"}}`, "Entity not found"},
		"empty body":        {create, "M", `{"input":{"issueId":"ENG-1","body":" "}}`, "INPUT_ERROR"},
		"id that is no v4":  {create, "M", `{"input":{"id":"block-1","issueId":"ENG-1","body":"x"}}`, "INPUT_ERROR"},
		"title is required": {`mutation M($input: AttachmentCreateInput!) { attachmentCreate(input: $input) { success } }`, "M", `{"input":{"issueId":"ENG-1","url":"https://x.example"}}`, "BAD_USER_INPUT"},
	} {
		if got := ask(tc.query, tc.op, tc.variables); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if got := ask(create, "M", ok); !strings.Contains(got, `"success":true`) {
		t.Fatal(got)
	}
	if got := ask(create, "M", ok); !strings.Contains(got, "already exists") {
		t.Errorf("second with the same id: %s", got)
	}
	cloud.DeleteComment(id)
	if got := ask(create, "M", ok); !strings.Contains(got, "already exists") || len(cloud.Comments("ENG-1")) != 0 {
		t.Errorf("the id of a deleted comment: %s", got)
	}
	c.header = nil
	if got := ask(create, "M", ok); !strings.Contains(got, "AUTHENTICATION_ERROR") {
		t.Errorf("without a key: %s", got)
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	cloud := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb", Now: noon, MissingScopes: []string{"team:read"}})
	cloud.AddChannel("C1", "product")
	cloud.AddUser(vendortest.SlackUser{ID: "U1", Name: "ann", RealName: "Ann", Email: "ann@acme.example"})
	c := start(t, cloud.Server, map[string]string{"Authorization": "Bearer xoxb"})
	section := func(n int) string {
		return `{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("x", n) + `"}}`
	}
	repeat := func(b string, n int) string { return strings.TrimSuffix(strings.Repeat(b+",", n), ",") }
	for name, tc := range map[string]struct{ method, body, want string }{
		"no channel":     {"chat.postMessage", `{"channel":"C9","text":"x"}`, "channel_not_found"},
		"no text":        {"chat.postMessage", `{"channel":"C1"}`, "no_text"},
		"51 blocks":      {"chat.postMessage", `{"channel":"C1","blocks":[` + repeat(section(1), 51) + `]}`, "invalid_blocks"},
		"long section":   {"chat.postMessage", `{"channel":"C1","blocks":[` + section(3001) + `]}`, "invalid_blocks"},
		"long in all":    {"chat.postMessage", `{"channel":"C1","blocks":[` + repeat(section(2900), 5) + `]}`, "msg_blocks_too_long"},
		"unknown block":  {"chat.postMessage", `{"channel":"C1","blocks":[{"type":"x"}]}`, "invalid_blocks"},
		"unknown ts":     {"chat.update", `{"channel":"C1","ts":"1.0","text":"x"}`, "message_not_found"},
		"unknown user":   {"users.info", `{"user":"U9"}`, "user_not_found"},
		"missing scope":  {"team.info", `{}`, "missing_scope"},
		"unknown method": {"chat.shout", `{}`, "unknown_method"},
	} {
		if status, got := c.do("POST", "/api/"+tc.method, tc.body); status != 200 || !strings.Contains(got, `"error":"`+tc.want+`"`) || !strings.Contains(got, `"ok":false`) {
			t.Errorf("%s: HTTP %d: %s, want %s", name, status, got, tc.want)
		}
	}
	parent := cloud.AddMessage("C1", vendortest.SlackMessage{User: "U1", Text: "one"})
	cloud.AddMessage("C1", vendortest.SlackMessage{User: "U1", Text: "reply", ThreadTS: parent})
	for i := range 3 {
		cloud.AddMessage("C1", vendortest.SlackMessage{User: "U1", Text: fmt.Sprint("more ", i)})
	}
	if _, got := c.do("POST", "/api/chat.postMessage", `{"channel":"C1","text":"ours"}`); !strings.Contains(got, `"ok":true`) {
		t.Fatal(got)
	}
	var texts []string
	for cursor := ""; ; {
		_, raw := c.do("GET", "/api/conversations.history?channel=C1&limit=2&cursor="+cursor, "")
		var page struct {
			OK       bool
			Messages []struct{ Text string }
			HasMore  bool `json:"has_more"`
			Metadata struct {
				Next string `json:"next_cursor"`
			} `json:"response_metadata"`
		}
		if err := json.Unmarshal([]byte(raw), &page); err != nil || !page.OK {
			t.Fatalf("%s: %v", raw, err)
		}
		for _, m := range page.Messages {
			texts = append(texts, m.Text)
		}
		if !page.HasMore {
			break
		}
		cursor = page.Metadata.Next
	}
	if got, want := strings.Join(texts, ","), "ours,more 2,more 1,more 0,one"; got != want {
		t.Errorf("history = %s, want %s", got, want)
	}
	if _, got := c.do("GET", "/api/conversations.replies?channel=C1&ts="+parent, ""); !strings.Contains(got, `"reply"`) || !strings.Contains(got, `"one"`) || strings.Contains(got, `"more `) {
		t.Errorf("replies = %s", got)
	}
	if _, got := c.do("GET", "/api/conversations.history?channel=C1&limit=1&inclusive=true&latest="+parent, ""); !strings.Contains(got, `"one"`) || strings.Contains(got, `"more `) {
		t.Errorf("one message = %s", got)
	}
	if _, got := c.do("GET", "/api/users.info?user=U1", ""); !strings.Contains(got, "ann@acme.example") {
		t.Errorf("user = %s", got)
	}
	c.header = nil
	if _, got := c.do("POST", "/api/auth.test", "{}"); !strings.Contains(got, "not_authed") {
		t.Errorf("without a token: %s", got)
	}
}
