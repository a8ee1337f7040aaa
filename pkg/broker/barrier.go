package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sync returns nil when everything that the named streams had acknowledged
// before the call is on the disk, including that the streams exist. Without
// names it is everything: all streams and buckets, and that their durables exist.
// With [Barrier] it syncs what changed since the last time: usually one
// fdatasync of one file; a few microseconds when nothing changed. Concurrent
// calls share their work: those that arrive while one sync runs wait for the
// next one together. With the other modes the server syncs, or does not, by
// itself, and Sync only reports a failure seen earlier.
//
// An error means that the messages may or may not survive. A failed fsync is
// final: every later call fails too, [Server.Failed] is closed, and the process
// has to be restarted to learn what is on the disk. A stream that is unknown,
// in memory or written asynchronously is an error for that call only. When ctx
// ends first its error is returned, and the sync goes on for the others.
func (s *Server) Sync(ctx context.Context, streams ...string) error {
	if s.options.Durability != Barrier {
		return s.barrier.failure()
	}
	if len(streams) > 0 {
		return s.barrier.sync(ctx, streams)
	}
	return s.barrier.syncEverything(ctx)
}

// Mode is the broker's durability: "barrier", "always", "interval" or "none".
func (s *Server) Mode() string { return string(s.options.Durability) }

// barrier makes the files of streams durable.
type barrier struct {
	root string // the directory of all streams: DIR/jetstream/$G/streams
	dir  string // DIR
	now  func() time.Time
	// disk is what syncs; tests put failing ones in.
	disk  disk
	times prometheus.Observer

	failed chan struct{} // closed when failErr is set

	mu      sync.Mutex
	failErr error
	closed  bool
	running bool
	next    *flight

	durables durables

	// What follows is touched only by the one flight that runs.

	streams map[string]*streamFiles
	rooted  bool // the directories above root are durable
}

// disk holds the three ways to make something durable.
type disk struct {
	data, all, fileSystem func(*os.File) error
}

// flight is one round of syncing, shared by all callers that joined before it
// took off.
type flight struct {
	streams map[string]error // the answer per stream, nil until landed
	landed  chan struct{}
}

func newBarrier(dir string, times prometheus.Observer) *barrier {
	b := &barrier{
		root:    filepath.Join(dir, "jetstream", "$G", "streams"),
		dir:     dir,
		now:     time.Now,
		disk:    disk{data: syncData, all: (*os.File).Sync, fileSystem: syncFileSystem},
		times:   times,
		failed:  make(chan struct{}),
		streams: make(map[string]*streamFiles),
	}
	b.durables = durables{barrier: b, known: make(map[string]fileState)}
	return b
}

func (b *barrier) sync(ctx context.Context, streams []string) error {
	answers, err := b.ask(ctx, streams)
	if err != nil {
		return err
	}
	return errors.Join(answers...)
}

// ask waits for the flight of streams and returns the answer for each.
func (b *barrier) ask(ctx context.Context, streams []string) ([]error, error) {
	b.mu.Lock()
	if b.failErr != nil || b.closed {
		defer b.mu.Unlock()
		if b.failErr != nil {
			return nil, b.failErr
		}
		return nil, errStopped
	}
	if b.next == nil {
		b.next = &flight{streams: make(map[string]error), landed: make(chan struct{})}
	}
	f := b.next
	for _, name := range streams {
		f.streams[name] = nil
	}
	if !b.running {
		b.running = true
		go b.fly()
	}
	b.mu.Unlock()

	select {
	case <-f.landed:
	case <-ctx.Done():
		return nil, fmt.Errorf("sync streams: %w", context.Cause(ctx))
	}
	answers := make([]error, len(streams))
	for i, name := range streams {
		answers[i] = f.streams[name]
	}
	return answers, nil
}

// syncEverything syncs all streams that are on the disk, and then their durables: a
// durable that was acknowledged to and is lost begins its stream again. Durables are
// synced by the caller that asks, as a flight is for those who wait to be answered.
func (b *barrier) syncEverything(ctx context.Context) error {
	entries, err := os.ReadDir(b.root)
	if errors.Is(err, fs.ErrNotExist) {
		return b.failure() // nothing was ever stored
	}
	if err != nil {
		return fmt.Errorf("sync every stream: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	answers, err := b.ask(ctx, names)
	if err != nil {
		return err
	}
	// One that is not there was deleted meanwhile.
	answers = slices.DeleteFunc(answers, func(err error) bool { return errors.Is(err, errNotOnDisk) })
	if err := errors.Join(answers...); err != nil {
		return err
	}
	if err := b.durables.sync(names); err != nil {
		var failed *syncError
		if errors.As(err, &failed) {
			b.fail(failed)
		}
		return fmt.Errorf("sync durables: %w", err)
	}
	return nil
}

// fly runs flights until nobody waits.
func (b *barrier) fly() {
	for {
		b.mu.Lock()
		f := b.next
		b.next = nil
		if f == nil {
			b.running = false
			if b.closed {
				b.release()
			}
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()

		start := b.now()
		for name := range f.streams {
			f.streams[name] = b.syncStream(name)
		}
		b.times.Observe(b.now().Sub(start).Seconds())
		close(f.landed)
	}
}

func (b *barrier) syncStream(name string) error {
	if err := b.failure(); err != nil {
		return err
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return fmt.Errorf("sync stream %q: not a stream name", name)
	}
	files := b.streams[name]
	if files == nil {
		files = newStreamFiles(b, name)
		b.streams[name] = files
	}
	err := files.sync()
	var failed *syncError
	if errors.As(err, &failed) {
		b.fail(failed)
	}
	if err != nil {
		return fmt.Errorf("sync stream %s: %w", name, err)
	}
	return nil
}

// syncError is a failed fsync; it ends the barrier.
type syncError struct{ err error }

func (e *syncError) Error() string { return "fsync failed, restart the process: " + e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

func (b *barrier) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failErr == nil {
		b.failErr = err
		close(b.failed)
	}
}

func (b *barrier) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failErr
}

// close refuses further calls and closes the files once no flight uses them.
func (b *barrier) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		if !b.running {
			b.release()
		}
	}
}

func (b *barrier) release() {
	for _, files := range b.streams {
		files.closeOpen()
	}
}

// syncFile syncs what was written to an open block.
func (b *barrier) syncFile(f *os.File) error {
	if err := b.disk.data(f); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncPath syncs a small file or a directory with its metadata.
func (b *barrier) syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.disk.all(f); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncAbove makes the directory of a stream reachable after a power cut: its
// entry in root, and once per process those of the directories above.
func (b *barrier) syncAbove(dir string) error {
	if err := b.syncPath(dir); err != nil {
		return err
	}
	if err := b.syncPath(b.root); err != nil || b.rooted {
		return err
	}
	for dir := filepath.Dir(b.root); ; dir = filepath.Dir(dir) {
		// Directories above ours may be closed to us; then they are not new.
		if err := b.syncPath(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	b.rooted = true
	return nil
}

// syncAll syncs the file system of the store.
func (b *barrier) syncAll() error {
	f, err := os.Open(b.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = b.disk.fileSystem(f)
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return &syncError{err}
}

// syncTimes is the histogram of how long one round of syncing takes. Brokers
// that share a registerer share it.
func syncTimes(registerer prometheus.Registerer) prometheus.Observer {
	times := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "throughline_broker_sync_seconds",
		Help:    "Time to make acknowledged messages durable, one round for all that wait.",
		Buckets: prometheus.ExponentialBuckets(0.000_05, 2.5, 12), // 50 µs to 1.2 s
	})
	if registerer == nil {
		return times
	}
	var already prometheus.AlreadyRegisteredError
	if err := registerer.Register(times); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(prometheus.Observer); ok {
			return existing
		}
	}
	return times
}
