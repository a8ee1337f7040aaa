// Package signature tells whether a delivery was signed by the vendor that a connection
// belongs to. There is one verifier and a table of seven configurations; providers of
// inbound mail, most of whom sign nothing, are told by what file mail.go says.
//
// It promises: the raw bytes are what is verified, before anything parses them;
// comparison takes the same time whatever differs; every live secret is tried, so that
// secrets can rotate; a connection without a secret accepts nothing; an old delivery is
// refused where the vendor signs a time. Errors say which check failed and nothing
// about secret, signature or body.
//
// It refuses what other verifiers are lenient about: a SHA-1 fallback beside SHA-256
// (GitHub), a time stamp that is not signed (Linear-Timestamp), and the field order of
// Zendesk's old documentation (body before time stamp).
package signature

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Why a delivery is refused. All of them are answered alike; they differ in metrics.
var (
	ErrNoSecret = errors.New("connection has no secret to verify with")
	ErrMissing  = errors.New("signature is missing or malformed")
	ErrMismatch = errors.New("signature does not match")
	ErrStale    = errors.New("signed time is outside the replay window")
)

// Header reads a request header by name, "" if it is missing; http.Header.Get is one.
type Header func(name string) string

// scheme is how one vendor signs.
type scheme struct {
	header   string // carries the signature
	prefix   string // before each signature in it
	many     bool   // the header holds several, separated by spaces
	hash     func() hash.Hash
	size     int
	decode   func(string) ([]byte, error)
	signed   func(h Header) (before string, err error) // what is signed before the body
	window   time.Duration                             // 0: the vendor signs no time
	signedAt func(h Header, body []byte) (at time.Time, present bool)
	secret   func(string) ([]byte, error)
}

// schemes is the table of integrations: kind of connection → how its vendor signs.
//
// Windows: Slack and Standard Webhooks document 300 s both ways, Linear 60 s; Zendesk
// sets none, and 10 minutes is ours. Intercom, Jira and GitHub sign no time: their
// deliveries are folded by their ids instead.
var schemes = map[string]scheme{
	"slack": {
		header: "X-Slack-Signature", prefix: "v0=", hash: sha256.New, size: sha256.Size, decode: hex.DecodeString,
		signed: slackPrefix, window: 300 * time.Second, signedAt: unixSeconds("X-Slack-Request-Timestamp"),
	},
	"intercom": {header: "X-Hub-Signature", prefix: "sha1=", hash: sha1.New, size: sha1.Size, decode: hex.DecodeString},
	"zendesk": {
		header: "X-Zendesk-Webhook-Signature", hash: sha256.New, size: sha256.Size, decode: base64.StdEncoding.DecodeString,
		signed: plainHeader("X-Zendesk-Webhook-Signature-Timestamp", ""), window: 10 * time.Minute, signedAt: rfc3339("X-Zendesk-Webhook-Signature-Timestamp"),
	},
	"jira":   {header: "X-Hub-Signature", prefix: "sha256=", hash: sha256.New, size: sha256.Size, decode: hex.DecodeString},
	"linear": {header: "Linear-Signature", hash: sha256.New, size: sha256.Size, decode: hex.DecodeString, window: 60 * time.Second, signedAt: linearBody},
	"github": {header: "X-Hub-Signature-256", prefix: "sha256=", hash: sha256.New, size: sha256.Size, decode: hex.DecodeString},
	"webhook": {
		header: "webhook-signature", prefix: "v1,", many: true, hash: sha256.New, size: sha256.Size, decode: base64.StdEncoding.DecodeString,
		signed: standardPrefix, window: 300 * time.Second, signedAt: unixSeconds("webhook-timestamp"), secret: standardSecret,
	},
}

// Verifier verifies the deliveries of one connection. It is immutable and safe for
// concurrent use.
type Verifier struct {
	scheme  scheme
	mail    *mail // of connections of type email, instead of a scheme
	secrets [][]byte
	now     func() time.Time
}

// New makes the verifier of a connection of the given kind (slack, intercom, zendesk,
// webhook, email, jira, linear or github) with every secret that may sign. No secrets is not an
// error: such a verifier refuses everything. An unknown kind, and a Standard Webhooks
// secret whose whsec_ part is not base64, are errors.
func New(kind string, secrets []string, now func() time.Time) (*Verifier, error) {
	if kind == "email" {
		return newMail(secrets, now)
	}
	s, ok := schemes[kind]
	if !ok {
		return nil, fmt.Errorf("verify signatures: no scheme for connections of type %q", kind)
	}
	v := &Verifier{scheme: s, now: now}
	for _, secret := range secrets {
		key := []byte(secret)
		if s.secret != nil {
			var err error
			if key, err = s.secret(secret); err != nil {
				return nil, fmt.Errorf("verify signatures: %w", err)
			}
		}
		if len(key) > 0 {
			v.secrets = append(v.secrets, key)
		}
	}
	return v, nil
}

// Verify returns nil if one of the secrets signed exactly this body with these headers,
// within the replay window; else one of the errors of this package.
func (v *Verifier) Verify(h Header, body []byte) error {
	if len(v.secrets) == 0 {
		return ErrNoSecret
	}
	if v.mail != nil {
		return v.mail.verify(h, body)
	}
	given, err := v.signatures(h)
	if err != nil {
		return err
	}
	var before string
	if v.scheme.signed != nil {
		if before, err = v.scheme.signed(h); err != nil {
			return err
		}
	}
	matched := false
	for _, secret := range v.secrets {
		mac := hmac.New(v.scheme.hash, secret)
		mac.Write([]byte(before))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, g := range given {
			// No early return: the time must not tell which secret is live.
			matched = hmac.Equal(want, g) || matched
		}
	}
	if !matched {
		return ErrMismatch
	}
	return v.fresh(h, body)
}

// maxSignatures bounds the work that one header can cause.
const maxSignatures = 8

// signatures decodes what the header holds; anything of another length is no signature.
func (v *Verifier) signatures(h Header) ([][]byte, error) {
	fields := []string{h(v.scheme.header)}
	if v.scheme.many {
		fields = strings.Fields(fields[0])
	}
	var out [][]byte
	for _, f := range fields[:min(len(fields), maxSignatures)] {
		encoded, ok := strings.CutPrefix(f, v.scheme.prefix)
		if !ok || len(encoded) > 2*v.scheme.size {
			continue
		}
		if raw, err := v.scheme.decode(encoded); err == nil && len(raw) == v.scheme.size {
			out = append(out, raw)
		}
	}
	if len(out) == 0 {
		return nil, ErrMissing
	}
	return out, nil
}

func (v *Verifier) fresh(h Header, body []byte) error {
	if v.scheme.window == 0 {
		return nil
	}
	at, present := v.scheme.signedAt(h, body)
	if !present {
		return nil
	}
	if age := v.now().Sub(at); at.IsZero() || age > v.scheme.window || age < -v.scheme.window {
		return ErrStale
	}
	return nil
}

func slackPrefix(h Header) (string, error) {
	ts, err := plainHeader("X-Slack-Request-Timestamp", ":")(h)
	return "v0:" + ts, err
}

func standardPrefix(h Header) (string, error) {
	id, err := plainHeader("webhook-id", ".")(h)
	if err != nil {
		return "", err
	}
	ts, err := plainHeader("webhook-timestamp", ".")(h)
	return id + ts, err
}

func plainHeader(name, after string) func(Header) (string, error) {
	return func(h Header) (string, error) {
		value := h(name)
		if value == "" || len(value) > 256 {
			return "", ErrMissing
		}
		return value + after, nil
	}
}

func unixSeconds(name string) func(Header, []byte) (time.Time, bool) {
	return func(h Header, _ []byte) (time.Time, bool) {
		seconds, err := strconv.ParseInt(h(name), 10, 64)
		if err != nil || seconds <= 0 || seconds > 1<<40 {
			return time.Time{}, true
		}
		return time.Unix(seconds, 0), true
	}
}

func rfc3339(name string) func(Header, []byte) (time.Time, bool) {
	return func(h Header, _ []byte) (time.Time, bool) {
		at, err := time.Parse(time.RFC3339Nano, h(name))
		if err != nil {
			return time.Time{}, true
		}
		return at, true
	}
}

// linearBody reads the only time that Linear signs. Deliveries of before 2022 carry
// none; like Jira's and GitHub's they are then bounded by their ids alone.
func linearBody(_ Header, body []byte) (time.Time, bool) {
	var v struct {
		At *json.Number `json:"webhookTimestamp"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		var other *json.UnmarshalTypeError
		noObject := errors.As(err, &other) && other.Field == ""
		return time.Time{}, !noObject && !isSyntax(err)
	}
	if v.At == nil {
		return time.Time{}, false
	}
	ms, err := v.At.Int64()
	if err != nil || ms <= 0 || ms > 1<<50 {
		return time.Time{}, true
	}
	return time.UnixMilli(ms), true
}

// isSyntax reports a body that is not JSON at all: it is refused for that, not as stale.
func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax)
}

// standardSecret follows the reference library: whsec_ and base64. A secret without the
// prefix that is not base64 is taken as it is.
func standardSecret(s string) ([]byte, error) {
	encoded, prefixed := strings.CutPrefix(s, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err == nil:
		return key, nil
	case prefixed:
		return nil, errors.New("the signing secret starts with whsec_ but the rest is not base64")
	default:
		return []byte(s), nil
	}
}
