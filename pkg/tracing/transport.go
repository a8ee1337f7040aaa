package tracing

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Transport makes a span of every request that next sends from a context that stands in one,
// by the same provider, and tells the other side its place in the trace. Other requests go
// through untouched. nil for next means a transport of its own with the usual limits.
func Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second,
		}
	}
	return transport{next}
}

type transport struct{ next http.RoundTripper }

// RoundTrip sends one request.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	around := trace.SpanFromContext(r.Context())
	if !around.SpanContext().IsValid() {
		return t.next.RoundTrip(r)
	}
	ctx, span := around.TracerProvider().Tracer(instrumentation).Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.ServerAddress(r.URL.Hostname())))
	defer span.End()
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		span.SetAttributes(semconv.ServerPort(port))
	}
	sent := r.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(sent.Header))
	res, err := t.next.RoundTrip(sent)
	if err != nil {
		span.SetAttributes(semconv.ErrorTypeOther)
		span.SetStatus(codes.Error, "no answer")
		return nil, err
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(res.StatusCode))
	if res.StatusCode >= http.StatusBadRequest {
		fail(span, res.StatusCode)
	}
	return res, nil
}

func fail(span trace.Span, status int) {
	span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	span.SetStatus(codes.Error, "")
}

// name is the method and the route of a served request: "POST /webhooks/{connection}". A
// route without a method of its own gets that of the request; no route leaves the method.
func name(r *http.Request) string {
	if _, route, ok := strings.Cut(r.Pattern, " "); ok {
		return r.Method + " " + route
	}
	if r.Pattern == "" {
		return r.Method
	}
	return r.Method + " " + r.Pattern
}
