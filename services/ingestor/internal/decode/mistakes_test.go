package decode_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// The mistakes that are made in reading; the list is in the service's own tests.

// brief is what a decoder has published, in a few words each.
func (d *decoder) brief() (out []string) {
	for _, id := range d.log.ids {
		e, err := event.Decode([]byte(d.log.body[id]))
		if err != nil {
			d.t.Fatal(err)
		}
		name := strings.TrimSuffix(string(e.Type), ".v1")
		switch {
		case strings.HasPrefix(name, "item."):
			it, err := event.Payload[event.Item](e)
			if err != nil {
				d.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %d %s", name, it.Item.Revision, it.Item.Text))
		case strings.HasPrefix(name, "ticket."):
			k, err := event.Payload[event.Ticket](e)
			if err != nil {
				d.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %s %s", name, k.Ticket.Key, k.Ticket.Status))
		default:
			out = append(out, name)
		}
	}
	return out
}

func TestMistake03UnfurlsTakenAsMessages(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	said := `"ts":"1700000001.000200","user":"U1","text":"see https://x.example"`
	d.take("slack", msg(`"text":"see https://x.example"`))
	d.take("slack", slackEdit(said+`,"attachments":[{"title":"An unfurled link","text":"not the customer's"}]`, said))
	d.take("slack", slackEdit(said+`,"reply_count":2,"latest_reply":"1700000002.0","subscribed":false`, said))
	d.take("slack", slackEdit(said+`,"edited":{"user":"U1","ts":"1700000009.000000"}`, said)) // edited to the same words
	d.take("slack", msg(`"text":"see https://x.example"`))
	if got, want := d.brief(), []string{"item.received 1 see https://x.example"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestMistake04TombstonesTakenAsEdits(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	d.take("slack", msg(`"text":"my secret words","thread_ts":"1700000001.000200"`))
	d.take("slack", slackEdit(`"subtype":"tombstone","user":"USLACKBOT","ts":"1700000001.000200","thread_ts":"1700000001.000200","text":"This message was deleted.","hidden":true`, `"ts":"1700000001.000200","user":"U1","text":"my secret words"`))
	d.take("slack", msg(`"text":"my secret words","thread_ts":"1700000001.000200"`)) // a copy that comes late
	if got, want := d.brief(), []string{"item.received 1 my secret words", "item.deleted 2 "}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	for k, s := range statesOf(t, d.h.States) {
		if strings.Contains(s, "secret words") || strings.Contains(s, "was deleted") {
			t.Errorf("%s still holds %s", k, s)
		}
	}
	if rows := rowsOf(t, d.h.Store.(faulty).store); strings.Contains(fmt.Sprint(rows), "secret words") {
		t.Errorf("rows: %v", rows)
	}
}

// What we write ourselves comes back as webhooks, and must move nothing; what other
// people's robots do is real.
func TestMistake05FeedbackLoops(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for kind, bodies := range map[string][]string{
		"slack": {
			msg(`"bot_id":"B1","app_id":"A1","text":"Good morning. What moved:"`),
			msg(`"subtype":"bot_message","bot_id":"B1","text":"x"`),
			strings.Replace(msg(`"bot_id":"B2","text":"posted with our own token"`), `"team_id":"T1"`, `"team_id":"T1","authorizations":[{"team_id":"T1","user_id":"U1","is_bot":true}]`, 1),
		},
		"jira": {
			`{"timestamp":1,"webhookEvent":"comment_created","comment":{"id":"1","body":"<!-- throughline:v1 -->"},"issue":{"id":"1","key":"P-1","fields":{"summary":"x"}}}`,
			`{"timestamp":1,"webhookEvent":"issue_property_set","property":{"key":"throughline"}}`,
			`{"timestamp":1,"webhookEvent":"issuelink_created","issueLink":{}}`,
		},
		"linear": {
			`{"action":"create","type":"Attachment","data":{"id":"a","title":"Throughline"},"createdAt":"2024-01-02T00:00:00Z"}`,
			`{"action":"update","type":"Comment","data":{"id":"c","body":"<!-- throughline:v1 -->"},"createdAt":"2024-01-02T00:00:00Z"}`,
		},
		"github": {
			`{"action":"created","comment":{"body":"<!-- throughline:v1 -->"},"issue":{"id":1,"number":3,"title":"t"},"repository":{"full_name":"o/r"},"sender":{"login":"throughline[bot]","type":"Bot"}}`,
		},
	} {
		for _, body := range bodies {
			if out := d.take(kind, body); len(out) > 0 {
				t.Errorf("%s: our own write became %v", kind, d.brief())
			}
		}
	}
	d.take("github", issue("closed", `"state":"closed"`)) // sent by a robot
	d.take("jira", strings.Replace(jiraUpdate(`{"field":"status","fromString":"To Do"}`, `"status":{"name":"Done","statusCategory":{"key":"done"}}`), `"timestamp"`, `"user":{"accountType":"app","displayName":"Automation for Jira"},"timestamp"`, 1))
	d.take("linear", strings.Replace(linear("update", `"state":{"name":"Done","type":"completed"}`, `"stateId":"x"`), `"action"`, `"actor":{"type":"oauthClient","name":"GitHub"},"action"`, 1))
	if got, want := d.brief(), []string{"ticket.moved o/r#3 closed", "ticket.moved P-1 Done", "ticket.moved ENG-1 Done"}; !reflect.DeepEqual(got, want) {
		t.Errorf("other people's robots: %q", got)
	}
}

func TestMistake06PlaceholdersThatBreakJSON(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"It says \"no rows\", always":           `It says "no rows", always`,
		"line one\nline two\ttabbed":            "line one\nline two\ttabbed",
		`C:\Users\Ada is a path`:                `C:\Users\Ada is a path`,
		"curly } and { and [brackets]":          "curly } and { and [brackets]",
		`ends with a quote "`:                   `ends with a quote "`,
		`already \"escaped\" and \u00e4`:        `already "escaped" and ä`,
		"emoji 🚨 and \u202eevil\u202c":          "emoji 🚨 and \u202eevil\u202c",
		"\"quoted from the first to the last\"": "quoted from the first to the last",
	} {
		body := "{\n  \"ticket_id\": \"5158\",\n  \"description\": \"" + words + "\",\n  \"requester_email\": \"a@x.example\",\n  \"updated_at\": \"2025-01-08T14:25:30Z\"\n}"
		got, err := decode.Changes(config.Connection{}, event.Delivery{ID: "dlv_1", Connection: "z", Kind: "zendesk", ReceivedAt: received, Body: []byte(body)})
		if err != nil {
			t.Errorf("%q: %v", words, err)
			continue
		}
		said, ok := got[0].(change.MessageUpserted)
		if !ok || strings.Trim(said.Text, `"`) != strings.Trim(want, `"`) || said.Author.Email != "a@x.example" {
			t.Errorf("%q: got %+v", words, got[0])
		}
	}
}

// Two deliveries of one action, in either order, and an old one after both.
func TestMistake10OrderOfArrivalTakenForOrder(t *testing.T) {
	t.Parallel()
	at := func(body, version string) string {
		return strings.Replace(body, `"updated_at":"2024-01-02T00:00:00Z"`, `"updated_at":"`+version+`"`, 1)
	}
	edit := func(text, ts string) string {
		return slackEdit(fmt.Sprintf(`"ts":"1700000001.000200","user":"U1","text":%q,"edited":{"ts":%q}`, text, ts), `"ts":"1700000001.000200"`)
	}
	deliveries := []struct{ kind, body string }{
		{"slack", msg(`"text":"first"`)}, {"slack", edit("second", "1700000002.0")}, {"slack", edit("third", "1700000003.0")},
		{"zendesk", strings.Replace(comment(`"is_public":true,"author":{"id":"1","is_staff":false}`), "77", "78", 1)},
		{"zendesk", `{"type":"zen:event-type:ticket.comment_redacted","time":"2025-01-08T14:26:30Z","detail":{"id":5},"event":{"comment":{"id":"78"}}}`},
		{"intercom", intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":"old","author":{"type":"user","id":"c1"},"created_at":1700000000,"updated_at":1700000000}]}`)},
		{"intercom", intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":"new","author":{"type":"user","id":"c1"},"created_at":1700000000,"updated_at":1700000005}]}`)},
	}
	texts := func(order []int) string {
		d := newDecoder(t)
		for _, i := range order {
			d.take(deliveries[i].kind, deliveries[i].body)
		}
		last := map[string]string{}
		for _, row := range rowsOf(t, d.h.Store.(faulty).store) {
			f := strings.Split(row, ",")
			last[f[0]] = f[4]
		}
		return fmt.Sprint(last)
	}
	want := texts([]int{0, 1, 2, 3, 4, 5, 6})
	for _, order := range [][]int{{6, 5, 4, 3, 2, 1, 0}, {2, 0, 4, 6, 1, 3, 5}} {
		if got := texts(order); got != want {
			t.Errorf("in order %v: %s, want %s", order, got, want)
		}
	}
	// A ticket's version is the vendor's, so that whoever keeps tickets can tell.
	versions := []int64{}
	for _, body := range []string{at(issue("closed", `"state":"closed"`), "2024-01-02T00:00:02Z"), at(issue("edited", `"state":"open"`), "2024-01-02T00:00:01Z")} {
		got, err := decode.Changes(config.Connection{}, event.Delivery{Kind: "github", ReceivedAt: received, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, got[0].(change.TicketChanged).Ticket.Version)
	}
	if versions[0] <= versions[1] {
		t.Errorf("the close that came first is not newer: %v", versions)
	}
}

func TestMistake12TimestampsThatDropMessages(t *testing.T) {
	t.Parallel()
	for _, time := range []string{
		`"time":"2025-01-08T14:25:30Z",`, `"time":"2025-01-08T14:25:30.123Z",`, `"time":"2025-01-08T14:25:30.123456Z",`, `"time":"2025-01-08T14:25:30.254571515Z",`,
		`"time":1736346330,`, `"time":null,`, `"time":"soon",`, ``, `"time":{},`,
	} {
		body := strings.Replace(comment(`"is_public":true,"author":{"id":"1","is_staff":false}`), `"time":"2025-01-08T14:25:30Z",`, time, 1)
		got, err := decode.Changes(config.Connection{}, event.Delivery{Kind: "zendesk", Connection: "z", ReceivedAt: received, Body: []byte(body)})
		if said, ok := got[0].(change.MessageUpserted); err != nil || !ok || said.Text != "Export fails" || said.At.IsZero() || said.Version == 0 {
			t.Errorf("%s: got %+v, %v", time, got, err)
		}
	}
	for _, created := range []string{`1700000000`, `"1700000000"`, `null`, `"2025-01-08T14:25:30.254571515Z"`, `0`, `-1`} {
		body := intercom("conversation.user.created", `"type":"conversation","id":"7","created_at":`+created+`,"source":{"id":"s","body":"hi","author":{"type":"user","id":"c"}}`)
		got, err := decode.Changes(config.Connection{}, event.Delivery{Kind: "intercom", ReceivedAt: received, Body: []byte(body)})
		if said, ok := got[0].(change.MessageUpserted); err != nil || !ok || said.At.IsZero() {
			t.Errorf("%s: got %+v, %v", created, got, err)
		}
	}
}

// What does not say that it is public is private, and leaves no trace.
func TestMistake13PrivateWordsThatLeak(t *testing.T) {
	t.Parallel()
	const secret = "Kronjuwelen"
	d := newDecoder(t)
	for kind, bodies := range map[string][]string{
		"intercom": {
			intercom("conversation.admin.noted", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p","part_type":"note","body":"`+secret+`","author":{"type":"admin","id":"1"}}]}`),
			intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p","part_type":"note","body":"`+secret+`","author":{"type":"user","id":"1"}}]}`),
			intercom("conversation.admin.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p","part_type":"assignment","body":"`+secret+`","author":{"type":"admin","id":"1"}}]}`),
			intercom("ticket.note.created", `"type":"ticket_ticket_part","ticket_part":{"id":"p","part_type":"note","body":"`+secret+`","author":{"type":"admin","id":"1"}},"ticket":{"id":"1"}`),
		},
		"zendesk": {
			strings.Replace(comment(`"is_public":false,"author":{"id":"1","is_staff":false}`), "Export fails", secret, 1),
			strings.Replace(comment(`"author":{"id":"1","is_staff":false}`), "Export fails", secret, 1),
			strings.Replace(comment(`"is_public":"yes","author":{"id":"1","is_staff":false}`), "Export fails", secret, 1),
			strings.Replace(comment(`"is_public":true,"author":{"id":"1"}`), "Export fails", secret, 1),
			`{"type":"zen:event-type:ticket.created","detail":{"id":"5","requester_id":"1","description":"` + secret + `"},"event":{}}`,
			`{"ticket_id":"5158","description":"` + secret + `","is_public":"false"}`,
			`{"ticket_id":"5158","latest_comment":"` + secret + `"}`,
		},
		"email": {strings.Replace(mailFrom("bob@acme.example", "m9"), "The export fails.", "On Monday Ada wrote:\r\n> "+secret, 1)},
	} {
		for _, body := range bodies {
			if out := d.take(kind, body); len(out) > 0 {
				t.Errorf("%s: published %v", kind, out)
			}
		}
	}
	for k, s := range statesOf(t, d.h.States) {
		if strings.Contains(s, secret) {
			t.Errorf("%s holds it", k)
		}
	}
	// A ticket that only some may see is told as such, and never attached to.
	got, err := decode.Changes(config.Connection{}, event.Delivery{Kind: "jira", ReceivedAt: received, Body: []byte(jiraUpdate(`{"field":"security"}`, `"security":{"id":"10001","name":"Board only"}`))})
	if err != nil || !slices.ContainsFunc(got, func(c change.Change) bool { k, ok := c.(change.TicketChanged); return ok && k.Ticket.Restricted }) {
		t.Errorf("a security level is not a restriction: %+v, %v", got, err)
	}
}
