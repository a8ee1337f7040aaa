package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	settled *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	pending *prometheus.GaugeVec
	lag     *prometheus.GaugeVec
	shards  *prometheus.GaugeVec
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
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_bus_pending", Help: "Messages that a durable has before it, as of its last fetch.",
		}, []string{"durable"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_bus_lag_seconds", Help: "Age of the oldest message that a durable has in hand; 0 when it has none.",
		}, []string{"durable"}),
		shards: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_bus_shards", Help: "Shards that this process has a part in, by the work on them: owned, or ready to be taken over.",
		}, []string{"work", "part"}),
	}
	for _, c := range []prometheus.Collector{m.settled, m.seconds, m.pending, m.lag, m.shards} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register bus metrics: %w", err)
		}
	}
	return m, nil
}

// outcomes are what settling a message can come to.
var outcomes = []string{"ok", "retry", "dead", "interrupted"}

// expect makes a durable's series exist before anything happened to it: a counter that
// first shows up at one never increased, and an alert on it would miss its first case.
func (m *metrics) expect(durable string) {
	for _, o := range outcomes {
		m.settled.WithLabelValues(durable, o)
	}
	m.rest(durable)
}

// rest says that a durable has nothing to do.
func (m *metrics) rest(durable string) {
	m.pending.WithLabelValues(durable).Set(0)
	m.lag.WithLabelValues(durable).Set(0)
}

// streams tells, at each scrape, how much every stream holds. While the server is away it
// tells nothing.
type streams struct {
	js       jetstream.JetStream
	messages *prometheus.Desc
	bytes    *prometheus.Desc
}

// scrapeTimeout bounds what a scrape waits for the server.
const scrapeTimeout = 2 * time.Second

func newStreams(js jetstream.JetStream) *streams {
	return &streams{
		js:       js,
		messages: prometheus.NewDesc("throughline_bus_stream_messages", "Messages that a stream holds; those of DEADLETTERS were given up on.", []string{"stream"}, nil),
		bytes:    prometheus.NewDesc("throughline_bus_stream_bytes", "What a stream takes on the disk of its server.", []string{"stream"}, nil),
	}
}

// Describe names both.
func (s *streams) Describe(out chan<- *prometheus.Desc) { out <- s.messages; out <- s.bytes }

// Collect asks the server.
func (s *streams) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, row := range Topology {
		stream, err := s.js.Stream(ctx, row.Name)
		if err != nil {
			return
		}
		state := stream.CachedInfo().State
		out <- prometheus.MustNewConstMetric(s.messages, prometheus.GaugeValue, float64(state.Msgs), row.Name)
		out <- prometheus.MustNewConstMetric(s.bytes, prometheus.GaugeValue, float64(state.Bytes), row.Name)
	}
}
