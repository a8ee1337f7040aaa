package demo

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Configuration is the YAML that the demo runs with.
//
//go:embed throughline.yaml
var Configuration []byte

// Sender plays the vendors: it signs requests as they would and posts them.
type Sender struct {
	URL    string // of the running Throughline
	Client *http.Client
	Now    func() time.Time
}

func sum(h func() hash.Hash, secret string, parts ...[]byte) []byte {
	m := hmac.New(h, []byte(secret))
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// Sign adds the vendor's signature over the raw body.
func (s *Sender) Sign(r *http.Request, d Request, body []byte) {
	now := s.Now()
	switch d.Vendor {
	case "slack":
		ts := strconv.FormatInt(now.Unix(), 10)
		r.Header.Set("X-Slack-Request-Timestamp", ts)
		r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(sum(sha256.New, Secrets["DEMO_SLACK_SECRET"], []byte("v0:"+ts+":"), body)))
	case "intercom":
		r.Header.Set("X-Hub-Signature", "sha1="+hex.EncodeToString(sum(sha1.New, Secrets["DEMO_INTERCOM_SECRET"], body)))
	case "zendesk":
		ts := now.UTC().Format(time.RFC3339)
		r.Header.Set("X-Zendesk-Webhook-Signature-Timestamp", ts)
		r.Header.Set("X-Zendesk-Webhook-Signature", base64.StdEncoding.EncodeToString(sum(sha256.New, Secrets["DEMO_ZENDESK_SECRET"], []byte(ts), body)))
	case "jira":
		r.Header.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(sum(sha256.New, Secrets["DEMO_JIRA_SECRET"], body)))
	case "linear":
		r.Header.Set("Linear-Signature", hex.EncodeToString(sum(sha256.New, Secrets["DEMO_LINEAR_SECRET"], body)))
	case "github":
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(sha256.New, Secrets["DEMO_GITHUB_SECRET"], body)))
	}
}

// Send posts one webhook and fails on anything but a 2xx.
func (s *Sender) Send(ctx context.Context, d Request) error {
	body := d.Body
	if d.Vendor == "linear" {
		// Linear puts the time of sending into the body that it signs.
		body = bytes.Replace(body, []byte(`"webhookTimestamp":0`), fmt.Appendf(nil, `"webhookTimestamp":%d`, s.Now().UnixMilli()), 1)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/webhooks/"+d.Connection, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", d.ContentType)
	for k, v := range d.Header {
		r.Header.Set(k, v)
	}
	s.Sign(r, d, body)
	return s.do(r, nil)
}

// ErrNotFound says that the server has not what was asked for (yet), ErrRefused that a
// decision cannot be taken as it was asked.
var (
	ErrNotFound = errors.New("not found")
	ErrRefused  = errors.New("refused")
)

// Put sends a JSON document to the API.
func (s *Sender) Put(ctx context.Context, path string, v any) error {
	return s.write(ctx, http.MethodPut, path, v)
}

// Post sends a JSON document to the API.
func (s *Sender) Post(ctx context.Context, path string, v any) error {
	return s.write(ctx, http.MethodPost, path, v)
}

func (s *Sender) write(ctx context.Context, method, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+Secrets["DEMO_TOKEN"])
	return s.do(r, nil)
}

// Get reads a JSON document from the API.
func (s *Sender) Get(ctx context.Context, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+Secrets["DEMO_TOKEN"])
	return s.do(r, into)
}

func (s *Sender) do(r *http.Request, into any) error {
	res, err := s.Client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, ErrNotFound)
	}
	if res.StatusCode == http.StatusUnprocessableEntity {
		return fmt.Errorf("%s %s: %w: %s", r.Method, r.URL.Path, ErrRefused, bytes.TrimSpace(b))
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, res.Status, bytes.TrimSpace(b))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// SendAll posts webhooks one after another, so that every run has the same order, and
// reports each that was accepted.
func (s *Sender) SendAll(ctx context.Context, all []Request, accepted func()) error {
	for _, d := range all {
		if err := s.Send(ctx, d); err != nil {
			return err
		}
		accepted()
	}
	return nil
}
