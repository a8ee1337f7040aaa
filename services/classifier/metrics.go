package classifier

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/classifier/internal/chat"
)

type metrics struct {
	items     *prometheus.CounterVec
	signals   *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	calls     *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	fallbacks prometheus.Counter
	dropped   prometheus.Counter
	repeats   prometheus.Counter
	cost      prometheus.Counter
	rereads   prometheus.Counter
	silences  *prometheus.CounterVec
	languages *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		items:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_items_total", Help: "Events of the items stream that got their result, by type."}, []string{"type"}),
		signals:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_signals_total", Help: "Signals found, by kind."}, []string{"kind"}),
		seconds:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "throughline_classifier_seconds", Help: "Duration of a step: extract (one item), chat (one item), embed, judge, write, publish (one batch).", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"step"}),
		calls:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_model_calls_total", Help: "Items given to the chat model, by outcome (ok, recalled, limited, unavailable, timeout, invalid, refused, open, budget)."}, []string{"outcome"}),
		tokens:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_model_tokens_total", Help: "Tokens that the chat model reported, by direction (prompt, completion)."}, []string{"direction"}),
		fallbacks: prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_classifier_fallbacks_total", Help: "Items that the shipped heads read because the chat model gave no usable answer."}),
		dropped:   prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_classifier_quotes_dropped_total", Help: "Answers of the chat model dropped because their quote is not in the text or their kind is none of ours."}),
		repeats:   prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_classifier_model_repeats_total", Help: "Calls of the chat model made again after one that failed."}),
		cost:      prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_classifier_model_cost_total", Help: "What the chat model cost, in the currency of the configured prices."}),
		rereads:   prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_classifier_rereads_total", Help: "Items given to the chat model again because it gave no answer before."}),
		silences:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_silences_total", Help: "Items without a signal, by reason (empty, automatic, thanks, courtesy, quoted, neutral)."}, []string{"reason"}),
		languages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_classifier_unsupported_languages_total", Help: "Items in a language that the shipped model does not understand, by ISO 639-1 code."}, []string{"language"}),
	}
	for _, c := range []prometheus.Collector{m.items, m.signals, m.seconds, m.calls, m.tokens, m.fallbacks, m.dropped, m.repeats, m.cost, m.rereads, m.silences, m.languages} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register classifier metrics: %w", err)
		}
	}
	// What alerts count exists from the start: a series that begins at one never increased.
	for _, outcome := range []string{"ok", "recalled", "limited", "unavailable", "timeout", "invalid", "refused", "open", "budget"} {
		m.calls.WithLabelValues(outcome)
	}
	for _, direction := range []string{"prompt", "completion"} {
		m.tokens.WithLabelValues(direction)
	}
	return m, nil
}

func (m *metrics) took(step string, since time.Time) {
	m.seconds.WithLabelValues(step).Observe(time.Since(since).Seconds())
}

func (m *metrics) asked(a chat.Answer, err error, since time.Time) {
	m.took("chat", since)
	outcome := chat.Outcome(err)
	if a.Recalled {
		outcome = "recalled"
	}
	m.calls.WithLabelValues(outcome).Inc()
	m.tokens.WithLabelValues("prompt").Add(float64(a.Usage.Prompt))
	m.tokens.WithLabelValues("completion").Add(float64(a.Usage.Completion))
	m.cost.Add(a.Usage.Cost)
	m.repeats.Add(float64(a.Repeats))
	m.dropped.Add(float64(a.Dropped))
}

func (m *metrics) read(r *event.Reading) {
	if r.Silence != "" {
		m.silences.WithLabelValues(r.Silence).Inc()
	}
	if r.Unsupported {
		m.languages.WithLabelValues(r.Language).Inc()
	}
}
