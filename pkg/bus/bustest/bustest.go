// Package bustest gives a test its own event log over a real broker, with every stream
// and bucket of the topology.
package bustest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
)

// New starts a broker for this test and returns a bus on it. Both end with the test.
func New(t testing.TB) *bus.Bus {
	t.Helper()
	return At(t, time.Now)
}

// At is New with a clock.
func At(t testing.TB, now func() time.Time) *bus.Bus {
	t.Helper()
	srv := brokertest.New(t)
	b, err := bus.New(brokertest.Dial(t, srv), bus.Options{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: srv, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// Run consumes in the background until the test ends.
func Run(t testing.TB, b *bus.Bus, c bus.Consumer, h bus.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Consume(ctx, c, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Collect reads every event of a stream's subject filter from its beginning, as they
// come, until the test ends. Waiting for an event is reading from the channel.
func Collect(t testing.TB, b *bus.Bus, stream, filter string) <-chan bus.Message {
	t.Helper()
	out := make(chan bus.Message, 1024)
	Run(t, b, bus.Consumer{Durable: "collect-" + stream, Stream: stream, Filters: []string{filter}},
		bus.Each(func(ctx context.Context, m bus.Message) error {
			select {
			case out <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	return out
}

// Await takes the next event from a channel of Collect, or fails the test after 20 s.
func Await(t testing.TB, from <-chan bus.Message) bus.Message {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no event within 20 s")
		return bus.Message{}
	}
}

// Pending returns how many messages a durable has yet to settle.
func Pending(t testing.TB, b *bus.Bus, stream, durable string) uint64 {
	t.Helper()
	c, err := b.JetStream().Consumer(t.Context(), stream, durable)
	if err == jetstream.ErrConsumerNotFound {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NumPending + uint64(info.NumAckPending)
}
