// Package engine runs a ClickHouse inside one machine, without Docker and
// without an installation: the shared library of the npm package that
// scripts/engine pins, served by a supervised child process.
//
// It promises a loopback address that speaks ClickHouse's native protocol, one
// engine per data folder, a restart on the same port after a crash, and no
// process left behind when the parent ends, however it ends. Rows of tables
// written with fsync_after_insert survive a kill of either process.
//
// It refuses to be anything but local: it listens on 127.0.0.1 only, behind a
// password kept in the data folder, with no HTTP listener (a page in a browser
// could post SQL to one). It has no Keeper: replicated tables need a server.
//
// Only the all-in-one binary and tests import this package; the services see a
// ClickHouse address and nothing else.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Username is the user that may do everything in the engine's databases.
const Username = "throughline"

const (
	// defaultMemoryLimit fits a laptop: an idle engine takes about 0.25 GB, one that has
	// written a few hundred thousand rows 0.35 GB.
	defaultMemoryLimit  = 2 << 30
	defaultStartTimeout = 60 * time.Second

	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// calmAfter is how long an engine must have run for its crash to count as
	// the first one again.
	calmAfter = time.Minute

	passwordFile = "password"
	addressFile  = "address" // of the engine that runs, or of the last one
	logFile      = "engine.log"
)

// ErrLocked is returned by Start when another engine has the data folder open.
var ErrLocked = errors.New("data folder is open in another engine")

// Options describe one engine.
type Options struct {
	// Dir is the engine's folder (tables, password, log); made if absent with
	// mode 0700. Required.
	Dir string
	// Library is the path of libchdb; empty means FindLibrary looks for it.
	Library string
	// Port is the port on 127.0.0.1; 0 lets the kernel choose one, which then
	// stays the same until Stop.
	Port int
	// Password of Username; empty means the one kept in Dir/password, which is
	// made on the first start.
	Password string
	// MemoryLimit is the engine's max_server_memory_usage in bytes; 0 means
	// 2 GiB. A query that would pass it fails; the engine goes on.
	MemoryLimit int64
	// StartTimeout bounds the wait for the first answer; 0 means a minute.
	StartTimeout time.Duration
	// Logger gets starts, crashes and restarts; nil discards them. The engine's
	// own log is Dir/engine.log.
	Logger *slog.Logger
}

// Engine is a running, supervised engine. Its methods may be called from
// several goroutines.
type Engine struct {
	dir      string
	library  string
	addr     string
	port     int
	password string
	memory   int64
	log      *slog.Logger
	lock     *folderLock
	probe    driver.Conn

	stopping chan struct{}
	stopOnce sync.Once
	stopped  chan struct{}

	mu       sync.Mutex
	child    *child
	restarts int
}

// Start opens the data folder and returns when the engine answers. It fails
// with ErrLocked when the folder is open elsewhere, with a MissingLibraryError
// when the library is not installed, and otherwise with what the engine said
// last. The engine lives until Stop, or until this process ends; ctx bounds
// only the start.
//
// The child is this very executable, so main (or TestMain) must call Main
// first.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Dir == "" {
		return nil, errors.New("start engine: no data folder given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	library, err := FindLibrary(o.Library)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = defaultMemoryLimit
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()

	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start engine: make data folder: %w", err)
	}
	lock, err := lockFolder(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	e := &Engine{
		dir: dir, library: library, memory: o.MemoryLimit, log: o.Logger, lock: lock,
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := e.open(ctx, o); err != nil {
		lock.release()
		return nil, fmt.Errorf("start engine: %w", err)
	}
	go e.supervise()
	return e, nil
}

// open settles password and port, writes the configuration and brings the first
// child up. Between choosing a free port and the child's listening on it
// another program may take it, so a chosen port is tried again with another.
func (e *Engine) open(ctx context.Context, o Options) error {
	var err error
	if e.password, err = settlePassword(e.dir, o.Password); err != nil {
		return err
	}
	const portTries = 3
	for try := 1; ; try++ {
		if e.port, err = settlePort(o.Port); err != nil {
			return err
		}
		e.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(e.port))
		if err = writeConfig(e.dir, e.password, e.memory); err != nil {
			return err
		}
		if e.probe, err = e.dial(); err != nil {
			return err
		}
		begun := time.Now()
		var c *child
		if c, err = e.spawn(); err == nil {
			if err = e.awaitReady(ctx, c); err == nil {
				if err := os.WriteFile(filepath.Join(e.dir, addressFile), []byte(e.addr+"\n"), 0o600); err != nil {
					c.kill()
					return fmt.Errorf("keep engine address: %w", err)
				}
				e.child = c
				e.log.Info("engine ready", "addr", e.addr, "pid", c.pid(), "seconds", time.Since(begun).Seconds())
				return nil
			}
			c.kill()
		}
		e.probe.Close()
		if o.Port != 0 || try == portTries || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// Running tells where the engine listens that another process runs over a data folder, and
// the password of Username there: what to do with ErrLocked where reading is enough.
func Running(dir string) (addr, password string, err error) {
	for file, into := range map[string]*string{addressFile: &addr, passwordFile: &password} {
		kept, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return "", "", fmt.Errorf("find the running engine: %w", err)
		}
		*into = strings.TrimSpace(string(kept))
	}
	return addr, password, nil
}

// Addr is host:port of the native protocol, the same for the engine's life.
func (e *Engine) Addr() string { return e.addr }

// Password is the password of Username.
func (e *Engine) Password() string { return e.password }

// PID is the engine's process id, or 0 while there is none: during a restart and
// after Stop.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return 0
	}
	return e.child.pid()
}

// Restarts counts how often the engine came back after a crash.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Healthy is nil when the engine answers a ping now.
func (e *Engine) Healthy(ctx context.Context) error {
	select {
	case <-e.stopping:
		return errors.New("ping engine: it was stopped")
	default:
	}
	if e.PID() == 0 {
		return errors.New("ping engine: it is being restarted")
	}
	if err := e.probe.Ping(ctx); err != nil {
		return fmt.Errorf("ping engine: %w", err)
	}
	return nil
}

// Stop asks the engine to end, cancelling what it is running, and returns when
// the process is gone and the folder is free. When ctx ends first the process
// is killed and ctx's error returned: acknowledged rows are safe either way.
// Calling it again does nothing.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopOnce.Do(func() { close(e.stopping) })
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	c := e.child
	e.mu.Unlock()
	if c != nil {
		c.kill()
	}
	<-e.stopped
	return fmt.Errorf("stop engine: %w", ctx.Err())
}

// ServeOptions describe an engine run as a process of its own.
type ServeOptions struct {
	Options
	// Ready, when not nil, is called once the engine answers.
	Ready func(*Engine)
}

// Serve runs an engine until ctx ends and then stops it, for a process that is
// nothing but a ClickHouse endpoint for others on this machine. A crash of the
// engine is repaired inside; Serve returns an error only when it cannot start
// or does not stop within 30 seconds.
func Serve(ctx context.Context, o ServeOptions) error {
	e, err := Start(ctx, o.Options)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(e)
	}
	<-ctx.Done()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return e.Stop(stopCtx)
}

// supervise waits for the child's end and starts another one, until Stop.
func (e *Engine) supervise() {
	defer close(e.stopped)
	defer e.lock.release()
	backoff, begun := firstBackoff, time.Now()
	for {
		e.mu.Lock()
		c := e.child
		e.mu.Unlock()
		if c != nil {
			select {
			case <-e.stopping:
				// The engine waits for idle connections on its way out.
				e.probe.Close()
				c.stop()
				<-c.done
				e.setChild(nil)
				e.log.Info("engine stopped", "addr", e.addr)
				return
			case <-c.done:
			}
			e.log.Error("engine ended unexpectedly", "addr", e.addr, "exit", c.exit(), "log", filepath.Join(e.dir, logFile))
			e.setChild(nil)
			if time.Since(begun) > calmAfter {
				backoff = firstBackoff
			}
		}
		pause := time.NewTimer(backoff)
		select {
		case <-e.stopping:
			pause.Stop()
			e.probe.Close()
			return
		case <-pause.C:
		}
		backoff = min(2*backoff, maxBackoff)
		begun = time.Now()
		if err := e.restart(); err != nil {
			e.log.Error("engine does not restart", "addr", e.addr, "error", err)
		}
	}
}

// restart brings a new child up on the same port.
func (e *Engine) restart() error {
	ctx, cancel := context.WithTimeout(context.Background(), defaultStartTimeout)
	defer cancel()
	go func() {
		select {
		case <-e.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	c, err := e.spawn()
	if err != nil {
		return err
	}
	if err := e.awaitReady(ctx, c); err != nil {
		c.kill()
		return err
	}
	e.mu.Lock()
	e.child = c
	e.restarts++
	e.mu.Unlock()
	e.log.Info("engine restarted", "addr", e.addr, "pid", c.pid())
	return nil
}

func (e *Engine) setChild(c *child) {
	e.mu.Lock()
	e.child = c
	e.mu.Unlock()
}

// awaitReady polls until c answers a ping. A child that ends first is an error
// with the last line it logged.
func (e *Engine) awaitReady(ctx context.Context, c *child) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return fmt.Errorf("engine ended before it was ready (%s): %s", c.exit(), lastLine(filepath.Join(e.dir, logFile)))
		case <-ctx.Done():
			return fmt.Errorf("wait for the engine's first answer: %w", ctx.Err())
		case <-tick.C:
			if e.probe.Ping(ctx) == nil {
				return nil
			}
		}
	}
}

// dial makes the connection that Healthy and awaitReady ping over.
func (e *Engine) dial() (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr:         []string{e.addr},
		Auth:         clickhouse.Auth{Username: Username, Password: e.password},
		DialTimeout:  2 * time.Second,
		MaxOpenConns: 1,
		MaxIdleConns: 1,
	})
}

// settlePassword returns the password given, or the one kept in dir, which is
// made when it is not there.
func settlePassword(dir, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	path := filepath.Join(dir, passwordFile)
	kept, err := os.ReadFile(path)
	if err == nil && len(kept) > 0 {
		return strings.TrimSpace(string(kept)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read engine password: %w", err)
	}
	var raw [24]byte
	rand.Read(raw[:])
	fresh := hex.EncodeToString(raw[:])
	if err := os.WriteFile(path, []byte(fresh+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep engine password: %w", err)
	}
	return fresh, nil
}

// settlePort checks that the port asked for is free, or has the kernel choose.
func settlePort(asked int) (int, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(asked)))
	if err != nil {
		return 0, fmt.Errorf("choose a port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
