package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/benchtest"
	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
)

// gate is a Syncer over a real one that can be held and made to fail.
type gate struct {
	bus.Syncer
	entered chan struct{} // receives one token per Sync that begins
	hold    chan struct{} // Sync waits until it is closed or receives
	syncs   atomic.Int64
	fail    atomic.Pointer[error]
}

func newGate(s bus.Syncer) *gate {
	return &gate{Syncer: s, entered: make(chan struct{}, 1000), hold: make(chan struct{}, 1000)}
}

func (g *gate) Sync(ctx context.Context, streams ...string) error {
	g.syncs.Add(1)
	g.entered <- struct{}{}
	select {
	case <-g.hold:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := g.fail.Load(); err != nil {
		return *err
	}
	return g.Syncer.Sync(ctx, streams...)
}

func stream(t testing.TB, server *broker.Server) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js, err := jetstream.New(brokertest.Dial(t, server), jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Duplicates: 30 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return js, s
}

func committer(t testing.TB, js jetstream.JetStream, syncer bus.Syncer, options bus.CommitterOptions) *bus.Committer {
	t.Helper()
	c := bus.NewCommitter(js, syncer, options)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func stored(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestAppendStoresAndSyncs(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	close(g.hold)
	c := committer(t, js, g, bus.CommitterOptions{})
	msg := &nats.Msg{Subject: "s.a", Header: nats.Header{"Kept": {"yes"}}, Data: []byte("hello")}
	seq, duplicate, err := c.Append(t.Context(), msg, "id-1")
	if err != nil || seq != 1 || duplicate {
		t.Fatalf("append: %d, %v, %v", seq, duplicate, err)
	}
	if g.syncs.Load() != 1 {
		t.Errorf("%d syncs", g.syncs.Load())
	}
	if len(msg.Header) != 1 || msg.Reply != "" {
		t.Errorf("the caller's message was changed: %+v", msg)
	}
	got, err := s.GetMsg(t.Context(), 1)
	if err != nil || string(got.Data) != "hello" || got.Header.Get("Kept") != "yes" || got.Header.Get("Nats-Msg-Id") != "id-1" {
		t.Errorf("stored %+v, %v", got, err)
	}

	seq, duplicate, err = c.Append(t.Context(), msg, "id-1")
	if err != nil || seq != 1 || !duplicate {
		t.Errorf("append again: %d, %v, %v", seq, duplicate, err)
	}
	if g.syncs.Load() != 2 {
		t.Error("a duplicate is acknowledged without a sync, though the first may not be on the disk")
	}
	if seq, duplicate, err = c.Append(t.Context(), msg, ""); err != nil || seq != 2 || duplicate {
		t.Errorf("append without an id: %d, %v, %v", seq, duplicate, err)
	}
}

func TestCallersThatWaitShareOneSync(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	registry := prometheus.NewRegistry()
	c := committer(t, js, g, bus.CommitterOptions{MaxGroup: 40, Registerer: registry})

	var done sync.WaitGroup
	answered := make(chan error, 101)
	send := func(id string) {
		done.Go(func() {
			_, _, err := c.Append(context.Background(), &nats.Msg{Subject: "s.a", Data: []byte(id)}, id)
			answered <- err
		})
	}
	send("first")
	<-g.entered // the first is stored, and waits for the disk
	select {
	case err := <-answered:
		t.Fatalf("answered before the sync: %v", err)
	default:
	}
	for i := range 100 {
		send(fmt.Sprint(i))
	}
	waitUntil(t, func() bool { return c.Waiting() == 100 })
	close(g.hold)
	done.Wait()
	close(answered)
	for err := range answered {
		if err != nil {
			t.Error(err)
		}
	}
	if n := g.syncs.Load(); n != 4 { // 1, then 40 + 40 + 20
		t.Errorf("101 messages took %d syncs, want 4", n)
	}
	if n := stored(t, s); n != 101 {
		t.Errorf("%d stored", n)
	}
	if n, err := testutil.GatherAndCount(registry, "throughline_commit_messages_total", "throughline_commit_group_size", "throughline_commit_seconds"); err != nil || n == 0 {
		t.Errorf("%d metrics, %v", n, err)
	}
	bus.NewCommitter(js, g, bus.CommitterOptions{Registerer: registry}).Close(t.Context()) // a second one shares the metrics
}

// waitUntil returns when a condition that another goroutine brings about holds.
func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it never happened")
		}
	}
}

func TestOneBadMessageHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	c := committer(t, js, g, bus.CommitterOptions{MaxWait: 2 * time.Second})
	type answer struct {
		id  string
		err error
	}
	answers := make(chan answer, 12)
	send := func(id, subject string, size int) {
		go func() {
			_, _, err := c.Append(context.Background(), &nats.Msg{Subject: subject, Data: make([]byte, size)}, id)
			answers <- answer{id, err}
		}()
	}
	send("first", "s.a", 1)
	<-g.entered
	for i := range 9 {
		send(fmt.Sprint("good-", i), "s.a", 1)
	}
	send("too large", "s.a", 5<<20)
	send("no stream", "elsewhere", 1)
	waitUntil(t, func() bool { return c.Waiting() == 11 })
	close(g.hold)
	for range 12 {
		a := <-answers
		switch a.id {
		case "too large":
			if !errors.Is(a.err, nats.ErrMaxPayload) {
				t.Errorf("too large: %v", a.err)
			}
		case "no stream":
			if a.err == nil {
				t.Error("a message for no stream is acknowledged")
			}
		default:
			if a.err != nil {
				t.Errorf("%s: %v", a.id, a.err)
			}
		}
	}
	if n := stored(t, s); n != 10 {
		t.Errorf("%d stored, want 10", n)
	}
}

func TestFullStreamRefusesItsMessage(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, _ := stream(t, server)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FULL", Subjects: []string{"full"}, MaxMsgs: 1, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	c := committer(t, js, server, bus.CommitterOptions{})
	for i, wantErr := range []bool{false, true} {
		if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "full"}, fmt.Sprint(i)); (err != nil) != wantErr {
			t.Errorf("append %d: %v", i, err)
		}
	}
}

func TestCallerThatLeavesHurtsNobody(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	c := committer(t, js, g, bus.CommitterOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	first, second, third := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	appendTo := func(ctx context.Context, id string, answer chan error) {
		_, _, err := c.Append(ctx, &nats.Msg{Subject: "s.a"}, id)
		answer <- err
	}
	go appendTo(ctx, "leaves while the disk works", first)
	<-g.entered
	go appendTo(ctx, "leaves while it waits", second)
	go appendTo(context.Background(), "stays", third)
	waitUntil(t, func() bool { return c.Waiting() == 2 })
	cancel()
	for _, answer := range []chan error{first, second} {
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	close(g.hold)
	if err := <-third; err != nil {
		t.Error(err)
	}
	if n := stored(t, s); n != 2 {
		t.Errorf("%d stored: want the first and the third, the second left before its turn", n)
	}
	if _, _, err := c.Append(ctx, &nats.Msg{Subject: "s.a"}, "late"); !errors.Is(err, context.Canceled) {
		t.Errorf("append with a context that is over: %v", err)
	}
}

func TestFailedSyncAcknowledgesNobody(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	close(g.hold)
	errDisk := errors.New("input/output error")
	g.fail.Store(&errDisk)
	c := committer(t, js, g, bus.CommitterOptions{})
	for i := range 3 {
		if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, fmt.Sprint(i)); !errors.Is(err, errDisk) {
			t.Errorf("append: %v", err)
		}
	}
	if n := stored(t, s); n != 3 {
		t.Errorf("%d stored; the messages are there, only not known to be durable", n)
	}
}

func TestAdmitRefusesBeforePublishing(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	var full atomic.Bool
	full.Store(true)
	c := committer(t, js, server, bus.CommitterOptions{Admit: func() error {
		if full.Load() {
			return broker.ErrNoSpace
		}
		return nil
	}})
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, "1"); !errors.Is(err, broker.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if n := stored(t, s); n != 0 {
		t.Errorf("%d stored on a full disk", n)
	}
	full.Store(false)
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, "1"); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, _ := stream(t, server)
	g := newGate(server)
	c := committer(t, js, g, bus.CommitterOptions{MaxQueued: 2})
	var done sync.WaitGroup
	send := func(id string) {
		done.Go(func() {
			if _, _, err := c.Append(context.Background(), &nats.Msg{Subject: "s.a"}, id); err != nil {
				t.Error(err)
			}
		})
	}
	send("in the air")
	<-g.entered
	send("waits 1")
	send("waits 2")
	waitUntil(t, func() bool { return c.Waiting() == 2 })
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, "one too many"); !errors.Is(err, bus.ErrCommitterBusy) {
		t.Errorf("got %v", err)
	}
	close(g.hold)
	done.Wait()
}

func TestCloseDrainsWhoWaits(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, s := stream(t, server)
	g := newGate(server)
	c := committer(t, js, g, bus.CommitterOptions{MaxGroup: 3})
	answers := make(chan error, 11)
	send := func(id string) {
		go func() {
			_, _, err := c.Append(context.Background(), &nats.Msg{Subject: "s.a"}, id)
			answers <- err
		}()
	}
	send("first")
	<-g.entered
	for i := range 10 {
		send(fmt.Sprint(i))
	}
	waitUntil(t, func() bool { return c.Waiting() == 10 })
	closed := make(chan error, 1)
	go func() { closed <- c.Close(context.Background()) }()
	waitUntil(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _, err := c.Append(ctx, &nats.Msg{Subject: "s.a"}, "late")
		return errors.Is(err, bus.ErrCommitterClosed)
	})
	close(g.hold)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for range 11 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := stored(t, s); n != 11 {
		t.Errorf("%d stored", n)
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	js, _ := stream(t, server)
	g := newGate(server) // the disk never answers
	c := bus.NewCommitter(js, g, bus.CommitterOptions{})
	answer := make(chan error, 1)
	go func() {
		_, _, err := c.Append(context.Background(), &nats.Msg{Subject: "s.a"}, "1")
		answer <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	<-g.entered
	if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if err := <-answer; err == nil {
		t.Error("a message is acknowledged without a sync")
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func TestServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	server := brokertest.New(t)
	nc := brokertest.Dial(t, server)
	// A subject that somebody listens to and nobody stores: no answer comes.
	if _, err := nc.SubscribeSync("silent"); err != nil {
		t.Fatal(err)
	}
	js, s := stream(t, server)
	c := committer(t, js, server, bus.CommitterOptions{MaxWait: 50 * time.Millisecond})
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "silent"}, "1"); err == nil {
		t.Error("a message is acknowledged that nobody stored")
	}
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, "2"); err != nil {
		t.Errorf("the next message: %v", err)
	}
	if n := stored(t, s); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// Not parallel: it looks at the goroutines of the whole process.
func TestCommitterLeavesNoGoroutine(t *testing.T) {
	server := brokertest.New(t)
	js, _ := stream(t, server)
	if _, err := js.PublishAsync("s.a", nil); err != nil { // starts what js keeps running
		t.Fatal(err)
	}
	<-js.PublishAsyncComplete()
	before := goleak.IgnoreCurrent()
	c := bus.NewCommitter(js, server, bus.CommitterOptions{})
	if _, _, err := c.Append(t.Context(), &nats.Msg{Subject: "s.a"}, "1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

func TestServerSyncVouchesForNothing(t *testing.T) {
	t.Parallel()
	var s bus.Syncer = bus.ServerSync{}
	if s.Mode() != "server" || s.Sync(t.Context(), "S") != nil {
		t.Error("ServerSync is more than a name")
	}
}

// BenchmarkAppend is the rate of durable appends of 1.5 KB at several numbers
// of callers, beside the same through a server that syncs each message and
// through one that does not sync at all.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []broker.Durability{broker.Barrier, broker.Always, broker.None} {
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", mode, callers), func(b *testing.B) {
				server, err := broker.Start(b.Context(), broker.Options{Dir: b.TempDir(), Durability: mode, Reserve: broker.Reserve{Bytes: 1}})
				if err != nil {
					b.Fatal(err)
				}
				defer server.Stop(context.Background())
				js, _ := stream(b, server)
				appendOne := func(msg *nats.Msg, id string) error {
					_, err := js.PublishMsg(context.Background(), msg, jetstream.WithMsgID(id))
					return err
				}
				if mode == broker.Barrier {
					syncer := &counting{Syncer: server}
					defer func() { b.ReportMetric(float64(b.N)/float64(syncer.syncs.Load()), "msg/sync") }()
					c := committer(b, js, syncer, bus.CommitterOptions{})
					appendOne = func(msg *nats.Msg, id string) error {
						_, _, err := c.Append(context.Background(), msg, id)
						return err
					}
				}
				bench(b, callers, appendOne)
			})
		}
	}
}

// counting counts the syncs.
type counting struct {
	bus.Syncer
	syncs atomic.Int64
}

func (c *counting) Sync(ctx context.Context, streams ...string) error {
	c.syncs.Add(1)
	return c.Syncer.Sync(ctx, streams...)
}

func bench(b *testing.B, callers int, appendOne func(*nats.Msg, string) error) {
	data := make([]byte, 1536)
	var next atomic.Int64
	var done sync.WaitGroup
	b.ReportAllocs()
	meter := benchtest.Start(b)
	for range callers {
		done.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := appendOne(&nats.Msg{Subject: "s.a", Data: data}, fmt.Sprint(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	meter.Report(1)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
