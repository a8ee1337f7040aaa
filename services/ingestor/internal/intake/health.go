package intake

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// health remembers, since the process started, how each connection fares. When the last
// delivery came in is asked of the event log, which all processes share.
type health struct {
	metrics     *Metrics
	mu          sync.Mutex
	connections map[string]*fate
}

type fate struct {
	failures    map[string]int
	lastFailure time.Time
	lastReason  string
	lastSuccess time.Time
}

func newHealth(m *Metrics) *health { return &health{metrics: m, connections: map[string]*fate{}} }

func (h *health) of(connection string) *fate {
	f, ok := h.connections[connection]
	if !ok {
		f = &fate{failures: map[string]int{}}
		h.connections[connection] = f
	}
	return f
}

func (h *health) failed(connection, reason string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.metrics.failures.WithLabelValues(connection, reason).Inc()
	f := h.of(connection)
	f.failures[reason]++
	f.lastFailure, f.lastReason = at, reason
}

func (h *health) received(connection string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.metrics.newest.WithLabelValues(connection).Set(float64(at.Unix()))
	h.of(connection).lastSuccess = at
}

func (h *health) snapshot(connection string) fate {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := *h.of(connection)
	f.failures = maps.Clone(f.failures)
	return f
}

// connectionHealth is a connection as /v1/connections shows it. State is one of ok,
// waiting (nothing came yet), failing (the last thing that came was refused), disconnected
// (the last thing that came said that the app was removed) and misconfigured. LagSeconds is how long the newest delivery has been waiting to be
// decoded, 0 if it is not.
type connectionHealth struct {
	ID           string         `json:"id"`
	Type         string         `json:"type"`
	State        string         `json:"state"`
	LastDelivery *time.Time     `json:"last_delivery"`
	LagSeconds   float64        `json:"lag_seconds"`
	Failures     map[string]int `json:"failures"`
	LastFailure  *time.Time     `json:"last_failure,omitempty"`
	Fix          string         `json:"fix,omitempty"`
}

func (in *Intake) listConnections(w http.ResponseWriter, r *http.Request) {
	workspace := access.From(r.Context()).Workspace
	stream, err := in.bus.JetStream().Stream(r.Context(), bus.Deliveries)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	states, err := in.bus.Bucket(r.Context(), bus.BucketItems)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	var decoded uint64
	if c, err := stream.Consumer(r.Context(), bus.IngestorDecode); err == nil {
		decoded = c.CachedInfo().AckFloor.Stream
	}
	items := []connectionHealth{}
	for _, id := range slices.Sorted(maps.Keys(in.endpoints)) {
		e := in.endpoints[id]
		if e.workspace != workspace {
			continue
		}
		f := in.health.snapshot(id)
		c := connectionHealth{ID: id, Type: e.connection.Type, Failures: f.failures}
		last, err := stream.GetLastMsgForSubject(r.Context(), bus.Subject("deliveries", workspace, id))
		switch {
		case err == nil:
			at := last.Time.UTC()
			c.LastDelivery = &at
			if last.Sequence > decoded {
				c.LagSeconds = max(0, in.now().Sub(at).Seconds())
			}
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			in.unavailable(w, err)
			return
		}
		if !f.lastFailure.IsZero() {
			at := f.lastFailure.UTC()
			c.LastFailure = &at
		}
		c.State, c.Fix = e.judge(f, c.LastDelivery)
		if c.State == "ok" {
			gone, err := states.Get(r.Context(), decode.Disconnected(workspace, id))
			if err == nil && string(gone.Value()) == strconv.FormatUint(last.Sequence, 10) {
				c.State, c.Fix = "disconnected", "the app was removed at the vendor: install it there again"
			} else if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
				in.unavailable(w, err)
				return
			}
		}
		items = append(items, c)
	}
	list(w, items, "")
}

// fixes says what to do about the last thing that went wrong.
var fixes = map[string]string{
	"bad signature":   "the secret in the configuration is not the one that the vendor signs with",
	"no signature":    "the vendor does not sign: turn signing on there, or the URL is called by somebody else",
	"stale signature": "the clock of this machine is off, or deliveries are replayed or delayed",
	"foreign payload": "another system's webhook has been given this connection's URL",
	"media type":      "set the webhook's content type to application/json",
	"too large":       "the vendor sends more than the limit of one delivery; subscribe to fewer kinds of events",
	"not durable":     "the event log could not store: look at /readyz and at free disk space",
	"not JSON":        "the vendor's template makes broken JSON",
	"repeated member": "the vendor's template makes JSON with repeated members",
	"NUL characters":  "the sender puts NUL characters into its text",
	"broken UTF-8":    "the sender does not encode its text as UTF-8",
	"too deep":        "the sender nests its JSON too deeply",
	"method":          "the URL is called with another method than POST",
	"cut off":         "connections break before a delivery is complete: look at the proxy in front",
	"not a form":      "the sender's form is malformed",
	"rate limited":    "the vendor sends more than per_minute of the connection allows; what it does not send again is brought by a backfill",
}

func (e *endpoint) judge(f fate, last *time.Time) (state, fix string) {
	switch {
	case len(e.connection.Secrets()) == 0:
		return "misconfigured", "no secret is configured, so every delivery is refused: set " + secretField(e.connection.Type)
	case f.lastFailure.After(f.lastSuccess):
		return "failing", fixes[f.lastReason]
	case last == nil:
		return "waiting", "nothing has arrived yet: give the vendor the URL that ends in /webhooks/" + e.connection.ID
	}
	return "ok", ""
}

func secretField(kind string) string {
	switch {
	case kind == "intercom":
		return "client_secret"
	case strings.Contains("slack zendesk webhook email", kind):
		return "signing_secret"
	}
	return "webhook_secret"
}
