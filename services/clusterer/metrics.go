package clusterer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	assigned prometheus.Counter
	gaps     prometheus.Counter
	position *prometheus.GaugeVec
	seconds  *prometheus.HistogramVec
	changes  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		assigned: prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_clusterer_assignments_total", Help: "Assignments made or changed."}),
		gaps:     prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_clusterer_gaps_total", Help: "Items passed over for want of a result."}),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_clusterer_position", Help: "Inputs taken and told, by workspace."}, []string{"workspace"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "throughline_clusterer_seconds", Help: "Duration of a step: take (deciding on one input), tell (writing and publishing what was decided on a batch).",
			Buckets: prometheus.ExponentialBuckets(0.000_1, 3, 11), // 100 µs to 6 s
		}, []string{"step"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_clusterer_changes_total", Help: "Clusters that merged into another or were split from one, by change (merge, split).",
		}, []string{"change"}),
	}
	for _, c := range []prometheus.Collector{m.assigned, m.gaps, m.position, m.seconds, m.changes} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register clusterer metrics: %w", err)
		}
	}
	for _, change := range []string{"merge", "split"} {
		m.changes.WithLabelValues(change)
	}
	return m, nil
}
