// Package tracing sends spans to an OTLP collector, and makes those of the requests that a
// process sends because of another span. Package httpserve makes the spans of requests that
// are served, package bus those of messages: it carries the trace from one service to the
// next in the headers of the event log.
//
// It promises that a span holds no customer's words and no address of a person: hosts
// instead of URLs, status codes instead of errors.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
