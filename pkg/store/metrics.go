package store

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what goes into each table.
type metrics struct {
	rows    *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
}

// newMetrics makes the metrics and registers them; where another DB registered
// them before, it takes those.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_store_rows_total",
			Help: "Rows written to ClickHouse, by table.",
		}, []string{"table"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_store_insert_seconds",
			Help:    "Time until an insert was durable, repeats included, by table; its count is the number of inserts.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"table"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_store_insert_errors_total",
			Help: "Failed tries of inserts, by table and whether a repeat can succeed.",
		}, []string{"table", "retryable"}),
	}
	if r == nil {
		return m, nil
	}
	var err error
	if m.rows, err = registered(r, m.rows); err != nil {
		return nil, err
	}
	if m.seconds, err = registered(r, m.seconds); err != nil {
		return nil, err
	}
	if m.errors, err = registered(r, m.errors); err != nil {
		return nil, err
	}
	return m, nil
}

// registered registers c, or returns the equal collector that was there first.
func registered[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if first, ok := there.ExistingCollector.(C); ok {
			return first, nil
		}
	}
	return c, err
}

func (m *metrics) inserted(table string, rows int, took time.Duration) {
	m.errors.WithLabelValues(table, "true") // a series that begins at one never increased
	m.errors.WithLabelValues(table, "false")
	m.rows.WithLabelValues(table).Add(float64(rows))
	m.seconds.WithLabelValues(table).Observe(took.Seconds())
}

func (m *metrics) failed(table string, retryable bool) {
	m.errors.WithLabelValues(table, strconv.FormatBool(retryable)).Inc()
}
