package intake

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/email"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/webhook"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/zendesk"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ticket/github"
)

// looked is what a look at a body tells: the vendor's id of the delivery, and the answer
// of a handshake, which is not stored.
type looked struct {
	id       string
	answered bool
	answer   func(http.ResponseWriter)
}

// look checks cheaply that a verified body is what a vendor of this kind sends. It does
// not decode: a body may pass here and still turn out to mean nothing.
func look(kind string, h http.Header, body []byte) (looked, *refusal) {
	if kind == "slack" && mediaType(h) == "application/x-www-form-urlencoded" {
		return lookSlackForm(body)
	}
	if kind == "email" {
		return lookMail(h, body)
	}
	s, err := payload.Check(body)
	if err != nil {
		if kind == "zendesk" && (errors.Is(err, payload.ErrSyntax) || errors.Is(err, payload.ErrDuplicate)) {
			if _, _, ok := zendesk.Read(body); ok { // placeholders broke the JSON
				return looked{id: h.Get("X-Zendesk-Webhook-Signature-Timestamp")}, nil
			}
		}
		return looked{}, malformed(err)
	}
	foreign := &refusal{http.StatusUnprocessableEntity, "foreign payload", "this is not a payload of " + kind, "another system's webhook may have been given this URL"}
	handshake := func(answer func(http.ResponseWriter)) (looked, *refusal) {
		return looked{answered: true, answer: answer}, nil
	}
	if s.Kind != '{' && kind != "webhook" {
		return looked{}, foreign
	}
	switch kind {
	case "slack":
		switch t := s.Strings["type"]; {
		case t == "url_verification" && s.Strings["challenge"] != "":
			return handshake(answerJSON(map[string]string{"challenge": s.Strings["challenge"]}))
		case t == "event_callback" && s.Members["event"] == '{', t == "app_rate_limited":
			return looked{id: s.Strings["event_id"]}, nil
		}
	case "intercom":
		switch {
		case s.Strings["type"] != "notification_event" || !s.Has("topic", "data"):
		case s.Strings["topic"] == "ping":
			return handshake(answerNothing)
		default:
			return looked{id: s.Strings["id"]}, nil
		}
	case "zendesk":
		if strings.HasPrefix(s.Strings["type"], zendesk.EventPrefix) && s.Has("detail") {
			return looked{id: s.Strings["id"]}, nil
		}
		if _, _, ok := zendesk.Read(body); ok {
			return looked{id: h.Get("X-Zendesk-Webhook-Signature-Timestamp")}, nil
		}
	case "jira":
		if s.Strings["webhookEvent"] != "" {
			return looked{id: h.Get("X-Atlassian-Webhook-Identifier")}, nil
		}
	case "linear":
		if s.Strings["action"] != "" && s.Strings["type"] != "" && s.Members["data"] == '{' {
			return looked{id: h.Get("Linear-Delivery")}, nil
		}
	case "github":
		name := github.Event(h.Get("X-GitHub-Event"), s.Has)
		switch {
		case name == "ping" && s.Has("hook_id"):
			return handshake(answerNothing)
		case name != "" && s.Has("sender"):
			return looked{id: h.Get("X-GitHub-Delivery")}, nil
		}
	case "webhook":
		if no := lookEntries(body); no != nil {
			return looked{}, no
		}
		return looked{id: h.Get("webhook-id")}, nil
	}
	return looked{}, foreign
}

// malformed answers what the strict reader refused.
func malformed(err error) *refusal {
	no := &refusal{status: http.StatusBadRequest, title: "the body is not acceptable JSON", detail: err.Error()}
	for of, reason := range map[error]string{
		payload.ErrUTF8: "broken UTF-8", payload.ErrNUL: "NUL characters", payload.ErrDepth: "too deep", payload.ErrDuplicate: "repeated member", payload.ErrSyntax: "not JSON",
	} {
		if errors.Is(err, of) {
			no.reason = reason
		}
	}
	return no
}

func lookSlackForm(body []byte) (looked, *refusal) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return looked{}, &refusal{http.StatusBadRequest, "not a form", "the body is not a well-formed form", ""}
	}
	for _, vs := range values {
		for _, v := range vs {
			if !utf8.ValidString(v) {
				return looked{}, malformed(payload.ErrUTF8)
			}
			if strings.IndexByte(v, 0) >= 0 {
				return looked{}, malformed(payload.ErrNUL)
			}
		}
	}
	switch {
	case values.Get("ssl_check") == "1":
		return looked{answered: true, answer: answerNothing}, nil
	case values.Has("payload"):
		if _, err := payload.Check([]byte(values.Get("payload"))); err != nil {
			return looked{}, malformed(err)
		}
		return looked{}, nil
	case values.Has("command") && values.Has("team_id"):
		return looked{id: values.Get("trigger_id")}, nil
	}
	return looked{}, &refusal{http.StatusUnprocessableEntity, "foreign payload", "this is not a payload of slack", "forms are taken from slash commands and interactivity only"}
}

// lookMail reads a mail's identity. Mail is of any charset, so JSON alone is held to be
// clean.
func lookMail(h http.Header, body []byte) (looked, *refusal) {
	if media := mediaType(h); media == "application/json" || media == "text/plain" || media == "" {
		if _, err := payload.Check(body); err != nil {
			return looked{}, malformed(err)
		}
	}
	m, err := email.Open(h.Get("Content-Type"), body)
	switch {
	case errors.Is(err, email.ErrSubscription):
		return looked{id: h.Get("X-Amz-Sns-Message-Id")}, nil
	case err != nil:
		return looked{}, &refusal{http.StatusUnprocessableEntity, "foreign payload", "this is not a mail", err.Error()}
	}
	return looked{id: m.ID}, nil
}

// lookEntries reads a generic webhook's entries, since its senders are programs that can
// be told what is wrong.
func lookEntries(body []byte) *refusal {
	raws, deleted, err := webhook.Entries(body)
	for _, raw := range raws {
		if err == nil && !deleted {
			_, err = feedbackapi.Read(raw)
		}
	}
	if err == nil && len(raws) == 0 {
		err = errors.New("there is no entry")
	}
	if err != nil {
		return &refusal{http.StatusUnprocessableEntity, "foreign payload", "this is not feedback", err.Error()}
	}
	return nil
}
