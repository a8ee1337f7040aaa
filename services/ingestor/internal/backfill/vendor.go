package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
	"github.com/throughline-dev/throughline/services/ingestor/internal/slackapi"
)

// conversation is what a vendor has of one conversation, as the webhooks that it would
// have sent of it. Complete says that there is nothing else in it.
type conversation struct {
	bodies   [][]byte
	complete bool
}

// vendor reads a connection's history page by page. A page's cursor is durable: reading
// goes on from it after a crash, and reading a page twice changes nothing.
type vendor interface {
	// page returns conversations that changed since, and where the next page begins, ""
	// after the last one.
	page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error)
	// gone is the webhook that takes a message back.
	gone(external, id string, at time.Time) []byte
}

// open returns the vendor behind a connection, and false where there is no history to be
// had: another kind, or no credentials.
func open(c config.Connection, client *ask.Client) (vendor, bool) {
	base := strings.TrimRight(c.BaseURL, "/")
	or := func(address string) string {
		if base == "" {
			return address
		}
		return base
	}
	switch {
	case c.Type == "slack" && c.BotToken.Value() != "":
		return &slack{api: slackapi.New(c, client)}, true
	case c.Type == "intercom" && c.APIToken.Value() != "":
		client.Sign = ask.Bearer(c.APIToken.Value())
		return &intercom{Client: client, base: or("https://api.intercom.io")}, true
	case c.Type == "zendesk" && c.APIToken.Value() != "" && base != "":
		client.Sign = func(r *http.Request) { r.SetBasicAuth(c.Email+"/token", c.APIToken.Value()) }
		return &zendesk{Client: client, base: base}, true
	case c.Type == "jira" && c.APIToken.Value() != "" && base != "":
		client.Sign = func(r *http.Request) { r.SetBasicAuth(c.Email, c.APIToken.Value()) }
		return &jira{Client: client, base: base}, true
	case c.Type == "github" && c.Token.Value() != "":
		bearer := ask.Bearer(c.Token.Value())
		client.Sign = func(r *http.Request) {
			bearer(r)
			r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
		}
		return &github{Client: client, base: or("https://api.github.com")}, true
	case c.Type == "linear" && c.APIKey.Value() != "":
		client.Sign = func(r *http.Request) { r.Header.Set("Authorization", c.APIKey.Value()) }
		return &linear{Client: client, base: or("https://api.linear.app")}, true
	}
	return nil, false
}

type object = map[string]any

func encode(v object) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("backfill: plain values cannot be encoded: %v", err))
	}
	return b
}

// slack reads the channels that the bot is a member of, newest messages first, each with
// its thread.
type slack struct {
	api  *slackapi.API
	team string
}

func (s *slack) call(ctx context.Context, method string, parameters url.Values) (slackapi.Answer, error) {
	return s.api.Call(ctx, method, parameters)
}

// page reads one page of one channel; the cursor is the channel's id and Slack's cursor.
func (s *slack) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	if s.team == "" {
		p, err := s.call(ctx, "auth.test", nil)
		if err != nil {
			return nil, "", err
		}
		s.team = p.TeamID
	}
	channels, err := s.channels(ctx)
	if err != nil || len(channels) == 0 {
		return nil, "", err
	}
	channel, at, _ := strings.Cut(cursor, " ")
	if channel == "" {
		channel = channels[0]
	}
	parameters := url.Values{"channel": {channel}, "limit": {"100"}, "oldest": {slackapi.Stamp(since)}, "cursor": {at}}
	p, err := s.call(ctx, "conversations.history", parameters)
	if errors.Is(err, slackapi.ErrExpired) {
		return nil, channel, nil // the channel is begun again
	}
	if err != nil {
		return nil, "", err
	}
	var out []conversation
	for _, m := range p.Messages {
		c, err := s.thread(ctx, channel, m)
		if err != nil {
			return nil, "", err
		}
		out = append(out, c)
	}
	if p.Meta.Next != "" {
		return out, channel + " " + p.Meta.Next, nil
	}
	if i := slices.Index(channels, channel); i+1 < len(channels) {
		return out, channels[i+1], nil
	}
	return out, "", nil
}

func (s *slack) channels(ctx context.Context) ([]string, error) {
	var out []string
	for cursor := ""; ; {
		p, err := s.call(ctx, "users.conversations", url.Values{"types": {"public_channel,private_channel"}, "exclude_archived": {"true"}, "limit": {"200"}, "cursor": {cursor}})
		if err != nil {
			return nil, err
		}
		for _, c := range p.Channels {
			out = append(out, c.ID)
		}
		if cursor = p.Meta.Next; cursor == "" {
			slices.Sort(out)
			return out, nil
		}
	}
}

// thread is a message with everything that was answered to it.
func (s *slack) thread(ctx context.Context, channel string, parent map[string]json.RawMessage) (conversation, error) {
	out := conversation{bodies: [][]byte{slackapi.MessageEvent(s.team, channel, parent)}, complete: true}
	var ts string
	var replies int
	_ = json.Unmarshal(parent["ts"], &ts)
	_ = json.Unmarshal(parent["reply_count"], &replies)
	if replies == 0 {
		return out, nil
	}
	for cursor := ""; ; {
		p, err := s.call(ctx, "conversations.replies", url.Values{"channel": {channel}, "ts": {ts}, "limit": {"200"}, "cursor": {cursor}})
		if err != nil {
			return conversation{}, err
		}
		for _, m := range p.Messages {
			var own string
			if _ = json.Unmarshal(m["ts"], &own); own != ts {
				out.bodies = append(out.bodies, slackapi.MessageEvent(s.team, channel, m))
			}
		}
		if cursor = p.Meta.Next; cursor == "" {
			return out, nil
		}
	}
}

func (s *slack) gone(external, id string, at time.Time) []byte {
	part := strings.SplitN(external, ":", 3)
	if len(part) != 3 {
		return nil
	}
	return encode(object{"type": "event_callback", "team_id": part[0], "event": object{
		"type": "message", "subtype": "message_deleted", "channel": part[1], "deleted_ts": id, "event_ts": slackapi.Stamp(at),
		"previous_message": object{"ts": id, "thread_ts": part[2]},
	}})
}

// intercom searches conversations by when they changed, and reads each with its parts.
type intercom struct {
	*ask.Client
	base, app string
}

// maxParts is how many parts Intercom shows of a conversation.
const maxParts = 500

func (i *intercom) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	if i.app == "" {
		var me struct {
			App struct {
				ID string `json:"id_code"`
			} `json:"app"`
		}
		if err := i.Ask(ctx, http.MethodGet, i.base+"/me", 0, nil, &me); err != nil {
			return nil, "", err
		}
		i.app = me.App.ID
	}
	pagination := object{"per_page": 50}
	if cursor != "" {
		pagination["starting_after"] = cursor
	}
	var found struct {
		Conversations []struct{ ID string } `json:"conversations"`
		Pages         struct {
			Next struct {
				StartingAfter string `json:"starting_after"`
			} `json:"next"`
		} `json:"pages"`
	}
	query := object{"query": object{"field": "updated_at", "operator": ">", "value": since.Unix()}, "pagination": pagination}
	if err := i.Ask(ctx, http.MethodPost, i.base+"/conversations/search", 0, query, &found); err != nil {
		return nil, "", err
	}
	var out []conversation
	for _, c := range found.Conversations {
		var item object
		if err := i.Ask(ctx, http.MethodGet, i.base+"/conversations/"+url.PathEscape(c.ID), 0, nil, &item); err != nil {
			return nil, "", err
		}
		out = append(out, i.conversation(item))
	}
	return out, found.Pages.Next.StartingAfter, nil
}

func (i *intercom) conversation(item object) conversation {
	parts, _ := item["conversation_parts"].(object)
	list, _ := parts["conversation_parts"].([]any)
	return conversation{bodies: [][]byte{i.notification("conversation.user.created", item), i.notification("conversation.user.replied", item)}, complete: len(list) < maxParts}
}

func (i *intercom) notification(topic string, item object) []byte {
	return encode(object{"type": "notification_event", "app_id": i.app, "topic": topic, "data": object{"item": item}})
}

func (i *intercom) gone(external, id string, at time.Time) []byte {
	app, conversation, _ := strings.Cut(external, ":")
	return encode(object{"type": "notification_event", "app_id": app, "topic": "conversation_part.redacted", "created_at": at.Unix(),
		"data": object{"item": object{"type": "conversation", "id": conversation, "conversation_parts": object{"conversation_parts": []object{{"id": id, "redacted": true}}}}}})
}

// zendesk exports tickets incrementally, ten calls a minute, and reads the comments of
// each. Deleted tickets are part of the export.
type zendesk struct {
	*ask.Client
	base string
}

const exportPause = 6 * time.Second

func (z *zendesk) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	address := z.base + "/api/v2/incremental/tickets/cursor.json?start_time=" + strconv.FormatInt(since.Unix(), 10)
	if cursor != "" {
		address = z.base + "/api/v2/incremental/tickets/cursor.json?cursor=" + url.QueryEscape(cursor)
	}
	var p struct {
		Tickets []struct {
			ID        json.Number `json:"id"`
			Status    string      `json:"status"`
			UpdatedAt string      `json:"updated_at"`
		} `json:"tickets"`
		After string `json:"after_cursor"`
		End   bool   `json:"end_of_stream"`
	}
	if err := z.Ask(ctx, http.MethodGet, address, exportPause, nil, &p); err != nil {
		return nil, "", err
	}
	var out []conversation
	for _, t := range p.Tickets {
		if t.Status == "deleted" {
			out = append(out, conversation{bodies: [][]byte{z.event("soft_deleted", t.ID.String(), t.UpdatedAt, nil)}})
			continue
		}
		c, err := z.comments(ctx, t.ID.String())
		if err != nil {
			return nil, "", err
		}
		out = append(out, c)
	}
	if p.End {
		return out, "", nil
	}
	return out, p.After, nil
}

func (z *zendesk) comments(ctx context.Context, ticket string) (conversation, error) {
	out := conversation{complete: true}
	for address := z.base + "/api/v2/tickets/" + ticket + "/comments.json?include=users&page%5Bsize%5D=100"; address != ""; {
		var p struct {
			Comments []struct {
				ID        json.Number `json:"id"`
				AuthorID  json.Number `json:"author_id"`
				Body      string      `json:"body"`
				Public    *bool       `json:"public"`
				CreatedAt string      `json:"created_at"`
			} `json:"comments"`
			Users []struct {
				ID   json.Number `json:"id"`
				Name string      `json:"name"`
				Role string      `json:"role"`
			} `json:"users"`
			Meta struct {
				More bool `json:"has_more"`
			} `json:"meta"`
			Links struct {
				Next string `json:"next"`
			} `json:"links"`
		}
		if err := z.Ask(ctx, http.MethodGet, address, 0, nil, &p); err != nil {
			return conversation{}, err
		}
		for _, c := range p.Comments {
			author := object{"id": c.AuthorID.String()}
			for _, u := range p.Users {
				if u.ID == c.AuthorID {
					// Without the address: events do not carry it, and it would make another
					// customer of the same person.
					author["name"], author["is_staff"] = u.Name, u.Role != "end-user"
				}
			}
			comment := object{"id": c.ID.String(), "body": c.Body, "author": author}
			if c.Public != nil {
				comment["is_public"] = *c.Public
			}
			out.bodies = append(out.bodies, z.event("comment_added", ticket, c.CreatedAt, comment))
		}
		address = ""
		if p.Meta.More {
			address = p.Links.Next
		}
		if address != "" && !strings.HasPrefix(address, z.base+"/") {
			return conversation{}, fmt.Errorf("ask zendesk: the next page is on another server: %w", ask.ErrRefused)
		}
	}
	return out, nil
}

func (z *zendesk) event(name, ticket, at string, comment object) []byte {
	e := object{}
	if comment != nil {
		e["comment"] = comment
	}
	return encode(object{"type": "zen:event-type:ticket." + name, "time": at, "detail": object{"id": ticket}, "event": e})
}

func (z *zendesk) gone(external, id string, at time.Time) []byte {
	_, ticket, _ := strings.Cut(external, ":")
	return z.event("comment_redacted", ticket, at.UTC().Format(time.RFC3339Nano), object{"id": id})
}
