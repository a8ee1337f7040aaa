package clusterer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	assigned prometheus.Counter
	gaps     prometheus.Counter
	position *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		assigned: prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_clusterer_assignments_total", Help: "Assignments made or changed."}),
		gaps:     prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_clusterer_gaps_total", Help: "Items passed over for want of a result."}),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_clusterer_position", Help: "Inputs taken and told, by workspace."}, []string{"workspace"}),
	}
	for _, c := range []prometheus.Collector{m.assigned, m.gaps, m.position} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register clusterer metrics: %w", err)
		}
	}
	return m, nil
}
