package bus_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/event"
)

// traced is a bus whose spans the recorder sees.
func traced(t *testing.T) (*bus.Bus, *bus.Committer, *tracetest.SpanRecorder, trace.Tracer) {
	t.Helper()
	srv := brokertest.New(t)
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	b, err := bus.New(brokertest.Dial(t, srv), bus.Options{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: srv, Tracer: provider,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := bus.NewCommitter(b.JetStream(), srv, bus.CommitterOptions{})
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return b, c, recorder, provider.Tracer("test")
}

// Two deliveries that one batch works on keep a trace each, from the committer over a batch
// and a single event to the end; a failed attempt is told as one.
func TestATraceFollowsAMessageThroughHops(t *testing.T) {
	t.Parallel()
	b, committer, recorder, tracer := traced(t)
	roots := map[string]trace.SpanContext{}
	for _, id := range []string{"a", "b"} {
		ctx, span := tracer.Start(t.Context(), "intake")
		body, err := event.Encode(account(t, id))
		if err != nil {
			t.Fatal(err)
		}
		m := nats.NewMsg(bus.Subject("items", workspace))
		m.Data = body
		if _, _, err := committer.Append(ctx, m, id); err != nil {
			t.Fatal(err)
		}
		span.End()
		roots[id] = span.SpanContext()
	}
	bustest.Run(t, b, bus.Consumer{Durable: "batch", Stream: bus.Items, Linger: 50 * time.Millisecond}, func(ctx context.Context, batch []bus.Message) []error {
		var out []bus.Outgoing
		for _, m := range batch {
			e := account(t, m.Subject[len(m.Subject)-1:]+m.ID)
			out = append(out, bus.Outgoing{Subject: bus.Subject("briefs", workspace), Event: e, Trace: m.Trace})
		}
		return bus.All(batch, b.PublishAll(ctx, out))
	})
	last := make(chan trace.SpanContext, 2)
	bustest.Run(t, b, bus.Consumer{Durable: "last", Stream: bus.Briefs}, bus.Each(func(ctx context.Context, m bus.Message) error {
		if m.Attempt == 1 {
			return bus.RetryAfter(context.DeadlineExceeded, time.Millisecond)
		}
		last <- trace.SpanContextFromContext(ctx)
		return nil
	}))
	for range roots {
		select {
		case at := <-last:
			if at.TraceID() != roots["a"].TraceID() && at.TraceID() != roots["b"].TraceID() {
				t.Errorf("the last hop stands in the trace %s, which no delivery began", at.TraceID())
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no message within 20 s")
		}
	}
	// The last spans end after the handler has returned: wait for them.
	for deadline := time.Now().Add(20 * time.Second); len(recorder.Ended()) < 2+2+4; {
		if time.Now().After(deadline) {
			t.Fatalf("%d spans ended", len(recorder.Ended()))
		}
	}
	names := map[trace.TraceID]map[string]int{}
	for _, s := range recorder.Ended() {
		of := names[s.SpanContext().TraceID()]
		if of == nil {
			of = map[string]int{}
			names[s.SpanContext().TraceID()] = of
		}
		of[s.Name()+" "+s.Status().Description]++
	}
	for id, root := range roots {
		got := names[root.TraceID()]
		if len(got) != 4 || got["intake "] != 1 || got["process ITEMS "] != 1 || got["process BRIEFS retry"] != 1 || got["process BRIEFS "] != 1 {
			t.Errorf("%s left the spans %v", id, got)
		}
	}
}

// While nothing traces, publishing pays one look into the context: no header, no memory.
func TestNoTraceCostsNothing(t *testing.T) { // alone: it counts allocations
	var none bus.Trace
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if none.Within(ctx) != ctx {
			t.Error("a place that is none moved the context")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	b := bustest.New(t)
	publish(t, b, "a")
	m := bustest.Await(t, bustest.Collect(t, b, bus.Items, "items.>"))
	if m.Trace != none {
		t.Error("a message has a place in a trace, and nothing traces")
	}
	s, err := b.JetStream().Stream(ctx, bus.Items)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.GetMsg(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if raw.Header["traceparent"] != nil {
		t.Errorf("the header has %v", raw.Header)
	}
}
