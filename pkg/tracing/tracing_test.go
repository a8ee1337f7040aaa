package tracing_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/httpserve"
	"github.com/throughline-dev/throughline/pkg/tracing"
)

// A request that is served and the one it sends are one trace, in which no path, address or
// query shows; a stranger's traceparent is not followed.
func TestRequestsAreTracedWithoutWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	var told string
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told = r.Header.Get("Traceparent")
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(vendor.Close)
	client := &http.Client{Transport: tracing.Transport(vendor.Client().Transport)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/customers/{id}", func(w http.ResponseWriter, r *http.Request) {
		q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, vendor.URL+"/rest/ada@example.com?secret=hunter2", nil)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := client.Do(q)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		_, _ = io.WriteString(w, "ok")
		if _, ok := w.(http.Flusher); !ok {
			t.Error("event streams cannot be flushed")
		}
	})
	r := httptest.NewRequest(http.MethodGet, "/v1/customers/ada@example.com", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	httpserve.Traced(provider, mux).ServeHTTP(httptest.NewRecorder(), r)
	spans := recorder.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	out, in := spans[0], spans[1]
	if in.Name() != "GET /v1/customers/{id}" || in.SpanKind() != trace.SpanKindServer || out.Name() != "POST" || out.SpanKind() != trace.SpanKindClient {
		t.Errorf("%s (%s) and %s (%s)", in.Name(), in.SpanKind(), out.Name(), out.SpanKind())
	}
	if in.Parent().IsValid() || out.Parent().SpanID() != in.SpanContext().SpanID() {
		t.Error("the served request begins no trace of its own, or the sent one is not below it")
	}
	if !strings.Contains(told, out.SpanContext().SpanID().String()) {
		t.Errorf("the other side was told %q", told)
	}
	for _, s := range spans {
		for _, a := range append(s.Attributes(), attribute.String("name", s.Name()), attribute.String("status", s.Status().Description)) {
			if text := a.Value.String(); strings.Contains(text, "ada") || strings.Contains(text, "hunter2") {
				t.Errorf("%s has %s = %s", s.Name(), a.Key, text)
			}
		}
	}
}

// Without an endpoint there is no provider, nothing is wrapped, and requests go out as they
// are.
func TestOffIsOff(t *testing.T) {
	t.Parallel()
	p, err := tracing.Open(t.Context(), config.Traces{}, "test", "dev", slog.New(slog.DiscardHandler))
	if err != nil || p != nil || p.TracerProvider() != nil || p.Close(t.Context()) != nil {
		t.Errorf("%v, %v", p, err)
	}
	next := http.NewServeMux()
	if httpserve.Traced(p.TracerProvider(), next) != http.Handler(next) {
		t.Error("the handler is wrapped")
	}
	vendor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			t.Error("an untraced request tells of a trace")
		}
	}))
	t.Cleanup(vendor.Close)
	res, err := (&http.Client{Transport: tracing.Transport(vendor.Client().Transport)}).Get(vendor.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
