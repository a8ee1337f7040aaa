package mapping

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/standalone/internal/table"
)

// Entry is one piece of feedback, as POST /v1/feedback takes it.
type Entry struct {
	ID        string    `json:"id"`
	Text      string    `json:"text,omitempty"`
	Messages  []Message `json:"messages,omitempty"`
	Source    string    `json:"source"`
	Author    *Person   `json:"author,omitempty"`
	Account   *Account  `json:"account,omitempty"`
	URL       string    `json:"url,omitempty"`
	CreatedAt string    `json:"created_at,omitempty"`
}

// Message is one of the customer's turns.
type Message struct {
	At   string `json:"at,omitempty"`
	From string `json:"from,omitempty"`
	Text string `json:"text"`
}

// Person is the customer.
type Person struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Account is the customer's company, with what the row tells of it. Value is a year's.
type Account struct {
	ID       string   `json:"id,omitempty"`
	Name     string   `json:"name,omitempty"`
	Domains  []string `json:"domains,omitempty"`
	Value    float64  `json:"value,omitempty"`
	Currency string   `json:"currency,omitempty"`
	Plan     string   `json:"plan,omitempty"`
	Segment  string   `json:"segment,omitempty"`
}

// Plain makes text of HTML.
type Plain func(html string) string

// Row makes feedback of a row. ok is false for a row without words.
func (m *Mapping) Row(row table.Row, plain Plain) (e Entry, ok bool) {
	switch m.Shape {
	case "intercom-json":
		return intercom(row.JSON, plain)
	case "zendesk-json":
		return zendesk(row.JSON, plain)
	}
	get := func(f Field) string {
		if i, known := m.index[f]; known && i >= 0 {
			return strings.TrimSpace(row.Values[i])
		}
		return ""
	}
	text, title := clean(get(Text), plain), clean(get(Title), plain)
	switch {
	case text == "":
		text = title
	case title != "" && !strings.Contains(strings.ToLower(text), strings.ToLower(title)):
		text = title + "\n\n" + text
	}
	if text == "" {
		return Entry{}, false
	}
	e = Entry{ID: m.id(get(ID), row.Values), Text: text, Source: string(feedback.Import), Author: person(get(AuthorID), get(AuthorName), get(AuthorEmail))}
	if at := ParseTime(get(CreatedAt), m.DayFirst); !at.IsZero() {
		e.CreatedAt = at.Format(time.RFC3339Nano)
	}
	if u := get(URL); urlLike.MatchString(u) {
		e.URL = u
	}
	e.Account = m.account(get)
	return e, true
}

// id scopes a row's id by the kind of export, since two tools count from 1. Without one, it
// follows from the row, so that the same row imported again is the same item.
func (m *Mapping) id(own string, values []string) string {
	if own == "" {
		return feedback.ID("row", values...)
	}
	if id := m.Shape + ":" + own; len(id) <= 200 {
		return id
	}
	return feedback.ID("row", m.Shape, own)
}

func person(id, name, email string) *Person {
	if !addressLike.MatchString(email) {
		email = ""
	}
	if id == "" {
		id = email
	}
	if id == "" {
		id = name
	}
	if id == "" {
		return nil
	}
	return &Person{id, name, email}
}

func (m *Mapping) account(get func(Field) string) *Account {
	a := &Account{ID: get(AccountID), Name: get(AccountName), Plan: get(AccountPlan), Segment: get(AccountSegment)}
	if d := domain(get(AccountDomain)); d != "" {
		a.Domains = []string{d}
	}
	if a.ID == "" {
		a.ID = a.Name
	}
	if v, currency, ok := ParseAmount(get(AccountValue)); ok {
		a.Value, a.Currency = v, currency
	} else if v, currency, ok := ParseAmount(get(AccountMonthly)); ok {
		a.Value, a.Currency = 12*v, currency
	}
	if a.ID == "" && (a.Value > 0 || a.Plan != "" || a.Segment != "") { // of whom? of the writer's company
		_, at, _ := strings.Cut(strings.ToLower(get(AuthorEmail)), "@")
		if at = domain(at); at != "" && !shared[at] {
			a.ID, a.Domains = at, []string{at}
		}
	}
	if a.ID == "" || len(a.ID) > 200 {
		return nil
	}
	return a
}

// shared are domains of addresses that belong to no company.
var shared = map[string]bool{
	"gmail.com": true, "googlemail.com": true, "outlook.com": true, "hotmail.com": true, "live.com": true, "yahoo.com": true, "icloud.com": true,
	"me.com": true, "aol.com": true, "gmx.de": true, "gmx.net": true, "web.de": true, "proton.me": true, "protonmail.com": true,
}

var domainLike = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*\.[a-z]{2,}$`)

func domain(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"https://", "http://", "www."} {
		s = strings.TrimPrefix(s, prefix)
	}
	s, _, _ = strings.Cut(s, "/")
	if !domainLike.MatchString(s) {
		return ""
	}
	return s
}

var markup = regexp.MustCompile(`(?i)<(p|br|div|span|ul|ol|li|b|i|strong|em|a|table|img|html|body)\b[^>]*>`)

func clean(s string, plain Plain) string {
	if markup.MatchString(s) {
		s = plain(s)
	}
	return strings.TrimSpace(s)
}

type intercomConversation struct {
	ID        scalar `json:"id"`
	CreatedAt scalar `json:"created_at"`
	Source    words  `json:"source"`
	Parts     struct {
		Parts []words `json:"conversation_parts"`
	} `json:"conversation_parts"`
}

type words struct {
	Type      string `json:"part_type"`
	Body      string `json:"body"`
	CreatedAt scalar `json:"created_at"`
	Redacted  bool   `json:"redacted"`
	Author    struct {
		Type  string `json:"type"`
		ID    scalar `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"author"`
}

// intercom takes what customers wrote in a conversation as Intercom's API has it.
func intercom(raw json.RawMessage, plain Plain) (Entry, bool) {
	var c intercomConversation
	if json.Unmarshal(raw, &c) != nil || c.ID == "" {
		return Entry{}, false
	}
	e := Entry{ID: "intercom:" + c.ID.text(), Source: string(feedback.Import)}
	if at := ParseTime(c.CreatedAt.text(), false); !at.IsZero() {
		e.CreatedAt = at.Format(time.RFC3339Nano)
	}
	c.Source.CreatedAt = c.CreatedAt
	for _, w := range append([]words{c.Source}, c.Parts.Parts...) {
		text := clean(w.Body, plain)
		switch w.Author.Type {
		case "user", "lead", "contact":
		default:
			continue
		}
		if text == "" || w.Redacted || w.Type == "note" {
			continue
		}
		if e.Author == nil {
			e.Author = person(w.Author.ID.text(), w.Author.Name, w.Author.Email)
		}
		message := Message{From: "customer", Text: text}
		if at := ParseTime(w.CreatedAt.text(), false); !at.IsZero() {
			message.At = at.Format(time.RFC3339Nano)
		}
		e.Messages = append(e.Messages, message)
	}
	return e, len(e.Messages) > 0
}

type zendeskTicket struct {
	ID          scalar `json:"id"`
	URL         string `json:"url"`
	Subject     string `json:"subject"`
	Description string `json:"description"`
	CreatedAt   string `json:"created_at"`
	RequesterID scalar `json:"requester_id"`
	Requester   struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"requester"`
	Organization struct {
		ID   scalar `json:"id"`
		Name string `json:"name"`
	} `json:"organization"`
	Comments []struct {
		AuthorID  scalar `json:"author_id"`
		Body      string `json:"body"`
		Plain     string `json:"plain_body"`
		Public    bool   `json:"public"`
		CreatedAt string `json:"created_at"`
	} `json:"comments"`
}

// zendesk takes the requester's public comments on a ticket of Zendesk's JSON export. A
// comment that does not say that it is public is private.
func zendesk(raw json.RawMessage, plain Plain) (Entry, bool) {
	var k zendeskTicket
	if json.Unmarshal(raw, &k) != nil || k.ID == "" {
		return Entry{}, false
	}
	e := Entry{ID: "zendesk:" + k.ID.text(), Source: string(feedback.Import), Author: person(k.RequesterID.text(), k.Requester.Name, k.Requester.Email)}
	if at := ParseTime(k.CreatedAt, false); !at.IsZero() {
		e.CreatedAt = at.Format(time.RFC3339Nano)
	}
	if id := k.Organization.ID.text(); id != "" || k.Organization.Name != "" {
		e.Account = &Account{ID: id, Name: k.Organization.Name}
	}
	for i, c := range k.Comments {
		text := c.Plain
		if text == "" {
			text = c.Body
		}
		text = clean(text, plain)
		if !c.Public || c.AuthorID != k.RequesterID || text == "" {
			continue
		}
		if i == 0 && k.Subject != "" && !strings.Contains(strings.ToLower(text), strings.ToLower(k.Subject)) {
			text = k.Subject + "\n\n" + text
		}
		message := Message{From: "customer", Text: text}
		if at := ParseTime(c.CreatedAt, false); !at.IsZero() {
			message.At = at.Format(time.RFC3339Nano)
		}
		e.Messages = append(e.Messages, message)
	}
	return e, len(e.Messages) > 0
}

// scalar is a string that exports also write as a number or as null.
type scalar string

// UnmarshalJSON keeps the digits of a number; null and what is nested read as nothing.
func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	var text string
	switch {
	case json.Unmarshal(b, &text) == nil:
		*s = scalar(text)
	case b[0] != '{' && b[0] != '[':
		*s = scalar(b)
	}
	return nil
}

func (s scalar) text() string { return string(s) }
