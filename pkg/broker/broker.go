package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// defaultMaxPayload leaves room for a delivery of 1 MB, its headers, and
	// the growth of JSON that carries another body as base64.
	defaultMaxPayload = 4 << 20
	// defaultSyncInterval is nats-server's own.
	defaultSyncInterval = 2 * time.Minute
	// defaultStartTimeout covers the recovery of a large store: 500,000
	// messages with ids take about a second.
	defaultStartTimeout = time.Minute
	// maxMemoryStore bounds streams with memory storage, of which Throughline
	// has none.
	maxMemoryStore = 64 << 20
)

// Durability says when a stored message reaches the disk.
type Durability string

const (
	// Barrier syncs when [Server.Sync] is called, for all messages that wait.
	Barrier Durability = "barrier"
	// Always lets the server fsync each message before it acknowledges it.
	Always Durability = "always"
	// Interval lets the server fsync in the background, every
	// Options.SyncInterval; a power cut loses what was acknowledged since.
	Interval Durability = "interval"
	// None is the server's default: as Interval, every two minutes.
	None Durability = "none"
)

// Options configure a broker. Only Dir is required.
type Options struct {
	// Dir holds everything the broker keeps; it is created when missing, and
	// locked against a second process.
	Dir string
	// Name is the server's name, as clients see it. Default "throughline".
	Name string
	// MaxStore is the most bytes that all streams together may reserve or
	// hold. Default: what is stored already plus three quarters of the space
	// that is free above the reserve when the broker starts.
	MaxStore int64
	// MaxPayload is the largest message in bytes, headers included. Default 4 MB.
	MaxPayload int32
	// Reserve is the free space below which the broker reports itself
	// unhealthy. The zero value is [DefaultReserve].
	Reserve Reserve
	// Durability is Barrier when empty.
	Durability Durability
	// SyncInterval is used with Interval. Default two minutes.
	SyncInterval time.Duration
	// Listen is host:port for clients in other processes; a port of 0 takes a
	// free one. Empty: only connections from this process.
	Listen string
	// Token must be presented by clients that come over Listen. It may be
	// empty only where Listen is a loopback address.
	Token string
	// StartTimeout bounds the recovery of the store. Default one minute.
	StartTimeout time.Duration
	// Logger receives the server's own lines: warnings and errors at their
	// level, notices at debug. Never a message body. Default: discarded.
	Logger *slog.Logger
	// Registerer receives the histogram of sync times. May be nil.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "throughline"
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = defaultMaxPayload
	}
	if o.Reserve == (Reserve{}) {
		o.Reserve = DefaultReserve()
	}
	if o.Durability == "" {
		o.Durability = Barrier
	}
	if o.SyncInterval == 0 || o.Durability != Interval {
		o.SyncInterval = defaultSyncInterval
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	if o.Dir == "" {
		return errors.New("start broker: no directory given")
	}
	if o.MaxStore < 0 || o.MaxPayload < 0 {
		return errors.New("start broker: negative size")
	}
	switch o.Durability {
	case Barrier, Always, Interval, None:
	default:
		return fmt.Errorf("start broker: unknown durability %q (barrier, always, interval, none)", o.Durability)
	}
	return nil
}

// Server is a running broker. Its methods are safe for concurrent use.
type Server struct {
	ns      *server.Server
	options Options
	barrier *barrier
	lock    *os.File

	stop    sync.Once
	stopped chan struct{}
}

// Start opens the store in options.Dir and serves it. It returns when the
// store is recovered and connections are accepted, or with an error when that
// does not happen before ctx ends or options.StartTimeout has passed; then
// nothing is left running. The broker installs no signal handler and no
// monitoring port. End it with [Server.Stop].
func Start(ctx context.Context, options Options) (*Server, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	host, port, err := listenAddress(options.Listen, options.Token)
	if err != nil {
		return nil, err
	}
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, fmt.Errorf("resolve broker directory: %w", err)
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create broker directory: %w", err)
	}
	lock, err := lockDir(options.Dir)
	if err != nil {
		return nil, err
	}
	if options.MaxStore == 0 {
		if options.MaxStore, err = defaultMaxStore(options.Dir, options.Reserve); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}

	if err := context.Cause(ctx); err != nil { // a server that stops while it starts leaves things half made
		return nil, errors.Join(fmt.Errorf("start broker: %w", err), lock.Close())
	}
	ns, err := server.NewServer(&server.Options{
		ServerName:         options.Name,
		Host:               host,
		Port:               port,
		DontListen:         options.Listen == "",
		Authorization:      options.Token,
		NoSigs:             true,
		MaxPayload:         options.MaxPayload,
		JetStream:          true,
		StoreDir:           options.Dir,
		JetStreamMaxMemory: maxMemoryStore,
		JetStreamMaxStore:  options.MaxStore,
		SyncAlways:         options.Durability == Always,
		SyncInterval:       options.SyncInterval,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure broker: %w", err), lock.Close())
	}
	lines := newServerLog(options.Logger)
	ns.SetLoggerV2(lines, false, false, false)

	s := &Server{
		ns:      ns,
		options: options,
		barrier: newBarrier(options.Dir, syncTimes(options.Registerer)),
		lock:    lock,
		stopped: make(chan struct{}),
	}
	if err := s.start(ctx, lines); err != nil {
		// ctx may be over already; what was started must go all the same.
		stopErr := s.Stop(context.WithoutCancel(ctx))
		return nil, errors.Join(err, stopErr)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, lines *serverLog) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.StartTimeout)
	defer cancel()
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.ns.Start()
	}()
	select {
	case <-started:
	case <-lines.fatal:
	case <-ctx.Done():
		return fmt.Errorf("start broker: recover store: %w", context.Cause(ctx))
	}
	for {
		if err := lines.fatalError(); err != nil {
			return fmt.Errorf("start broker: %w", err)
		}
		if s.ns.ReadyForConnections(50 * time.Millisecond) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("start broker: accept connections: %w", context.Cause(ctx))
		}
	}
}

// Connect opens a connection that does not leave the process. The options are
// those of nats.Connect; the caller closes the connection before Stop.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	own := []nats.Option{nats.InProcessServer(s.ns)}
	if s.options.Token != "" {
		own = append(own, nats.Token(s.options.Token))
	}
	nc, err := nats.Connect("", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded broker: %w", err)
	}
	return nc, nil
}

// ClientURL is where clients in other processes connect: "nats://host:port",
// without the token; empty when the broker does not listen.
func (s *Server) ClientURL() string {
	if s.options.Listen == "" {
		return ""
	}
	return s.ns.ClientURL()
}

// MaxStore is the most bytes that all streams together may reserve.
func (s *Server) MaxStore() int64 { return s.options.MaxStore }

// Failed is closed when the broker can no longer vouch for what it stores: an
// fsync has failed. The process must then be restarted.
func (s *Server) Failed() <-chan struct{} { return s.barrier.failed }

// Healthy returns nil when the broker can store and serve: no fsync has
// failed, there is space above the reserve, and the server's own full health
// check passes for every stream and consumer. That full check is the only one
// that notices a stream wedged by a write error; its cost grows with the
// number of streams, so ask every few seconds, not for every request.
// It returns ctx's error when the check does not end in time.
func (s *Server) Healthy(ctx context.Context) error {
	select {
	case <-s.stopped:
		return errStopped
	default:
	}
	if err := s.barrier.failure(); err != nil {
		return err
	}
	if err := s.CheckSpace(); err != nil {
		return err
	}
	result := make(chan *server.HealthStatus, 1)
	go func() { result <- s.ns.Healthz(&server.HealthzOptions{Details: true}) }()
	select {
	case status := <-result:
		return healthError(status)
	case <-ctx.Done():
		return fmt.Errorf("check broker: %w", context.Cause(ctx))
	}
}

func healthError(status *server.HealthStatus) error {
	if status.StatusCode == 200 {
		return nil
	}
	var found []error
	if status.Error != "" {
		found = append(found, fmt.Errorf("check broker: %s", status.Error))
	}
	for _, e := range status.Errors {
		found = append(found, fmt.Errorf("check broker: stream %q consumer %q: %s", e.Stream, e.Consumer, e.Error))
	}
	if len(found) == 0 {
		return fmt.Errorf("check broker: %s (%d)", status.Status, status.StatusCode)
	}
	return errors.Join(found...)
}

var errStopped = errors.New("broker is stopped")

// Stop ends the broker: clients are disconnected, the streams' state is
// written, the files are closed and the directory is unlocked. Nothing that
// was synced depends on it. When ctx ends first the server goes on stopping in
// the background and ctx's error is returned. Later calls wait for the first.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			defer close(s.stopped)
			s.ns.Shutdown()
			s.ns.WaitForShutdown()
			s.barrier.close()
			_ = s.lock.Close()
		}()
	})
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop broker: %w", context.Cause(ctx))
	}
}

// listenAddress splits a host:port and refuses an open door: an address beyond
// loopback without a token.
func listenAddress(listen, token string) (host string, port int, err error) {
	if listen == "" {
		return "", 0, nil
	}
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("parse broker address: %w", err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("parse broker address: port %q is not a number from 0 to 65535", text)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && token == "" {
		return "", 0, fmt.Errorf("listen on %s: an address beyond loopback needs a token", listen)
	}
	return host, port, nil
}

// lockDir keeps a second process out: two servers over one store corrupt it.
// The lock goes with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock broker directory: %w", err)
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock broker directory %s: another process has it open: %w", dir, err)
	}
	return f, nil
}
