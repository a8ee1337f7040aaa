package bus

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	settled *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_bus_settled_total",
			Help: "Messages settled by durable and outcome (ok, retry, dead, interrupted).",
		}, []string{"durable", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "throughline_bus_handler_seconds", Help: "Duration of one handler call on one batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 10),
		}, []string{"durable"}),
	}
	for _, c := range []prometheus.Collector{m.settled, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register bus metrics: %w", err)
		}
	}
	return m, nil
}
