package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// recorder wraps the real disk and notes what is synced.
type recorder struct {
	mu    sync.Mutex
	real  disk
	calls []string
	fail  func(path string) error
}

func (r *recorder) wrap(kind string, f func(*os.File) error) func(*os.File) error {
	return func(file *os.File) error {
		r.mu.Lock()
		r.calls = append(r.calls, kind+" "+filepath.Base(file.Name()))
		fail := r.fail
		r.mu.Unlock()
		if fail != nil {
			if err := fail(file.Name()); err != nil {
				return err
			}
		}
		return f(file)
	}
}

func (r *recorder) disk() disk {
	return disk{
		data:       r.wrap("data", r.real.data),
		all:        r.wrap("all", r.real.all),
		fileSystem: r.wrap("filesystem", r.real.fileSystem),
	}
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// rig is a broker whose syncs are recorded, with one stream S on subject s.
type rig struct {
	server *Server
	disk   *recorder
	js     jetstream.JetStream
}

func newRig(t *testing.T, config jetstream.StreamConfig) *rig {
	t.Helper()
	s := startForTest(t, Options{Dir: t.TempDir(), MaxStore: 1 << 40, Reserve: Reserve{Bytes: 1 << 20}})
	r := &recorder{real: s.barrier.disk}
	s.barrier.disk = r.disk()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config.Name, config.Subjects = "S", []string{"s.>"}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return &rig{server: s, disk: r, js: js}
}

func startForTest(t *testing.T, options Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (r *rig) publish(t *testing.T, n, size int) {
	t.Helper()
	for range n {
		if _, err := r.js.Publish(t.Context(), "s.x", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) sync(t *testing.T) []string {
	t.Helper()
	if err := r.server.Sync(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	return r.disk.take()
}

// settle syncs until the directory's stamp is old enough to be trusted.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	later := time.Now().Add(time.Minute)
	r.server.barrier.now = func() time.Time { return later }
	r.sync(t)
}

func TestFirstSyncCoversStreamAndDirectoriesAbove(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	r.publish(t, 1, 10)
	calls := r.sync(t)
	for _, want := range []string{"all meta.inf", "all meta.sum", "data 1.blk", "all msgs", "all S", "all streams", "all $G", "all jetstream"} {
		if !slices.Contains(calls, want) {
			t.Errorf("%q is missing in %q", want, calls)
		}
	}
	if data, dir := slices.Index(calls, "data 1.blk"), slices.Index(calls, "all msgs"); data > dir {
		t.Errorf("the directory is synced before the block it names: %q", calls)
	}
}

func TestSyncTouchesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	r.publish(t, 1, 10)
	r.settle(t)
	if calls := r.sync(t); len(calls) > 0 {
		t.Errorf("nothing changed, yet synced %q", calls)
	}
	r.publish(t, 3, 10)
	if calls := r.sync(t); !slices.Equal(calls, []string{"data 1.blk"}) {
		t.Errorf("three messages: synced %q, want the block once", calls)
	}
}

func TestNewBlockIsSyncedWithItsNameAndTheBlockBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{MaxBytes: 16 << 20}) // blocks of 4 MB
	r.publish(t, 2, 1<<20)
	r.settle(t)
	r.publish(t, 3, 1<<20)
	calls := r.sync(t)
	if !slices.Equal(calls, []string{"data 1.blk", "data 2.blk", "all msgs"}) {
		t.Errorf("synced %q", calls)
	}
}

func TestReplacedBlockIsSynced(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	r.publish(t, 1, 10)
	r.settle(t)
	// As compaction does: the same name, another file.
	block := filepath.Join(r.server.barrier.root, "S", "msgs", "1.blk")
	content, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(block+".tmp", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(block+".tmp", block); err != nil {
		t.Fatal(err)
	}
	if calls := r.sync(t); !slices.Equal(calls, []string{"data 1.blk", "all msgs"}) {
		t.Errorf("synced %q", calls)
	}
}

func TestRecreatedStreamIsSyncedAfresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	r.publish(t, 1, 10)
	r.settle(t)
	if err := r.js.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Sync(t.Context(), "S"); !errors.Is(err, errNotOnDisk) {
		t.Errorf("sync of a deleted stream: %v", err)
	}
	_, err := r.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	for begun := time.Now(); err != nil && time.Since(begun) < 10*time.Second; { // the server takes the old folder away after it has answered
		_, err = r.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, 1, 10)
	if calls := r.sync(t); !slices.Contains(calls, "data 1.blk") || !slices.Contains(calls, "all meta.inf") {
		t.Errorf("synced %q", calls)
	}
}

// Consumers name no streams before they acknowledge: what they read, what they stored anywhere
// and that they exist has to be on the disk by then.
func TestWithoutNamesEveryStreamAndDurableIsSynced(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	other, err := r.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"o"}})
	if err != nil {
		t.Fatal(err)
	}
	everything := func() []string {
		t.Helper()
		if err := r.server.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.disk.take()
	}
	later := time.Now().Add(time.Minute)
	r.server.barrier.now = func() time.Time { return later }
	everything()
	r.publish(t, 1, 10)
	if _, err := r.js.Publish(t.Context(), "o", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := other.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	calls := everything()
	if n := len(slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return c != "data 1.blk" })); n != 2 {
		t.Errorf("%d of 2 blocks are synced: %q", n, calls)
	}
	for _, want := range []string{"all meta.inf", "all meta.sum", "all reader", "all obs"} {
		if !slices.Contains(calls, want) {
			t.Errorf("%q is missing in %q", want, calls)
		}
	}
	if err := r.js.DeleteStream(t.Context(), "OTHER"); err != nil {
		t.Fatal(err)
	}
	everything() // is no error because of what is gone
}

func TestRestartSyncsWhatTheLastProcessLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Start(t.Context(), Options{Dir: dir, Reserve: Reserve{Bytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := first.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.x", []byte("never synced")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	second := startForTest(t, Options{Dir: dir, Reserve: Reserve{Bytes: 1}})
	r := &recorder{real: second.barrier.disk}
	second.barrier.disk = r.disk()
	if err := second.Sync(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	if calls := r.take(); !slices.Contains(calls, "data 1.blk") {
		t.Errorf("a message of the process before is not synced: %q", calls)
	}
}

func TestStreamsThatCannotBeDurableAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	for name, config := range map[string]jetstream.StreamConfig{
		"MEMORY": {Storage: jetstream.MemoryStorage},
		"ASYNC":  {PersistMode: jetstream.AsyncPersistMode},
	} {
		config.Name, config.Subjects = name, []string{name}
		if _, err := r.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if _, err := r.js.Publish(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := r.server.Sync(t.Context(), name); err == nil {
			t.Errorf("%s: sync vouched for it", name)
		}
	}
	for _, name := range []string{"UNKNOWN", "", "..", "a/b"} {
		if err := r.server.Sync(t.Context(), name); err == nil {
			t.Errorf("%q: sync vouched for it", name)
		}
	}
	if err := r.server.Sync(t.Context(), "S"); err != nil {
		t.Errorf("a refusal must not end the barrier: %v", err)
	}
}

func TestUnexpectedLayoutSyncsTheFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBarrier(dir, syncTimes(nil))
	r := &recorder{real: b.disk}
	b.disk = r.disk()
	for name, files := range map[string][]string{
		"NOMSGS":  {"jetstream/$G/streams/NOMSGS/meta.inf"},
		"OTHER":   {"jetstream/$G/streams/OTHER/meta.inf", "jetstream/$G/streams/OTHER/meta.sum", "jetstream/$G/streams/OTHER/msgs/0001.segment"},
		"NOMETA":  {"jetstream/$G/streams/NOMETA/msgs/1.blk"},
		"RENAMED": {"jetstream/accounts/G/RENAMED/1.blk"},
	} {
		if name == "RENAMED" {
			b.root = filepath.Join(dir, "elsewhere")
		} else {
			b.root = filepath.Join(dir, "jetstream", "$G", "streams")
		}
		for _, file := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.sync(t.Context(), []string{name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if calls := r.take(); !slices.Contains(calls, "filesystem "+filepath.Base(dir)) {
			t.Errorf("%s: the file system is not synced: %q", name, calls)
		}
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"1.blk", "msgs", "meta.inf"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, jetstream.StreamConfig{})
			r.publish(t, 1, 10)
			errDisk := errors.New("input/output error")
			r.disk.fail = func(path string) error {
				if filepath.Base(path) == broken {
					return errDisk
				}
				return nil
			}
			if err := r.server.Sync(t.Context(), "S"); !errors.Is(err, errDisk) {
				t.Fatalf("first sync: %v", err)
			}
			// The disk works again. It must not matter.
			r.disk.mu.Lock()
			r.disk.fail = nil
			r.disk.mu.Unlock()
			r.disk.take()
			if err := r.server.Sync(t.Context(), "S"); !errors.Is(err, errDisk) {
				t.Errorf("second sync: %v, want the first error for ever", err)
			}
			if calls := r.disk.take(); len(calls) > 0 {
				t.Errorf("a failed sync was retried: %q", calls)
			}
			if err := r.server.Healthy(t.Context()); !errors.Is(err, errDisk) {
				t.Errorf("health: %v", err)
			}
			select {
			case <-r.server.Failed():
			default:
				t.Error("Failed is not closed")
			}
		})
	}
}

func TestConcurrentSyncsShareTheirWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, jetstream.StreamConfig{})
	r.settle(t)
	r.publish(t, 1, 10)
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.disk.mu.Lock()
	r.disk.fail = func(string) error {
		once.Do(func() { close(entered); <-leave })
		return nil
	}
	r.disk.mu.Unlock()

	const callers = 50
	var done sync.WaitGroup
	var failures atomic.Int64
	call := func() {
		done.Go(func() {
			if err := r.server.Sync(context.Background(), "S"); err != nil {
				failures.Add(1)
			}
		})
	}
	call()
	<-entered // the first flight is in the air
	r.publish(t, 1, 10)
	for range callers {
		call()
	}
	waitForPassengers(t, r.server.barrier)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.server.Sync(ctx, "S"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller whose context is over: %v", err)
	}
	close(leave)
	done.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d callers failed", failures.Load())
	}
	blocks := 0
	for _, call := range r.disk.take() {
		if strings.HasSuffix(call, ".blk") {
			blocks++
		}
	}
	if blocks < 2 || blocks > 4 {
		t.Errorf("%d callers caused %d syncs of the block, want two or few more", callers+1, blocks)
	}
}

// waitForPassengers returns when somebody waits for the next flight.
func waitForPassengers(t *testing.T, b *barrier) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		b.mu.Lock()
		waiting := b.next != nil
		b.mu.Unlock()
		if waiting {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		}
	}
}

func TestSyncOfManyBlocksIsOneOfTheFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBarrier(dir, syncTimes(nil))
	r := &recorder{real: b.disk}
	b.disk = r.disk()
	stream := filepath.Join(b.root, "S")
	if err := os.MkdirAll(filepath.Join(stream, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"meta.inf", "meta.sum"}
	for i := range manyBlocks + 1 {
		names = append(names, fmt.Sprintf("msgs/%d.blk", i+1))
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(stream, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.sync(t.Context(), []string{"S"}); err != nil {
		t.Fatal(err)
	}
	calls := r.take()
	if slices.ContainsFunc(calls, func(call string) bool { return strings.HasPrefix(call, "data ") }) ||
		!slices.Contains(calls, "filesystem "+filepath.Base(dir)) {
		t.Errorf("synced %q", calls)
	}
}

func TestServerLogKeepsQuotationsOut(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newServerLog(slog.New(slog.NewTextHandler(&out, nil)))
	l.Errorf("%s parser ERROR, state=%d, i=%d: proto='%s...'", "Client", 1, 2, "my card is 4111")
	l.Errorf("maximum control line exceeded (snip: %s...)", "my card is 4111")
	l.Tracef("%s", "my card is 4111")
	l.Debugf("%s", "my card is 4111")
	l.Warnf("disk is slow")
	if got := out.String(); strings.Contains(got, "4111") || !strings.Contains(got, "parser ERROR") || !strings.Contains(got, "disk is slow") {
		t.Errorf("logged %q", got)
	}
}

func TestReserveIsTheLargerOfItsTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reserve Reserve
		size    int64
		want    int64
	}{
		{DefaultReserve(), 10 << 30, 1 << 30},
		{DefaultReserve(), 100 << 30, 5 << 30},
		{Reserve{Fraction: 0.5}, 8, 4},
		{Reserve{Bytes: 7, Fraction: 0.5}, 8, 7},
	} {
		if got := c.reserve.of(c.size); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.reserve, c.size, got, c.want)
		}
	}
}

func TestListenAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, token string
		port          int
		ok            bool
	}{
		{"", "", 0, true},
		{"127.0.0.1:4222", "", 4222, true},
		{"[::1]:4222", "", 4222, true},
		{"localhost:0", "", server.RANDOM_PORT, true},
		{"0.0.0.0:4222", "", 0, false},
		{"0.0.0.0:4222", "secret", 4222, true},
		{":4222", "", 0, false},
		{"nats.example:4222", "", 0, false},
		{"127.0.0.1", "", 0, false},
		{"127.0.0.1:x", "", 0, false},
		{"127.0.0.1:70000", "", 0, false},
	} {
		_, port, err := listenAddress(c.listen, c.token)
		if (err == nil) != c.ok || err == nil && port != c.port {
			t.Errorf("%q with token %q: port %d, %v", c.listen, c.token, port, err)
		}
		if err != nil && c.token != "" && strings.Contains(err.Error(), c.token) {
			t.Errorf("the error contains the token: %v", err)
		}
	}
}

func TestHealthErrorNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	err := healthError(&server.HealthStatus{StatusCode: 503, Status: "error", Errors: []server.HealthzError{
		{Stream: "DELIVERIES", Error: "write error: no space left on device"},
	}})
	if err == nil || !strings.Contains(err.Error(), "DELIVERIES") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	if err := healthError(&server.HealthStatus{StatusCode: 500, Status: "unavailable"}); err == nil {
		t.Error("a status other than 200 is healthy")
	}
	if err := healthError(&server.HealthStatus{StatusCode: 200, Status: "ok"}); err != nil {
		t.Error(err)
	}
}
