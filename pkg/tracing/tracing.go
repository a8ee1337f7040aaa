// Package tracing sends spans to an OTLP collector and makes those of HTTP: one for every
// request that a process serves and one for every request that it sends because of another
// span. The spans of messages are made by package bus, which carries the trace from one
// service to the next in the headers of the event log.
//
// It promises that a span holds no customer's words and no address of a person: routes
// instead of paths, hosts instead of URLs, status codes instead of errors. It refuses to
// join a trace that a stranger began: every request from outside begins its own, because
// whoever posts a webhook could otherwise choose what is sampled and where it shows up.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/config"
)

// Provider sends the spans of one process. Close it so that the last ones are sent.
type Provider struct{ sdk *sdktrace.TracerProvider }

// Open makes the provider that the configuration asks for: nil, and no error, where no
// endpoint is configured. service names the process among others, version its build. An
// endpoint that does not answer is no error: its spans are dropped, the log says so, and
// nothing waits for it.
func Open(ctx context.Context, c config.Traces, service, version string, log *slog.Logger) (*Provider, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	headers := map[string]string{}
	if c.Authorization.Value() != "" {
		headers["Authorization"] = c.Authorization.Value()
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.Endpoint), otlptracehttp.WithHeaders(headers), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	return &Provider{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(patient{exporter, log}, sdktrace.WithBatchTimeout(2*time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Ratio))),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL,
			semconv.ServiceName(service), semconv.ServiceNamespace("throughline"), semconv.ServiceVersion(version))),
	)}, nil
}

// patient logs what could not be delivered and goes on.
type patient struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

// ExportSpans sends spans; it never fails.
func (p patient) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := p.SpanExporter.ExportSpans(ctx, spans); err != nil {
		p.log.Warn("spans were not delivered; look at traces.endpoint and at the collector", "spans", len(spans), "error", err)
	}
	return nil
}

// TracerProvider is what makes spans, nil where nothing traces.
func (p *Provider) TracerProvider() trace.TracerProvider {
	if p == nil {
		return nil
	}
	return p.sdk
}

// parting is how long a stopping process waits for its last spans to be delivered.
const parting = 2 * time.Second

// Close sends what is left, for two seconds or until ctx ends.
func (p *Provider) Close(ctx context.Context) error {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, parting)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		return errors.New("close traces: the last spans were not delivered")
	}
	return nil
}

// instrumentation names who makes this package's spans.
const instrumentation = "github.com/throughline-dev/throughline/pkg/tracing"

// Handler makes a span of every request that next serves, named by its method and route.
// With nil it returns next itself.
func Handler(provider trace.TracerProvider, next http.Handler) http.Handler {
	if provider == nil {
		return next
	}
	tracer := provider.Tracer(instrumentation)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.Method, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method)))
		defer span.End()
		served := r.WithContext(ctx)
		watched := &answer{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			r.Pattern = served.Pattern
			span.SetName(name(r))
			span.SetAttributes(semconv.HTTPRoute(r.Pattern), semconv.HTTPResponseStatusCode(watched.status))
			if watched.status >= http.StatusInternalServerError {
				fail(span, watched.status)
			}
		}()
		next.ServeHTTP(watched, served)
	})
}

// answer remembers the status of an answer.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status and sends it.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is wrapped.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush sends what was written so far: event streams need it.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }
