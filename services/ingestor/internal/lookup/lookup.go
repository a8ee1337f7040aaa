// Package lookup asks vendors for what their deliveries leave open: Slack, what the ids in them
// are called, what stands under a reaction that captures, and what it withheld while it limited
// us; Zendesk, what stands in a ticket that came back. What it learns becomes a delivery in the form of the event that would have told
// of it, so that decoding stays pure and a replay needs no vendor.
//
// Each id is asked for once a month; that it was asked for is kept in the event log. Where
// Slack refuses, for lack of a scope mostly, it is left alone for an hour.
package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/replay"
	"github.com/throughline-dev/throughline/services/ingestor/internal/slackapi"
)

// How long a name is taken to be right, and how long a refusal is respected.
const (
	fresh    = 30 * 24 * time.Hour
	respects = time.Hour
)

// Handler looks at the deliveries of connections that Takes tells of. Its fields are set once;
// one process runs it at a time: hold a lease.
type Handler struct {
	Connections map[string]config.Connection // by id; deliveries of others are left alone
	API         map[string]*slackapi.API     // of the Slack connections
	Asked       jetstream.KeyValue           // the bucket of cursors
	Deliver     func(ctx context.Context, workspace string, c config.Connection, body []byte) error
	Backfill    func(ctx context.Context, workspace, connection string, since time.Time) error
	Now         func() time.Time
	Logger      *slog.Logger

	refused map[string]time.Time // until when, by connection and method
}

// Takes reports whether a connection can be asked.
func Takes(c config.Connection) bool {
	return c.Type == "slack" && c.BotToken.Value() != "" || c.Type == "zendesk" && c.APIToken.Value() != "" && c.BaseURL != ""
}

// envelope is what matters here of any of Slack's events.
type envelope struct {
	Type    string       `json:"type"`
	Team    payload.Text `json:"team_id"`
	Limited int64        `json:"minute_rate_limited"` // Unix seconds
	Event   struct {
		post
		Message  *post  `json:"message"`
		Reaction string `json:"reaction"`
		Item     struct {
			Type    string       `json:"type"`
			Channel payload.Text `json:"channel"`
			TS      payload.Text `json:"ts"`
		} `json:"item"`
	} `json:"event"`
}

// post is a message, as far as it refers to somebody.
type post struct {
	Type     string       `json:"type"`
	User     payload.Text `json:"user"`
	BotID    payload.Text `json:"bot_id"`
	Team     payload.Text `json:"team"`
	UserTeam payload.Text `json:"user_team"`
	Text     payload.Text `json:"text"`
	Profile  *struct{}    `json:"user_profile"`
}

// Handle looks at one delivery. It is tried again as long as Slack limits or fails.
func (h *Handler) Handle(ctx context.Context, m bus.Message) error {
	d, err := event.Payload[event.Delivery](m.Envelope)
	if err != nil || d.Headers[replay.Header] != "" || !strings.HasPrefix(d.Headers["content-type"], "application/json") {
		return nil // the decoder tells what is wrong with it
	}
	c, ok := h.Connections[d.Connection]
	if !ok {
		return nil
	}
	if d.Kind == "zendesk" {
		var z struct {
			Type string       `json:"type"`
			Time payload.Time `json:"time"`
		}
		if err := payload.Decode(d.Body, &z); err != nil || z.Type != "zen:event-type:ticket.undeleted" {
			return nil
		}
		return h.Backfill(ctx, m.Workspace, c.ID, payload.First(z.Time.Time, d.ReceivedAt).Add(-time.Minute))
	}
	var e envelope
	if err := payload.Decode(d.Body, &e); err != nil {
		return nil
	}
	w := work{Handler: h, workspace: m.Workspace, connection: c, team: string(e.Team)}
	switch {
	case e.Type == "app_rate_limited" && e.Limited > 0:
		return h.Backfill(ctx, m.Workspace, c.ID, time.Unix(e.Limited, 0).Add(-time.Minute))
	case e.Type != "event_callback":
		return nil
	case e.Event.Type == "reaction_added":
		name, _, _ := strings.Cut(e.Event.Reaction, "::") // a skin tone follows
		if e.Event.Item.Type != "message" || !slices.Contains(c.Capture, name) {
			return nil
		}
		return w.capture(ctx, string(e.Event.Item.Channel), string(e.Event.Item.TS))
	case e.Event.Type == "message" || e.Event.Type == "app_mention":
		p := e.Event.post
		if e.Event.Message != nil {
			p = *e.Event.Message
		}
		return w.names(ctx, p)
	}
	return nil
}

// work is what one delivery asks for.
type work struct {
	*Handler
	workspace, team string
	connection      config.Connection
}

// capture brings in the message under a reaction.
func (w work) capture(ctx context.Context, channel, ts string) error {
	found, err := w.ask(ctx, "conversations.replies", url.Values{"channel": {channel}, "ts": {ts}, "oldest": {ts}, "latest": {ts}, "inclusive": {"true"}, "limit": {"1"}})
	if errors.Is(err, slackapi.ErrUnknown) {
		return nil // it is gone, or not for us
	}
	if err != nil || found == nil {
		return err
	}
	for _, m := range found.Messages {
		var own string
		if err := json.Unmarshal(m["ts"], &own); err == nil && own == ts {
			return w.Deliver(ctx, w.workspace, w.connection, slackapi.MessageEvent(w.team, channel, m))
		}
	}
	return nil
}

var (
	mentioned = regexp.MustCompile(`<@([UW][A-Z0-9]{2,20})>`)
	linked    = regexp.MustCompile(`<#(C[A-Z0-9]{2,20})(?:\|[^>]*)?>`)
)

// names asks what the ids of a message are called. The team comes before its members, whose
// names are told with it.
func (w work) names(ctx context.Context, p post) error {
	if p.User != "" && p.BotID == "" && p.Profile == nil {
		for _, team := range []string{string(p.UserTeam), string(p.Team)} {
			if team != "" && team != w.team {
				if err := w.name(ctx, "team.info", "team", team); err != nil {
					return err
				}
				break
			}
		}
		if err := w.name(ctx, "users.info", "user", string(p.User)); err != nil {
			return err
		}
	}
	for _, of := range []struct {
		pattern          *regexp.Regexp
		method, argument string
	}{{mentioned, "users.info", "user"}, {linked, "conversations.info", "channel"}} {
		for _, m := range of.pattern.FindAllStringSubmatch(string(p.Text), 20) {
			if err := w.name(ctx, of.method, of.argument, m[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

var token = regexp.MustCompile(`^[A-Z0-9]{2,32}$`)

// name asks what an id is called, unless it was asked for lately.
func (w work) name(ctx context.Context, method, argument, id string) error {
	if !token.MatchString(id) {
		return nil
	}
	key := "slack." + w.workspace + "." + w.connection.ID + "." + argument + "." + id
	entry, err := w.Asked.Get(ctx, key)
	switch {
	case err == nil && w.Now().Sub(entry.Created()) < fresh:
		return nil
	case err != nil && !errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("read what was asked for: %w", bus.Unavailable(err))
	}
	found, err := w.ask(ctx, method, url.Values{argument: {id}})
	switch {
	case errors.Is(err, slackapi.ErrUnknown):
	case err != nil:
		return err
	case found == nil:
		return nil
	default:
		if err := w.Deliver(ctx, w.workspace, w.connection, told(w.team, id, argument, *found)); err != nil {
			return err
		}
	}
	if _, err := w.Asked.PutString(ctx, key, ""); err != nil {
		return fmt.Errorf("keep what was asked for: %w", bus.Unavailable(err))
	}
	return nil
}

// told is the event that would have told of a name.
func told(team, id, argument string, a slackapi.Answer) []byte {
	switch argument {
	case "user":
		return slackapi.Event(team, map[string]any{"type": "user_change", "user": a.User})
	case "channel":
		return slackapi.Event(team, map[string]any{"type": "channel_rename", "channel": map[string]string{"id": a.Channel.ID, "name": a.Channel.Name}})
	}
	var t struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(a.Team, &t); err != nil {
		t.Name = ""
	}
	return slackapi.Event(id, map[string]any{"type": "team_rename", "name": t.Name})
}

// ask calls a method; nil and no error where Slack refuses, or refused lately.
func (w work) ask(ctx context.Context, method string, parameters url.Values) (*slackapi.Answer, error) {
	refused := w.connection.ID + " " + method
	if w.Now().Before(w.refused[refused]) {
		return nil, nil
	}
	a, err := w.API[w.connection.ID].Call(ctx, method, parameters)
	switch {
	case err == nil:
		return &a, nil
	case errors.Is(err, slackapi.ErrUnknown):
		return nil, err
	case errors.Is(err, ask.ErrRefused):
		w.Logger.Warn("slack refuses to be asked", "connection", w.connection.ID, "error", err)
		if w.Handler.refused == nil {
			w.Handler.refused = map[string]time.Time{}
		}
		w.Handler.refused[refused] = w.Now().Add(respects)
		return nil, nil
	}
	return nil, bus.Unavailable(err)
}
