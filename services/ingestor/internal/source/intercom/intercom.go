// Package intercom reads Intercom's notifications in both generations of its payload:
// that of 2019 (user, conversation_message) and that of today (source, contacts). The
// topic says whose turn it is; notes, assignments, admins, teams and bots never count as
// a customer's words.
package intercom

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

type notification struct {
	Type      string       `json:"type"`
	AppID     payload.Text `json:"app_id"`
	About     string       `json:"topic"`
	CreatedAt payload.Time `json:"created_at"`
	Data      struct {
		Item item `json:"item"`
	} `json:"data"`
}

// item is a conversation, ticket, part or contact, whichever the topic is about.
type item struct {
	Type           string       `json:"type"`
	ID             payload.Text `json:"id"`
	ConversationID payload.Text `json:"conversation_id"`
	CreatedAt      payload.Time `json:"created_at"`
	UpdatedAt      payload.Time `json:"updated_at"`
	Email          payload.Text `json:"email"`
	Name           payload.Text `json:"name"`

	User    person   `json:"user"`                 // 2019
	Message words    `json:"conversation_message"` // 2019
	Source  words    `json:"source"`
	Parts   partList `json:"conversation_parts"`
	Rating  *rating  `json:"conversation_rating"`

	Contacts   contactList             `json:"contacts"`
	Attributes map[string]payload.Text `json:"ticket_attributes"`
	TicketPart *words                  `json:"ticket_part"`
	Ticket     *struct {
		ID payload.Text `json:"id"`
	} `json:"ticket"`
	Conversation *struct {
		ID payload.Text `json:"id"`
	} `json:"conversation"`
	Links struct {
		Web payload.Text `json:"conversation_web"`
	} `json:"links"`

	CompanyID payload.Text `json:"company_id"` // of a company: the sender's own id of it
	Spend     payload.Text `json:"monthly_spend"`
	Website   payload.Text `json:"website"`
	Plan      struct {
		Name payload.Text `json:"name"`
	} `json:"plan"`
	Industry payload.Text `json:"industry"`
}

type person struct {
	Type  string       `json:"type"`
	ID    payload.Text `json:"id"`
	Name  payload.Text `json:"name"`
	Email payload.Text `json:"email"`
	AI    payload.Bool `json:"from_ai_agent"`
}

// words is a message or a part of a conversation or ticket.
type words struct {
	ID        payload.Text `json:"id"`
	PartType  string       `json:"part_type"`
	Body      payload.Text `json:"body"`
	Author    person       `json:"author"`
	CreatedAt payload.Time `json:"created_at"`
	UpdatedAt payload.Time `json:"updated_at"`
	Redacted  payload.Bool `json:"redacted"`
}

type partList struct {
	Parts []words `json:"conversation_parts"`
}

type contactList struct {
	Contacts []person `json:"contacts"`
}

type rating struct {
	Remark    payload.Text `json:"remark"`
	CreatedAt payload.Time `json:"created_at"`
	UpdatedAt payload.Time `json:"updated_at"`
	Contact   person       `json:"contact"`
}

// Decode says what a notification means. It fails on a body that is not one, and on one
// whose item lacks the id that it is about.
func Decode(in event.Delivery) ([]change.Change, error) {
	var n notification
	if err := payload.Decode(in.Body, &n); err != nil {
		return nil, fmt.Errorf("decode intercom notification: %w", err)
	}
	if n.Type != "notification_event" {
		return nil, fmt.Errorf("decode intercom notification: not a notification_event")
	}
	received := payload.First(n.CreatedAt.Time, in.ReceivedAt)
	it := n.Data.Item
	switch n.About {
	case "conversation.user.created", "conversation.contact.created":
		return n.first(received)
	case "conversation.user.replied", "conversation.contact.replied":
		return n.replies(received)
	case "conversation.rating.added":
		return n.rated(received)
	case "conversation.deleted":
		id := it.ConversationID
		if id == "" {
			id = it.ID
		}
		if id == "" {
			return nil, fmt.Errorf("decode intercom notification: a deletion does not name its conversation")
		}
		return []change.Change{change.ConversationDeleted{Place: n.place(id), At: received}}, nil
	case "conversation_part.redacted":
		return n.redacted(received)
	case "contact.deleted", "user.deleted", "lead.deleted", "contact.user.deleted", "contact.lead.deleted":
		if it.ID == "" {
			return nil, fmt.Errorf("decode intercom notification: a deletion does not name its contact")
		}
		return []change.Change{change.CustomerErased{Source: feedback.Intercom, Author: n.author(person{ID: it.ID, Email: it.Email}), At: received}}, nil
	case "ticket.created":
		return n.ticket(received)
	case "ticket.contact.replied":
		return n.ticketReply(received)
	case "contact.created", "contact.email.updated", "contact.signed_up", "contact.lead.created", "contact.user.created", "contact.user.updated", "contact.lead.signed_up",
		"user.created", "user.email.updated", "contact.lead.added_email", "contact.added_email", "lead.added_email":
		return n.met(), nil
	case "company.created", "company.updated":
		return n.company(), nil
	case "ping":
		return change.None("handshake"), nil
	}
	return change.None("not a customer's words"), nil
}

// met reads that a contact has an address.
func (n notification) met() []change.Change {
	it := n.Data.Item
	if it.ID == "" || it.Email == "" {
		return change.None("contact without an address")
	}
	return []change.Change{change.CustomerMet{Source: feedback.Intercom, Author: n.author(person{ID: it.ID, Name: it.Name, Email: it.Email})}}
}

// company reads what Intercom knows of a company. Its spend is monthly.
func (n notification) company() []change.Change {
	it := n.Data.Item
	a := feedback.Account{ID: string(it.CompanyID), Name: string(it.Name), Plan: string(it.Plan.Name), Segment: string(it.Industry)}
	if a.ID == "" {
		a.ID = string(it.ID)
	}
	if a.ID == "" {
		return change.None("company without an id")
	}
	if spend, err := strconv.ParseFloat(string(it.Spend), 64); err == nil && spend > 0 && spend < 1e12 {
		a.Value = 12 * spend
	}
	if u, err := url.Parse(string(it.Website)); err == nil && strings.Contains(u.Hostname(), ".") {
		a.Domains = []string{strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")}
	}
	return []change.Change{change.AccountTold{Account: a}}
}

// first reads the message that opened a conversation.
func (n notification) first(received time.Time) ([]change.Change, error) {
	it := n.Data.Item
	w := it.Source
	if w.ID == "" && w.Body == "" {
		w = it.Message
	}
	w.CreatedAt.Time = payload.First(w.CreatedAt.Time, it.CreatedAt.Time)
	w.UpdatedAt.Time = payload.First(w.UpdatedAt.Time, w.CreatedAt.Time)
	return n.said(n.place(it.ID), "source", received, w)
}

// replies reads what customers said in the parts that came along: the newest, mostly.
func (n notification) replies(received time.Time) ([]change.Change, error) {
	return n.said(n.place(n.Data.Item.ID), "", received, n.Data.Item.Parts.Parts...)
}

// said makes messages of those words that a customer wrote for all to read.
func (n notification) said(p change.Place, fallbackID string, received time.Time, all ...words) ([]change.Change, error) {
	if strings.HasSuffix(p.External, ":") {
		return nil, fmt.Errorf("decode intercom notification: the item has no id")
	}
	var out []change.Change
	for _, w := range all {
		id := string(w.ID)
		if id == "" {
			id = fallbackID
		}
		text := plain.FromHTML(string(w.Body))
		switch {
		case !w.byCustomer() || id == "":
			continue
		case w.Redacted.Yes():
			out = append(out, change.MessageDeleted{Place: p, ID: id, At: received})
			continue
		case text == "":
			continue
		}
		at := payload.First(w.CreatedAt.Time, received)
		changed := payload.First(w.UpdatedAt.Time, at)
		out = append(out, change.MessageUpserted{
			Place: p, ID: id, Version: payload.Version(changed), Author: n.author(w.Author), At: at, Changed: changed, Text: text, URL: n.url(),
		})
	}
	if out == nil {
		return change.None("not a customer's words"), nil
	}
	return out, nil
}

func (w words) byCustomer() bool {
	switch w.PartType {
	case "note", "note_and_reopen", "assignment", "participant_added", "participant_removed":
		return false
	}
	switch w.Author.Type {
	case "user", "lead", "contact":
		return !w.Author.AI.Yes()
	}
	return false
}

// author completes what a part says of its author by what the conversation says of the
// same person.
func (n notification) author(p person) change.Author {
	for _, known := range append([]person{n.Data.Item.User, n.Data.Item.Source.Author}, n.Data.Item.Contacts.Contacts...) {
		if known.ID != p.ID {
			continue
		}
		if p.Name == "" {
			p.Name = known.Name
		}
		if p.Email == "" {
			p.Email = known.Email
		}
	}
	return change.Author{ID: string(n.AppID) + ":" + string(p.ID), Name: string(p.Name), Email: string(p.Email)}
}

func (n notification) rated(received time.Time) ([]change.Change, error) {
	it := n.Data.Item
	if it.Rating == nil {
		return change.None("rating without a remark"), nil
	}
	who := it.Rating.Contact
	if who.ID == "" {
		who = it.customer()
	}
	who.Type = "contact"
	w := words{ID: "rating", Body: it.Rating.Remark, Author: who, CreatedAt: it.Rating.CreatedAt, UpdatedAt: it.Rating.UpdatedAt}
	return n.said(n.place(it.ID), "", received, w)
}

func (n notification) redacted(received time.Time) ([]change.Change, error) {
	it := n.Data.Item
	conversation := it.ConversationID
	if conversation == "" && it.Conversation != nil {
		conversation = it.Conversation.ID
	}
	var out []change.Change
	if it.Type == "conversation" {
		conversation = it.ID
		for _, w := range append([]words{it.Source, it.Message}, it.Parts.Parts...) {
			if w.Redacted.Yes() && w.ID != "" {
				out = append(out, change.MessageDeleted{Place: n.place(conversation), ID: string(w.ID), At: received})
			}
		}
	} else if it.ID != "" && conversation != "" {
		out = append(out, change.MessageDeleted{Place: n.place(conversation), ID: string(it.ID), At: received})
	}
	if out == nil || conversation == "" {
		return nil, fmt.Errorf("decode intercom notification: a redaction does not name its part")
	}
	return out, nil
}

func (n notification) ticket(received time.Time) ([]change.Change, error) {
	it := n.Data.Item
	who := it.customer()
	who.Type = "contact"
	w := words{ID: "description", Body: it.Attributes["_default_description_"], Author: who, CreatedAt: it.CreatedAt, UpdatedAt: it.UpdatedAt}
	if who.ID == "" {
		return change.None("ticket without a contact"), nil
	}
	return n.said(n.place("ticket:"+it.ID), "", received, w)
}

func (n notification) ticketReply(received time.Time) ([]change.Change, error) {
	it := n.Data.Item
	if it.TicketPart == nil || it.Ticket == nil || it.Ticket.ID == "" {
		return nil, fmt.Errorf("decode intercom notification: a ticket reply lacks its part or its ticket")
	}
	return n.said(n.place("ticket:"+it.Ticket.ID), "", received, *it.TicketPart)
}

// customer is the person that the conversation or ticket belongs to.
func (it item) customer() person {
	if it.User.ID != "" {
		return it.User
	}
	if len(it.Contacts.Contacts) > 0 {
		return it.Contacts.Contacts[0]
	}
	return it.Source.Author
}

func (n notification) place(id payload.Text) change.Place {
	return change.Place{Source: feedback.Intercom, External: string(n.AppID) + ":" + string(id)}
}

func (n notification) url() string {
	it := n.Data.Item
	if strings.HasPrefix(string(it.Links.Web), "https://") {
		return string(it.Links.Web)
	}
	if it.Type != "conversation" || n.AppID == "" || it.ID == "" {
		return ""
	}
	return "https://app.intercom.com/a/apps/" + url.PathEscape(string(n.AppID)) + "/conversations/" + url.PathEscape(string(it.ID))
}
