package decode_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// spoken makes a delivery of each kind in which a customer, or a ticket, says something.
// Every kind of source and tracker is in this table; what TestEveryKind… asks of one, it
// asks of all. What is asked at the door (signatures, retries, sizes, foreign payloads) is
// the service's own table of tests, over the same kinds.
var spoken = map[string]func(words string) string{
	"slack": func(s string) string {
		return msg(`"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":` + inJSON(s) + `}]}]}],"text":"lossy"`)
	},
	"intercom": func(s string) string {
		r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", "<br>")
		return intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":`+inJSON("<p>"+r.Replace(s)+"</p>")+`,"author":{"type":"user","id":"c1"},"created_at":1700000000}]}`)
	},
	"zendesk": func(s string) string {
		return strings.Replace(comment(`"is_public":true,"author":{"id":"1","is_staff":false}`), `"Export fails"`, inJSON(s), 1)
	},
	"webhook": func(s string) string { return `{"id":"e1","text":` + inJSON(s) + `,"author":{"id":"u1"}}` },
	"email": func(s string) string {
		return "From: Ada <ada@x.example>\r\nMessage-ID: <m1>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + s + "\r\n"
	},
	"feedback": func(s string) string { return `[{"id":"e1","text":` + inJSON(s) + `,"author":{"id":"u1"}}]` },
	"jira":     func(s string) string { return jiraUpdate(`{"field":"summary"}`, `"summary":`+inJSON(s)) },
	"linear":   func(s string) string { return linear("update", `"description":`+inJSON(s), `"title":"old"`) },
	"github":   func(s string) string { return issue("edited", `"state":"open","body":`+inJSON(s)) },
}

func inJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func read(kind, body string) ([]change.Change, error) {
	headers := map[string]string{}
	if kind == "email" {
		headers["content-type"] = "message/rfc822"
	}
	return decode.Changes(config.Connection{}, event.Delivery{ID: "dlv_1", Connection: "acme-" + kind, Kind: kind, ReceivedAt: received, Headers: headers, Body: []byte(body)})
}

// said is the text of what a delivery says, wherever its kind of change has it.
func said(t *testing.T, kind, body string) string {
	t.Helper()
	got, err := read(kind, body)
	if err != nil || len(got) == 0 {
		t.Fatalf("%s: got %v, %v", kind, got, err)
	}
	switch c := got[len(got)-1].(type) {
	case change.MessageUpserted:
		return c.Text
	case change.ConversationStated:
		return c.Messages[0].Text
	case change.TicketChanged:
		if c.Ticket.Body != "" {
			return c.Ticket.Body
		}
		return c.Ticket.Title
	default:
		t.Fatalf("%s says %+v", kind, c)
		return ""
	}
}

func TestEveryKindKeepsEveryCharacter(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"German, Japanese, Arabic": "Der Export schlägt fehl — 日本語で — التصدير لا يعمل",
		"emoji with joiners":       "broken 👩🏽‍💻 and 🏳️‍🌈 and 🇩🇪",
		"combining marks":          "e\u0301 n\u0303 Z\u0351\u036b\u0343",
		"right-to-left override":   "user\u202eexe.pdf\u202c",
		"zero width":               "a\u200bb\u2060c",
		"beyond the BMP":           "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠜎",
		"looks like markup":        "1 < 2 && 3 > 2; <script>alert(1)</script> &amp; {{ticket.id}} ${x}",
		"looks like SQL and a log": "'; DROP TABLE items; -- \\n level=error",
		"quotes and backslashes":   `he said "no" \ 'yes' \u0041`,
		"lines":                    "one\ntwo\n\nthree",
		"replacement character":    "a\uFFFDb",
	} {
		for kind, make := range spoken {
			if got := said(t, kind, make(words)); got != words {
				t.Errorf("%s, %s:\n got %q\nwant %q", kind, name, got, words)
			}
		}
	}
}

func TestEveryKindTakesTheHuge(t *testing.T) {
	t.Parallel()
	words := strings.TrimSpace(strings.Repeat("the export of page after page fails 🚨 ", 4500)) // 190 KB
	for kind, make := range spoken {
		if got := said(t, kind, make(words)); got != words {
			t.Errorf("%s keeps %d of %d bytes", kind, len(got), len(words))
		}
	}
}

// The same bytes mean the same, however often they are read.
func TestEveryKindReadsTheSameTwice(t *testing.T) {
	t.Parallel()
	for kind, make := range spoken {
		a, errA := read(kind, make("words"))
		b, errB := read(kind, make("words"))
		if errA != nil || errB != nil || show(a) != show(b) {
			t.Errorf("%s: %s\nthen %s", kind, show(a), show(b))
		}
	}
}

// A payload of another vendor is refused or means nothing: it is never somebody's words.
func TestEveryKindRefusesTheOthersPayloads(t *testing.T) {
	t.Parallel()
	for kind := range spoken {
		for other, make := range spoken {
			if kind == other || kind == "webhook" && other == "feedback" || kind == "feedback" && other == "webhook" {
				continue // those two take the same entries
			}
			got, err := read(kind, make("words of another vendor's customer"))
			if err == nil && strings.Contains(show(got), "another vendor") {
				t.Errorf("%s takes a payload of %s: %s", kind, other, show(got))
			}
		}
	}
}

// Whatever is wrong with a delivery, the reason does not repeat what it says: the marker
// stands where words, names, addresses and secrets do.
func TestEveryKindsErrorsSayNothingOfTheBody(t *testing.T) {
	t.Parallel()
	const marker = "hunter2"
	for kind, make := range spoken {
		body := make("my password is " + marker)
		var broken []string
		for at := 0; at < len(body); at += 7 {
			broken = append(broken, body[:at], body[:at]+"\x00"+body[at:], body[:at]+`"`+marker+body[at:])
		}
		for _, member := range []string{`"id"`, `"type"`, `"event"`, `"text"`, `"issue"`, `"data"`, `"key"`, `"number"`, `"channel"`, `"ts"`, `"author"`} {
			for _, value := range []string{`"` + marker + `"`, `{"` + marker + `":"` + marker + `"}`, `["` + marker + `"]`, `null`} {
				broken = append(broken, strings.Replace(body, member+":", member+":"+value+`,"was":`, 1))
			}
		}
		for _, b := range broken {
			if _, err := read(kind, b); err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestEveryKindHasItsPlaceInTheTable(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"slack", "intercom", "zendesk", "webhook", "email", "jira", "linear", "github"} {
		c := config.Config{Listen: "127.0.0.1:1", Workspaces: []config.Workspace{{ID: "acme", Connections: []config.Connection{{ID: "a", Type: kind}}}}}
		if err := c.Validate(); err != nil && strings.Contains(fmt.Sprint(err), "type") {
			t.Errorf("%s is not a type of connection: %v", kind, err)
		}
		if spoken[kind] == nil {
			t.Errorf("%s is not in the table", kind)
		}
	}
}
