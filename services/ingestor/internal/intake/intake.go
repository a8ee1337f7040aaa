package intake

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/signature"
)

// Default limits.
const (
	DefaultInFlight = 256
	DefaultMaxBody  = 1 << 20 // bytes of one webhook: the largest vendor payloads are some 200 KB

	// MaxLargeBody is more, for GitHub and mail. GitHub sends up to 25 MB, but what exceeds
	// this (an issue with a body of its maximum length is under 1 MB) is not an issue event;
	// mail exceeds it by its attachments only.
	MaxLargeBody = 5 << 19 // 2.5 MB: what fits a 4 MB message once it is encoded
)

// Options is what New needs. All of it is required but for the transport and the limits.
type Options struct {
	Workspaces []config.Workspace
	Keyring    *access.Keyring
	Appender   Appender
	Bus        *bus.Bus
	Store      *store.DB
	Metrics    *Metrics
	Logger     *slog.Logger
	Now        func() time.Time
	Transport  http.RoundTripper // to where a delivery says its certificate is; nil means http.DefaultTransport
	InFlight   int               // webhooks worked on at a time; 0 means DefaultInFlight
	MaxBody    int64             // bytes of one webhook; 0 means DefaultMaxBody, and MaxLargeBody for github and email
	MaxMessage int64             // bytes that the event log takes as one message; 0 means no limit
}

// Intake serves the routes of this package. It is safe for concurrent use.
type Intake struct {
	endpoints map[string]*endpoint
	keyring   *access.Keyring
	appender  Appender
	bus       *bus.Bus
	store     *store.DB
	metrics   *Metrics
	health    *health
	log       *slog.Logger
	now       func() time.Time
	slots     chan struct{}
	room      room
	maxPart   int // bytes of one delivery of our own API
}

// New prepares an endpoint for every connection. A connection whose secret cannot be one
// is an error; a connection without a secret is not, but its endpoint refuses everything.
func New(o Options) (*Intake, error) {
	if o.InFlight <= 0 {
		o.InFlight = DefaultInFlight
	}
	in := &Intake{
		endpoints: map[string]*endpoint{}, keyring: o.Keyring, appender: o.Appender, bus: o.Bus, store: o.Store,
		metrics: o.Metrics, health: newHealth(o.Metrics), log: o.Logger, now: o.Now, slots: make(chan struct{}, o.InFlight),
		maxPart: int(fitting(512<<10, o.MaxMessage)),
	}
	var errs []error
	for _, w := range o.Workspaces {
		for _, c := range w.Connections {
			v, err := signature.New(c.Type, c.Secrets(), o.Now)
			if err != nil {
				errs = append(errs, fmt.Errorf("connection %s: %w", c.ID, err))
				continue
			}
			v.CertificatesFrom(func(address string) ([]byte, error) { return certificate(o.Transport, address) })
			limit := o.MaxBody
			if limit <= 0 {
				limit = DefaultMaxBody
				if c.Type == "github" || c.Type == "email" {
					limit = MaxLargeBody
				}
			}
			in.metrics.expect(c.Type, c.ID)
			in.endpoints[c.ID] = &endpoint{workspace: w.ID, connection: c, verifier: v, limit: fitting(limit, o.MaxMessage), pace: perMinute(c.PerMinute)}
		}
	}
	return in, errors.Join(errs...)
}

// certificate gets a public certificate; who asks has checked whose address it is.
func certificate(transport http.RoundTripper, address string) ([]byte, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // nobody has checked where that leads
	}}
	res, err := client.Get(address)
	if err != nil {
		return nil, fmt.Errorf("get certificate: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get certificate: HTTP %d", res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, 64<<10))
}

// fitting lowers a limit of bodies so that the event around one, in which the body is
// base64, fits a message.
func fitting(limit, message int64) int64 {
	if message <= 0 {
		return limit
	}
	return min(limit, (message-8<<10)/4*3)
}

// Register adds the routes.
func (in *Intake) Register(mux *http.ServeMux) {
	mux.HandleFunc("/webhooks/{connection}", in.webhook)
	on := func(pattern string, scope access.Scope, h http.HandlerFunc) {
		mux.Handle(pattern, in.keyring.Require(scope, h))
	}
	on("POST /v1/feedback", access.Ingest, in.postFeedback)
	on("DELETE /v1/feedback/{id}", access.Administer, in.deleteFeedback)
	on("DELETE /v1/customers/{id}", access.Administer, in.eraseCustomer)
	on("PUT /v1/accounts", access.Ingest, in.putAccounts)
	on("GET /v1/accounts", access.Read, in.listAccounts)
	on("GET /v1/connections", access.Read, in.listConnections)
	on("GET /v1/dead-letters", access.Administer, in.listDeadLetters)
	on("GET /v1/dead-letters/{id}", access.Administer, in.showDeadLetter)
	on("DELETE /v1/dead-letters/{id}", access.Administer, in.dropDeadLetter)
	on("POST /v1/dead-letters/{id}/retry", access.Administer, in.retryDeadLetter)
}
