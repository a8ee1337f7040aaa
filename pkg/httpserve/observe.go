package httpserve

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Measured observes how long requests take, by route and status. Event streams last as long
// as their reader likes and are left out; so is what no route serves.
func Measured(next http.Handler, r prometheus.Registerer) (http.Handler, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "throughline_http_request_seconds", Help: "Time to serve a request, by route and status; event streams are left out.",
		Buckets: []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10},
	}, []string{"route", "code"})
	if err := r.Register(seconds); err != nil {
		return nil, fmt.Errorf("register HTTP metrics: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &observed{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		if r.Pattern == "" || strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			return
		}
		seconds.WithLabelValues(r.Pattern, strconv.Itoa(seen.status)).Observe(time.Since(start).Seconds())
	}), nil
}

// instrumentation names who makes this package's spans.
const instrumentation = "github.com/throughline-dev/throughline/pkg/httpserve"

// Traced makes a span of every request that next serves, named by its method and route: a
// path may name a person. It refuses to join a trace that a stranger began: every request
// begins its own, because whoever posts a webhook could otherwise choose what is sampled and
// where it shows up. With nil it returns next itself.
func Traced(provider trace.TracerProvider, next http.Handler) http.Handler {
	if provider == nil {
		return next
	}
	tracer := provider.Tracer(instrumentation)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.Method, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method)))
		defer span.End()
		served := r.WithContext(ctx)
		watched := &observed{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			r.Pattern = served.Pattern
			span.SetName(name(r))
			span.SetAttributes(semconv.HTTPRoute(r.Pattern), semconv.HTTPResponseStatusCode(watched.status))
			if watched.status >= http.StatusInternalServerError {
				span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(watched.status)))
				span.SetStatus(codes.Error, "")
			}
		}()
		next.ServeHTTP(watched, served)
	})
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

// observed remembers the status of an answer.
type observed struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status and sends it.
func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is wrapped.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// Flush sends what was written so far: event streams need it.
func (o *observed) Flush() { _ = http.NewResponseController(o.ResponseWriter).Flush() }
