package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// everyShard is a workspace for each shard.
func everyShard() []string {
	out := make([]string, feedback.Shards)
	for n, found := 0, 0; found < len(out); n++ {
		w := fmt.Sprint("w", n)
		if s := feedback.Shard(w); out[s] == "" {
			out[s] = w
			found++
		}
	}
	return out
}

// floor is where processes work, seen from above: who owns which shard, and what went wrong.
type floor struct {
	mu      sync.Mutex
	owners  map[int]string
	leases  map[int]*bus.Lease
	let     map[int]time.Time // when a shard was let go of
	pauses  []time.Duration   // from there to its next owner
	moves   int
	faults  []string
	changes chan struct{}
}

func newFloor() *floor {
	return &floor{owners: map[int]string{}, leases: map[int]*bus.Lease{}, let: map[int]time.Time{}, changes: make(chan struct{}, 10_000)}
}

// hand is a worker of one process.
type hand struct {
	floor *floor
	name  string
	shard int
}

func (h hand) Stand(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

func (h hand) Own(ctx context.Context, l *bus.Lease) error {
	f := h.floor
	f.mu.Lock()
	if before := f.leases[h.shard]; before != nil {
		if before.Valid() {
			f.faults = append(f.faults, fmt.Sprintf("%s and %s own shard %d at once", f.owners[h.shard], h.name, h.shard))
		}
		if l.Epoch <= before.Epoch {
			f.faults = append(f.faults, fmt.Sprintf("shard %d went from epoch %d to %d", h.shard, before.Epoch, l.Epoch))
		}
		f.moves++
	}
	if since, ok := f.let[h.shard]; ok {
		f.pauses = append(f.pauses, time.Since(since))
	}
	f.owners[h.shard], f.leases[h.shard] = h.name, l
	f.mu.Unlock()
	f.changes <- struct{}{}
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.let[h.shard] = time.Now()
	return nil
}

// start has a process of its own connection work on every shard. stop ends it politely, kill
// as a process ends that is killed: nothing of it reaches the server any more.
func (f *floor) start(t *testing.T, srv *broker.Server, name string) (stop, kill func()) {
	t.Helper()
	return f.startOver(t, srv, brokertest.Dial(t, srv), name)
}

func (f *floor) startOver(t *testing.T, srv *broker.Server, nc *nats.Conn, name string) (stop, kill func()) {
	t.Helper()
	b, err := bus.New(nc, bus.Options{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: srv})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.Spread(ctx, bus.Job{Name: "job", Holder: name, Workspaces: everyShard(), Open: func(shard int) bus.Worker { return hand{f, name, shard} }})
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	t.Cleanup(stop)
	return stop, func() {
		nc.Close()
		once.Do(cancel)
	}
}

// until waits for every shard to have a lawful owner and the owners to have so many each.
func (f *floor) until(t *testing.T, want map[string][2]int) {
	t.Helper()
	timeout := time.After(40 * time.Second)
	for {
		f.mu.Lock()
		counts := map[string]int{}
		for shard, owner := range f.owners {
			if f.leases[shard].Valid() {
				counts[owner]++
			}
		}
		faults := f.faults
		f.mu.Unlock()
		total, fair := 0, true
		for name, n := range counts {
			total += n
			fair = fair && n >= want[name][0] && n <= want[name][1]
		}
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if total == feedback.Shards && fair && len(counts) == len(want) {
			return
		}
		select {
		case <-f.changes:
		case <-timeout:
			t.Fatalf("shards are owned as %v, and should be as %v", counts, want)
		}
	}
}

// Shards are shared out fairly among the processes that are there, few change hands when one
// comes or goes, and none ever has two owners, also when a process is killed.
func TestShardsAreSharedOutAsProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	srv := brokertest.New(t)
	f := newFloor()
	f.start(t, srv, "a")
	f.until(t, map[string][2]int{"a": {64, 64}})
	stop, _ := f.start(t, srv, "b")
	f.until(t, map[string][2]int{"a": {32, 32}, "b": {32, 32}})
	_, kill := f.start(t, srv, "c")
	f.until(t, map[string][2]int{"a": {21, 22}, "b": {21, 22}, "c": {21, 22}})
	f.mu.Lock()
	if f.moves > 32+2*22 {
		t.Errorf("%d shards changed hands when the second and the third came", f.moves)
	}
	f.mu.Unlock()
	stop()
	f.until(t, map[string][2]int{"a": {32, 32}, "c": {32, 32}})
	f.mu.Lock()
	longest := time.Duration(0)
	for _, p := range f.pauses {
		longest = max(longest, p)
	}
	t.Logf("%d shards changed hands; the longest pause was %s", f.moves, longest.Round(time.Millisecond))
	if longest > bus.LeaseTerm/2 {
		t.Errorf("a shard had no owner for %s, though nobody was killed", longest)
	}
	clear(f.let) // what was owned by who is killed waits for the lease to expire
	f.mu.Unlock()
	killed := time.Now()
	kill()
	f.until(t, map[string][2]int{"a": {64, 64}})
	if took := time.Since(killed); took > bus.LeaseTerm+3*time.Second {
		t.Errorf("the shards of a killed process were taken over after %s", took)
	}
}

// cable is how a process reaches the broker; it can be cut.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// Dial implements nats.CustomDialer.
func (c *cable) Dial(network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := net.Dial(network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, conn := range c.conns {
		if cut {
			_ = conn.Close()
		}
	}
}

// A process that was cut off for longer than a lease lasts sees as expired, when it is back,
// what the others renewed all along. It takes none of it.
func TestAProcessThatWasCutOffTakesNothingThatIsOwned(t *testing.T) {
	t.Parallel()
	srv, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir(), MaxStore: 1 << 40, Reserve: broker.Reserve{Bytes: 16 << 20}, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	f, c := newFloor(), &cable{}
	nc, err := nats.Connect(srv.ClientURL(), nats.SetCustomDialer(c), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f.start(t, srv, "a")
	f.startOver(t, srv, nc, "b")
	f.until(t, map[string][2]int{"a": {32, 32}, "b": {32, 32}})
	c.set(true)
	f.until(t, map[string][2]int{"a": {64, 64}})
	c.set(false)
	f.until(t, map[string][2]int{"a": {32, 32}, "b": {32, 32}})
}
