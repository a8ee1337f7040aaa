// Package demo plays a real-looking day to a running Throughline: bundled customer
// feedback, dressed as the three vendors' payloads and signed with their signatures,
// tickets that are created and move, and a stand-in for the trackers' APIs that keeps
// what was written. It knows Throughline only from outside, through HTTP.
package demo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

//go:embed feedback.jsonl
var bundled []byte

// Text is one piece of real feedback.
type Text struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Texts returns the bundled feedback in its order.
func Texts() ([]Text, error) {
	var out []Text
	lines := bufio.NewScanner(bytes.NewReader(bundled))
	for lines.Scan() {
		var t Text
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return nil, fmt.Errorf("read bundled feedback: %w", err)
		}
		out = append(out, t)
	}
	return out, lines.Err()
}

// Accounts are the companies of the demo, with what each is worth a year. All are
// fictional.
func Accounts() []feedback.Account {
	names := []string{
		"Nordlicht Gyms", "Café Aurora", "Bluewater Hotels", "Kestrel Radio", "Tandem Fitness", "Sunday Records",
		"Oakline Retail", "Halden Airlines", "Marigold Spas", "Quartz Studios", "Pinewood Schools", "Ferrante Trattorie",
		"Lumen Cinemas", "Harbour Ferries", "Velvet Lounge", "Sable Fashion", "Copper Kettle", "Northbound Rail",
		"Juniper Clinics", "Atlas Coworking", "Tidepool Aquaria", "Granite Climbing", "Peregrine Taxis", "Willow Dental",
	}
	plans := []string{"Team", "Business", "Enterprise"}
	segments := []string{"smb", "mid-market", "enterprise"}
	values := []float64{2400, 3600, 7200, 12000, 21600, 36000, 66000, 120000}
	out := make([]feedback.Account, len(names))
	for i, name := range names {
		slug := strings.ToLower(strings.NewReplacer(" ", "-", "é", "e").Replace(name))
		v := values[(i*5+3)%len(values)]
		tier := 0
		if v >= 12000 {
			tier = 1
		}
		if v >= 36000 {
			tier = 2
		}
		out[i] = feedback.Account{
			ID: strconv.Itoa(7000 + i), Name: name, Domains: []string{slug + ".example"},
			Value: v, Currency: "EUR", Plan: plans[tier], Segment: segments[tier],
		}
	}
	return out
}

// person is a fictional customer.
type person struct {
	id      int
	name    string
	email   string
	account feedback.Account
}

var given = []string{"Ada", "Bela", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kaito", "Lena", "Mara", "Noor", "Otto", "Priya", "Quinn", "Rosa", "Sven", "Tala"}
var family = []string{"Abel", "Brandt", "Costa", "Dvorak", "Eklund", "Fischer", "Garcia", "Haddad", "Ivanov", "Jansen", "Kovacs", "Larsen"}

// speaker picks who says the i-th text: some people speak often, most once.
func speaker(i int, accounts []feedback.Account) person {
	n := (i * 37) % 240
	if i%9 == 0 {
		n = i % 12
	}
	a := accounts[(n+n/len(accounts))%len(accounts)]
	name := given[n%len(given)] + " " + family[(n/len(given))%len(family)]
	return person{n, name, strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@" + a.Domains[0], a}
}

// Request is one webhook as a vendor would send it, before it is signed.
type Request struct {
	Connection  string
	Vendor      string
	ContentType string
	Header      map[string]string
	Body        []byte
	// Words is the customer's text inside, for checking quotes.
	Words string
}

// Feedback dresses the i-th text as a webhook of one of the three sources, said at `at`.
func Feedback(i int, t Text, at time.Time, accounts []feedback.Account) Request {
	p := speaker(i, accounts)
	switch i % 3 {
	case 0:
		return slack(t, p, at)
	case 1:
		return intercom(t, p, at)
	default:
		return zendesk(t, p, at)
	}
}

// number derives a stable number from a text's id, for vendors' numeric ids.
func number(id string) uint64 {
	h := sha256.Sum256([]byte(id))
	return uint64(h[0])<<32 | uint64(h[1])<<24 | uint64(h[2])<<16 | uint64(h[3])<<8 | uint64(h[4])
}

func body(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return bytes.TrimSpace(b.Bytes())
}

type object = map[string]any

func slack(t Text, p person, at time.Time) Request {
	ts := fmt.Sprintf("%d.%06d", at.Unix(), number(t.ID)%1000000)
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(t.Text)
	user := fmt.Sprintf("U%07d", p.id)
	return Request{Connection: "demo-slack", Vendor: "slack", ContentType: "application/json", Words: t.Text, Body: body(object{
		"token": "verification-token", "team_id": "T0DEMO", "api_app_id": "A0DEMO", "type": "event_callback",
		"event_id": "Ev" + strings.ToUpper(t.ID), "event_time": at.Unix(), "is_ext_shared_channel": false,
		"authorizations": []object{{"enterprise_id": nil, "team_id": "T0DEMO", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false}},
		"event_context":  "1-message-T0DEMO-C0FEEDBACK",
		"event": object{
			"client_msg_id": t.ID, "type": "message", "text": escaped, "user": user, "ts": ts, "team": "T0DEMO",
			"channel": "C0FEEDBACK", "event_ts": ts, "channel_type": "channel",
			"blocks": []object{{"type": "rich_text", "block_id": "b", "elements": []object{
				{"type": "rich_text_section", "elements": []object{{"type": "text", "text": t.Text}}},
			}}},
		},
	})}
}

func intercom(t Text, p person, at time.Time) Request {
	id := strconv.FormatUint(number(t.ID), 10)
	author := object{"type": "user", "id": fmt.Sprintf("ic-%d", p.id), "name": p.name, "email": p.email}
	return Request{Connection: "demo-intercom", Vendor: "intercom", ContentType: "application/json", Words: t.Text, Body: body(object{
		"type": "notification_event", "app_id": "demo", "id": "notif_" + t.ID, "topic": "conversation.user.created",
		"delivery_status": "pending", "delivery_attempts": 1, "delivered_at": 0, "first_sent_at": at.Unix(), "created_at": at.Unix(), "links": object{}, "self": nil,
		"data": object{"type": "notification_event_data", "item": object{
			"type": "conversation", "id": id, "created_at": at.Unix(), "updated_at": at.Unix(), "state": "open", "open": true,
			"source": object{
				"type": "conversation", "id": id + "1", "delivered_as": "customer_initiated", "subject": "",
				"body": "<p>" + html.EscapeString(t.Text) + "</p>", "author": author, "attachments": []any{}, "url": nil, "redacted": false,
			},
			"contacts":           object{"type": "contact.list", "contacts": []object{{"type": "contact", "id": author["id"]}}},
			"company":            object{"type": "company", "company_id": p.account.ID, "name": p.account.Name},
			"conversation_parts": object{"type": "conversation_part.list", "conversation_parts": []any{}, "total_count": 0},
		}},
	})}
}

func zendesk(t Text, p person, at time.Time) Request {
	ticket := strconv.FormatUint(number(t.ID)%1000000, 10)
	stamp := at.UTC().Format("2006-01-02T15:04:05.000000000Z")
	return Request{Connection: "demo-zendesk", Vendor: "zendesk", ContentType: "application/json", Words: t.Text, Body: body(object{
		"account_id": 22129848, "id": "zd-" + t.ID, "subject": "zen:ticket:" + ticket, "time": stamp,
		"type": "zen:event-type:ticket.comment_added", "zendesk_event_version": "2022-11-06",
		"detail": object{
			"id": ticket, "actor_id": fmt.Sprint(80000 + p.id), "requester_id": fmt.Sprint(80000 + p.id), "organization_id": p.account.ID,
			"created_at": stamp, "updated_at": stamp, "description": t.Text, "subject": "Feedback", "is_public": true,
			"status": "OPEN", "priority": "NORMAL", "type": "QUESTION", "tags": nil, "via": object{"channel": "web_service"},
		},
		"event": object{"comment": object{
			"id": ticket + "9", "body": t.Text, "is_public": true,
			"author": object{"id": fmt.Sprint(80000 + p.id), "is_staff": false, "name": p.name},
		}},
	})}
}
