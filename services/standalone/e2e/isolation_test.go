package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// rival is a second workspace beside the demo's, with a token that may do everything there
// and a connection of its own. Metrics ask for a token that no workspace has.
var rival = with(
	"RIVAL_TOKEN="+rivalToken, "RIVAL_SECRET=rival-signing-secret", "E2E_METRICS_TOKEN="+metricsToken,
	"THROUGHLINE_METRICS_TOKEN=env:E2E_METRICS_TOKEN",
	"THROUGHLINE_WORKSPACES_1_ID=rival",
	"THROUGHLINE_WORKSPACES_1_API_TOKENS_0_NAME=intruder", "THROUGHLINE_WORKSPACES_1_API_TOKENS_0_TOKEN=env:RIVAL_TOKEN",
	"THROUGHLINE_WORKSPACES_1_API_TOKENS_0_SCOPES=read,ingest,decide,administer",
	"THROUGHLINE_WORKSPACES_1_CONNECTIONS_0_ID=rival-slack", "THROUGHLINE_WORKSPACES_1_CONNECTIONS_0_TYPE=slack",
	"THROUGHLINE_WORKSPACES_1_CONNECTIONS_0_SIGNING_SECRET=env:RIVAL_SECRET",
)

const (
	rivalToken   = "token-of-the-rival-workspace"
	metricsToken = "token-of-the-operator"
)

// marks are words that only the first workspace's customers, accounts and tickets have.
var marks = []string{"zanzibar", "gruffalo", "Ottilie", "ottilie@heron.example", "Heronworks", "PLAY-101", "demo-slack", "demo-jira"}

// things are what the first workspace has one of, by name, or in their place what nobody has.
type things map[string]string

// fill puts its things in: t:name becomes the thing of that name.
func (x things) fill(text string) string {
	for _, name := range slices.Sorted(maps.Keys(x)) {
		text = strings.ReplaceAll(text, "t:"+name+";", x[name])
	}
	return text
}

// hide takes its things out of an answer, so that two answers can be compared that differ in
// what was asked for and must not differ in anything else.
func (x things) hide(text string) string {
	names := slices.SortedFunc(maps.Keys(x), func(a, b string) int { return cmp.Compare(len(x[b]), len(x[a])) })
	for _, name := range names {
		if len(x[name]) < 6 {
			continue // a number that stands for itself
		}
		for _, form := range []string{x[name], url.PathEscape(x[name]), url.QueryEscape(x[name])} {
			text = strings.ReplaceAll(text, form, "{"+name+"}")
		}
	}
	return regexp.MustCompile(`[0-9a-f]{16}`).ReplaceAllString(text, "{random}") // the delimiters of fences
}

// nobodys are things of the right form that are nowhere.
var nobodys = things{
	"cluster": "clu_aaaaaaaaaaaaaaaaaaaaaaaaaa", "other": "clu_bbbbbbbbbbbbbbbbbbbbbbbbbb", "signal": "sig_aaaaaaaaaaaaaaaaaaaaaaaaaa",
	"item": "itm_aaaaaaaaaaaaaaaaaaaaaaaaaa", "customer": "cus_aaaaaaaaaaaaaaaaaaaaaaaaaa", "email": "nobody@nowhere.example",
	"decision": "dec_aaaaaaaaaaaaaaaaaaaaaaaaaa", "letter": "999999", "ticket": "PLAY-999", "connection": "demo-nothing",
}

// attempt is how a route is tried with what another workspace has.
type attempt struct {
	path string // with the things in it
	body string // JSON, or a form
	form bool
	// own is a route that answers with what the asker has: nothing of the first may be in it.
	own bool
	// elsewhere says which part of this test tries the route, or why there is nothing to try.
	elsewhere string
}

// attempts are all routes that there are: those of the OpenAPI document, of the sources and of
// the page. A route that is missing here fails the test.
var attempts = map[string]attempt{
	"GET /v1/clusters":                             {path: "/v1/clusters?limit=200&q=export", own: true},
	"GET /v1/clusters/{id}":                        {path: "/v1/clusters/t:cluster;"},
	"GET /v1/clusters/{id}/signals":                {path: "/v1/clusters/t:cluster;/signals"},
	"GET /v1/clusters/{id}/history":                {path: "/v1/clusters/t:cluster;/history"},
	"GET /v1/clusters/{id}/explain":                {path: "/v1/clusters/t:cluster;/explain"},
	"GET /v1/clusters/{id}/ranks":                  {path: "/v1/clusters/t:cluster;/ranks"},
	"POST /v1/clusters/{id}/decisions":             {path: "/v1/clusters/t:cluster;/decisions", body: `{"action":"merge","into":"t:other;","reason":"mine"}`},
	"DELETE /v1/decisions/{id}":                    {path: "/v1/decisions/t:decision;"},
	"POST /v1/signals/{id}/correction":             {path: "/v1/signals/t:signal;/correction", body: `{"kind":"praise"}`},
	"GET /v1/corrections":                          {path: "/v1/corrections", own: true},
	"GET /v1/feedback":                             {path: "/v1/feedback?limit=200", own: true},
	"POST /v1/feedback":                            {path: "/v1/feedback", body: `[{"id":"f1","text":"Our own words: the export is slow.","author":{"id":"u1","name":"Own","email":"own@rival.example"}}]`, own: true},
	"GET /v1/feedback/{id}":                        {path: "/v1/feedback/t:item;"},
	"DELETE /v1/feedback/{id}":                     {path: "/v1/feedback/t:item;"},
	"GET /v1/tickets":                              {path: "/v1/tickets", own: true},
	"GET /v1/tickets/{tracker}/{key}":              {path: "/v1/tickets/jira/t:ticket;"},
	"GET /v1/tickets/{tracker}/{key}/brief":        {path: "/v1/tickets/jira/t:ticket;/brief?since=pickup"},
	"POST /v1/tickets/{tracker}/{key}/attachments": {path: "/v1/tickets/jira/t:ticket;/attachments", body: `{"action":"pin","cluster":"t:cluster;","reason":"mine"}`},
	"GET /v1/digests/{date}":                       {path: "/v1/digests/" + at.Format("2006-01-02"), own: true},
	"GET /v1/audit":                                {path: "/v1/audit", own: true},
	"GET /v1/events":                               {elsewhere: "nothing is told of the first's events"},
	"GET /v1/accounts":                             {path: "/v1/accounts", own: true},
	"PUT /v1/accounts":                             {path: "/v1/accounts", body: `[{"id":"7","name":"Mine","domains":["heron.example"],"value":1}]`, own: true},
	"GET /v1/connections":                          {path: "/v1/connections", own: true},
	"GET /v1/dead-letters":                         {path: "/v1/dead-letters?cursor=0", own: true},
	"GET /v1/dead-letters/{id}":                    {path: "/v1/dead-letters/t:letter;"},
	"DELETE /v1/dead-letters/{id}":                 {path: "/v1/dead-letters/t:letter;"},
	"POST /v1/dead-letters/{id}/retry":             {path: "/v1/dead-letters/t:letter;/retry"},
	"DELETE /v1/customers/{id}":                    {path: "/v1/customers/t:customer;"},
	"GET /v1/customers/{id}/erasure":               {path: "/v1/customers/t:email;/erasure"},
	"GET /v1/connections/{id}/backfill":            {path: "/v1/connections/t:connection;/backfill"},
	"POST /v1/connections/{id}/backfill":           {path: "/v1/connections/t:connection;/backfill", body: `{"since":"2026-01-01T00:00:00Z"}`},
	"GET /v1/export/{what}":                        {path: "/v1/export/items?format=csv", own: true},
	"GET /v1/replay":                               {path: "/v1/replay", own: true},
	"POST /v1/replay":                              {path: "/v1/replay", body: `{"from":"2020-01-01T00:00:00Z"}`, own: true},
	"GET /v1/retention":                            {path: "/v1/retention", own: true},
	"POST /webhooks/{connection}":                  {elsewhere: "a delivery signed with another connection's secret"},
	"/webhooks/{connection}":                       {elsewhere: "a delivery signed with another connection's secret"},
	"/mcp":                                         {elsewhere: "over MCP"},
	"GET /healthz":                                 {path: "/healthz", own: true},
	"GET /readyz":                                  {path: "/readyz", own: true},
	"GET /metrics":                                 {elsewhere: "metrics"},
	"GET /{$}":                                     {path: "/?q=export", own: true},
	"GET /clusters/{id}":                           {path: "/clusters/t:cluster;"},
	"GET /clusters/{id}/why":                       {path: "/clusters/t:cluster;/why"},
	"POST /clusters/{id}/decisions":                {path: "/clusters/t:cluster;/decisions", body: "action=merge&into=t:other;&back=/", form: true},
	"POST /signals/{id}/correction":                {path: "/signals/t:signal;/correction", body: "kind=praise&back=/", form: true},
	"POST /decisions/{id}/undo":                    {path: "/decisions/t:decision;/undo", body: "back=/", form: true},
	"GET /tickets":                                 {path: "/tickets", own: true},
	"GET /tickets/{tracker}/{key}":                 {path: "/tickets/jira/t:ticket;"},
	"GET /tickets/{tracker}/{key}/compare":         {path: "/tickets/jira/t:ticket;/compare?from=1&to=2"},
	"POST /tickets/{tracker}/{key}/attachments":    {path: "/tickets/jira/t:ticket;/attachments", body: "action=pin&cluster=t:cluster;&back=/", form: true},
	"GET /feedback":                                {path: "/feedback?q=own", own: true},
	"GET /feedback/{id}":                           {path: "/feedback/t:item;"},
	"GET /inbox":                                   {path: "/inbox", own: true},
	"GET /quality":                                 {path: "/quality", own: true},
	"GET /decisions":                               {path: "/decisions", own: true},
	"GET /connections":                             {path: "/connections", own: true},
	"GET /operations":                              {path: "/operations", own: true},
	"GET /digest":                                  {path: "/digest", own: true},
	"GET /digest/{date}":                           {path: "/digest/" + at.Format("2006-01-02"), own: true},
	"GET /audit":                                   {path: "/audit", own: true},
	"POST /workspace":                              {path: "/workspace", body: "workspace=demo", form: true, own: true},
	"GET /login":                                   {path: "/login?next=/clusters/x", own: true},
	"POST /login":                                  {elsewhere: "everybody's way in; pkg/access has its tests"},
	"POST /logout":                                 {elsewhere: "ends the session that asks"},
	"GET /assets/{file}":                           {path: "/assets/page.js", own: true},
	"GET /login/openid":                            {elsewhere: "not there without a provider"},
	"GET openid.CallbackPath":                      {elsewhere: "not there without a provider"},
	"GET /login/callback":                          {elsewhere: "not there without a provider"},
	"GET path":                                     {path: "/.well-known/oauth-protected-resource", own: true},
}

// caller is somebody with what they show.
type caller struct {
	name   string
	url    string
	header http.Header
}

type reply struct {
	status int
	header http.Header
	body   string
}

// seen is what an asker can tell one answer from another by.
func (r reply) seen(x things) string {
	out := fmt.Sprintln(r.status)
	for _, name := range []string{"Content-Type", "Location", "Www-Authenticate", "Etag", "Retry-After", "Allow", "Set-Cookie"} {
		out += name + ": " + strings.Join(r.header.Values(name), ",") + "\n"
	}
	return x.hide(out + r.body)
}

func (c caller) ask(t *testing.T, method, path, contentType, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(deadline(t), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = c.header.Clone()
	if body != "" {
		r.Header.Set("Content-Type", contentType)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// try asks a route for the things given.
func (c caller) try(t *testing.T, route string, a attempt, x things) reply {
	t.Helper()
	method, _, ok := strings.Cut(route, " ")
	if !ok {
		method = http.MethodGet
	}
	contentType := "application/json"
	if a.form {
		contentType = "application/x-www-form-urlencoded"
	}
	return c.ask(t, method, x.fill(a.path), contentType, x.fill(a.body))
}

func withToken(url, token string) caller {
	return caller{name: "with a token", url: url, header: http.Header{"Authorization": {"Bearer " + token}}}
}

// signIn begins a session at the page.
func signIn(t *testing.T, address, token string) caller {
	t.Helper()
	c := caller{name: "with a session", url: address, header: http.Header{}}
	in := c.ask(t, http.MethodPost, "/login", "application/x-www-form-urlencoded", url.Values{"token": {token}}.Encode())
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	if in.status != http.StatusSeeOther || cookie == "" {
		t.Fatalf("signing in: %d", in.status)
	}
	c.header.Set("Cookie", cookie)
	c.header.Set("Sec-Fetch-Site", "same-origin")
	return c
}

// leaks names what of the first workspace an answer holds.
func leaks(body string, secret []string) []string {
	var out []string
	for _, word := range secret {
		if strings.Contains(strings.ToLower(body), strings.ToLower(word)) {
			out = append(out, word)
		}
	}
	return out
}

// A second workspace's token, its people's sessions and strangers try every route, every MCP
// tool, resource and prompt, the event stream and the metrics with what the first workspace
// has. What comes back holds nothing of it, and is the same, status and words, as for what
// nobody has; and the first workspace is afterwards as it was.
func TestASecondWorkspaceReachesNothing(t *testing.T) {
	t.Parallel()
	s := allInOne(t, lexical, rival)
	first := withToken(s.url, demo.Secrets["DEMO_TOKEN"])
	theirs, secret := s.fillFirst(t, first)
	before := first.world(t)

	token, session := withToken(s.url, rivalToken), signIn(t, s.url, rivalToken)
	strangers := []caller{
		{name: "with nothing", url: s.url, header: http.Header{}},
		{name: "with a wrong token", url: s.url, header: http.Header{"Authorization": {"Bearer " + demo.Secrets["DEMO_TOKEN"][1:]}}},
	}
	routes := everyRoute(t)
	for _, route := range slices.Sorted(maps.Keys(attempts)) {
		if !routes[route] {
			t.Errorf("%s is tried, and is no route any more", route)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		a, tried := attempts[route]
		if !tried {
			t.Errorf("%s is a route, and nobody has tried whether another workspace gets anything from it: add it to attempts", route)
		}
		if !a.own {
			continue
		}
		for _, c := range append(strangers, token, session) {
			got := c.try(t, route, a, theirs)
			if found := leaks(got.body, secret); len(found) > 0 {
				t.Errorf("%s %s: the answer holds %q of the first workspace", route, c.name, found)
			}
			if got.status >= 500 {
				t.Errorf("%s %s: %d", route, c.name, got.status)
			}
		}
	}
	for _, route := range slices.Sorted(maps.Keys(attempts)) {
		a := attempts[route]
		if a.own || a.elsewhere != "" {
			continue
		}
		for _, c := range append(strangers, token, session) {
			foreign, absent := c.try(t, route, a, theirs), c.try(t, route, a, nobodys)
			if there, nowhere := foreign.seen(theirs), absent.seen(nobodys); there != nowhere {
				t.Errorf("%s %s: what the first workspace has is told from what nobody has:\n%s\n--- and\n%s", route, c.name, there, nowhere)
			}
			if foreign.status < 300 || foreign.status >= 500 {
				t.Errorf("%s %s: %d", route, c.name, foreign.status)
			}
			if found := leaks(theirs.hide(foreign.body), secret); len(found) > 0 {
				t.Errorf("%s %s: the answer holds %q of the first workspace", route, c.name, found)
			}
		}
	}
	t.Run("a delivery signed with another connection's secret", func(t *testing.T) { s.forge(t) })
	t.Run("over MCP", func(t *testing.T) { s.overMCP(t, theirs, secret) })
	t.Run("metrics", func(t *testing.T) { s.metrics(t, secret, append(strangers, token, session, first)) })
	t.Run("the same customer in both is erased in one", func(t *testing.T) { s.eraseTheSame(t, token, theirs["email"]) })
	if after := first.world(t); after != before {
		t.Errorf("the first workspace changed:\n%s\n--- before\n%s", after, before)
	}
	t.Run("nothing is told of the first's events", func(t *testing.T) { s.overhear(t, secret) })
}

// fillFirst gives the demo's workspace one of everything, and returns it with all words and
// ids that nobody else may see.
func (s *shape) fillFirst(t *testing.T, first caller) (things, []string) {
	t.Helper()
	ctx, p := deadline(t), s.play(0)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	author := func(i int) object {
		return object{"id": fmt.Sprint("u", i), "name": fmt.Sprint("Ottilie ", i), "email": fmt.Sprintf("%d.ottilie@heron.example", i)}
	}
	must(p.Sender.Put(ctx, "/v1/accounts", []object{{"id": "7", "name": "Heronworks", "domains": []string{"heron.example"}, "value": 1000, "currency": "EUR"}}))
	ticket := demo.Ticket{Tracker: "jira", Key: "PLAY-101", Title: "The zanzibar export loses rows", Body: "Customers say that the zanzibar export loses rows."}
	must(p.Sender.Send(ctx, demo.Create(ticket, at.Add(-time.Hour))))
	var said []object
	for i := range 4 {
		export := []string{"The", "Our", "My", "Every"}[i] + " zanzibar export to PDF always stops after ten pages."
		theme := []string{"Please add", "Please, please add", "Could you please add", "Please just add"}[i] + " a gruffalo theme for working at night."
		said = append(said, object{"id": fmt.Sprint("f", i), "text": export, "author": author(i), "created_at": at.Format(time.RFC3339)},
			object{"id": fmt.Sprint("g", i), "text": theme, "author": author(i + 4), "created_at": at.Format(time.RFC3339)})
	}
	said = append(said, object{"id": "e", "text": "Our zanzibar report is empty.", "author": object{"id": "e", "name": "Ottilie", "email": "ottilie@heron.example"}, "created_at": at.Format(time.RFC3339)})
	must(p.Sender.Post(ctx, "/v1/feedback", said))
	// Slack, but without the time stamp that identifies a message: a dead letter.
	must(p.Sender.Send(ctx, demo.Request{Connection: "demo-slack", Vendor: "slack", ContentType: "application/json",
		Body: []byte(`{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","user":"U1","text":"zanzibar"}}`)}))
	must(p.Settle(ctx))
	clusters := s.pinAll(t, ticket)
	if len(clusters) < 2 {
		t.Fatalf("%d clusters", len(clusters))
	}
	must(p.Sender.Post(ctx, "/v1/clusters/"+clusters[0].ID+"/decisions", object{"action": "rename", "name": "Zanzibar", "reason": "shorter"}))
	must(p.Sender.Send(ctx, demo.Move(ticket, demo.Todo, demo.InProgress, at)))
	must(p.Settle(ctx))
	s.until(t, "a brief of the ticket", func() bool {
		return first.ask(t, http.MethodGet, "/v1/tickets/jira/PLAY-101/brief", "", "").status == http.StatusOK
	})

	all := first.world(t) + first.ask(t, http.MethodGet, "/decisions", "", "").body
	for _, c := range clusters {
		all += first.ask(t, http.MethodGet, "/v1/clusters/"+c.ID+"/signals?limit=200", "", "").body
	}
	var letters struct{ Items []struct{ ID string } }
	must(p.Sender.Get(ctx, "/v1/dead-letters", &letters))
	if len(letters.Items) != 1 {
		t.Fatalf("%d dead letters", len(letters.Items))
	}
	secret := slices.Clone(marks)
	ids := map[string][]string{}
	for _, m := range regexp.MustCompile(`\b(clu|sig|itm|cus|dec)_[a-z0-9]{20,}`).FindAllStringSubmatch(all, -1) {
		if !slices.Contains(secret, m[0]) {
			secret, ids[m[1]] = append(secret, m[0]), append(ids[m[1]], m[0])
		}
	}
	for _, kind := range []string{"clu", "sig", "itm", "cus", "dec"} {
		if len(ids[kind]) == 0 {
			t.Fatalf("the first workspace has nothing with an id of the kind %s", kind)
		}
	}
	return things{"cluster": clusters[0].ID, "other": clusters[1].ID, "signal": ids["sig"][0], "item": ids["itm"][0], "customer": ids["cus"][0],
		"email": "ottilie@heron.example", "decision": ids["dec"][0], "letter": letters.Items[0].ID, "ticket": "PLAY-101", "connection": "demo-jira"}, secret
}

// world is all that a workspace has, as it answers itself, without how current the answer is.
func (c caller) world(t *testing.T) string {
	t.Helper()
	out := ""
	for _, path := range []string{"/v1/clusters?limit=200", "/v1/tickets", "/v1/tickets/jira/PLAY-101", "/v1/accounts", "/v1/dead-letters", "/v1/corrections", "/v1/replay", "/v1/audit", "/v1/feedback?limit=200"} {
		got := c.ask(t, http.MethodGet, path, "", "")
		var v map[string]any
		if err := json.Unmarshal([]byte(got.body), &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, volatile := range []string{"position", "as_of", "lag_ms"} {
			delete(v, volatile)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out += path + " " + fmt.Sprint(got.status) + " " + string(b) + "\n"
	}
	return out
}

// forge posts to the first workspace's connection with the second one's secret.
func (s *shape) forge(t *testing.T) {
	body := []byte(`{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","user":"U1","ts":"1.1","text":"planted"}}`)
	r, err := http.NewRequestWithContext(deadline(t), http.MethodPost, s.url+"/webhooks/demo-slack", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	m := hmac.New(sha256.New, []byte("rival-signing-secret"))
	fmt.Fprintf(m, "v0:%s:%s", stamp, body)
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(m.Sum(nil)))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("another workspace's secret signs: %d", res.StatusCode)
	}
}

// tools are how each MCP tool is tried. A tool that is missing here fails the test.
var tools = map[string]map[string]any{
	"get_ticket_context": {"ticket": "jira:t:ticket;"},
	"whats_changed":      {"ticket": "jira:t:ticket;", "since_revision": 1},
	"list_clusters":      {"query": "zanzibar"},
	"get_cluster":        {"id": "t:cluster;"},
	"search_feedback":    {"query": "zanzibar"},
	"list_tickets":       {},
	"get_quote":          {"item": "t:item;", "words": "export loses row"},
	"attach_cluster":     {"ticket": "jira:t:ticket;", "cluster": "t:cluster;", "reason": "mine"},
	"reject_cluster":     {"ticket": "jira:t:ticket;", "cluster": "t:cluster;", "reason": "mine"},
	"record_decision":    {"action": "merge", "cluster": "t:cluster;", "into": "t:other;", "reason": "mine"},
}

// bearer sends a token with every request of the MCP client.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (s *shape) connectMCP(t *testing.T, token string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o).Connect(deadline(t),
		&mcp.StreamableClientTransport{Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: bearer(token)}, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// overMCP tries every tool, prompt, resource and subscription, and the first one's session.
func (s *shape) overMCP(t *testing.T, theirs things, secret []string) {
	told := make(chan string, 16)
	session := s.connectMCP(t, rivalToken, &mcp.ClientOptions{ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { told <- r.Params.URI }})
	ctx := deadline(t)
	alike := func(what string, ask func(things) string) {
		t.Helper()
		foreign, absent := ask(theirs), ask(nobodys)
		if there, nowhere := theirs.hide(foreign), nobodys.hide(absent); there != nowhere {
			t.Errorf("%s: what the first workspace has is told from what nobody has:\n%s\n--- and\n%s", what, there, nowhere)
		}
		if found := leaks(theirs.hide(foreign), secret); len(found) > 0 {
			t.Errorf("%s: the answer holds %q of the first workspace", what, found)
		}
	}
	plain := func(v any, err error) string {
		b, _ := json.Marshal(v)
		return fmt.Sprint(string(b), err)
	}
	listed, err := session.ListTools(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range listed.Tools {
		arguments, tried := tools[tool.Name]
		if !tried {
			t.Errorf("%s is a tool, and nobody has tried whether another workspace gets anything from it: add it to tools", tool.Name)
			continue
		}
		alike(tool.Name, func(x things) string {
			with := map[string]any{}
			for k, v := range arguments {
				if text, ok := v.(string); ok {
					v = x.fill(text)
				}
				with[k] = v
			}
			return plain(session.CallTool(ctx, &mcp.CallToolParams{Name: tool.Name, Arguments: with}))
		})
	}
	if len(listed.Tools) != len(tools) {
		t.Errorf("%d tools, and %d are tried", len(listed.Tools), len(tools))
	}
	prompts, err := session.ListPrompts(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prompts.Prompts {
		alike("prompt "+p.Name, func(x things) string {
			return plain(session.GetPrompt(ctx, &mcp.GetPromptParams{Name: p.Name, Arguments: map[string]string{"ticket": x.fill("jira:t:ticket;")}}))
		})
	}
	templates, err := session.ListResourceTemplates(ctx, nil)
	if err != nil || len(templates.ResourceTemplates) != 1 {
		t.Fatalf("%d kinds of resources, and one is tried (%v)", len(templates.ResourceTemplates), err)
	}
	alike("resources/list", func(things) string { return plain(session.ListResources(ctx, nil)) })
	uri := func(x things) string { return x.fill("throughline://tickets/jira/t:ticket;/brief") }
	alike("resources/read", func(x things) string { return plain(session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri(x)})) })
	alike("resources/subscribe", func(x things) string {
		return plain(nil, session.Subscribe(ctx, &mcp.SubscribeParams{URI: uri(x)}))
	})
	mine := s.connectMCP(t, demo.Secrets["DEMO_TOKEN"], nil)
	if _, err := mine.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri(theirs)}); err != nil {
		t.Errorf("the first workspace itself reads no brief, so that this shows little: %v", err)
	}
	for _, id := range []string{mine.ID(), strings.Repeat("A", len(mine.ID()))} {
		c := withToken(s.url, rivalToken)
		c.header.Set("Mcp-Session-Id", id)
		c.header.Set("Mcp-Protocol-Version", "2025-11-25")
		c.header.Set("Accept", "application/json, text/event-stream")
		if got := c.ask(t, http.MethodPost, "/mcp", "application/json", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); got.status != http.StatusNotFound {
			t.Errorf("the session %.4s… with another workspace's token: %d", id, got.status)
		}
	}
	select {
	case uri := <-told:
		t.Errorf("told of %s", uri)
	default:
	}
}

// metrics are the operator's: no workspace's token opens them, and no workspace's words are in
// them.
func (s *shape) metrics(t *testing.T, secret []string, others []caller) {
	for _, c := range others {
		if got := c.ask(t, http.MethodGet, "/metrics", "", ""); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", c.name, got.status)
		}
	}
	got := withToken(s.url, metricsToken).ask(t, http.MethodGet, "/metrics", "", "")
	// The operator who configured the connections may see them by name.
	words := slices.DeleteFunc(slices.Clone(secret), func(w string) bool { return strings.HasPrefix(w, "demo-") })
	if found := leaks(got.body, words); got.status != http.StatusOK || len(found) > 0 || !strings.Contains(got.body, "throughline_") {
		t.Errorf("the operator: %d, with %q", got.status, found)
	}
	if any := withToken(s.url, metricsToken).ask(t, http.MethodGet, "/v1/clusters", "", ""); any.status != http.StatusUnauthorized {
		t.Errorf("the operator's token opens a workspace: %d", any.status)
	}
}

// overhear listens to the second workspace's events, also from where the first one's stream
// is, while something happens in the first.
func (s *shape) overhear(t *testing.T, secret []string) {
	listen := func(token, last string) *bufio.Scanner {
		t.Helper()
		r, err := http.NewRequestWithContext(deadline(t), http.MethodGet, s.url+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Last-Event-ID", last)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return bufio.NewScanner(res.Body)
	}
	// change reads up to the next event that tells of a change.
	change := func(lines *bufio.Scanner) (id, all string) {
		t.Helper()
		for lines.Scan() {
			all += lines.Text() + "\n"
			if rest, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = rest
			}
			if strings.HasPrefix(lines.Text(), "data: {\"id\"") {
				return id, all
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return "", ""
	}
	say := func(token, id, text string) {
		t.Helper()
		c := withToken(s.url, token)
		if got := c.ask(t, http.MethodPost, "/v1/feedback", "application/json", fmt.Sprintf(`{"id":%q,"text":%q,"author":{"id":"z"}}`, id, text)); got.status != http.StatusAccepted {
			t.Fatal(got.status)
		}
	}
	fresh, first := listen(rivalToken, ""), listen(demo.Secrets["DEMO_TOKEN"], "")
	say(demo.Secrets["DEMO_TOKEN"], "later", "The zanzibar export loses its last row too.")
	theirs, _ := change(first)
	resumed, invented := listen(rivalToken, theirs), listen(rivalToken, "clusters.changed:999999999")
	say(rivalToken, "later", "Our own words again: the export is slow on Mondays.")
	_, told := change(fresh)
	_, again := change(resumed)
	_, nowhere := change(invented)
	for what, heard := range map[string]string{"a new stream": told, "a stream that goes on after the first one's event": again} {
		if found := leaks(heard, secret); len(found) > 0 || !strings.Contains(heard, `"workspace":"rival"`) || strings.Contains(heard, `"workspace":"demo"`) {
			t.Errorf("%s tells %q:\n%s", what, found, heard)
		}
	}
	if strings.Contains(again, "event: reset") != strings.Contains(nowhere, "event: reset") {
		t.Error("an event of the first workspace is told from one that never was")
	}
}

// eraseTheSame has a customer of both workspaces erased in the second.
func (s *shape) eraseTheSame(t *testing.T, second caller, email string) {
	got := second.ask(t, http.MethodPost, "/v1/feedback", "application/json", fmt.Sprintf(`{"id":"same","text":"Our own export is slow.","author":{"id":"e","name":"O","email":%q}}`, email))
	if got.status != http.StatusAccepted {
		t.Fatal(got.status)
	}
	s.until(t, "the second workspace's customer", func() bool {
		return second.ask(t, http.MethodDelete, "/v1/customers/"+url.PathEscape(email), "", "").status == http.StatusAccepted
	})
	s.until(t, "the erasure", func() bool {
		return strings.Contains(second.ask(t, http.MethodGet, "/v1/customers/"+url.PathEscape(email)+"/erasure", "", "").body, `"done"`)
	})
}
