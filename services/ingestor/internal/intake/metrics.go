package intake

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what came in. Kinds are types of connections, "unknown" where there is
// none; reasons and outcomes are fixed words.
type Metrics struct {
	deliveries *prometheus.CounterVec
	refused    *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	newest     *prometheus.GaugeVec
	failures   *prometheus.CounterVec
}

// NewMetrics registers the metrics; it fails if they are registered already.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingestor_deliveries_total",
			Help: "Deliveries by kind of connection and outcome (accepted, duplicate, answered, refused, failed).",
		}, []string{"kind", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingestor_refused_total",
			Help: "Deliveries refused, by kind of connection and reason.",
		}, []string{"kind", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "throughline_ingestor_request_seconds", Help: "Time from a webhook's first byte to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
		}, []string{"kind"}),
		newest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_ingestor_connection_last_delivery_seconds",
			Help: "Unix time of the newest delivery that this process took from a connection.",
		}, []string{"connection"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingestor_connection_failures_total",
			Help: "Deliveries of a connection that were refused or could not be stored, by reason.",
		}, []string{"connection", "reason"}),
	}
	for _, c := range []prometheus.Collector{m.deliveries, m.refused, m.seconds, m.newest, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register intake metrics: %w", err)
		}
	}
	return m, nil
}

// reasons are those for which a delivery can be refused.
var reasons = []string{"no secret", "no signature", "bad signature", "stale signature", "foreign payload", "media type", "too large", "rate limited"}

// expect makes the series of a connection and its kind exist before its first delivery: a
// counter that first shows up at one never increased, and an alert on it would miss that.
func (m *Metrics) expect(kind, connection string) {
	for _, outcome := range []string{"accepted", "duplicate", "answered", "refused", "failed"} {
		m.deliveries.WithLabelValues(kind, outcome)
	}
	for _, reason := range reasons {
		m.refused.WithLabelValues(kind, reason)
		m.failures.WithLabelValues(connection, reason)
	}
	m.failures.WithLabelValues(connection, "not durable")
	m.seconds.WithLabelValues(kind)
}
