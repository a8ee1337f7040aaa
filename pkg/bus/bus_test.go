package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

const workspace = "acme"

func account(t *testing.T, id string) event.Envelope {
	t.Helper()
	e, err := event.New(event.AccountChanged, "test", workspace, id, "account:"+id, time.Unix(1, 0), event.Account{Account: feedback.Account{ID: id}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func publish(t *testing.T, b *bus.Bus, ids ...string) {
	t.Helper()
	var out []bus.Outgoing
	for _, id := range ids {
		out = append(out, bus.Outgoing{Subject: bus.Subject("items", workspace), Event: account(t, id)})
	}
	if err := b.PublishAll(t.Context(), out); err != nil {
		t.Fatal(err)
	}
}

// journal records what a handler saw.
type journal struct {
	mu   sync.Mutex
	seen []string
	more chan struct{}
}

func newJournal() *journal { return &journal{more: make(chan struct{}, 1000)} }

func (j *journal) add(id string) {
	j.mu.Lock()
	j.seen = append(j.seen, id)
	j.mu.Unlock()
	j.more <- struct{}{}
}

func (j *journal) wait(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-j.more:
		case <-time.After(20 * time.Second):
			t.Fatal("no message within 20 s")
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.seen)
}

func TestPublishingTwiceStoresOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	first, err := b.Publish(t.Context(), bus.Subject("items", workspace), account(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Publish(t.Context(), bus.Subject("items", workspace), account(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Errorf("sequences %d and %d", first, second)
	}
}

func TestPermanentErrorBecomesADeadLetterThatCanBeRetried(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	publish(t, b, "good", "bad")
	j := newJournal()
	var broken sync.Map
	broken.Store("bad", true)
	bustest.Run(t, b, bus.Consumer{Durable: "d", Stream: bus.Items}, bus.Each(func(_ context.Context, m bus.Message) error {
		defer j.add(m.Subject + m.Envelope.Subject)
		if _, is := broken.Load(m.Envelope.Subject); is {
			return bus.Permanent(errors.New("decode: no such shape"))
		}
		return nil
	}))
	letters := bustest.Collect(t, b, bus.DeadLetters, "deadletters.>")
	_ = bustest.Await(t, letters)
	list, err := b.DeadLetters(t.Context(), workspace, "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d dead letters, %v", len(list), err)
	}
	if d := list[0]; d.Reason != "decode: no such shape" || d.Durable != "d" || d.Attempts != 1 || d.Stream != bus.Items {
		t.Errorf("%+v", d)
	}
	if _, err := b.DeadLetter(t.Context(), "other", list[0].ID); !errors.Is(err, bus.ErrNoDeadLetter) {
		t.Errorf("another workspace reads the dead letter: %v", err)
	}
	first := list[0].FirstAt
	if first.IsZero() || first.After(list[0].At.Add(time.Second)) {
		t.Errorf("failed first at %s and last at %s", first, list[0].At)
	}
	j.wait(t, 2)
	if err := b.RetryDeadLetter(t.Context(), workspace, list[0].ID); err != nil {
		t.Fatal(err)
	}
	j.wait(t, 1)
	_ = bustest.Await(t, letters)
	if list, err = b.DeadLetters(t.Context(), workspace, "", 10); err != nil || len(list) != 1 || list[0].Attempts != 2 || !list[0].FirstAt.Equal(first) {
		t.Fatalf("after a retry that failed: %+v, %v", list, err)
	}
	broken.Delete("bad")
	if err := b.RetryDeadLetter(t.Context(), workspace, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if seen := j.wait(t, 1); !strings.HasSuffix(seen[3], "bad") {
		t.Errorf("saw %v", seen)
	}
	if list, _ := b.DeadLetters(t.Context(), workspace, "", 10); len(list) != 0 {
		t.Errorf("%d dead letters are left", len(list))
	}
}

func TestOrderedConsumerRetriesInPlace(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	publish(t, b, "1", "2", "3", "4")
	j := newJournal()
	failed := false
	bustest.Run(t, b, bus.Consumer{Durable: "d", Stream: bus.Items, Ordered: true, Batch: 2}, bus.Each(func(_ context.Context, m bus.Message) error {
		if m.Envelope.Subject == "2" && !failed {
			failed = true
			return bus.RetryAfter(errors.New("busy"), time.Millisecond)
		}
		j.add(m.Envelope.Subject)
		return nil
	}))
	if got := j.wait(t, 4); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("order %v", got)
	}
}

func TestOrderedConsumerIsRewoundToWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	publish(t, b, "1", "2", "3")
	spec := bus.Consumer{Durable: "d", Stream: bus.Items, Ordered: true, Batch: 1}
	first := newJournal()
	ctx, crash := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, spec, bus.Each(func(ctx context.Context, m bus.Message) error {
			first.add(m.Envelope.Subject)
			if m.Envelope.Subject == "2" {
				crash() // taken, never settled
				return ctx.Err()
			}
			return nil
		}))
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	second := newJournal()
	bustest.Run(t, b, spec, bus.Each(func(_ context.Context, m bus.Message) error {
		second.add(m.Envelope.Subject)
		return nil
	}))
	if got := second.wait(t, 2); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("after the crash: %v", got)
	}
}

func TestWhatAStoppedConsumerHadInHandComesToTheNextAtOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	consumer := bus.Consumer{Durable: "d", Stream: bus.Items, AckWait: time.Hour}
	taken := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, consumer, bus.Each(func(ctx context.Context, _ bus.Message) error {
			close(taken)
			<-ctx.Done()
			return ctx.Err()
		}))
	}()
	publish(t, b, "a")
	<-taken
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	j := newJournal()
	bustest.Run(t, b, consumer, bus.Each(func(_ context.Context, m bus.Message) error {
		j.add(m.ID)
		return nil
	}))
	if got := j.wait(t, 1); got[0] != "account:a" {
		t.Errorf("got %v", got)
	}
}

func TestWhatWasPutOffDoesNotCountTowardsGivingUp(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	j := newJournal()
	bustest.Run(t, b, bus.Consumer{Durable: "d", Stream: bus.Items, Attempts: 2}, bus.Each(func(_ context.Context, m bus.Message) error {
		j.add(m.ID)
		switch {
		case m.Attempt <= 4:
			return bus.RetryAfter(errors.New("later"), time.Millisecond)
		case m.Attempt == 5:
			return errors.New("failed once")
		}
		return nil
	}))
	publish(t, b, "a")
	j.wait(t, 6)
	list, err := b.DeadLetters(t.Context(), workspace, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 0 {
		t.Errorf("one failure after four delays became a dead letter: %+v", list)
	}
}

func TestUnavailableNeverBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	publish(t, b, "a")
	j := newJournal()
	n := 0
	bustest.Run(t, b, bus.Consumer{Durable: "d", Stream: bus.Items, Attempts: 1}, bus.Each(func(_ context.Context, m bus.Message) error {
		j.add(fmt.Sprint(m.Attempt))
		if n++; n == 1 {
			return bus.Unavailable(errors.New("store is down"))
		}
		return nil
	}))
	if got := j.wait(t, 2); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("attempts %v", got)
	}
}

func TestFencedPublishRefusesAnEarlierOwner(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	subject := bus.Subject("worlds", workspace)
	world := func(id string) event.Envelope {
		e, err := event.New(event.WorldChanged, "test", workspace, "x", id, time.Unix(1, 0), event.World{Position: 1, Clusters: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	last, err := b.PublishFenced(t.Context(), subject, world("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.PublishFenced(t.Context(), subject, world("2"), last); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PublishFenced(t.Context(), subject, world("3"), last); !errors.Is(err, bus.ErrFenced) {
		t.Errorf("got %v", err)
	}
	// What is there as it is was stored by this owner, who was not told.
	unheard, err := b.LastSequence(t.Context(), bus.Worlds, subject)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.PublishFenced(t.Context(), subject, world("2"), last); err != nil || got != unheard {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestLeaseHasOneHolderAndItsEpochGrows(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	one, err := b.Acquire(t.Context(), "clusterer-07", "one")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan *bus.Lease, 1)
	go func() {
		if l, err := b.Acquire(t.Context(), "clusterer-07", "two"); err == nil {
			taken <- l
		}
	}()
	select {
	case <-taken:
		t.Fatal("two holders at once")
	case <-time.After(100 * time.Millisecond):
	}
	one.Release(t.Context())
	select {
	case two := <-taken:
		if two.Epoch <= one.Epoch || !two.Valid() {
			t.Errorf("epochs %d then %d", one.Epoch, two.Epoch)
		}
		two.Release(t.Context())
	case <-time.After(10 * time.Second):
		t.Fatal("a released lease was not taken")
	}
}

func TestSubjectRefusesWhatIsNotAWorkspace(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "a.b", "a b", "*", ">", "Acme", strings.Repeat("a", 64)} {
		if bus.ValidWorkspace(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}

// consumeWhileBusy runs a consumer over one message in a process that says whether it is busy.
func consumeWhileBusy(t *testing.T, busy func() bool) (handled <-chan string) {
	t.Helper()
	srv := brokertest.New(t)
	b, err := bus.New(brokertest.Dial(t, srv), bus.Options{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: srv, Busy: busy})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := make(chan string, 10)
	bustest.Run(t, b, bus.Consumer{Durable: "d", Stream: bus.Deliveries}, bus.Each(func(_ context.Context, m bus.Message) error {
		took <- m.ID
		return nil
	}))
	e, err := event.New(event.DeliveryAccepted, "ingestor", "acme", "x", "x", time.Now(), event.Delivery{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), bus.Subject("deliveries", "acme", "c"), e); err != nil {
		t.Fatal(err)
	}
	return took
}

func TestConsumersGiveWayWhileBusy(t *testing.T) {
	t.Parallel()
	var busy atomic.Bool
	busy.Store(true)
	looked := make(chan struct{}, 1000)
	handled := consumeWhileBusy(t, func() bool {
		select {
		case looked <- struct{}{}:
		default:
		}
		return busy.Load()
	})
	for range 3 { // it looks again and again, and takes nothing
		<-looked
	}
	if len(handled) > 0 {
		t.Error("a batch was taken while the process was busy")
	}
	busy.Store(false)
	if got := <-handled; got != "x" {
		t.Errorf("got %s", got)
	}
}

func TestConsumersAreNotKeptFromWorkForEver(t *testing.T) {
	t.Parallel()
	handled := consumeWhileBusy(t, func() bool { return true })
	select {
	case <-handled:
	case <-time.After(30 * time.Second):
		t.Error("a consumer got nothing of a busy process")
	}
}
