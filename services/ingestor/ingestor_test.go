package ingestor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// conformance is what every source and tracker must do. first, edit and remove are
// payloads about one thing; the wants are the events they make, in order.
type conformance struct {
	kind                        string
	first, edit, remove         string
	wantFirst, wantEdit, wantRM string
	stream                      string
}

const words = "Der Export schlägt fehl 🚨 — \u202eevil\u202c 日本語"

func slackMessage(text, version string) string {
	return fmt.Sprintf(`{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"message","channel":"C1","user":"U1","ts":"1790000001.000200","text":%s%s}}`, quoted(text), version)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func intercomReply(text string, updated int) string {
	return fmt.Sprintf(`{"type":"notification_event","app_id":"app","topic":"conversation.user.replied","id":"notif_%d","created_at":1790000001,"data":{"item":{"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":%s,"author":{"type":"user","id":"c1","email":"ada@initech.example"},"created_at":1790000001,"updated_at":%d}]}}}}`, updated, quoted("<p>"+text+"</p>"), updated)
}

func zendeskComment(text, time string) string {
	return fmt.Sprintf(`{"type":"zen:event-type:ticket.comment_added","id":"z%s","time":%q,"detail":{"id":"5"},"event":{"comment":{"id":"77","body":%s,"is_public":true,"author":{"id":"1","is_staff":false,"name":"Ada"}}}}`, time, time, quoted(text))
}

func mail(id, parent, text string) string {
	m := "From: Ada <ada@initech.example>\r\nTo: feedback@acme.example\r\nContent-Type: text/plain; charset=utf-8\r\nDate: Sun, 22 Nov 2026 11:0" + id[1:] + ":00 +0000\r\nMessage-ID: <" + id + "@initech.example>\r\n"
	if parent != "" {
		m += "In-Reply-To: <" + parent + "@initech.example>\r\n"
	}
	return m + "\r\n" + text + "\r\n\r\nOn Monday Bob wrote:\r\n> an old answer\r\n"
}

func entry(text string) string {
	return fmt.Sprintf(`{"id":"e1","text":%s,"author":{"id":"u1","name":"Ada"},"created_at":"2026-11-01T00:00:00Z"}`, quoted(text))
}

func jiraIssue(event, status, category, updated, changelog string) string {
	return fmt.Sprintf(`{"timestamp":1790000001000,"webhookEvent":%q,"issue":{"id":"1","key":"PROJ-1","self":"https://j.example/rest/api/2/issue/1","fields":{"summary":%s,"updated":%q,"status":{"name":%q,"statusCategory":{"key":%q}}}},"changelog":{"items":[%s]}}`, event, quoted(words), updated, status, category, changelog)
}

func linearIssue(action, state, kind, updated, from string) string {
	return fmt.Sprintf(`{"action":%q,"type":"Issue","createdAt":%q,"webhookTimestamp":%d,"data":{"id":"x","identifier":"ENG-1","title":%s,"updatedAt":%q,"state":{"name":%q,"type":%q}},"updatedFrom":{%s}}`, action, updated, now.UnixMilli(), quoted(words), updated, state, kind, from)
}

func githubIssue(action, state, updated string) string {
	return fmt.Sprintf(`{"action":%q,"issue":{"id":1,"number":1,"title":%s,"body":null,"state":%q,"created_at":"2026-11-01T00:00:00Z","updated_at":%q,"html_url":"https://github.com/o/r/issues/1"},"repository":{"full_name":"o/r"},"sender":{"login":"ada"}}`, action, quoted(words), state, updated)
}

var sources = []conformance{
	{"slack", slackMessage(words, ""),
		`{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"message","subtype":"message_changed","channel":"C1","ts":"1790000009.000000","message":{"ts":"1790000001.000200","user":"U1","text":"edited","edited":{"ts":"1790000009.000000"}}}}`,
		`{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"message","subtype":"message_deleted","channel":"C1","deleted_ts":"1790000001.000200","ts":"1790000010.0","previous_message":{"ts":"1790000001.000200"}}}`,
		"item.received 1 " + words, "item.edited 2 edited", "item.deleted 3 ", bus.Items},
	{"intercom", intercomReply(words, 1790000001), intercomReply("edited", 1790000009),
		`{"type":"notification_event","app_id":"app","topic":"conversation.deleted","id":"notif_3","created_at":1790000020,"data":{"item":{"type":"conversation","conversation_id":"7"}}}`,
		"item.received 1 " + words, "item.edited 2 edited", "item.deleted 3 ", bus.Items},
	{"zendesk", zendeskComment(words, "2026-11-01T00:00:00Z"), zendeskComment("edited", "2026-11-01T00:01:00.123456789Z"),
		`{"type":"zen:event-type:ticket.comment_redacted","id":"z3","time":"2026-11-01T00:02:00Z","detail":{"id":"5"},"event":{"comment":{"id":"77"}}}`,
		"item.received 1 " + words, "item.edited 2 edited", "item.deleted 3 ", bus.Items},
	{"webhook", entry(words), `{"type":"feedback.updated","data":` + entry("edited") + `}`, `{"type":"feedback.deleted","data":{"id":"e1"}}`,
		"item.received 1 " + words, "item.edited 2 edited", "item.deleted 3 ", bus.Items},
	{"email", mail("m1", "", words), mail("m2", "m1", "edited"), "",
		"item.received 1 " + words, "item.edited 2 " + words + "\n\nedited", "", bus.Items},
	{"jira", jiraIssue("jira:issue_created", "To Do", "new", "2026-11-01T00:00:00.000+0000", ""),
		jiraIssue("jira:issue_updated", "Doing", "indeterminate", "2026-11-01T00:01:00.000+0000", `{"field":"status","fromString":"To Do"}`),
		jiraIssue("jira:issue_deleted", "Doing", "indeterminate", "2026-11-01T00:01:00.000+0000", ""),
		"ticket.created PROJ-1 open", "ticket.moved PROJ-1 in_progress", "ticket.deleted PROJ-1 in_progress", bus.Tickets},
	{"linear", linearIssue("create", "Todo", "unstarted", "2026-11-01T00:00:00Z", ""), linearIssue("update", "Done", "completed", "2026-11-01T00:01:00Z", `"stateId":"s1"`), linearIssue("remove", "Done", "completed", "2026-11-01T00:02:00Z", ""),
		"ticket.created ENG-1 open", "ticket.moved ENG-1 done", "ticket.deleted ENG-1 done", bus.Tickets},
	{"github", githubIssue("opened", "open", "2026-11-01T00:00:00Z"), githubIssue("closed", "closed", "2026-11-01T00:01:00Z"), githubIssue("deleted", "closed", "2026-11-01T00:02:00Z"),
		"ticket.created o/r#1 open", "ticket.moved o/r#1 done", "ticket.deleted o/r#1 done", bus.Tickets},
}

func TestEverySourceConforms(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, c := range sources {
		h.accepted(c.kind, c.first)
		h.accepted(c.kind, c.first) // a retry
		h.accepted(c.kind, c.edit)
		h.accepted(c.kind, c.first) // late, or out of order
	}
	h.settle()
	before := h.rows()
	if len(before) != 5 {
		t.Errorf("%d items: %v", len(before), before)
	}
	for _, c := range sources {
		if c.remove != "" {
			h.accepted(c.kind, c.remove)
		}
		h.accepted(c.kind, c.first)
	}
	h.settle()
	got := map[string][]string{bus.Items: h.brief(bus.Items), bus.Tickets: h.brief(bus.Tickets)}
	want := map[string][]string{}
	for _, c := range sources {
		want[c.stream] = append(want[c.stream], c.wantFirst, c.wantEdit)
	}
	for _, c := range sources {
		if c.wantRM != "" {
			want[c.stream] = append(want[c.stream], c.wantRM)
		}
	}
	for stream, events := range want {
		if !reflect.DeepEqual(got[stream], events) {
			t.Errorf("%s:\n got %q\nwant %q", stream, got[stream], events)
		}
	}
	if left := h.rows(); len(left) != 1 || !strings.Contains(left[0], "email") { // nobody takes mail back
		t.Errorf("rows of deleted items: %v", left)
	}
	var texts uint64
	if err := h.store.Conn().QueryRow(t.Context(), "SELECT count() FROM deliveries FINAL WHERE length(body) > 0").Scan(&texts); err != nil || texts == 0 {
		t.Errorf("archived: %d, %v", texts, err)
	}
	for _, private := range []string{signing, standard, "token-all", "schlägt", "edited", "ada@initech"} {
		if strings.Contains(h.log.String(), private) {
			t.Errorf("the log holds %q:\n%s", private, h.log)
		}
	}
}

func TestTheSameDeliveriesAgainChangeNothing(t *testing.T) {
	t.Parallel()
	h := start(t)
	send := func() {
		for _, c := range sources {
			h.accepted(c.kind, c.first)
			h.accepted(c.kind, c.edit)
		}
		h.settle()
	}
	send()
	rows, items, tickets := h.rows(), h.brief(bus.Items), h.brief(bus.Tickets)
	send()
	if !reflect.DeepEqual(h.rows(), rows) || !reflect.DeepEqual(h.brief(bus.Items), items) || !reflect.DeepEqual(h.brief(bus.Tickets), tickets) {
		t.Errorf("changed:\n%v\n%v", h.rows(), h.brief(bus.Items))
	}
	if n := h.counted("throughline_ingestor_deliveries_total", "duplicate"); n != float64(2*len(sources)) {
		t.Errorf("%v duplicates counted", n)
	}
}

// hostile are bodies that every endpoint must refuse, with what it answers.
func hostile(kind string) map[string]struct {
	body   string
	status []int
} {
	type c = struct {
		body   string
		status []int
	}
	out := map[string]c{
		"empty":            {"", []int{400}},
		"not JSON":         {"hello there", []int{400}},
		"cut off":          {sourceOf(kind).first[:40], []int{400}},
		"raw NUL":          {strings.Replace(sourceOf(kind).first, words, "a\x00b", 1), []int{400}},
		"escaped NUL":      {strings.Replace(sourceOf(kind).first, "schl", `\u0000`, 1), []int{400}},
		"broken UTF-8":     {strings.Replace(sourceOf(kind).first, "schl", "\xff\xfe", 1), []int{400}},
		"deep":             {strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), []int{400}},
		"very deep":        {strings.Repeat("[", 100_000), []int{400}},
		"repeated member":  {`{"type":"x","type":"y"}`, []int{400}},
		"a number":         {"42", []int{422}},
		"an empty object":  {"{}", []int{422}},
		"an empty array":   {"[]", []int{422}},
		"10 MB":            {`{"a":"` + strings.Repeat("x", 10<<20) + `"}`, []int{413}},
		"10 MB of nothing": {strings.Repeat(" ", 10<<20), []int{413}},
	}
	for _, other := range sources {
		if other.kind == "email" && kind != "email" {
			out["a mail"] = c{other.first, []int{400}}
		} else if other.kind != kind {
			out["a payload of "+other.kind] = c{other.first, []int{422}}
		}
	}
	if kind == "email" { // mail is no JSON, and of any charset
		for _, name := range []string{"raw NUL", "escaped NUL", "broken UTF-8"} {
			delete(out, name)
		}
		for name, hostile := range out {
			if hostile.status[0] == 400 {
				out[name] = c{hostile.body, []int{422}}
			}
		}
		out["cut off"] = c{"Subject: hello there", []int{422}}
	}
	return out
}

func sourceOf(kind string) conformance {
	return sources[slices.IndexFunc(sources, func(c conformance) bool { return c.kind == kind })]
}

func TestBadInputIsRefusedClearlyAndStoresNothing(t *testing.T) {
	t.Parallel()
	h := start(t)
	sent := 0
	problemOf := func(what string, a answer, want ...int) {
		t.Helper()
		sent++
		var p struct {
			Title  string
			Status int
		}
		err := json.Unmarshal([]byte(a.body), &p)
		if !slices.Contains(want, a.status) || err != nil || p.Title == "" || p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		for _, private := range []string{signing, standard, "hello there", "schl"} {
			if strings.Contains(a.body, private) {
				t.Errorf("%s: the answer repeats the request: %s", what, a.body)
			}
		}
	}
	for _, kind := range kinds {
		for name, c := range hostile(kind) {
			problemOf(kind+": "+name, h.post(kind, []byte(c.body), nil), c.status...)
		}
		good := []byte(sourceOf(kind).first)
		for name, value := range sign(kind, secretOf(kind), good) {
			if name == "Authorization" || strings.Contains(strings.ToLower(name), "signature") && !strings.Contains(name, "Timestamp") {
				problemOf(kind+": no signature", h.post(kind, good, map[string]string{name: ""}), 401)
				problemOf(kind+": another signature", h.post(kind, good, sign(kind, "whsec_b3RoZXI=", good)), 401)
				problemOf(kind+": a cut signature", h.post(kind, good, map[string]string{name: value[:len(value)-1]}), 401)
			}
		}
		problemOf(kind+": XML", h.post(kind, good, map[string]string{"Content-Type": "application/xml"}), 415)
		problemOf(kind+": gzip", h.post(kind, good, map[string]string{"Content-Encoding": "gzip"}), 415)
		problemOf(kind+": GET", h.do(http.MethodGet, "/webhooks/acme-"+kind, nil, nil), 405)
		if a := h.do(http.MethodHead, "/webhooks/acme-"+kind, nil, nil); a.status != 200 {
			t.Errorf("%s: HEAD answers %d", kind, a.status)
		}
	}
	problemOf("form to github", h.post("github", []byte("payload=%7B%7D"), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 415)
	problemOf("a form that is no form", h.post("slack", []byte("a=%zz"), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 400)
	problemOf("a NUL in a form", h.post("slack", []byte("command=x&team_id=%00"), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 400)
	problemOf("somebody's form", h.post("slack", []byte("a=b"), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 422)
	problemOf("unknown connection", h.do(http.MethodPost, "/webhooks/nobody", nil, []byte("{}")), 404)
	problemOf("a connection's secret is missing", h.do(http.MethodPost, "/webhooks/acme-bare", sign("slack", "", []byte("{}")), []byte("{}")), 401)
	old := sign("slack", signing, []byte(sourceOf("slack").first))
	old["X-Slack-Request-Timestamp"] = "1531420618"
	problemOf("an old time stamp", h.post("slack", []byte(sourceOf("slack").first), old), 401)
	problemOf("an odd path", h.do(http.MethodPost, "/webhooks/..%2f..%2fetc", nil, []byte("{}")), 404)
	if n := h.stored(bus.Deliveries); n != 0 {
		t.Errorf("%d deliveries were stored", n)
	}
	if n := h.counted("throughline_ingestor_refused_total"); n != float64(sent) {
		t.Errorf("%v of %d refusals are counted", n, sent)
	}
	if n := h.counted("throughline_ingestor_refused_total", "slack", "bad signature"); n == 0 {
		t.Error("bad signatures are not counted by reason")
	}
	for _, private := range []string{signing, "schl", "hello there"} {
		if strings.Contains(h.log.String(), private) {
			t.Errorf("the log holds %q", private)
		}
	}
}

// Every recorded payload goes through the door, re-signed, and has its effect: an item, a
// ticket, or nothing.
func TestRecordedPayloadsAreAccepted(t *testing.T) {
	t.Parallel()
	h := start(t)
	names, err := fs.Glob(schemas.Webhooks, "webhooks/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	sent, handshakes := 0, 0
	for _, name := range names {
		kind := path.Base(path.Dir(name))
		if kind == "signatures" || strings.HasPrefix(path.Base(name), "api_") {
			continue
		}
		body, err := schemas.Webhooks.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{}
		var form struct {
			ContentType string `json:"content_type"`
			Body        string `json:"body"`
		}
		if json.Unmarshal(body, &form) == nil && form.ContentType != "" {
			body, headers["Content-Type"] = []byte(form.Body), form.ContentType
		}
		if kind == "linear" { // its time is in the body: the recording is sent as if now
			var doc map[string]any
			if err := json.Unmarshal(body, &doc); err != nil {
				t.Fatal(err)
			}
			if _, stamped := doc["webhookTimestamp"]; stamped {
				doc["webhookTimestamp"] = now.UnixMilli()
			}
			if body, err = json.Marshal(doc); err != nil {
				t.Fatal(err)
			}
		}
		if kind == "github" {
			headers["X-GitHub-Event"] = githubEvent(path.Base(name))
		}
		a := h.post(kind, body, headers)
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		sent++
		switch path.Base(name) {
		case "url_verification.json":
			handshakes++
			if !strings.Contains(a.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P") {
				t.Errorf("the challenge is not answered: %s", a.body)
			}
		case "ping.json":
			handshakes++
		}
	}
	h.settle()
	if n := h.stored(bus.Deliveries); sent != 41 || int(n) != sent-handshakes || handshakes != 3 {
		t.Errorf("%d sent, %d handshakes, %d stored", sent, handshakes, n)
	}
	items := h.brief(bus.Items)
	slices.Sort(items)
	want := []string{
		"item.received 1 @U222 test", "item.received 1 @W111 Hi there!", "item.received 1 Dark mode\n\nWorking at night hurts my eyes.", "item.received 1 Hello everyone!", "item.received 1 Hi", "item.received 1 Hi there!",
		"item.received 1 Hi there! Thanks for sharing the info!", "item.received 1 Invoices cannot be exported\n\nThe export stops at € 1,000.", "item.received 1 Still broken.",
		"item.received 1 Well, I need some help getting access to a developer account.",
		"item.received 1 ticket_info_desc_2294a6e9ece2", "item.received 1 updated message",
	}
	if !reflect.DeepEqual(items, want) {
		t.Errorf("items:\n got %q\nwant %q", items, want)
	}
	tickets := h.brief(bus.Tickets)
	slices.Sort(tickets)
	want = []string{
		"ticket.created Codertocat/Hello-World#1 open", "ticket.created TES-41 open", "ticket.created WEB-44 in_progress",
		"ticket.edited Codertocat/Hello-World#1 open", "ticket.edited Codertocat/Hello-World#1 open", "ticket.edited TES-41 open", "ticket.edited TES-41 open", "ticket.edited WEB-44 in_progress",
		"ticket.moved KOR-11 open", "ticket.moved TES-41 in_progress",
	}
	if !reflect.DeepEqual(tickets, want) {
		t.Errorf("tickets:\n got %q\nwant %q", tickets, want)
	}
	if n := h.stored(bus.DeadLetters); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	h.events(bus.Deliveries)
}

func githubEvent(file string) string {
	switch {
	case strings.HasPrefix(file, "issues_"):
		return "issues"
	case strings.HasPrefix(file, "issue_comment"):
		return "issue_comment"
	case strings.HasPrefix(file, "projects_v2_item"):
		return "projects_v2_item"
	}
	return "ping"
}

func TestBothSecretsSignWhileTheyRotate(t *testing.T) {
	t.Parallel()
	h := start(t)
	for secret, want := range map[string]int{signing: 200, retired: 200, "never": 401} {
		body := []byte(slackMessage(secret[:3], ""))
		if a := h.post("slack", body, sign("slack", secret, body)); a.status != want {
			t.Errorf("%d, want %d", a.status, want)
		}
	}
}

// failing is a committer that cannot store.
type failing struct{ err error }

func (f failing) Append(context.Context, *nats.Msg, string) (uint64, bool, error) {
	return 0, false, f.err
}

func TestWhatIsNotDurableIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{errors.New("disk full"): 503, bus.ErrCommitterBusy: 503, nats.ErrMaxPayload: 413} {
		h := start(t, func(_ *ingestor.Config, d *ingestor.Deps) { d.Appender = failing{err} })
		for _, kind := range kinds {
			a := h.post(kind, []byte(sourceOf(kind).first), nil)
			if a.status != want || (want == 503) != (a.header.Get("Retry-After") != "") {
				t.Errorf("%v %s: %d %v", err, kind, a.status, a.header)
			}
		}
		if a := h.api("POST", "/v1/feedback", entry("x")); a.status != want {
			t.Errorf("%v feedback: %d %s", err, a.status, a.body)
		}
	}
}

// blocking is a committer that answers when it is told to.
type blocking struct {
	entered chan struct{}
	release chan struct{}
}

func (b blocking) Append(ctx context.Context, _ *nats.Msg, _ string) (uint64, bool, error) {
	b.entered <- struct{}{}
	<-b.release
	return 1, false, nil
}

func TestTooMuchInFlightIsTurnedAwayBeforeItIsRead(t *testing.T) {
	t.Parallel()
	b := blocking{make(chan struct{}), make(chan struct{})}
	h := start(t, func(c *ingestor.Config, d *ingestor.Deps) { c.InFlight, d.Appender = 2, b })
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- h.post("slack", []byte(slackMessage("x", "")), nil).status }()
	}
	<-b.entered
	<-b.entered
	if a := h.post("slack", []byte(slackMessage("x", "")), nil); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	close(b.release)
	for range 2 {
		if s := <-statuses; s != 200 {
			t.Errorf("%d", s)
		}
	}
}

// A connection's limit turns away what is too much, and says when to come again; what is not
// signed does not count, and other connections do not notice.
func TestAConnectionsRateIsLimited(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *ingestor.Config, _ *ingestor.Deps) { c.Workspaces[0].Connections[0].PerMinute = 3 })
	body := func(i int) []byte { return []byte(slackMessage(fmt.Sprint("words ", i), "")) }
	for i := range 5 {
		if a := h.post("slack", body(i), map[string]string{"X-Slack-Signature": "v0=00"}); a.status != http.StatusUnauthorized {
			t.Errorf("unsigned: %d", a.status)
		}
	}
	for i := range 5 {
		a := h.post("slack", body(i), nil)
		if limited := i >= 3; limited != (a.status == http.StatusTooManyRequests) || limited && a.header.Get("Retry-After") != "20" {
			t.Errorf("delivery %d: %d, Retry-After %q", i, a.status, a.header.Get("Retry-After"))
		}
	}
	h.accepted("intercom", intercomReply("hello", 1790000002))
	if n := h.counted("throughline_ingestor_connection_failures_total", "acme-slack", "rate limited"); n != 2 {
		t.Errorf("%v failures of the connection", n)
	}
	if n := h.counted("throughline_ingestor_refused_total", "slack", "rate limited"); n != 2 {
		t.Errorf("%v counted", n)
	}
	if a := h.api(http.MethodGet, "/v1/connections", ""); !strings.Contains(a.body, `"rate limited":2`) {
		t.Errorf("nobody is told: %s", a.body)
	}
}

func TestTheExamplesOfTheSchemas(t *testing.T) {
	t.Parallel()
	for _, typ := range own {
		for dir, valid := range map[string]bool{"valid": true, "invalid": false} {
			names, err := fs.Glob(schemas.Events, "events/examples/"+typ+"/"+dir+"/*.json")
			if err != nil || len(names) == 0 {
				t.Errorf("%s has no %s examples: %v", typ, dir, err)
			}
			for _, name := range names {
				b, err := schemas.Events.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate(b); (err == nil) != valid {
					t.Errorf("%s: %v", name, err)
				}
				if !valid {
					continue
				}
				e, err := event.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				again, err := event.Encode(e)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate(again); err != nil {
					t.Errorf("%s does not survive our types: %v", name, err)
				}
			}
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	if _, err := ingestor.New(ingestor.Config{}, ingestor.Deps{}); err == nil {
		t.Error("no dependencies were accepted")
	}
}
