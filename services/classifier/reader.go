package classifier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/chat"
	"github.com/throughline-dev/throughline/services/classifier/internal/extract"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/pkg/mask"
)

// reader turns texts into findings. It is what the service and the evaluation share.
type reader struct {
	judge       *judge.Judge
	embedder    embed.Embedder
	chat        *chat.Client // nil where there is none
	concurrency int
	metrics     *metrics
}

// finding is a signal before it belongs to an item.
type finding struct {
	span   feedback.Span
	quote  string
	vector []float32
	judge.Judgement
}

// candidate is a span that may be a finding. by is nil where the heads shall judge it.
type candidate struct {
	span  feedback.Span
	quote string
	kind  feedback.Kind
	by    *chat.Finding
}

// maxSignals is how many signals one item may have: beyond it, text is a document, not
// feedback, and the first are the ones that matter.
const maxSignals = 24

// certainlyNothing is the probability from which a text that says nothing to act on makes no
// signal. Below it, it is kept as the next likely kind: a wrong signal can be ignored by a
// person, a lost one cannot be found.
const certainlyNothing = 0.6

// read finds the signals of each text, in order. All spans are embedded in one call. The
// error is the embedder's; a chat model that fails costs quality, never the result.
func (r *reader) read(ctx context.Context, texts []string) ([][]finding, error) {
	candidates := make([][]candidate, len(texts))
	if r.chat == nil {
		for i, t := range texts {
			candidates[i] = r.local(t)
		}
	} else {
		r.ask(ctx, texts, candidates)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	var quotes []string
	for _, item := range candidates {
		for _, c := range item {
			quotes = append(quotes, mask.Mask(c.quote).Text)
		}
	}
	var vectors [][]float32
	if len(quotes) > 0 {
		start := time.Now()
		var err error
		if vectors, err = r.embedder.Embed(ctx, quotes); err != nil {
			return nil, fmt.Errorf("embed signals: %w", err)
		}
		r.metrics.took("embed", start)
	}
	start := time.Now()
	out, at := make([][]finding, len(texts)), 0
	for i, item := range candidates {
		for _, c := range item {
			if f, ok := r.decide(c, vectors[at]); ok {
				out[i] = append(out[i], f)
			}
			at++
		}
	}
	r.metrics.took("judge", start)
	return out, nil
}

// local finds candidates by the heads that ship.
func (r *reader) local(text string) []candidate {
	start := time.Now()
	defer r.metrics.took("extract", start)
	var out []candidate
	for _, c := range extract.Spans(text, r.judge.Clause) {
		if len(out) == maxSignals {
			break
		}
		out = append(out, candidate{span: c.Span, quote: text[c.Start:c.End], kind: c.Kind})
	}
	return out
}

// ask finds candidates by the chat model, several texts at once, and by the heads where the
// model does not answer or has no answer worth keeping.
func (r *reader) ask(ctx context.Context, texts []string, out [][]candidate) {
	places := make(chan int)
	var wg sync.WaitGroup
	for range min(r.concurrency, len(texts)) {
		wg.Go(func() {
			for i := range places {
				out[i] = r.askOne(ctx, texts[i])
			}
		})
	}
	for i := range texts {
		places <- i
	}
	close(places)
	wg.Wait()
}

func (r *reader) askOne(ctx context.Context, text string) []candidate {
	if extract.Noise(text) {
		return nil
	}
	start := time.Now()
	answer, err := r.chat.Extract(ctx, text)
	r.metrics.asked(answer.Usage, answer.Dropped, chat.Outcome(err), start)
	if err != nil || len(answer.Findings) == 0 && answer.Dropped > 0 {
		r.metrics.fallbacks.Inc()
		return r.local(text)
	}
	var out []candidate
	for _, f := range answer.Findings {
		if len(out) == maxSignals {
			break
		}
		out = append(out, candidate{span: f.Span, quote: text[f.Start:f.End], kind: f.Kind, by: &f})
	}
	return out
}

// decide makes a finding of a candidate, or nothing where it says nothing.
func (r *reader) decide(c candidate, vector []float32) (finding, bool) {
	j := r.judge.Judge(r.embedder.Space().ID(), vector, judge.Part{Text: c.quote, Weight: 1})
	if c.by != nil {
		j = r.judge.As(c.by.Kind, j, c.quote)
		j.Sentiment, j.Severity, j.Confidence = c.by.Sentiment, c.by.Severity, c.by.Confidence
		if c.by.Area != "" {
			j.Area = c.by.Area
		}
	} else if j.Kind == feedback.Other {
		if c.kind == feedback.Other && j.Confidence >= certainlyNothing {
			return finding{}, false
		}
		kind := c.kind
		if kind == feedback.Other {
			kind = j.Otherwise
		}
		j = r.judge.As(kind, j, c.quote)
		j.Confidence = 1 - j.Confidence
	}
	return finding{span: c.span, quote: c.quote, vector: vector, Judgement: j}, true
}
