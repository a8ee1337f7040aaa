package classifier

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/agreement"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
)

// ExtractReport is what an evaluation of extraction measured.
type ExtractReport struct {
	Items   int `json:"items"`
	Signals int `json:"signals"`
	// Exact is the share of quotes that are the bytes of the text at their span.
	Exact float64 `json:"quotes_byte_exact"`
	// PerSecond is items per second of the whole run, embedding included.
	PerSecond float64 `json:"items_per_second"`
	// All compares with labels, over the items that had some; Origins by the property
	// "origin" of the lines, where they have one.
	All     *agreement.Scores           `json:"agreement,omitempty"`
	Origins map[string]agreement.Scores `json:"by_origin,omitempty"`
}

// extractLine is a line to evaluate. Signals is nil where the item has no labels.
type extractLine struct {
	ID      string           `json:"id"`
	Origin  string           `json:"origin"`
	Text    string           `json:"text"`
	Signals *[]extractSignal `json:"signals"`
}

type extractSignal struct {
	Kind  feedback.Kind `json:"kind"`
	Start int           `json:"start"`
	End   int           `json:"end"`
	Quote string        `json:"quote"`
}

// evalBatch is how many items an evaluation reads at once: their spans are embedded in one
// call.
const evalBatch = 256

// EvalExtract finds the signals of the items of r, JSON lines {"id","text"}, with the code of
// the service, and writes {"id","signals":[{"kind","start","end","quote"}]} for each, in
// order; start and end are byte offsets into text. Lines that have "signals" of the same form
// are compared with what was found. A line that is not JSON, has no id, or whose labels are
// not spans of its text is an error that names it and quotes nothing. The input is streamed.
func EvalExtract(ctx context.Context, r io.Reader, embedder embed.Embedder, w io.Writer) (ExtractReport, error) {
	j, err := judge.Shipped()
	if err != nil {
		return ExtractReport{}, err
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return ExtractReport{}, err
	}
	out := bufio.NewWriter(w)
	e := &extractEval{
		reader: &reader{judge: j, embedder: embedder, metrics: m}, out: json.NewEncoder(out),
		origins: map[string]*agreement.Tally{},
	}
	begun := time.Now()
	if err := e.run(ctx, bufio.NewReaderSize(r, 1<<16)); err != nil {
		return ExtractReport{}, errors.Join(err, out.Flush())
	}
	if err := out.Flush(); err != nil {
		return ExtractReport{}, fmt.Errorf("write signals: %w", err)
	}
	return e.report(time.Since(begun)), nil
}

type extractEval struct {
	reader  *reader
	out     *json.Encoder
	all     agreement.Tally
	origins map[string]*agreement.Tally

	items, signals, exact, labelled int
}

func (e *extractEval) run(ctx context.Context, in *bufio.Reader) error {
	var batch []extractLine
	for number := 1; ; number++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", number, err)
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			line, bad := parseExtractLine(raw)
			if bad != nil {
				return fmt.Errorf("read line %d: %w", number, bad)
			}
			batch = append(batch, line)
		}
		if len(batch) == evalBatch || err != nil && len(batch) > 0 {
			if err := e.take(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if err != nil {
			return nil
		}
	}
}

func parseExtractLine(raw []byte) (extractLine, error) {
	var l extractLine
	if json.Unmarshal(raw, &l) != nil {
		return l, errors.New("it is not a JSON object of an item")
	}
	if l.ID == "" {
		return l, errors.New("it has no id")
	}
	if l.Signals == nil {
		return l, nil
	}
	for i, s := range *l.Signals {
		if s.Start < 0 || s.End <= s.Start || s.End > len(l.Text) || s.Quote != "" && s.Quote != l.Text[s.Start:s.End] {
			return l, fmt.Errorf("label %d is no span of its text", i)
		}
	}
	return l, nil
}

func (e *extractEval) take(ctx context.Context, batch []extractLine) error {
	passages := make([]passage, len(batch))
	for i, l := range batch {
		passages[i].text = l.Text
	}
	found, err := e.reader.read(ctx, passages)
	if err != nil {
		return err
	}
	for i, l := range batch {
		answer := struct {
			ID      string          `json:"id"`
			Signals []extractSignal `json:"signals"`
		}{l.ID, make([]extractSignal, 0, len(found[i].findings))}
		var spans []agreement.Signal
		for _, f := range found[i].findings {
			answer.Signals = append(answer.Signals, extractSignal{f.Kind, f.span.Start, f.span.End, f.quote})
			spans = append(spans, agreement.Signal{Kind: f.Kind, Span: f.span})
			e.signals++
			if l.Text[f.span.Start:f.span.End] == f.quote {
				e.exact++
			}
		}
		e.items++
		if err := e.out.Encode(answer); err != nil {
			return fmt.Errorf("write signals: %w", err)
		}
		if l.Signals != nil {
			e.compare(l, spans)
		}
	}
	return nil
}

func (e *extractEval) compare(l extractLine, found []agreement.Signal) {
	var labels []agreement.Signal
	for _, s := range *l.Signals {
		labels = append(labels, agreement.Signal{Kind: s.Kind, Span: feedback.Span{Start: s.Start, End: s.End}})
	}
	e.labelled++
	e.all.Add(l.Text, found, labels)
	if l.Origin == "" {
		return
	}
	if e.origins[l.Origin] == nil {
		e.origins[l.Origin] = &agreement.Tally{}
	}
	e.origins[l.Origin].Add(l.Text, found, labels)
}

func (e *extractEval) report(took time.Duration) ExtractReport {
	r := ExtractReport{Items: e.items, Signals: e.signals, Exact: 1, PerSecond: float64(e.items) / took.Seconds()}
	if e.signals > 0 {
		r.Exact = float64(e.exact) / float64(e.signals)
	}
	if e.labelled == 0 {
		return r
	}
	all := e.all.Scores()
	r.All, r.Origins = &all, map[string]agreement.Scores{}
	for name, t := range e.origins {
		r.Origins[name] = t.Scores()
	}
	return r
}
