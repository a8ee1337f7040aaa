// Package slackpost posts one message, a digest, to a Slack channel and
// updates it in place.
//
// It promises: one message per key and channel, found again by its metadata
// when the record was lost; within Slack's limits; nothing a customer said can
// notify, link or unfurl; errors as package tracker has them. It refuses
// incoming webhooks, which cannot update and double on a retry.
package slackpost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const (
	slackCloud = "https://slack.com"
	eventType  = "throughline_digest"
	// lookBack is how many of a channel's newest messages are searched for a
	// message of ours whose record was lost.
	lookBack = 200
)

// Config says as whom to post. BaseURL is empty for Slack's cloud. The bot
// needs chat:write; with channels:history (groups:history in private channels)
// and metadata.message:read a lost record does not lead to a second message.
type Config struct {
	BaseURL  string
	BotToken string
}

// Message is what to post. Key is its identity within a channel, "acme/2026-11-22"
// say; Markdown is in the subset of package markup; equal hashes mean nothing
// to write.
type Message struct {
	Key      string
	Title    string
	Markdown string
	URL      string
	Hash     string
}

// Posted is where a message is. The caller keeps it in the ledger.
type Posted struct {
	Channel string `json:"channel"`
	TS      string `json:"ts"`
	Hash    string `json:"hash"`
}

// Outcome is what Post did. Gone means that a person deleted the message and
// that nothing was written.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged"
	Gone      Outcome = "gone"
)

// Poster posts to one Slack workspace. It is safe for concurrent use; two
// posters that race with the same new key can make two messages, because Slack
// has no key of its own: one writer per workspace shard keeps them apart.
type Poster struct{ call *wire.Caller }

// New makes a poster; it sends nothing. A configuration that cannot work is a
// permanent error.
func New(c Config, o wire.Options) (*Poster, error) {
	if c.BotToken == "" {
		return nil, &wire.PermanentError{Op: "slack: configure", Reason: "bot_token is needed"}
	}
	if c.BaseURL == "" {
		c.BaseURL = slackCloud
	}
	base := strings.TrimSuffix(strings.TrimRight(c.BaseURL, "/"), "/api")
	call, err := wire.New("slack", base, "Bearer "+c.BotToken, nil, o)
	if err != nil {
		return nil, err
	}
	return &Poster{call}, nil
}

// Post makes the channel show m once. known is what an earlier Post gave, nil
// where nothing is recorded. The Posted is the zero value for Gone and for an
// error.
func (p *Poster) Post(ctx context.Context, channel string, known *Posted, m Message) (Posted, Outcome, error) {
	if m.Key == "" || m.Hash == "" || channel == "" {
		return Posted{}, "", &wire.PermanentError{Op: "slack: post", Reason: "channel, key and hash are needed"}
	}
	if known == nil {
		found, err := p.find(ctx, channel, m.Key)
		if err != nil {
			return Posted{}, "", err
		}
		known = found
	}
	body := map[string]any{"channel": channel, "unfurl_links": false, "unfurl_media": false}
	body["text"], body["blocks"] = Render(m.Title, m.Markdown, m.URL)
	body["metadata"] = map[string]any{"event_type": eventType, "event_payload": map[string]string{"key": m.Key, "hash": m.Hash}}

	method, outcome := "chat.postMessage", Created
	switch {
	case known != nil && known.Hash == m.Hash:
		return *known, Unchanged, nil
	case known != nil:
		method, outcome = "chat.update", Updated
		body["ts"] = known.TS
	}
	var reply struct {
		envelope
		TS string `json:"ts"`
	}
	if err := p.send(ctx, http.MethodPost, method, body, &reply, &reply.envelope); err != nil {
		return Posted{}, "", err
	}
	switch {
	case reply.Error == "message_not_found":
		return Posted{}, Gone, nil
	case !reply.OK:
		return Posted{}, "", refused(method, reply.envelope)
	}
	return Posted{Channel: channel, TS: reply.TS, Hash: m.Hash}, outcome, nil
}

// find looks for our message among the newest of the channel. Where the bot
// may not read there, nothing is found.
func (p *Poster) find(ctx context.Context, channel, key string) (*Posted, error) {
	var me struct {
		envelope
		UserID string `json:"user_id"`
	}
	if err := p.send(ctx, http.MethodPost, "auth.test", map[string]any{}, &me, &me.envelope); err != nil {
		return nil, err
	}
	if !me.OK {
		return nil, refused("auth.test", me.envelope)
	}
	var page struct {
		envelope
		Messages []struct {
			TS       string `json:"ts"`
			User     string `json:"user"`
			Metadata struct {
				EventType string `json:"event_type"`
				Payload   struct {
					Key  string `json:"key"`
					Hash string `json:"hash"`
				} `json:"event_payload"`
			} `json:"metadata"`
		} `json:"messages"`
	}
	query := url.Values{"channel": {channel}, "limit": {fmt.Sprint(lookBack)}, "include_all_metadata": {"true"}}
	if err := p.send(ctx, http.MethodGet, "conversations.history?"+query.Encode(), nil, &page, &page.envelope); err != nil {
		return nil, err
	}
	switch page.Error {
	case "":
	case "missing_scope", "not_in_channel":
		return nil, nil
	default:
		return nil, refused("conversations.history", page.envelope)
	}
	for _, m := range page.Messages {
		if m.User == me.UserID && m.Metadata.EventType == eventType && m.Metadata.Payload.Key == key {
			return &Posted{Channel: channel, TS: m.TS, Hash: m.Metadata.Payload.Hash}, nil
		}
	}
	return nil, nil
}

// envelope is what every answer of Slack has; HTTP is 200 either way.
type envelope struct {
	OK    bool   `json:"ok"`
	Error string `json:"error"`
}

func (p *Poster) send(ctx context.Context, httpMethod, method string, body, into any, e *envelope) error {
	op, _, _ := strings.Cut(method, "?")
	a, err := p.call.Do(ctx, op, httpMethod, "/api/"+method, body)
	if err != nil {
		return err
	}
	if !a.OK() {
		return p.call.Refused(op, a, nil)
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return p.call.Decode(op, a, into)
	}
	if e.Error == "ratelimited" || e.Error == "rate_limited" {
		return p.call.Limit(op, a)
	}
	return nil
}

// refused turns Slack's error codes into errors an operator can act on. A code
// that is not known here is shown only if it looks like one.
func refused(op string, e envelope) error {
	op = "slack: " + op
	permanent := func(reason string) error { return &wire.PermanentError{Op: op, Reason: reason} }
	switch e.Error {
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		return &wire.TemporaryError{Op: op, Err: fmt.Errorf("slack answered %s", e.Error)}
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		return permanent("the bot_token was not accepted: install the app again and put its new token into the configuration")
	case "missing_scope":
		return permanent("the app lacks a scope: add chat:write and install it again")
	case "channel_not_found", "not_in_channel":
		return permanent("the channel does not exist or the bot is not in it: invite the bot to the channel of the digest")
	case "is_archived":
		return permanent("the channel is archived: choose another one for the digest")
	case "restricted_action", "restricted_action_read_only_channel":
		return permanent("the workspace does not let the bot post in this channel")
	case "cant_update_message", "edit_window_closed":
		return permanent("the workspace does not let the bot edit its message any more")
	}
	if e.Error == "" || len(e.Error) > 40 || strings.Trim(e.Error, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return permanent("the vendor refused the request, please report this")
	}
	return permanent("the vendor refused the request (" + e.Error + "), please report this")
}
