package classifier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/mask"
	"github.com/throughline-dev/throughline/services/classifier/internal/attribute"
	"github.com/throughline-dev/throughline/services/classifier/internal/chat"
	"github.com/throughline-dev/throughline/services/classifier/internal/correction"
	"github.com/throughline-dev/throughline/services/classifier/internal/extract"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/language"
)

// reader turns texts into readings. It is what the service and the evaluation share.
type reader struct {
	judge    *judge.Judge
	embedder embed.Embedder
	chat     *chat.Client // nil where there is none
	askBelow float64      // the confidence below which a signal makes its item one for the chat model
	metrics  *metrics

	own func(ctx context.Context, workspace string) *correction.Head // of a workspace; nil where there is none
}

// passage is a text to read, and whose it is.
type passage struct{ workspace, text string }

// readout is what was found in a text.
type readout struct {
	findings []finding
	language language.Language
	silence  string // why there are no findings, by the words of package extract
	by       event.Reader
	wanting  bool // the chat model was to read it, and could not
}

// finding is a signal before it belongs to an item.
type finding struct {
	span   feedback.Span
	quote  string
	vector []float32
	judge.Judgement
	attributes feedback.Attributes
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

// askedAtOnce is how many texts wait for the chat model together; how many of them are with
// it is its own setting.
const askedAtOnce = 64

// read finds the signals of each text, in order: by the heads, and where those are unsure by
// the chat model, if there is one. All spans are embedded together. The error is the
// embedder's; a chat model that fails costs quality, never the result.
func (r *reader) read(ctx context.Context, passages []passage) ([]readout, error) {
	out := make([]readout, len(passages))
	candidates := make([][]candidate, len(passages))
	for i, p := range passages {
		out[i] = readout{language: language.Of(p.text), by: event.Heads}
		if extract.Machine(p.text) {
			out[i].silence = extract.Automatic
			continue
		}
		candidates[i] = r.local(p.text)
	}
	if err := r.settle(ctx, passages, candidates, out); err != nil {
		return nil, err
	}
	if r.chat != nil {
		if err := r.improve(ctx, passages, out); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if len(out[i].findings) == 0 && out[i].silence == "" {
			out[i].silence = extract.Reason(passages[i].text)
		}
	}
	return out, nil
}

// improve has the chat model read what the heads were unsure of.
func (r *reader) improve(ctx context.Context, passages []passage, out []readout) error {
	var unsure []int
	for i := range out {
		if r.unsure(passages[i].text, out[i]) {
			unsure = append(unsure, i)
		}
	}
	if len(unsure) == 0 {
		return nil
	}
	asked, better, candidates := make([]passage, len(unsure)), make([]readout, len(unsure)), make([][]candidate, len(unsure))
	for n, i := range unsure {
		asked[n], better[n] = passages[i], readout{language: out[i].language, by: event.Model}
	}
	answered := r.ask(ctx, asked, candidates)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.settle(ctx, asked, candidates, better); err != nil {
		return err
	}
	for n, i := range unsure {
		if answered[n] {
			out[i] = better[n]
		} else {
			out[i].wanting = true
		}
	}
	return nil
}

// unsure reports whether a reading is one that a chat model could better: there are words of
// the customer's own, and the heads are not sure of what they say.
func (r *reader) unsure(text string, was readout) bool {
	if was.silence != "" || len(was.findings) == 0 && extract.Reason(text) != extract.Neutral {
		return false
	}
	for _, f := range was.findings {
		if f.Confidence < r.askBelow {
			return true
		}
	}
	return len(was.findings) == 0
}

// settle embeds candidates and makes findings of them.
func (r *reader) settle(ctx context.Context, passages []passage, candidates [][]candidate, out []readout) error {
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
			return fmt.Errorf("embed signals: %w", err)
		}
		r.metrics.took("embed", start)
	}
	start := time.Now()
	at := 0
	for i, item := range candidates {
		var own *correction.Head
		if r.own != nil && len(item) > 0 {
			own = r.own(ctx, passages[i].workspace)
		}
		for n, c := range item {
			if f, ok := r.decide(c, vectors[at], out[i].language); ok {
				if own != nil && c.by == nil {
					f = r.correct(f, own)
				}
				end := len(passages[i].text)
				if n+1 < len(item) {
					end = item[n+1].span.Start
				}
				out[i].findings = append(out[i].findings, describe(f, passages[i].text[f.span.Start:end], out[i].language))
			}
			at++
		}
	}
	r.metrics.took("judge", start)
	return nil
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

// ask finds candidates by the chat model, several texts at once, and says of which it gave
// an answer worth keeping.
func (r *reader) ask(ctx context.Context, passages []passage, out [][]candidate) []bool {
	answered := make([]bool, len(passages))
	places := make(chan int)
	var wg sync.WaitGroup
	for range min(askedAtOnce, len(passages)) {
		wg.Go(func() {
			for i := range places {
				out[i], answered[i] = r.askOne(ctx, passages[i])
			}
		})
	}
	for i := range passages {
		places <- i
	}
	close(places)
	wg.Wait()
	return answered
}

func (r *reader) askOne(ctx context.Context, p passage) ([]candidate, bool) {
	start := time.Now()
	answer, err := r.chat.Extract(ctx, p.workspace, p.text)
	r.metrics.asked(answer, err, start)
	if err != nil || len(answer.Findings) == 0 && answer.Dropped > 0 {
		r.metrics.fallbacks.Inc()
		return nil, false
	}
	var out []candidate
	for _, f := range answer.Findings {
		if len(out) == maxSignals {
			break
		}
		out = append(out, candidate{span: f.Span, quote: p.text[f.Start:f.End], kind: f.Kind, by: &f})
	}
	return out, true
}

// correct has a workspace's own head speak.
func (r *reader) correct(f finding, own *correction.Head) finding {
	kind, sure := own.Kind(f.vector, f.Kind)
	if sure == 0 || kind == f.Kind {
		return f
	}
	f.Judgement = r.judge.As(kind, f.Judgement, f.quote)
	f.Confidence = sure
	return f
}

// as is a finding that a person says is of a kind: what follows from the kind follows, and
// nothing is as sure. around is the text from the finding on, to the next one.
func (r *reader) as(kind feedback.Kind, f finding, around string, l language.Language) finding {
	f.Judgement = r.judge.As(kind, f.Judgement, f.quote)
	f.Confidence = 1
	return describe(f, around, l)
}

// describe adds to a finding what its words and those after it say.
func describe(f finding, around string, l language.Language) finding {
	f.attributes = attribute.Of(f.Kind, f.quote, around, f.Severity)
	f.attributes.Language, f.attributes.Unsupported = l.Code, !l.Supported
	return f
}

// unsupportedConfidence is the most that the heads' word counts for in a language that they
// were not made for.
const unsupportedConfidence = 0.3

// decide makes a finding of a candidate, or nothing where it says nothing. What is in a
// language that the heads do not understand always says something.
func (r *reader) decide(c candidate, vector []float32, l language.Language) (finding, bool) {
	j := r.judge.Judge(r.embedder.Space().ID(), vector, judge.Part{Text: c.quote, Weight: 1})
	switch {
	case c.by != nil:
		j = r.judge.As(c.by.Kind, j, c.quote)
		j.Sentiment, j.Severity, j.Confidence = c.by.Sentiment, c.by.Severity, c.by.Confidence
		if c.by.Area != "" {
			j.Area = c.by.Area
		}
		return finding{span: c.span, quote: c.quote, vector: vector, Judgement: j}, true
	case j.Kind == feedback.Other:
		if c.kind == feedback.Other && j.Confidence >= certainlyNothing && l.Supported {
			return finding{}, false
		}
		kind := c.kind
		if kind == feedback.Other {
			kind = j.Otherwise
		}
		j = r.judge.As(kind, j, c.quote)
		j.Confidence = 1 - j.Confidence
	}
	if !l.Supported {
		j.Confidence = min(j.Confidence, unsupportedConfidence)
	}
	return finding{span: c.span, quote: c.quote, vector: vector, Judgement: j}, true
}
