// Package contextpublisher is the service that keeps customers' voice attached to the work:
// it knows tickets and how they move, attaches clusters to them, keeps revisioned briefs,
// writes each as one block into its tracker, sends the morning digest, and serves what it
// knows to people and agents (/v1, /mcp, the page).
//
// It promises one block per ticket and one digest per day and destination however often
// anything is delivered, that a person's decision outlives every later score, and that
// nothing of one workspace is readable from another. It refuses to take feedback in, to
// judge it and to cluster it.
package contextpublisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/audit"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/alert"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mailpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mcpserver"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/openid"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/page"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/publish"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

// Config is what an operator sets. PublicURL is what links in blocks and digests start
// with; empty writes none. Gather is the least time between two writes of one ticket's
// brief (0 means 30 s), Budget the tokens of a brief (0 means 4,000).
type Config struct {
	Workspaces []config.Workspace
	SMTP       config.SMTP   // where digests by e-mail are handed in; without Addr none are sent
	SignIn     config.SignIn // how people sign in at the page besides by token; the zero value is not at all
	PublicURL  string
	Gather     time.Duration
	Budget     int
	Version    string // told to MCP clients; empty means "dev"
}

// Deps is what the service works with. The bus must have been ensured and the store
// migrated before Run.
type Deps struct {
	Bus        *bus.Bus
	Store      *store.DB
	Embedder   embed.Embedder
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	Holder     string            // names this process in leases; unique to it
	Transport  http.RoundTripper // to vendors and receivers of alerts; nil means http.DefaultTransport, which calls any address
}

// Service is a context-publisher.
type Service struct {
	publisher *publish.Publisher
	digests   *digest.Scheduler
	alerts    *alert.Teller
	hub       *api.Hub
	api       *api.API
	mcp       *mcpserver.HTTP
	page      *page.Page
}

// openFor bounds how long New waits for the bus to open its buckets.
const openFor = 15 * time.Second

// New checks the configuration and prepares everything; it starts nothing and calls no
// vendor. A tracker or Slack connection without the credentials to write is no error: it
// can receive, and each ticket's block says in the ledger why it was not written.
func New(c Config, d Deps) (*Service, error) {
	if d.Bus == nil || d.Store == nil || d.Embedder == nil || d.Logger == nil || d.Registerer == nil || d.Now == nil || d.Holder == "" {
		return nil, errors.New("new context-publisher: Bus, Store, Embedder, Logger, Registerer, Now and Holder are required")
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	ctx, cancel := context.WithTimeout(context.Background(), openFor)
	defer cancel()
	trackers, slack, err := vendors(c, d)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, w := range c.Workspaces {
		ids = append(ids, w.ID)
	}
	s := &Service{}
	if s.publisher, err = publish.New(ctx, publish.Options{
		Bus: d.Bus, Store: d.Store, Embedder: d.Embedder, Trackers: trackers, Workspaces: ids, Holder: d.Holder, PublicURL: c.PublicURL,
		Gather: c.Gather, Budget: c.Budget, Logger: d.Logger, Registerer: d.Registerer, Now: d.Now,
	}); err != nil {
		return nil, err
	}
	desk, err := digest.NewDesk(d.Store, c.Workspaces, d.Now)
	if err != nil {
		return nil, err
	}
	var mail *mailpost.Poster
	if c.SMTP.Addr != "" {
		if mail, err = mailpost.New(mailpost.Config{Addr: c.SMTP.Addr, From: c.SMTP.From, Username: c.SMTP.Username, Password: c.SMTP.Password.Value(), TLS: c.SMTP.TLS}, nil); err != nil {
			return nil, err
		}
	}
	if s.digests, err = digest.NewScheduler(ctx, digest.Options{
		Bus: d.Bus, Keep: desk.Keep, Workspaces: c.Workspaces, Slack: slack, Mail: mail, Holder: d.Holder, PublicURL: c.PublicURL,
		Logger: d.Logger, Registerer: d.Registerer, Now: d.Now,
	}); err != nil {
		return nil, err
	}
	if s.alerts, err = alert.New(ctx, alert.Options{
		Bus: d.Bus, Store: d.Store, Workspaces: c.Workspaces, Slack: slack, Holder: d.Holder, PublicURL: c.PublicURL, Transport: d.Transport,
		Logger: d.Logger, Registerer: d.Registerer, Now: d.Now,
	}); err != nil {
		return nil, err
	}
	reader, err := read.New(ctx, d.Store, d.Bus)
	if err != nil {
		return nil, err
	}
	decider, err := decide.New(ctx, d.Bus, d.Store, d.Now)
	if err != nil {
		return nil, err
	}
	sessions := session.New(d.Bus, d.Now, rand.Reader)
	keyring := access.NewKeyring(c.Workspaces).With(sessions, audit.New(d.Store, d.Logger, d.Now))
	var provider *openid.Provider
	if c.SignIn.OIDC.Issuer != "" {
		provider = openid.New(c.SignIn.OIDC, c.PublicURL, nil, d.Now) // the operator's own, wherever it is
	}
	open := api.Local(reader, decider, desk, d.Now)
	s.hub = api.NewHub(ids, watch.New(d.Bus).Watch)
	s.api = api.New(api.Options{Keyring: keyring, Open: open, Hub: s.hub, Logger: d.Logger, Now: d.Now, Random: rand.Reader, KeepAlive: keepAlive})
	s.mcp = mcpserver.NewHTTP(mcpserver.Options{Keyring: keyring, Workspaces: ids, Open: open, Hub: s.hub, Logger: d.Logger, Random: rand.Reader,
		Version: c.Version, SessionTimeout: sessionTimeout, KeepAlive: keepAlive, PublicURL: c.PublicURL, Pace: mcpserver.Pace{PerSecond: 50, Burst: 200}})
	if s.page, err = page.New(page.Options{Keyring: keyring, Sessions: sessions, OpenID: provider, Open: open, Desk: reader, Logger: d.Logger, Now: d.Now, Random: rand.Reader}); err != nil {
		return nil, err
	}
	return s, nil
}

// How long a stream may be silent before it gets a comment, and how long a session of the
// older MCP protocol may ask nothing.
const (
	keepAlive      = 15 * time.Second
	sessionTimeout = 30 * time.Minute
)

// vendors makes the clients of the connections that can write.
func vendors(c Config, d Deps) (map[string]tracker.Tracker, map[string]*slackpost.Poster, error) {
	trackers, slack := map[string]tracker.Tracker{}, map[string]*slackpost.Poster{}
	o := tracker.Options{Transport: d.Transport, Now: d.Now}
	for _, w := range c.Workspaces {
		for _, n := range w.Connections {
			var t tracker.Tracker
			var err error
			switch {
			case n.Type == "jira" && n.APIToken.Value() != "":
				t, err = tracker.NewJira(tracker.JiraConfig{BaseURL: n.BaseURL, Email: n.Email, APIToken: n.APIToken.Value()}, o)
			case n.Type == "linear" && n.APIKey.Value() != "":
				t, err = tracker.NewLinear(tracker.LinearConfig{BaseURL: n.BaseURL, APIKey: n.APIKey.Value()}, o)
			case n.Type == "github" && n.Token.Value() != "":
				t, err = tracker.NewGitHub(tracker.GitHubConfig{BaseURL: n.BaseURL, Token: n.Token.Value()}, o)
			case n.Type == "slack" && n.BotToken.Value() != "":
				slack[n.ID], err = slackpost.New(slackpost.Config{BaseURL: n.BaseURL, BotToken: n.BotToken.Value()}, o)
			case n.Tracker():
				d.Logger.Warn("blocks are not written: the connection has no credentials to write", "connection", n.ID, "type", n.Type)
			}
			if err != nil {
				return nil, nil, fmt.Errorf("connection %s: %w", n.ID, err)
			}
			if t != nil {
				trackers[n.ID] = t
			}
		}
	}
	return trackers, slack, nil
}

// Run works until ctx ends; what is not finished then is taken up by the next start.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{s.publisher.Run, s.digests.Run, s.alerts.Run, s.hub.Run, s.mcp.Run} {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// Register adds /v1 (but what the ingestor serves), /mcp and the page.
func (s *Service) Register(mux *http.ServeMux) {
	s.api.Register(mux)
	s.mcp.Register(mux)
	s.page.Register(mux)
}
