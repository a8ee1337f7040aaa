// Package slackapi calls the methods of Slack's Web API that reading needs, and writes what
// they answer in the form of the event that would have told of it: so what is asked for is a
// delivery like any other, stored, decoded and replayed.
package slackapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
)

// API is Slack's Web API as a connection's bot may use it.
type API struct {
	client *ask.Client
	base   string
}

// New signs client with the connection's bot token.
func New(c config.Connection, client *ask.Client) *API {
	base := strings.TrimRight(c.BaseURL, "/")
	if base == "" {
		base = "https://slack.com"
	}
	client.Sign = ask.Bearer(c.BotToken.Value())
	return &API{client: client, base: base}
}

// pauseBefore is the pace of every method: those of tier 3, the slowest that are called here,
// allow 50 calls a minute (docs.slack.dev/apis/web-api/rate-limits).
const pauseBefore = 1200 * time.Millisecond

// Answer is what methods answer, as far as it is read.
type Answer struct {
	OK       bool                         `json:"ok"`
	Error    string                       `json:"error"`
	TeamID   string                       `json:"team_id"`
	Channels []struct{ ID string }        `json:"channels"`
	Messages []map[string]json.RawMessage `json:"messages"`
	User     json.RawMessage              `json:"user"` // an object in users.info, a name in auth.test
	Channel  struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"channel"`
	Team json.RawMessage `json:"team"` // an object in team.info, a name in auth.test
	Meta struct {
		Next string `json:"next_cursor"`
	} `json:"response_metadata"`
}

var (
	// ErrExpired is returned for a cursor that Slack knows no longer.
	ErrExpired = errors.New("ask slack: the cursor is not known any more")
	// ErrUnknown is returned where what was asked for is not there, or not for this bot.
	ErrUnknown = errors.New("there is no such thing")
)

// Call calls a method at the pace that Slack allows.
func (a *API) Call(ctx context.Context, method string, parameters url.Values) (Answer, error) {
	var out Answer
	if err := a.client.Ask(ctx, http.MethodGet, a.base+"/api/"+method+"?"+parameters.Encode(), pauseBefore, nil, &out); err != nil {
		return Answer{}, err
	}
	switch {
	case out.Error == "invalid_cursor":
		return Answer{}, ErrExpired
	case strings.HasSuffix(out.Error, "_not_found"), out.Error == "user_not_visible", out.Error == "not_in_channel":
		return Answer{}, fmt.Errorf("ask slack: %s says %s: %w: %w", method, out.Error, ErrUnknown, ask.ErrRefused)
	case !out.OK:
		return Answer{}, fmt.Errorf("ask slack: %s says %s: %w", method, out.Error, ask.ErrRefused)
	}
	return out, nil
}

type object = map[string]any

// MessageEvent is the event that a message of the history would have come with.
func MessageEvent(team, channel string, m map[string]json.RawMessage) []byte {
	e := object{}
	for k, v := range m {
		e[k] = v
	}
	e["type"], e["channel"] = "message", channel
	return Event(team, e)
}

// Event wraps an event as Slack sends it.
func Event(team string, e map[string]any) []byte {
	b, err := json.Marshal(object{"type": "event_callback", "team_id": team, "event": e})
	if err != nil {
		panic(fmt.Sprintf("slackapi: plain values cannot be encoded: %v", err))
	}
	return b
}

// Stamp is a time as Slack writes it.
func Stamp(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000) }
