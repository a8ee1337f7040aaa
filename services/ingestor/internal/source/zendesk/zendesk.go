// Package zendesk reads Zendesk's webhooks of both kinds: event subscriptions
// (zen:event-type:…) and what an administrator typed into a trigger. Only public words
// of an end user count; what does not say that it is public is private.
//
// A conversation is a ticket of a connection: the two kinds of webhook exclude each other
// in Zendesk, so one connection sees a ticket in one way only.
package zendesk

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

// Decoder reads one connection's deliveries. BaseURL, such as https://acme.zendesk.com,
// makes links to tickets; events do not carry it.
type Decoder struct{ BaseURL string }

// EventPrefix starts the type of every event of a subscription.
const EventPrefix = "zen:event-type:"

type notification struct {
	Type   string       `json:"type"`
	Time   payload.Time `json:"time"`
	Detail struct {
		ID          payload.Text `json:"id"`
		Name        payload.Text `json:"name"`
		Email       payload.Text `json:"email"`
		Role        payload.Text `json:"role"`
		Description payload.Text `json:"description"`
		IsPublic    payload.Bool `json:"is_public"`
		RequesterID payload.Text `json:"requester_id"`
		Company     payload.Text `json:"organization_id"`
		SubmitterID payload.Text `json:"submitter_id"`
		CreatedAt   payload.Time `json:"created_at"`
		UpdatedAt   payload.Time `json:"updated_at"`
	} `json:"detail"`
	Event struct {
		Comment *comment `json:"comment"`
		Actor   struct {
			ID   payload.Text `json:"id"`
			Name payload.Text `json:"name"`
			Type string       `json:"type"`
		} `json:"actor"`
		Message struct {
			ID   payload.Text `json:"id"`
			Body payload.Text `json:"body"`
		} `json:"message"`
	} `json:"event"`
}

type comment struct {
	ID       payload.Text `json:"id"`
	Body     payload.Text `json:"body"`
	HTML     payload.Text `json:"html_body"`
	IsPublic payload.Bool `json:"is_public"`
	Author   struct {
		ID      payload.Text `json:"id"`
		Name    payload.Text `json:"name"`
		Email   payload.Text `json:"email"`
		IsStaff payload.Bool `json:"is_staff"`
	} `json:"author"`
}

// Decode says what a delivery means. It fails on a body that is neither an event nor
// something typed into a trigger, and on an event about a ticket it does not name.
func (d Decoder) Decode(in event.Delivery) ([]change.Change, error) {
	var n notification
	err := payload.Decode(in.Body, &n)
	if err != nil || !strings.HasPrefix(n.Type, EventPrefix) {
		return d.trigger(in)
	}
	received := payload.First(n.Time.Time, in.ReceivedAt)
	name := strings.TrimPrefix(n.Type, EventPrefix)
	about, _, _ := strings.Cut(name, ".")
	if (about == "ticket" || about == "messaging_ticket" || about == "user") && n.Detail.ID == "" {
		return nil, fmt.Errorf("decode zendesk event: it does not name its %s", strings.TrimPrefix(about, "messaging_"))
	}
	place := d.place(in, string(n.Detail.ID))
	switch name {
	case "ticket.created":
		return d.created(n, place, received), nil
	case "ticket.comment_added":
		return d.commented(n, place, received)
	case "ticket.comment_made_private", "ticket.comment_redacted":
		if n.Event.Comment == nil || n.Event.Comment.ID == "" {
			return nil, fmt.Errorf("decode zendesk event: it does not name its comment")
		}
		return []change.Change{change.MessageDeleted{Place: place, ID: string(n.Event.Comment.ID), At: received}}, nil
	case "ticket.soft_deleted", "ticket.permanently_deleted", "ticket.marked_as_spam":
		return []change.Change{change.ConversationDeleted{Place: place, At: received}}, nil
	case "ticket.undeleted":
		return []change.Change{change.ConversationRestored{Place: place, At: received}}, nil
	case "messaging_ticket.message_added":
		return d.messaged(n, place, received), nil
	case "ticket.csat_received":
		return d.rated(in, n, place, received)
	case "ticket.merged":
		return change.None("merged into another ticket"), nil
	case "user.created", "user.identity_created", "user.identity_changed", "user.details_changed":
		return d.met(in, n), nil
	case "organization.created", "organization.name_changed":
		if n.Detail.ID == "" {
			return change.None("organization without an id"), nil
		}
		return []change.Change{change.AccountTold{Account: feedback.Account{ID: string(n.Detail.ID), Name: string(n.Detail.Name)}}}, nil
	case "user.deleted":
		return []change.Change{change.CustomerErased{Source: feedback.Zendesk, Author: change.Author{ID: d.person(in, n.Detail.ID)}, At: received}}, nil
	}
	return change.None("not a customer's words"), nil
}

// rated reads the remark of a satisfaction survey, whichever of its kinds it is: a comment,
// or the open question of a survey that has several. A rating without words says nothing.
func (d Decoder) rated(in event.Delivery, n notification, place change.Place, received time.Time) ([]change.Change, error) {
	var of struct {
		Event any `json:"event"`
	}
	if err := payload.Decode(in.Body, &of); err != nil {
		return nil, fmt.Errorf("decode zendesk event: %w", err)
	}
	text := plain.Clean(remark(of.Event, 0))
	switch {
	case n.Detail.RequesterID == "":
		return change.None("not a customer's words"), nil
	case text == "":
		return change.None("rating without a remark"), nil
	}
	return []change.Change{change.MessageUpserted{
		Place: place, ID: "satisfaction", Version: payload.Version(received),
		Author: change.Author{ID: personIn(place, n.Detail.RequesterID)}, Account: feedback.AccountRef{ID: string(n.Detail.Company)},
		At: received, Changed: received, Text: text, URL: d.url(n.Detail.ID),
	}}, nil
}

// remark finds the customer's own words in a survey's answers.
func remark(v any, depth int) string {
	if depth > 6 {
		return ""
	}
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			if s := remark(inner, depth+1); s != "" {
				return s
			}
		}
	case map[string]any:
		names := []string{"comment"}
		if v["type"] == "open_ended" {
			names = append(names, "value", "answer")
		}
		for _, name := range names {
			if s, ok := v[name].(string); ok && s != "" {
				return s
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s := remark(v[name], depth+1); s != "" {
				return s
			}
		}
	}
	return ""
}

// met reads that an end user has an address.
func (d Decoder) met(in event.Delivery, n notification) []change.Change {
	switch strings.ToLower(string(n.Detail.Role)) {
	case "", "end-user", "end_user":
	default:
		return change.None("not a customer")
	}
	if n.Detail.Email == "" {
		return change.None("user without an address")
	}
	return []change.Change{change.CustomerMet{Source: feedback.Zendesk, Author: change.Author{ID: d.person(in, n.Detail.ID), Name: string(n.Detail.Name), Email: string(n.Detail.Email)}}}
}

// created reads a ticket's description, which is its first comment. Where somebody else
// than the requester typed it, it is not the customer's words.
func (d Decoder) created(n notification, place change.Place, received time.Time) []change.Change {
	t := n.Detail
	text := plain.Clean(string(t.Description))
	switch {
	case !t.IsPublic.Yes():
		return change.None("not public")
	case t.RequesterID == "" || t.SubmitterID != "" && t.SubmitterID != t.RequesterID:
		return change.None("not a customer's words")
	case text == "":
		return change.None("ticket without text")
	}
	at := payload.First(t.CreatedAt.Time, received)
	return []change.Change{change.MessageUpserted{
		Place: place, ID: "description", Version: payload.Version(at),
		Author: change.Author{ID: personIn(place, t.RequesterID)}, Account: feedback.AccountRef{ID: string(t.Company)}, At: at, Changed: at, Text: text, URL: d.url(t.ID),
	}}
}

func (d Decoder) commented(n notification, place change.Place, received time.Time) ([]change.Change, error) {
	c := n.Event.Comment
	if c == nil || c.ID == "" {
		return nil, fmt.Errorf("decode zendesk event: it does not name its comment")
	}
	text := plain.Clean(string(c.Body))
	if text == "" {
		text = plain.FromHTML(string(c.HTML))
	}
	switch {
	case !c.IsPublic.Yes():
		return change.None("not public"), nil
	case !c.Author.IsStaff.No() || c.Author.ID == "":
		return change.None("not a customer's words"), nil
	case text == "":
		return change.None("comment without text"), nil
	}
	return []change.Change{change.MessageUpserted{
		Place: place, ID: string(c.ID), Version: payload.Version(received),
		Author: change.Author{ID: personIn(place, c.Author.ID), Name: string(c.Author.Name), Email: string(c.Author.Email)},
		At:     received, Changed: received, Text: text, URL: d.url(n.Detail.ID),
	}}, nil
}

func (d Decoder) messaged(n notification, place change.Place, received time.Time) []change.Change {
	actor, m := n.Event.Actor, n.Event.Message
	text := plain.Clean(string(m.Body))
	switch {
	case actor.Type != "end_user" || actor.ID == "" || strings.HasPrefix(string(actor.ID), "zd:"):
		return change.None("not a customer's words")
	case m.ID == "" || text == "":
		return change.None("message without text")
	}
	return []change.Change{change.MessageUpserted{
		Place: place, ID: string(m.ID), Version: payload.Version(received),
		Author: change.Author{ID: personIn(place, actor.ID), Name: string(actor.Name)}, At: received, Changed: received, Text: text, URL: d.url(n.Detail.ID),
	}}
}

func (d Decoder) place(in event.Delivery, ticket string) change.Place {
	return change.Place{Source: feedback.Zendesk, External: in.Connection + ":" + ticket}
}

// person scopes a user id by the connection: ids are unique within one Zendesk account.
func (d Decoder) person(in event.Delivery, id payload.Text) string {
	return in.Connection + ":" + string(id)
}

func personIn(p change.Place, id payload.Text) string {
	connection, _, _ := strings.Cut(p.External, ":")
	return connection + ":" + string(id)
}

func (d Decoder) url(ticket payload.Text) string {
	if d.BaseURL == "" {
		return ""
	}
	return strings.TrimSuffix(d.BaseURL, "/") + "/agent/tickets/" + url.PathEscape(string(ticket))
}
