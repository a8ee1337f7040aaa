package zendesk

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

// Fields are the members of a trigger's body as text, by name.
type Fields map[string]string

// spellings lists the names that administrators give to what we read, ours first.
var spellings = map[string][]string{
	"ticket":  {"ticket_id", "ticket.id"},
	"words":   {"description", "ticket.description", "ticket_description"},
	"remark":  {"satisfaction_comment", "satisfaction.current_comment", "satisfaction_rating.comment", "ticket.satisfaction.current_comment", "ticket.satisfaction_rating.comment"},
	"email":   {"requester_email", "ticket.requester.email", "email"},
	"name":    {"requester_name", "ticket.requester.name"},
	"person":  {"requester_id", "ticket.requester.id"},
	"public":  {"is_public", "public"},
	"created": {"created_at", "ticket.created_at_with_timestamp", "ticket.created_at"},
	"updated": {"updated_at", "ticket.updated_at_with_timestamp", "ticket.updated_at"},
}

func (f Fields) get(what string) string {
	for _, name := range spellings[what] {
		if v, ok := f[name]; ok {
			return v
		}
	}
	return ""
}

// Read reads what a trigger posts. Zendesk puts placeholders into the body as they are,
// so a quote or a line break in a customer's words breaks the JSON: then members are
// found by their names and everything up to the next name is the value. Words that
// contain a member of their own would let a customer speak as somebody else; every name
// that occurs twice is therefore dropped, and repeated lists them. ok is false for a body
// that names no ticket.
func Read(body []byte) (fields Fields, repeated []string, ok bool) {
	if _, err := payload.Check(body); err == nil {
		fields = strict(body)
	} else {
		fields, repeated = lenient(string(body))
	}
	return fields, repeated, fields.get("ticket") != ""
}

func strict(body []byte) Fields {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil
	}
	out := Fields{}
	for name, raw := range members {
		var nested Fields
		if len(raw) > 0 && raw[0] == '{' {
			nested = strict(raw)
			for inner, v := range nested {
				out[name+"."+inner] = v
			}
			continue
		}
		var v payload.Text
		_ = v.UnmarshalJSON(raw)
		out[name] = string(v)
	}
	return out
}

var member = regexp.MustCompile(`(?:^\s*\{|,)\s*"([A-Za-z_][A-Za-z0-9_.]{0,63})"\s*:\s*`)

func lenient(body string) (Fields, []string) {
	out := Fields{}
	var repeated []string
	found := member.FindAllStringSubmatchIndex(body, 200)
	for i, at := range found {
		name, end := body[at[2]:at[3]], len(body)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		if _, seen := out[name]; seen {
			repeated = append(repeated, name)
			continue
		}
		out[name] = value(body[at[1]:end], i+1 == len(found))
	}
	for _, name := range repeated {
		delete(out, name)
	}
	return out, repeated
}

// value takes the quotes off, and undoes escapes where somebody did escape.
func value(raw string, last bool) string {
	raw = strings.TrimSpace(raw)
	if last {
		raw = strings.TrimSpace(strings.TrimSuffix(raw, "}"))
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) == nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(raw, `"`), `"`)
}

// trigger reads the requester's words out of a trigger's body. Comments in it are left
// alone: a trigger does not say who wrote them.
func (d Decoder) trigger(in event.Delivery) ([]change.Change, error) {
	f, repeated, ok := Read(in.Body)
	ticket := f.get("ticket")
	switch {
	case !ok:
		return nil, fmt.Errorf("decode zendesk trigger: the body names no ticket, or names it twice")
	case strings.Contains(ticket, "{{"):
		return change.None("placeholders are not filled in"), nil
	case strings.Trim(ticket, "0123456789") != "" || len(ticket) > 20:
		return nil, fmt.Errorf("decode zendesk trigger: the ticket id is not a number")
	}
	text, remark := plain.Clean(f.get("words")), plain.Clean(f.get("remark"))
	if strings.HasPrefix(remark, "{{") {
		remark = ""
	}
	public := strings.ToLower(strings.TrimSpace(f.get("public")))
	switch {
	case public != "" && public != "true":
		return change.None("not public"), nil
	case text == "" && remark == "":
		return change.None("ticket without text"), nil
	case strings.HasPrefix(text, "{{"):
		return change.None("placeholders are not filled in"), nil
	}
	who := change.Author{Email: f.get("email"), Name: f.get("name")}
	if len(repeated) > 0 {
		who = change.Author{}
	}
	switch person := f.get("person"); {
	case person != "" && len(repeated) == 0:
		who.ID = in.Connection + ":" + person
	case who.Email != "":
		who.ID = in.Connection + ":" + who.Email
	default:
		who.ID = in.Connection + ":requester of " + ticket
	}
	at := payload.First(payload.ParseTime(f.get("created")), payload.ParseTime(f.get("updated")), in.ReceivedAt)
	changed := payload.First(payload.ParseTime(f.get("updated")), in.ReceivedAt)
	said := change.MessageUpserted{
		Place: d.place(in, ticket), ID: "description", Version: payload.Version(changed),
		Author: who, At: at, Changed: changed, Text: text, URL: d.url(payload.Text(ticket)),
	}
	var out []change.Change
	if text != "" {
		out = append(out, said)
	}
	if remark != "" { // the rating of a ticket that was solved
		said.ID, said.Text, said.At = "satisfaction", remark, changed
		out = append(out, said)
	}
	return out, nil
}
