package bus

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Trace is the place of an event in the trace of its delivery. The zero value is no place,
// as it is for every event while nothing traces.
type Trace struct{ span trace.Span }

// Within returns a context in which what is published, asked or traced goes on from here.
// It returns ctx itself where there is no place to go on from.
func (t Trace) Within(ctx context.Context) context.Context {
	if t.span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, t.span)
}

// Mark writes down the place that ctx stands at, for work that is put off: a W3C
// traceparent, "" outside a trace.
func Mark(ctx context.Context) string {
	h := nats.Header{}
	inject(ctx, h)
	return carrier(h).Get(traceparent)
}

// Resume returns a context that goes on from a mark; ctx itself where it stands in a trace
// already or the mark is none.
func Resume(ctx context.Context, mark string) context.Context {
	if mark == "" || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagator.Extract(ctx, carrier{traceparent: {mark}})
}

// traceparent is the header that W3C Trace Context names.
const traceparent = "traceparent"

// propagator writes and reads W3C Trace Context.
var propagator = propagation.TraceContext{}

// carrier is a message's header. Unlike nats.Header.Set it keeps the lower case that the
// standard asks for.
type carrier nats.Header

func (c carrier) Get(key string) string { return nats.Header(c).Get(key) }
func (c carrier) Set(key, value string) { c[key] = []string{value} }
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// inject writes the place that ctx stands at into a message's header, as traceparent and
// tracestate. Outside a trace it does nothing and costs one look into ctx.
func inject(ctx context.Context, h nats.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagator.Inject(ctx, carrier(h))
	}
}

// instrumentation names who makes this package's spans.
const instrumentation = "github.com/throughline-dev/throughline/pkg/bus"

// begin opens the span of each message of a batch, below whoever published it, and moves
// the message's place in the trace there. It does nothing while nothing traces.
func (l *loop) begin(ctx context.Context, batch []pending) {
	if l.bus.tracer == nil {
		return
	}
	for i := range batch {
		p := &batch[i]
		if p.Trace.span != nil {
			continue // an ordered loop tries it again, in the same span
		}
		attributes := []attribute.KeyValue{
			semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(l.Stream), semconv.MessagingConsumerGroupName(l.Durable),
			attribute.String("throughline.event.type", string(p.Type)), attribute.String("throughline.workspace", p.Workspace),
			attribute.Int64("throughline.stream.sequence", int64(p.Sequence)),
		}
		if len(batch) > 1 {
			attributes = append(attributes, semconv.MessagingBatchMessageCount(len(batch)))
		}
		publisher := propagator.Extract(ctx, carrier(p.raw.Headers()))
		_, p.Trace.span = l.bus.tracer.Start(publisher, "process "+l.Stream, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
	}
}

// finish ends a message's span. The outcome is the one of the metrics; an error's text stays
// in the log.
func (p pending) finish(outcome string) {
	span := p.Trace.span
	if span == nil {
		return
	}
	span.SetAttributes(attribute.String("throughline.outcome", outcome))
	if outcome == "retry" || outcome == "dead" {
		span.SetStatus(codes.Error, outcome)
	}
	span.End()
}

// together is the context of a whole batch: in the trace of its message where it has one
// only, and in none where several share the work.
func together(ctx context.Context, batch []pending) context.Context {
	if len(batch) == 1 {
		return batch[0].Trace.Within(ctx)
	}
	return ctx
}

// interrupt ends the spans of what is left to be delivered again.
func interrupt(batch []pending) {
	for _, p := range batch {
		p.finish("interrupted")
	}
}
