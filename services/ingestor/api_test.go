package ingestor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
)

func read[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type posted struct {
	Accepted []struct {
		Index int
		ID    string
		Items []string
	}
	Errors []struct {
		Index  int
		Detail string
	}
}

func TestFeedbackComesAsAnObjectAnArrayOrLines(t *testing.T) {
	t.Parallel()
	h := start(t)
	one := read[posted](t, h.api("POST", "/v1/feedback", "{\n \"id\": \"a\",\n \"text\": \"one\"\n}"), 202)
	many := read[posted](t, h.api("POST", "/v1/feedback", `[{"id":"b","text":"two"},{"id":"c"},{"id":"d","text":"x","source":"fax"},{"id":"e","messages":[{"at":"2026-01-01T00:00:00Z","text":"three"},{"from":"agent","text":"hidden"},{"text":"four"}]}]`), 202)
	lines := read[posted](t, h.api("POST", "/v1/feedback", "{\"id\":\"f\",\"text\":\"five\"}\n\nnot json\n{\"id\":\"g\",\"text\":\"six\"}\n"), 202)
	if len(one.Accepted) != 1 || len(many.Accepted) != 2 || len(many.Errors) != 2 || many.Errors[0].Index != 1 || len(lines.Accepted) != 2 || len(lines.Errors) != 1 || lines.Errors[0].Index != 1 {
		t.Fatalf("%+v\n%+v\n%+v", one, many, lines)
	}
	h.settle()
	var ids []string
	for _, p := range []posted{one, many, lines} {
		for _, a := range p.Accepted {
			ids = append(ids, a.Items...)
		}
	}
	slices.Sort(ids)
	var got []string
	for _, e := range h.events(bus.Items) {
		got = append(got, e.Subject)
	}
	slices.Sort(got)
	if !reflect.DeepEqual(got, ids) {
		t.Errorf("items %v, answered %v", got, ids)
	}
	if texts := strings.Join(h.brief(bus.Items), "|"); !strings.Contains(texts, "three\n\nfour") || strings.Contains(texts, "hidden") {
		t.Errorf("%s", texts)
	}
}

func TestFeedbackIsIdempotentAndRevised(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, body := range []string{
		`{"id":"a","text":"one","created_at":"2026-01-01T00:00:00Z"}`,
		`{"id":"a","text":"one","created_at":"2026-01-01T00:00:00Z"}`,
		`{"id":"a","text":"two","created_at":"2026-01-01T00:00:00Z"}`,
		`{"id":"a","text":"three","created_at":"2026-02-01T00:00:00Z"}`,
		`{"id":"a","text":"old","created_at":"2025-01-01T00:00:00Z"}`,
		`{"id":"a","text":"one","created_at":"2026-03-01T00:00:00Z"}`,
	} {
		if a := h.api("POST", "/v1/feedback", body); a.status != 202 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	h.settle()
	if got, want := h.brief(bus.Items), []string{"item.received 1 one", "item.edited 2 two", "item.edited 3 three", "item.edited 4 one"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestFeedbackBadInput(t *testing.T) {
	t.Parallel()
	h := start(t)
	for body, want := range map[string]int{
		"": 400, "hello": 400, "42": 400, "[]": 422, `[{"id":"x"}]`: 422, "{\"text\":\"\x00\"}": 400, "{\"text\":\"\xff\"}": 400,
		`{"text":"a\u0000b"}`: 400, strings.Repeat("[", 1000): 400, `{"text":"x","created_at":"yesterday"}`: 422,
		`{"text":"` + strings.Repeat("x", 9<<20) + `"}`: 413, `{"text":"` + strings.Repeat("x", 300_000) + `"}`: 422,
	} {
		if a := h.api("POST", "/v1/feedback", body); a.status != want || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.40q: %d %s, want %d", body, a.status, a.body, want)
		}
	}
	if n := h.stored(bus.Deliveries); n != 0 {
		t.Errorf("%d deliveries were stored", n)
	}
}

func TestALargePostBecomesSeveralDeliveries(t *testing.T) {
	t.Parallel()
	h := start(t)
	var lines strings.Builder
	for i := range 400 {
		fmt.Fprintf(&lines, "{\"id\":\"n%d\",\"text\":%q}\n", i, fmt.Sprint("feedback ", i, strings.Repeat(" long", 400)))
	}
	p := read[posted](t, h.api("POST", "/v1/feedback", lines.String()), 202)
	if len(p.Accepted) != 400 || h.stored(bus.Deliveries) < 2 {
		t.Fatalf("%d accepted in %d deliveries", len(p.Accepted), h.stored(bus.Deliveries))
	}
	h.settle()
	if n := len(h.rows()); n != 400 {
		t.Errorf("%d rows", n)
	}
}

func TestDeletionAndErasure(t *testing.T) {
	t.Parallel()
	h := start(t)
	p := read[posted](t, h.api("POST", "/v1/feedback", `[{"id":"a","text":"first words","author":{"id":"u1","email":"ada@x.example"}},{"id":"b","text":"second words","author":{"id":"u1","email":"ada@x.example"}},{"id":"c","text":"kept","author":{"id":"u2"}}]`), 202)
	h.settle()
	item := p.Accepted[0].Items[0]
	if a := h.api("DELETE", "/v1/feedback/"+item, ""); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.settle()
	if rows := h.rows(); len(rows) != 2 {
		t.Errorf("%v", rows)
	}
	var customer string
	for _, e := range h.events(bus.Items) {
		if v, err := event.Payload[event.Item](e); err == nil && v.Item.ID == item {
			customer = v.Item.Customer.ID
		}
	}
	if a := h.api("DELETE", "/v1/customers/"+customer, ""); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.settle()
	if rows := h.rows(); len(rows) != 1 || !strings.Contains(rows[0], "kept") {
		t.Errorf("%v", rows)
	}
	last := h.events(bus.Items)
	erased, err := event.Payload[event.Erasure](last[len(last)-2])
	if err != nil || erased.Customer != customer || len(erased.Items) != 2 {
		t.Errorf("%+v %v", erased, err)
	}
	for _, id := range []string{item[:len(item)-1] + "x", "nothing", strings.Replace(item, "itm", "cus", 1)} {
		if a := h.api("DELETE", "/v1/feedback/"+id, ""); a.status != 404 {
			t.Errorf("%s: %d", id, a.status)
		}
		if a := h.api("DELETE", "/v1/customers/"+id, ""); a.status != 404 {
			t.Errorf("%s: %d", id, a.status)
		}
	}
	other := map[string]string{"Authorization": "Bearer token-other"}
	if a := h.do("DELETE", "/v1/feedback/"+p.Accepted[2].Items[0], other, nil); a.status != 404 {
		t.Errorf("another workspace's item: %d", a.status)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, body := range []string{
		`[{"id":"initech","name":"Initech","domains":["Initech.example"],"value":120000,"currency":"EUR","plan":"pro","segment":"mid"},{"id":"hooli","value":1}]`,
		`[{"id":"initech","name":"Initech","domains":["initech.example"],"value":90000,"currency":"EUR"}]`,
		`[{"id":"initech","name":"Initech","domains":["initech.example"],"value":120000,"currency":"EUR"}]`,
	} {
		if a := h.api("PUT", "/v1/accounts", body); a.status != 202 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	h.settle()
	type account struct {
		ID      string
		Value   float64
		Domains []string
	}
	type page struct {
		Items []account
		Next  *string `json:"next_cursor"`
	}
	first := read[page](t, h.api("GET", "/v1/accounts?limit=1", ""), 200)
	if first.Next == nil || first.Items[0].ID != "hooli" {
		t.Fatalf("%+v", first)
	}
	second := read[page](t, h.api("GET", "/v1/accounts?cursor="+*first.Next, ""), 200)
	if want := []account{{"initech", 120000, []string{"initech.example"}}}; !reflect.DeepEqual(second.Items, want) || second.Next != nil {
		t.Errorf("%+v", second)
	}
	if got := h.brief(bus.Items); len(got) != 4 {
		t.Errorf("%v", got)
	}
	if other := read[page](t, h.do("GET", "/v1/accounts", map[string]string{"Authorization": "Bearer token-other"}, nil), 200); len(other.Items) != 0 {
		t.Errorf("another workspace sees %+v", other)
	}
	for body, want := range map[string]int{`{}`: 400, `x`: 400, `[{"id":""}]`: 422, `[{"id":"a","value":-1}]`: 422, `[{"id":"a","currency":"euro"}]`: 422, `[{"id":"a"},{"id":"a"}]`: 422} {
		if a := h.api("PUT", "/v1/accounts", body); a.status != want {
			t.Errorf("%s: %d, want %d", body, a.status, want)
		}
	}
	if a := h.api("GET", "/v1/accounts?limit=0", ""); a.status != 400 {
		t.Errorf("limit=0: %d", a.status)
	}
}

func TestDeadLettersAreListedRetriedAndDropped(t *testing.T) {
	t.Parallel()
	h := start(t)
	// Well-formed Slack, but without the time stamp that identifies a message.
	poison := `{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","user":"U1","text":"customer's words"}}`
	h.accepted("slack", poison)
	h.accepted("slack", strings.Replace(poison, "T1", "T2", 1))
	h.accepted("slack", slackMessage("fine", ""))
	h.settle()
	type letters struct {
		Items []bus.DeadLetter
		Next  *string `json:"next_cursor"`
	}
	all := read[letters](t, h.api("GET", "/v1/dead-letters", ""), 200)
	if len(all.Items) != 2 || all.Items[0].Durable != bus.IngestorDecode || strings.Contains(all.Items[0].Reason, "customer") || len(all.Items[0].Body) > 0 {
		t.Fatalf("%+v", all)
	}
	if rows := h.rows(); len(rows) != 1 {
		t.Errorf("poison blocked: %v", rows)
	}
	page := read[letters](t, h.api("GET", "/v1/dead-letters?limit=1", ""), 200)
	if len(page.Items) != 1 || page.Next == nil {
		t.Errorf("%+v", page)
	}
	id := "/v1/dead-letters/" + all.Items[0].ID
	if d := read[bus.DeadLetter](t, h.api("GET", id, ""), 200); !strings.Contains(string(d.Body), "delivery.accepted.v1") {
		t.Errorf("%+v", d)
	}
	if a := h.do("GET", id, map[string]string{"Authorization": "Bearer token-other"}, nil); a.status != 404 {
		t.Errorf("another workspace: %d", a.status)
	}
	if a := h.api("POST", id+"/retry", ""); a.status != 202 {
		t.Errorf("retry: %d %s", a.status, a.body)
	}
	h.settle() // it fails again
	again := read[letters](t, h.api("GET", "/v1/dead-letters", ""), 200)
	if len(again.Items) != 2 {
		t.Fatalf("%+v", again)
	}
	for _, d := range again.Items {
		if a := h.api("DELETE", "/v1/dead-letters/"+d.ID, ""); a.status != http.StatusNoContent {
			t.Errorf("drop: %d", a.status)
		}
	}
	if a := h.api("DELETE", id, ""); a.status != 404 {
		t.Errorf("drop again: %d", a.status)
	}
}

func TestConnectionsSayWhatToFix(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.accepted("slack", slackMessage("hi", ""))
	body := []byte(intercomReply("x", 1))
	h.post("intercom", body, sign("intercom", "wrong", body))
	h.post("zendesk", []byte(slackMessage("hi", "")), nil)
	h.settle()
	type connection struct {
		ID, Type, State, Fix string
		LastDelivery         *string `json:"last_delivery"`
		LagSeconds           float64 `json:"lag_seconds"`
		Failures             map[string]int
	}
	got := read[struct{ Items []connection }](t, h.do("GET", "/v1/connections", map[string]string{"Authorization": "Bearer token-read"}, nil), 200)
	states := map[string]string{}
	for _, c := range got.Items {
		states[c.ID] = c.State
		if (c.State == "ok") != (c.Fix == "") || (c.ID == "acme-slack") != (c.LastDelivery != nil) || c.LagSeconds != 0 {
			t.Errorf("%+v", c)
		}
	}
	want := map[string]string{"acme-slack": "ok", "acme-intercom": "failing", "acme-zendesk": "failing", "acme-webhook": "waiting", "acme-email": "waiting", "acme-jira": "waiting", "acme-linear": "waiting", "acme-github": "waiting", "acme-bare": "misconfigured"}
	if !reflect.DeepEqual(states, want) {
		t.Errorf("got %v", states)
	}
	if other := read[struct{ Items []connection }](t, h.do("GET", "/v1/connections", map[string]string{"Authorization": "Bearer token-other"}, nil), 200); len(other.Items) != 0 {
		t.Errorf("another workspace sees %v", other)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, route := range []string{"POST /v1/feedback", "DELETE /v1/feedback/x", "DELETE /v1/customers/x", "PUT /v1/accounts", "GET /v1/dead-letters", "GET /v1/dead-letters/1", "DELETE /v1/dead-letters/1", "POST /v1/dead-letters/1/retry"} {
		method, path, _ := strings.Cut(route, " ")
		for token, want := range map[string]int{"": 401, "Bearer nonsense": 401, "Bearer token-read": 403} {
			if a := h.do(method, path, map[string]string{"Authorization": token}, []byte("{}")); a.status != want {
				t.Errorf("%s with %q: %d, want %d", route, token, a.status, want)
			}
		}
	}
}
