// Package slack reads deliveries of Slack's Events API, message shortcuts and slash
// commands. It is pure: what needs Slack's API (names, the message under a reaction) is asked
// for by others, whose answers come as deliveries of their own.
package slack

import (
	"encoding/json"
	"fmt"
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

// Decoder reads one connection's deliveries. Bots lists the bot ids whose posts count as
// customers' words; posts of all other bots, our own among them, never do.
type Decoder struct{ Bots []string }

type envelope struct {
	Type       string          `json:"type"`
	AppID      payload.Text    `json:"api_app_id"`
	TeamID     payload.Text    `json:"team_id"`
	Context    payload.Text    `json:"context_team_id"`
	Enterprise payload.Text    `json:"enterprise_id"`
	Authorized []authorization `json:"authorizations"`
	Event      inner           `json:"event"`
}

// authorization is for whom an event was delivered: on behalf of our bot, mostly.
type authorization struct {
	UserID payload.Text `json:"user_id"`
	IsBot  payload.Bool `json:"is_bot"`
}

func (e envelope) team() string {
	for _, t := range []payload.Text{e.TeamID, e.Context} {
		if t != "" {
			return string(t)
		}
	}
	return string(e.Enterprise)
}

// own reports a post of our own app, whatever it is posted with.
func (e envelope) own(m message) bool {
	if m.AppID != "" && m.AppID == e.AppID {
		return true
	}
	return m.BotID != "" && slices.ContainsFunc(e.Authorized, func(a authorization) bool {
		return a.IsBot.Yes() && a.UserID != "" && a.UserID == m.User
	})
}

type inner struct {
	message
	Channel   payload.Text `json:"channel"` // an object in channel events; then it reads as ""
	DeletedTS payload.Text `json:"deleted_ts"`
	EventTS   payload.Text `json:"event_ts"`
	Message   *message     `json:"message"`
	Previous  *message     `json:"previous_message"`
}

// member is who a user event is about.
type member struct {
	ID      payload.Text `json:"id"`
	TeamID  payload.Text `json:"team_id"`
	IsBot   payload.Bool `json:"is_bot"`
	Profile profile      `json:"profile"`
}

type message struct {
	Type       string       `json:"type"`
	Subtype    string       `json:"subtype"`
	User       payload.Text `json:"user"` // an object in user events; then it reads as ""
	Team       payload.Text `json:"team"`
	UserTeam   payload.Text `json:"user_team"`
	AppID      payload.Text `json:"app_id"`
	BotID      payload.Text `json:"bot_id"`
	BotProfile *struct{}    `json:"bot_profile"`
	Profile    profile      `json:"user_profile"`
	Text       payload.Text `json:"text"`
	TS         payload.Text `json:"ts"`
	ThreadTS   payload.Text `json:"thread_ts"`
	Blocks     []block      `json:"blocks"`
	Edited     *struct {
		TS payload.Text `json:"ts"`
	} `json:"edited"`
}

// profile is what Slack tells of a person, where it does.
type profile struct {
	RealName    payload.Text `json:"real_name"`
	DisplayName payload.Text `json:"display_name"`
	Email       payload.Text `json:"email"`
}

// UnmarshalJSON ignores a profile that is not an object.
func (p *profile) UnmarshalJSON(b []byte) error {
	type bare profile
	var v bare
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &v); err != nil {
			v = bare{}
		}
	}
	*p = profile(v)
	return nil
}

func (p profile) name() string {
	if p.RealName != "" {
		return string(p.RealName)
	}
	return string(p.DisplayName)
}

// Decode says what a delivery means. It fails on a body that is not a Slack delivery and
// on messages without the time stamp that identifies them.
func (d Decoder) Decode(in event.Delivery) ([]change.Change, error) {
	if strings.HasPrefix(in.Headers["content-type"], "application/x-www-form-urlencoded") {
		return d.form(in)
	}
	var e envelope
	if err := payload.Decode(in.Body, &e); err != nil {
		return nil, fmt.Errorf("decode slack event: %w", err)
	}
	switch e.Type {
	case "event_callback":
		return d.event(e, in.Body)
	case "url_verification":
		return change.None("handshake"), nil
	case "app_rate_limited":
		return change.None("rate limited by slack"), nil
	}
	return nil, fmt.Errorf("decode slack event: unknown envelope type")
}

func (d Decoder) event(e envelope, body []byte) ([]change.Change, error) {
	switch e.Event.Type {
	case "message":
		return d.message(e)
	case "app_mention":
		// The same post also arrives as a message, which is the fuller form: a mention
		// is one version older than the message of the same time stamp.
		return d.upsert(e, e.Event.message, -1, "")
	case "reaction_added", "reaction_removed":
		return change.None("reaction without text"), nil
	case "user_change", "team_join":
		var of struct {
			Event struct {
				User member `json:"user"`
			} `json:"event"`
		}
		if err := payload.Decode(body, &of); err != nil {
			return nil, fmt.Errorf("decode slack event: %w", err)
		}
		return d.met(e, of.Event.User), nil
	case "channel_rename", "team_rename":
		return renamed(e, body)
	case "app_uninstalled", "tokens_revoked":
		return []change.Change{change.Disconnected{}}, nil
	}
	return change.None("not a message"), nil
}

// met reads what a member is called, and the address that joins them to others; our own app
// needs users:read.email to be told of that.
func (d Decoder) met(e envelope, m member) []change.Change {
	if m.ID == "" || m.IsBot.Yes() {
		return change.None("not a person")
	}
	team, of := string(m.TeamID), ""
	if team == "" {
		team = e.team()
	}
	if team != e.team() {
		of = team
	}
	who := change.Author{ID: team + ":" + string(m.ID), Name: m.Profile.name(), Email: string(m.Profile.Email)}
	var out []change.Change
	if who.Email != "" {
		out = append(out, change.CustomerMet{Source: feedback.Slack, Author: who})
	}
	if who.Name != "" {
		out = append(out, change.Labelled{Source: feedback.Slack, ID: who.ID, Name: who.Name, Of: of})
	}
	if len(out) == 0 {
		return change.None("member without a name")
	}
	return out
}

// renamed reads what a channel or a team is called.
func renamed(e envelope, body []byte) ([]change.Change, error) {
	var of struct {
		Event struct {
			Name    payload.Text `json:"name"`
			Channel struct {
				ID   payload.Text `json:"id"`
				Name payload.Text `json:"name"`
			} `json:"channel"`
		} `json:"event"`
	}
	if err := payload.Decode(body, &of); err != nil {
		return nil, fmt.Errorf("decode slack event: %w", err)
	}
	id, name := string(of.Event.Channel.ID), string(of.Event.Channel.Name)
	if e.Event.Type == "team_rename" {
		id, name = e.team(), string(of.Event.Name)
	}
	if id == "" || name == "" {
		return change.None("a name for nothing"), nil
	}
	return []change.Change{change.Labelled{Source: feedback.Slack, ID: id, Name: name}}, nil
}

func (d Decoder) message(e envelope) ([]change.Change, error) {
	switch e.Event.Subtype {
	case "", "file_share", "thread_broadcast", "me_message", "bot_message":
		return d.upsert(e, e.Event.message, 0, "")
	case "message_changed":
		return d.changed(e)
	case "message_deleted":
		ts := e.Event.DeletedTS
		if ts == "" && e.Event.Previous != nil {
			ts = e.Event.Previous.TS
		}
		thread := ts
		if p := e.Event.Previous; p != nil && p.ThreadTS != "" {
			thread = p.ThreadTS
		}
		return d.deleted(e, ts, thread)
	}
	return change.None("not a customer's message"), nil
}

// changed reads an edit. The message keeps the time stamp it was posted with; the outer
// one is the edit's. Link unfurls arrive as edits too, with the text as it was.
func (d Decoder) changed(e envelope) ([]change.Change, error) {
	if e.Event.Message == nil {
		return nil, fmt.Errorf("decode slack event: message_changed without a message")
	}
	m := *e.Event.Message
	old := e.Event.Previous
	if old != nil {
		if m.TS == "" {
			m.TS = old.TS
		}
		if m.ThreadTS == "" {
			m.ThreadTS = old.ThreadTS
		}
	}
	if m.Subtype == "tombstone" {
		thread := m.ThreadTS
		if thread == "" {
			thread = m.TS
		}
		return d.deleted(e, m.TS, thread)
	}
	changed := payload.Text("")
	if m.Edited == nil && (old == nil || old.Text != m.Text) {
		changed = e.Event.EventTS
		if changed == "" {
			changed = e.Event.TS
		}
	}
	return d.upsert(e, m, 0, changed)
}

func (d Decoder) deleted(e envelope, ts, thread payload.Text) ([]change.Change, error) {
	if ts == "" || e.Event.Channel == "" {
		return nil, fmt.Errorf("decode slack event: a deletion does not name its message")
	}
	at := payload.First(payload.ParseTime(string(e.Event.EventTS)), payload.ParseTime(string(e.Event.TS)))
	return []change.Change{change.MessageDeleted{Place: place(e.team(), e.Event.Channel, thread), ID: string(ts), At: at}}, nil
}

// upsert makes a message of a post. changed, when given, is the time of an edit that the
// post itself does not tell.
func (d Decoder) upsert(e envelope, m message, rank int64, changed payload.Text) ([]change.Change, error) {
	bot := m.BotID != "" || m.BotProfile != nil || m.Subtype == "bot_message"
	switch {
	case e.own(m):
		return change.None("post of our own"), nil
	case bot && !slices.Contains(d.Bots, string(m.BotID)):
		return change.None("post of a bot"), nil
	case m.User == "USLACKBOT":
		return change.None("post of a bot"), nil
	case m.TS == "" || e.Event.Channel == "":
		return nil, fmt.Errorf("decode slack event: a message without channel or time stamp")
	}
	switch m.Subtype {
	case "", "file_share", "thread_broadcast", "me_message", "bot_message":
	default:
		return change.None("not a customer's message"), nil
	}
	at := payload.ParseTime(string(m.TS))
	edited := at
	if m.Edited != nil {
		edited = payload.First(payload.ParseTime(string(m.Edited.TS)), at)
	} else if changed != "" {
		edited = payload.First(payload.ParseTime(string(changed)), at)
	}
	text := render(m)
	if text == "" {
		if edited.Equal(at) {
			return change.None("message without text"), nil
		}
		return d.deleted(e, m.TS, thread(m))
	}
	who := change.Author{ID: author(e, m), Name: m.Profile.name(), Email: string(m.Profile.Email)}
	if who.ID == "" {
		return change.None("message without an author"), nil
	}
	return []change.Change{change.MessageUpserted{
		Place: place(e.team(), e.Event.Channel, thread(m)), ID: string(m.TS), Version: payload.Version(edited) + rank,
		Author: who, At: at, Changed: edited, Text: text, URL: permalink(e.Event.Channel, m),
	}}, nil
}

func thread(m message) payload.Text {
	if m.ThreadTS != "" {
		return m.ThreadTS
	}
	return m.TS
}

// place identifies a thread: Slack's message key is (team, channel, ts).
func place(team string, channel, thread payload.Text) change.Place {
	return change.Place{Source: feedback.Slack, External: team + ":" + string(channel) + ":" + string(thread)}
}

// author identifies who posted. Ids are unique within the author's own team, which in a
// shared channel is not the team that received the event.
func author(e envelope, m message) string {
	id := m.User
	if id == "" {
		id = m.BotID
	}
	if id == "" {
		return ""
	}
	team := e.team()
	for _, t := range []payload.Text{m.UserTeam, m.Team} {
		if t != "" {
			team = string(t)
			break
		}
	}
	return team + ":" + string(id)
}

func permalink(channel payload.Text, m message) string {
	u := "https://slack.com/archives/" + url.PathEscape(string(channel)) + "/p" + url.PathEscape(strings.ReplaceAll(string(m.TS), ".", ""))
	if m.ThreadTS != "" && m.ThreadTS != m.TS {
		u += "?thread_ts=" + url.QueryEscape(string(m.ThreadTS)) + "&cid=" + url.QueryEscape(string(channel))
	}
	return u
}

// render prefers the rich text, which is what the user typed, over its lossy mrkdwn form.
func render(m message) string {
	if text := richText(m.Blocks); text != "" {
		return plain.Clean(text)
	}
	return plain.Clean(Mrkdwn(string(m.Text)))
}

type shortcut struct {
	Type string `json:"type"`
	Team struct {
		ID         payload.Text `json:"id"`
		Enterprise payload.Text `json:"enterprise_id"`
	} `json:"team"`
	Channel struct {
		ID payload.Text `json:"id"`
	} `json:"channel"`
	Message message `json:"message"`
}

// form reads what Slack posts as a form: interactivity as payload=<json>, else a slash
// command.
func (d Decoder) form(in event.Delivery) ([]change.Change, error) {
	values, err := url.ParseQuery(string(in.Body))
	if err != nil {
		return nil, fmt.Errorf("decode slack form: malformed form")
	}
	switch {
	case values.Has("ssl_check"):
		return change.None("handshake"), nil
	case values.Has("payload"):
		var s shortcut
		if err := payload.Decode([]byte(values.Get("payload")), &s); err != nil {
			return nil, fmt.Errorf("decode slack shortcut: %w", err)
		}
		if s.Type != "message_action" {
			return change.None("interaction without a message"), nil
		}
		e := envelope{TeamID: s.Team.ID, Enterprise: s.Team.Enterprise}
		e.Event.Channel = s.Channel.ID
		return d.upsert(e, s.Message, -1, "")
	case values.Has("command"):
		return command(values, in.ReceivedAt)
	}
	return nil, fmt.Errorf("decode slack form: neither an interaction nor a command")
}

// command takes the words after a slash command as said by who typed it.
func command(v url.Values, at time.Time) ([]change.Change, error) {
	team, id := v.Get("team_id"), v.Get("trigger_id")
	text := plain.Clean(Mrkdwn(v.Get("text")))
	switch {
	case text == "":
		return change.None("command without text"), nil
	case team == "" || id == "" || v.Get("user_id") == "":
		return nil, fmt.Errorf("decode slack command: team_id, user_id and trigger_id are required")
	}
	return []change.Change{change.MessageUpserted{
		Place: change.Place{Source: feedback.Slack, External: team + ":command:" + id}, ID: id, Version: payload.Version(at),
		Author: change.Author{ID: team + ":" + v.Get("user_id"), Name: v.Get("user_name")}, At: at, Changed: at, Text: text,
	}}, nil
}
