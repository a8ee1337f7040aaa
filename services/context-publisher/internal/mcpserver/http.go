package mcpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

// stateless is the first protocol version without sessions. Versions are dates, so that
// they compare as text.
const stateless = "2026-07-28"

// maxBody is the most bytes of one request.
const maxBody = 1 << 20

// Options are what the HTTP endpoint needs. All but PublicURL are required. SessionTimeout ends a session of the older
// protocol that asked nothing for so long; KeepAlive is the pause after which an idle
// stream gets a comment, so that no proxy takes it for dead.
type Options struct {
	Keyring        *access.Keyring
	PublicURL      string // what clients reach us at; empty means the host they ask for
	Pace           Pace
	Workspaces     []string
	Open           api.Open
	Hub            *api.Hub
	Logger         *slog.Logger
	Random         io.Reader
	Version        string
	SessionTimeout time.Duration
	KeepAlive      time.Duration
}

// HTTP is the endpoint /mcp. Each workspace has a server and handlers of its own: a
// session, a subscription or an event of one cannot be reached from another, whatever
// id is sent.
type HTTP struct {
	o     Options
	rooms map[string]room
	paces *paces
}

// room is a workspace's two doors: with a token that may decide, the tools that write are
// there; with any other they do not exist. A session opened at one is unknown at the other.
type room struct{ reading, deciding door }

type door struct {
	workspace *Workspace
	modern    http.Handler
	legacy    http.Handler
}

// NewHTTP makes the endpoint.
func NewHTTP(o Options) *HTTP {
	h := &HTTP{o: o, rooms: map[string]room{}, paces: newPaces(o.Pace)}
	for _, id := range o.Workspaces {
		h.rooms[id] = room{h.door(id, false), h.door(id, true)}
	}
	return h
}

func (h *HTTP) door(id string, decides bool) door {
	w := NewWorkspace(h.o.Open(id), Offer{Decides: decides, Version: h.o.Version, Random: h.o.Random, Logger: h.o.Logger, Noted: h.o.Keyring.Record})
	server := func(*http.Request) *mcp.Server { return w.server }
	return door{
		workspace: w,
		modern:    mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{Stateless: true, MaxRequestBodyBytes: maxBody, PropagateRequestCancellation: true}),
		legacy:    mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{MaxRequestBodyBytes: maxBody, SessionTimeout: h.o.SessionTimeout}),
	}
}

// Run tells subscribed sessions what changes until ctx ends, and then ends the sessions.
func (h *HTTP) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var failed []error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for id, r := range h.rooms {
		changes, _, _, err := h.o.Hub.Subscribe(ctx, id, "")
		if err != nil {
			failed = append(failed, err)
			cancel()
			break
		}
		wg.Go(func() { h.follow(ctx, id, r, changes) })
	}
	<-ctx.Done()
	wg.Wait()
	for _, r := range h.rooms {
		for _, d := range []door{r.reading, r.deciding} {
			for s := range d.workspace.server.Sessions() {
				_ = s.Close() // its client is told by the connection's end
			}
		}
	}
	return errors.Join(failed...)
}

// follow passes changes on, and subscribes again where the hub cut it off for slowness.
func (h *HTTP) follow(ctx context.Context, id string, r room, changes <-chan watch.Change) {
	for ctx.Err() == nil {
		for c := range changes {
			r.reading.workspace.tell(ctx, c)
			r.deciding.workspace.tell(ctx, c)
		}
		if ctx.Err() != nil {
			return
		}
		var err error
		if changes, _, _, err = h.o.Hub.Subscribe(ctx, id, ""); err != nil {
			h.o.Logger.ErrorContext(ctx, "mcp subscriptions are not told any more", "workspace", id, "error", err)
			return
		}
	}
}

// Register adds /mcp to mux, and the metadata that says what a token for it has to be.
func (h *HTTP) Register(mux *http.ServeMux) {
	known := auth.RequireBearerToken(h.verify, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})
	mux.Handle("/mcp", sameOrigin(h.challenge(bearer(h.o.Keyring.Require(access.Read, h.paces.guard(known(http.HandlerFunc(h.serve))))))))
	for _, path := range []string{metadataPath, "/.well-known/oauth-protected-resource"} {
		mux.HandleFunc("GET "+path, h.metadata)
	}
}

// What a request carries for those who decide over it: the name of its token, which is who
// decides, and the request itself, which says from where.
const (
	tokenName = "name"
	asked     = "request"
)

// verify tells the SDK who calls, so that a session stays with the token that opened it and
// a decision carries its name.
func (h *HTTP) verify(_ context.Context, token string, r *http.Request) (*auth.TokenInfo, error) {
	p, ok := h.o.Keyring.Lookup(token)
	if !ok {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{UserID: p.Workspace + "/" + p.Name, Extra: map[string]any{tokenName: p.Name, asked: r}}, nil
}

func (h *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	p := access.From(r.Context())
	room, ok := h.rooms[p.Workspace]
	if !ok {
		problem.Write(w, http.StatusNotFound, "there is no such thing in this workspace", "")
		return
	}
	w.Header().Set("X-Accel-Buffering", "no")
	w.Header().Set("Vary", "Authorization")
	kept := keepAlive(r.Context(), w, h.o.KeepAlive)
	defer kept.stop()
	door := room.reading
	if p.May(access.Decide) {
		door = room.deciding
	}
	if r.Header.Get("MCP-Protocol-Version") >= stateless {
		door.modern.ServeHTTP(kept, r)
		return
	}
	door.legacy.ServeHTTP(kept, r)
}

// sameOrigin refuses what a browser sends from another site, whatever the method: the
// specification asks for it of every request.
func sameOrigin(next http.Handler) http.Handler {
	deny := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusForbidden, "the request comes from another site", "")
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(deny)
	guarded := guard.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				deny.ServeHTTP(w, r)
				return
			}
		}
		guarded.ServeHTTP(w, r)
	})
}

// bearer lets only tokens in a header pass: the cookie of a signed-in browser is for the
// page.
func bearer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ") {
			problem.Write(w, http.StatusUnauthorized, "a valid token is required", "send it as Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// kept is an answer that writes a comment into its event stream when nothing else was
// written for a while. The SDK writes each event in one piece, so that a comment never
// stands inside one.
type kept struct {
	http.ResponseWriter
	pause time.Duration
	done  context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex
	stream bool
	wrote  time.Time
}

func keepAlive(ctx context.Context, w http.ResponseWriter, pause time.Duration) *kept {
	ctx, cancel := context.WithCancel(ctx)
	k := &kept{ResponseWriter: w, pause: pause, done: cancel, ended: make(chan struct{})}
	go k.run(ctx)
	return k
}

func (k *kept) run(ctx context.Context) {
	defer close(k.ended)
	tick := time.NewTicker(k.pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.mu.Lock()
			if k.stream && now.Sub(k.wrote) >= k.pause/2 {
				if _, err := io.WriteString(k.ResponseWriter, ": keep-alive\n\n"); err == nil {
					_ = http.NewResponseController(k.ResponseWriter).Flush()
				}
			}
			k.mu.Unlock()
		}
	}
}

// stop ends the comments; nothing is written after it returns.
func (k *kept) stop() {
	k.done()
	<-k.ended
}

// WriteHeader notes whether the answer is an event stream, and keeps caches off it.
func (k *kept) WriteHeader(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begin()
	k.ResponseWriter.WriteHeader(status)
}

func (k *kept) begin() {
	// Over what the SDK sets, which lets shared caches keep an answer.
	k.Header().Set("Cache-Control", "private, no-store, no-transform")
	if !k.stream && strings.HasPrefix(k.Header().Get("Content-Type"), "text/event-stream") {
		k.stream = true
		// A stream lives longer than the server's write timeout for answers that end.
		_ = http.NewResponseController(k.ResponseWriter).SetWriteDeadline(time.Time{})
	}
}

// Write writes a piece of the answer.
func (k *kept) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begin()
	k.wrote = time.Now()
	return k.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (k *kept) Flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = http.NewResponseController(k.ResponseWriter).Flush()
}
