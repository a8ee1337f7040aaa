// Package watch tells what changes in a workspace while it changes, for server-sent
// events and MCP subscriptions. It reads the streams of changed clusters and revised
// briefs from now on; what was before is not repeated, and a slow reader delays only its
// own channel. It refuses to carry customers' words: who is told reads them itself.
package watch

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Watcher watches workspaces. It is safe for concurrent use.
type Watcher struct{ bus *bus.Bus }

// New makes a Watcher over a bus.
func New(b *bus.Bus) *Watcher { return &Watcher{b} }

// Watch returns a channel of changes from the moment it returns, in the order of each
// stream, closed when ctx ends. A connection that was lost and came back goes on where
// it was.
func (w *Watcher) Watch(ctx context.Context, workspace string) (<-chan Change, error) {
	out := make(chan Change, 64)
	var stops []jetstream.ConsumeContext
	stop := func() {
		for _, s := range stops {
			s.Stop()
			<-s.Closed()
		}
	}
	for _, of := range []struct{ stream, subject string }{
		{bus.Worlds, bus.Subject("worlds", workspace)},
		{bus.Briefs, bus.Subject("briefs", workspace)},
	} {
		consumer, err := w.bus.JetStream().OrderedConsumer(ctx, of.stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{of.subject}, DeliverPolicy: jetstream.DeliverNewPolicy,
		})
		if err == nil {
			var c jetstream.ConsumeContext
			if c, err = consumer.Consume(func(m jetstream.Msg) { pass(ctx, m, out) }); err == nil {
				stops = append(stops, c)
			}
		}
		if err != nil {
			stop()
			return nil, fmt.Errorf("watch %s: %w", of.stream, bus.Unavailable(err))
		}
	}
	go func() {
		<-ctx.Done()
		stop()
		close(out)
	}()
	return out, nil
}

// pass hands a message on. One that is not an event of ours is left out: the consumers
// that act on it make it a dead letter.
func pass(ctx context.Context, m jetstream.Msg, out chan<- Change) {
	meta, err := m.Metadata()
	if err != nil {
		return
	}
	e, err := event.Decode(m.Data())
	if err != nil {
		return
	}
	c := Change{ID: strconv.FormatUint(meta.Sequence.Stream, 10), Workspace: e.Workspace, At: e.Time}
	switch e.Type {
	case event.WorldChanged:
		world, err := event.Payload[event.World](e)
		if err != nil {
			return
		}
		c.Kind, c.Position, c.Clusters, c.Statuses = Clusters, world.Position, world.Clusters, world.Statuses
	case event.BriefRevised:
		b, err := event.Payload[event.Brief](e)
		if err != nil {
			return
		}
		c.Kind, c.Tracker, c.Ticket = Brief, feedback.Tracker(b.Tracker), b.Ticket
		c.Revision, c.Material, c.Changes = uint64(b.Revision), b.Material, b.Changes
	default:
		return
	}
	select {
	case out <- c:
	case <-ctx.Done():
	}
}
