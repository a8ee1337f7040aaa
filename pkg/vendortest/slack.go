package vendortest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SlackOptions configure a stand-in of one Slack workspace.
type SlackOptions struct {
	BotToken string // the only one accepted
	// MissingScopes are scopes that the token lacks, "channels:history" say;
	// methods that need one answer missing_scope.
	MissingScopes []string
	Now           func() time.Time
}

// SlackUser is a member of the workspace, or of another Team in a shared channel.
type SlackUser struct{ ID, Name, RealName, Email, Team string }

// SlackMessage is a message as stored. ThreadTS is empty outside threads.
type SlackMessage struct {
	TS, ThreadTS, User, BotID, Text string
	Blocks                          []json.RawMessage
	Metadata                        json.RawMessage
	Edits                           int
}

// Slack stands in for Slack's Web API: posting and updating, history and
// replies, and who and what the ids are.
type Slack struct {
	*Server
	opts     SlackOptions
	mu       sync.Mutex
	sequence int
	users    []SlackUser
	channels []*slackChannel
	teams    map[string]string // names of others, by id
}

type slackChannel struct {
	id, name string
	messages []*SlackMessage
}

const (
	slackBotUser = "U0THROUGH"
	slackBotID   = "B0THROUGH"
	slackTeam    = "T0ACME000"

	// The limits of a message: docs.slack.dev for the first four; the last is
	// undocumented and reported in slackapi/bolt-js issue 2509.
	slackBlocks      = 50
	slackSectionText = 3000
	slackHeaderText  = 150
	slackFields      = 10
	slackAllText     = 13200
	slackFallback    = 40000
)

// NewSlack makes a workspace without channels and with one member, the bot.
func NewSlack(o SlackOptions) *Slack {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Slack{opts: o, users: []SlackUser{{ID: slackBotUser, Name: "throughline", RealName: "Throughline"}}}
	mux := http.NewServeMux()
	for name, m := range map[string]struct {
		scope string
		do    func(slackCall) (map[string]any, string)
	}{
		"auth.test":             {"", s.authTest},
		"team.info":             {"team:read", s.teamInfo},
		"users.info":            {"users:read", s.usersInfo},
		"users.conversations":   {"channels:read", s.usersConversations},
		"conversations.info":    {"channels:read", s.conversationsInfo},
		"conversations.history": {"channels:history", s.history},
		"conversations.replies": {"channels:history", s.replies},
		"chat.postMessage":      {"chat:write", s.post},
		"chat.update":           {"chat:write", s.update},
	} {
		mux.HandleFunc("/api/"+name, s.method(m.scope, m.do))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { slackAnswer(w, nil, "unknown_method") })
	s.Server = &Server{routes: mux, written: s.Written}
	return s
}

// AddUser adds a member.
func (s *Slack) AddUser(u SlackUser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = append(s.users, u)
}

// AddTeam adds another organization, whose members are in shared channels.
func (s *Slack) AddTeam(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.teams == nil {
		s.teams = map[string]string{}
	}
	s.teams[id] = name
}

// AddChannel adds a public channel that the bot is a member of.
func (s *Slack) AddChannel(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels = append(s.channels, &slackChannel{id: id, name: name})
}

// AddMessage adds somebody's message and gives its ts; an empty TS is given
// one. The channel must have been added.
func (s *Slack) AddMessage(channel string, m SlackMessage) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.TS == "" {
		m.TS = s.ts()
	}
	c := s.channel(channel)
	c.messages = append(c.messages, &m)
	return m.TS
}

// DeleteMessage deletes a message as a person would.
func (s *Slack) DeleteMessage(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(channel)
	c.messages = slices.DeleteFunc(c.messages, func(m *SlackMessage) bool { return m.TS == ts })
}

// Messages are a channel's messages, oldest first, thread replies too.
func (s *Slack) Messages(channel string) []SlackMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SlackMessage
	if c := s.channel(channel); c != nil {
		for _, m := range c.messages {
			out = append(out, *m)
		}
	}
	return out
}

// Written lists every channel with its messages.
func (s *Slack) Written() []Written {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Written{}
	for _, c := range s.channels {
		w := Written{Key: c.id, Title: "#" + c.name, Blocks: []WrittenBlock{}}
		for _, m := range c.messages {
			text := m.Text
			if len(m.Blocks) > 0 {
				text = blocksText(m.Blocks)
			}
			w.Blocks = append(w.Blocks, WrittenBlock{ID: m.TS, Author: m.User, Own: m.User == slackBotUser, Text: text, Edits: m.Edits})
		}
		out = append(out, w)
	}
	return out
}

func (s *Slack) ts() string {
	s.sequence++
	return fmt.Sprintf("%d.%06d", s.opts.Now().Unix(), s.sequence)
}

func (s *Slack) channel(id string) *slackChannel {
	for _, c := range s.channels {
		if c.id == id {
			return c
		}
	}
	return nil
}

// slackCall is the arguments of one call, from a form, a query or JSON.
type slackCall struct {
	form url.Values
	body map[string]json.RawMessage
}

func (c slackCall) str(name string) string {
	if raw, ok := c.body[name]; ok {
		var v string
		if json.Unmarshal(raw, &v) == nil {
			return v
		}
		return string(raw)
	}
	return c.form.Get(name)
}

func (c slackCall) raw(name string) json.RawMessage {
	if raw, ok := c.body[name]; ok {
		return raw
	}
	if v := c.form.Get(name); v != "" {
		return json.RawMessage(v)
	}
	return nil
}

func (c slackCall) yes(name string) bool { v := c.str(name); return v == "true" || v == "1" }

func (s *Slack) method(scope string, do func(slackCall) (map[string]any, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var call slackCall
		if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			if err := json.NewDecoder(r.Body).Decode(&call.body); err != nil {
				slackAnswer(w, nil, "invalid_json")
				return
			}
		} else if err := r.ParseForm(); err != nil {
			slackAnswer(w, nil, "invalid_form_data")
			return
		}
		call.form = r.Form
		switch token := r.Header.Get("Authorization"); {
		case token == "":
			slackAnswer(w, nil, "not_authed")
			return
		case token != "Bearer "+s.opts.BotToken:
			slackAnswer(w, nil, "invalid_auth")
			return
		case scope != "" && slices.Contains(s.opts.MissingScopes, scope):
			slackAnswer(w, map[string]any{"needed": scope, "provided": "chat:write"}, "missing_scope")
			return
		}
		out, code := do(call)
		slackAnswer(w, out, code)
	}
}

// slackAnswer writes Slack's envelope: HTTP 200 whether it worked or not.
func slackAnswer(w http.ResponseWriter, out map[string]any, code string) {
	if out == nil {
		out = map[string]any{}
	}
	out["ok"] = code == ""
	if code != "" {
		out["error"] = code
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Slack) authTest(slackCall) (map[string]any, string) {
	return map[string]any{"url": "https://acme.slack.com/", "team": "Acme", "user": "throughline", "team_id": slackTeam, "user_id": slackBotUser, "bot_id": slackBotID}, ""
}

func (s *Slack) teamInfo(c slackCall) (map[string]any, string) {
	if id := c.str("team"); id != "" && id != slackTeam {
		name, ok := s.teams[id]
		if !ok {
			return nil, "team_not_found"
		}
		return map[string]any{"team": map[string]any{"id": id, "name": name, "domain": strings.ToLower(name)}}, ""
	}
	return map[string]any{"team": map[string]any{"id": slackTeam, "name": "Acme", "domain": "acme"}}, ""
}

func (s *Slack) usersInfo(c slackCall) (map[string]any, string) {
	for _, u := range s.users {
		if u.ID == c.str("user") {
			return map[string]any{"user": map[string]any{
				"id": u.ID, "team_id": cmp.Or(u.Team, slackTeam), "name": u.Name, "real_name": u.RealName, "deleted": false, "is_bot": u.ID == slackBotUser,
				"profile": map[string]any{"real_name": u.RealName, "display_name": u.Name, "email": u.Email},
			}}, ""
		}
	}
	return nil, "user_not_found"
}

// usersConversations lists the channels that the bot is a member of, all on one page.
func (s *Slack) usersConversations(slackCall) (map[string]any, string) {
	channels := []any{}
	for _, c := range s.channels {
		channels = append(channels, map[string]any{"id": c.id, "name": c.name, "is_channel": true})
	}
	return map[string]any{"channels": channels, "response_metadata": map[string]any{"next_cursor": ""}}, ""
}

func (s *Slack) conversationsInfo(c slackCall) (map[string]any, string) {
	ch := s.channel(c.str("channel"))
	if ch == nil {
		return nil, "channel_not_found"
	}
	return map[string]any{"channel": map[string]any{"id": ch.id, "name": ch.name, "is_channel": true, "is_private": false, "is_member": true, "is_archived": false}}, ""
}

func (s *Slack) history(c slackCall) (map[string]any, string) {
	ch := s.channel(c.str("channel"))
	if ch == nil {
		return nil, "channel_not_found"
	}
	var list []*SlackMessage
	for _, m := range ch.messages {
		if m.ThreadTS == "" || m.ThreadTS == m.TS {
			list = append(list, m)
		}
	}
	slices.Reverse(list) // newest first
	return s.page(c, ch, list)
}

func (s *Slack) replies(c slackCall) (map[string]any, string) {
	ch := s.channel(c.str("channel"))
	if ch == nil {
		return nil, "channel_not_found"
	}
	var list []*SlackMessage
	for _, m := range ch.messages {
		if m.TS == c.str("ts") || m.ThreadTS == c.str("ts") {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil, "thread_not_found"
	}
	return s.page(c, ch, list)
}

// page applies oldest, latest, inclusive, limit and cursor.
func (s *Slack) page(c slackCall, ch *slackChannel, list []*SlackMessage) (map[string]any, string) {
	oldest, latest, inclusive := c.str("oldest"), c.str("latest"), c.yes("inclusive")
	list = slices.DeleteFunc(list, func(m *SlackMessage) bool {
		early := oldest != "" && (seconds6(m.TS) < seconds6(oldest) || !inclusive && m.TS == oldest)
		late := latest != "" && (seconds6(m.TS) > seconds6(latest) || !inclusive && m.TS == latest)
		return early || late
	})
	limit, err := strconv.Atoi(c.str("limit"))
	if err != nil || limit < 1 {
		limit = 100
	}
	start := 0
	if cursor := c.str("cursor"); cursor != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(cursor, "next:"))
		if err != nil || !strings.HasPrefix(cursor, "next:") {
			return nil, "invalid_cursor"
		}
		start = n
	}
	messages := []any{}
	end := min(len(list), start+min(limit, 999))
	for k := start; k < end; k++ {
		messages = append(messages, messageJSON(list[k], len(repliesOf(ch, list[k])), c.yes("include_all_metadata")))
	}
	out := map[string]any{"messages": messages, "has_more": end < len(list)}
	if end < len(list) {
		out["response_metadata"] = map[string]any{"next_cursor": "next:" + strconv.Itoa(end)}
	}
	return out, ""
}

func repliesOf(ch *slackChannel, parent *SlackMessage) []*SlackMessage {
	var out []*SlackMessage
	for _, m := range ch.messages {
		if m.ThreadTS == parent.TS && m.TS != parent.TS {
			out = append(out, m)
		}
	}
	return out
}

func seconds6(ts string) float64 {
	f, _ := strconv.ParseFloat(ts, 64)
	return f
}

func messageJSON(m *SlackMessage, replies int, metadata bool) map[string]any {
	out := map[string]any{"type": "message", "ts": m.TS, "user": m.User, "text": m.Text, "team": slackTeam}
	if len(m.Blocks) > 0 {
		out["blocks"] = m.Blocks
	}
	if m.BotID != "" {
		out["bot_id"] = m.BotID
	}
	if m.ThreadTS != "" {
		out["thread_ts"] = m.ThreadTS
	}
	if replies > 0 {
		out["thread_ts"], out["reply_count"] = m.TS, replies
	}
	if metadata && len(m.Metadata) > 0 {
		out["metadata"] = m.Metadata
	}
	return out
}

func (s *Slack) post(c slackCall) (map[string]any, string) {
	ch := s.channel(c.str("channel"))
	if ch == nil {
		return nil, "channel_not_found"
	}
	m := &SlackMessage{User: slackBotUser, BotID: slackBotID, ThreadTS: c.str("thread_ts"), Metadata: c.raw("metadata")}
	if code := fillMessage(c, m); code != "" {
		return nil, code
	}
	m.TS = s.ts()
	ch.messages = append(ch.messages, m)
	return map[string]any{"channel": ch.id, "ts": m.TS, "message": messageJSON(m, 0, true)}, ""
}

func (s *Slack) update(c slackCall) (map[string]any, string) {
	ch := s.channel(c.str("channel"))
	if ch == nil {
		return nil, "channel_not_found"
	}
	for _, m := range ch.messages {
		if m.TS != c.str("ts") {
			continue
		}
		if m.User != slackBotUser {
			return nil, "cant_update_message"
		}
		if code := fillMessage(c, m); code != "" {
			return nil, code
		}
		if raw := c.raw("metadata"); raw != nil {
			m.Metadata = raw
		}
		m.Edits++
		return map[string]any{"channel": ch.id, "ts": m.TS, "text": m.Text, "message": messageJSON(m, 0, true)}, ""
	}
	return nil, "message_not_found"
}

func fillMessage(c slackCall, m *SlackMessage) string {
	var blocks []json.RawMessage
	if raw := c.raw("blocks"); raw != nil && json.Unmarshal(raw, &blocks) != nil {
		return "invalid_blocks_format"
	}
	if code := checkBlocks(blocks); code != "" {
		return code
	}
	text := c.str("text")
	switch {
	case text == "" && len(blocks) == 0:
		return "no_text"
	case units(text) > slackFallback:
		return "msg_too_long"
	}
	m.Text, m.Blocks = text, blocks
	return ""
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type     string            `json:"type"`
	Text     *slackText        `json:"text"`
	Fields   []slackText       `json:"fields"`
	Elements []json.RawMessage `json:"elements"`
}

// checkBlocks applies the limits of Block Kit.
func checkBlocks(blocks []json.RawMessage) string {
	if len(blocks) > slackBlocks {
		return "invalid_blocks"
	}
	total := 0
	for _, raw := range blocks {
		var b slackBlock
		if json.Unmarshal(raw, &b) != nil {
			return "invalid_blocks_format"
		}
		switch b.Type {
		case "header":
			if b.Text == nil || b.Text.Type != "plain_text" || !within(b.Text.Text, slackHeaderText) {
				return "invalid_blocks"
			}
		case "section":
			if b.Text == nil && len(b.Fields) == 0 || len(b.Fields) > slackFields {
				return "invalid_blocks"
			}
			if b.Text != nil && !within(b.Text.Text, slackSectionText) {
				return "invalid_blocks"
			}
			for _, f := range b.Fields {
				if !within(f.Text, 2000) {
					return "invalid_blocks"
				}
			}
		case "context":
			if len(b.Elements) == 0 || len(b.Elements) > 10 {
				return "invalid_blocks"
			}
		case "divider":
		default:
			return "invalid_blocks"
		}
		total += blockUnits(b)
	}
	if total > slackAllText {
		return "msg_blocks_too_long"
	}
	return ""
}

func within(s string, limit int) bool { return s != "" && units(s) <= limit }

// blockUnits counts the characters a reader sees.
func blockUnits(b slackBlock) int {
	n := 0
	if b.Text != nil {
		n += units(b.Text.Text)
	}
	for _, f := range b.Fields {
		n += units(f.Text)
	}
	for _, raw := range b.Elements {
		var e slackText
		if json.Unmarshal(raw, &e) == nil {
			n += units(e.Text)
		}
	}
	return n
}

func blocksText(blocks []json.RawMessage) string {
	var parts []string
	for _, raw := range blocks {
		var b slackBlock
		if json.Unmarshal(raw, &b) != nil {
			continue
		}
		if b.Text != nil {
			parts = append(parts, b.Text.Text)
		}
		for _, f := range b.Fields {
			parts = append(parts, f.Text)
		}
		for _, e := range b.Elements {
			var t slackText
			if json.Unmarshal(e, &t) == nil {
				parts = append(parts, t.Text)
			}
		}
	}
	return strings.Join(parts, "\n\n")
}
