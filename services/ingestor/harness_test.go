package ingestor_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/ingestor"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// now is the clock of the service in all tests.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var kinds = []string{"slack", "intercom", "zendesk", "webhook", "email", "jira", "linear", "github"}

// signing, and what it replaced, sign the deliveries of all connections but webhook's.
const (
	signing  = "shhh-secret"
	retired  = "old-secret"
	standard = "whsec_c2hoaC1zZWNyZXQ="
)

func workspaces() []config.Workspace {
	s := config.NewSecret(signing)
	return []config.Workspace{
		{ID: "acme", APITokens: []config.Token{
			{Name: "all", Token: config.NewSecret("token-all"), Scopes: []string{"administer"}},
			{Name: "reader", Token: config.NewSecret("token-read"), Scopes: []string{"read"}},
		}, Connections: []config.Connection{
			{ID: "acme-slack", Type: "slack", SigningSecret: s, PreviousSecret: config.NewSecret(retired)},
			{ID: "acme-intercom", Type: "intercom", ClientSecret: s},
			{ID: "acme-zendesk", Type: "zendesk", SigningSecret: s, BaseURL: "https://acme.zendesk.example"},
			{ID: "acme-webhook", Type: "webhook", SigningSecret: config.NewSecret(standard)},
			{ID: "acme-email", Type: "email", SigningSecret: s, Email: "feedback@acme.example"},
			{ID: "acme-jira", Type: "jira", WebhookSecret: s},
			{ID: "acme-linear", Type: "linear", WebhookSecret: s},
			{ID: "acme-github", Type: "github", WebhookSecret: s},
			{ID: "acme-bare", Type: "slack"},
		}},
		{ID: "other", APITokens: []config.Token{{Name: "all", Token: config.NewSecret("token-other"), Scopes: []string{"administer"}}}},
	}
}

// harness is the service over a real broker and a real engine, behind a real HTTP server.
type harness struct {
	t        *testing.T
	url      string
	bus      *bus.Bus
	store    *store.DB
	registry *prometheus.Registry
	log      *synchronised
}

type synchronised struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *synchronised) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synchronised) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// option changes what a harness is made of.
type option func(*ingestor.Config, *ingestor.Deps)

func start(t *testing.T, options ...option) *harness {
	t.Helper()
	h := &harness{t: t, bus: bustest.New(t), store: storetest.New(t), registry: prometheus.NewRegistry(), log: &synchronised{}}
	committer := bus.NewCommitter(h.bus.JetStream(), h.bus.Syncer(), bus.CommitterOptions{})
	t.Cleanup(func() { _ = committer.Close(context.Background()) })
	cfg := ingestor.Config{Workspaces: workspaces()}
	deps := ingestor.Deps{
		Bus: h.bus, Appender: committer, Store: h.store, Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: h.registry, Now: func() time.Time { return now }, Holder: "test",
	}
	for _, o := range options {
		o(&cfg, &deps)
	}
	service, err := ingestor.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	service.Register(mux)
	srv := httptest.NewServer(mux)
	h.url = srv.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		srv.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return h
}

// sign makes the headers that a vendor sends with a body.
func sign(kind, secret string, body []byte) map[string]string {
	mac := func(h func() hash.Hash, parts ...string) []byte {
		key := []byte(secret)
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); kind == "webhook" && err == nil {
			key = raw
		}
		m := hmac.New(h, key)
		for _, p := range parts {
			m.Write([]byte(p))
		}
		m.Write(body)
		return m.Sum(nil)
	}
	unix := strconv.FormatInt(now.Unix(), 10)
	switch kind {
	case "slack":
		return map[string]string{"X-Slack-Request-Timestamp": unix, "X-Slack-Signature": "v0=" + hex.EncodeToString(mac(sha256.New, "v0:", unix, ":"))}
	case "intercom":
		return map[string]string{"X-Hub-Signature": "sha1=" + hex.EncodeToString(mac(sha1.New))}
	case "zendesk":
		ts := now.Format(time.RFC3339)
		return map[string]string{"X-Zendesk-Webhook-Signature-Timestamp": ts, "X-Zendesk-Webhook-Signature": base64.StdEncoding.EncodeToString(mac(sha256.New, ts))}
	case "webhook":
		return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": unix, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, "msg_1.", unix, "."))}
	case "email":
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("inbound:"+secret))}
	case "jira":
		return map[string]string{"X-Hub-Signature": "sha256=" + hex.EncodeToString(mac(sha256.New))}
	case "linear":
		return map[string]string{"Linear-Signature": hex.EncodeToString(mac(sha256.New))}
	case "github":
		return map[string]string{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac(sha256.New))}
	}
	panic(kind)
}

func secretOf(kind string) string {
	if kind == "webhook" {
		return standard
	}
	return signing
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *harness) do(method, path string, headers map[string]string, body []byte) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// post sends a signed webhook. headers add to or replace the vendor's.
func (h *harness) post(kind string, body []byte, headers map[string]string) answer {
	h.t.Helper()
	all := map[string]string{"Content-Type": "application/json"}
	if kind == "email" {
		all["Content-Type"] = "message/rfc822"
	}
	for k, v := range sign(kind, secretOf(kind), body) {
		all[k] = v
	}
	for k, v := range headers {
		all[k] = v
	}
	return h.do(http.MethodPost, "/webhooks/acme-"+kind, all, body)
}

func (h *harness) accepted(kind, body string) {
	h.t.Helper()
	if a := h.post(kind, []byte(body), nil); a.status != http.StatusOK {
		h.t.Fatalf("%s: %d %s", kind, a.status, a.body)
	}
}

func (h *harness) api(method, path, body string) answer {
	h.t.Helper()
	return h.do(method, path, map[string]string{"Authorization": "Bearer token-all", "Content-Type": "application/json"}, []byte(body))
}

// until waits for a condition.
func (h *harness) until(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("%s did not happen within 30 s; log:\n%s", what, h.log)
		}
	}
}

// settle waits until everything that was accepted is decoded and archived.
func (h *harness) settle() {
	h.t.Helper()
	h.until("decoding", func() bool {
		s, err := h.bus.JetStream().Stream(h.t.Context(), bus.Deliveries)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, durable := range []string{bus.IngestorDecode, bus.IngestorArchive} {
			c, err := s.Consumer(h.t.Context(), durable)
			if err != nil || c.CachedInfo().AckFloor.Stream < s.CachedInfo().State.LastSeq {
				return false
			}
		}
		// Only where Slack is asked; what it answered are deliveries that came since.
		lookup, err := s.Consumer(h.t.Context(), bus.IngestorLookup)
		return err != nil || lookup.CachedInfo().NumPending == 0 && lookup.CachedInfo().NumAckPending == 0
	})
}

// stored counts the messages of a stream.
func (h *harness) stored(stream string) uint64 {
	h.t.Helper()
	s, err := h.bus.JetStream().Stream(h.t.Context(), stream)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// events reads all events of a stream, and holds each against its schema.
func (h *harness) events(stream string) []event.Envelope {
	h.t.Helper()
	s, err := h.bus.JetStream().Stream(h.t.Context(), stream)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []event.Envelope
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(h.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if err := validate(m.Data); err != nil {
			h.t.Errorf("published event: %v", err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// brief is an items or tickets event in a few words.
func (h *harness) brief(stream string) []string {
	h.t.Helper()
	var out []string
	for _, e := range h.events(stream) {
		name := strings.TrimSuffix(string(e.Type), ".v1")
		switch stream {
		case bus.Tickets:
			v, err := event.Payload[event.Ticket](e)
			if err != nil {
				h.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %s %s", name, v.Ticket.Key, v.Ticket.Category))
		default:
			if !strings.HasPrefix(name, "item.") {
				out = append(out, name+" "+e.Subject)
				continue
			}
			v, err := event.Payload[event.Item](e)
			if err != nil {
				h.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %d %s", name, v.Item.Revision, v.Item.Text))
		}
	}
	return out
}

// rows are the live feedback items in the store: id, revision and text.
func (h *harness) rows() []string {
	h.t.Helper()
	rows, err := h.store.Conn().Query(h.t.Context(), "SELECT toString(tuple(id, revision, source, customer, text)) FROM items FINAL WHERE workspace = 'acme' ORDER BY id")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// counted sums a metric over the label values given.
func (h *harness) counted(name string, labels ...string) float64 {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// compiled are the event schemas by type.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	out := map[string]*jsonschema.Schema{}
	for _, t := range own {
		b, err := schemas.Events.ReadFile("events/" + t + ".schema.json")
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(t, doc); err != nil {
			return nil, err
		}
		if out[t], err = c.Compile(t); err != nil {
			return nil, err
		}
	}
	return out, nil
})

// own are the types of events that this service publishes.
var own = []string{
	"delivery.accepted.v1", "item.received.v1", "item.edited.v1", "item.deleted.v1", "account.changed.v1", "customer.erased.v1",
	"ticket.created.v1", "ticket.moved.v1", "ticket.edited.v1", "ticket.deleted.v1",
}

func validate(b []byte) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	var e struct{ Type string }
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	s, ok := all[e.Type]
	if !ok {
		return fmt.Errorf("no schema for %q", e.Type)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}
