package classifier

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/mask"
	"github.com/throughline-dev/throughline/services/classifier/internal/fit"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/measure"
)

// ClassifyOptions say how classification is evaluated.
type ClassifyOptions struct {
	// Fields are the fields of a line that hold labels; kind and sentiment where empty.
	Fields []string
	Labels Labels
	// Fit has labelled lines to fit a head on first, with the same fields and labels; nil
	// means the heads as shipped. Unlike the input it is read whole.
	Fit io.Reader
	// Against has the answers of another configuration to the same input, in its order; nil
	// compares with nothing.
	Against io.Reader
}

// ClassifyReport is what an evaluation of classification measured, by field: kind, sentiment.
type ClassifyReport struct {
	Items     int                           `json:"items"`
	Fields    map[string]measure.Report     `json:"fields"`
	Against   map[string]measure.Comparison `json:"against,omitempty"`
	Fitted    string                        `json:"fitted,omitempty"` // the field that a head was fitted for
	FittedOn  int                           `json:"fitted_on,omitempty"`
	PerSecond float64                       `json:"items_per_second"`
}

// classifyBatch is how many lines are embedded at once.
const classifyBatch = 256

// EvalClassify judges lines {"id"?,"text","body"?,…} with the heads, the masking and the
// embedder of the service, and writes {"id","kind","sentiment","confidence"} for each, in
// order. A line without id has its number. Labels are only compared with afterwards; lines
// without one are answered and not scored. Input and output are streamed; a line that cannot
// be read is an error that names it.
func EvalClassify(ctx context.Context, r io.Reader, embedder embed.Embedder, w io.Writer, o ClassifyOptions) (ClassifyReport, error) {
	j, err := judge.Shipped()
	if err != nil {
		return ClassifyReport{}, err
	}
	if len(o.Fields) == 0 {
		o.Fields = []string{fieldKind, fieldSentiment}
	}
	c := &classifying{o: o, judge: j, embedder: embedder, tallies: map[string]*measure.Tally{}, pairs: map[string]*measure.Pair{}}
	if o.Fit != nil {
		if err := c.fit(ctx); err != nil {
			return ClassifyReport{}, err
		}
	}
	if o.Against != nil {
		c.against = lines(o.Against)
	}
	begun := time.Now()
	out := bufio.NewWriter(w)
	if err := c.run(ctx, lines(r), json.NewEncoder(out)); err != nil {
		return ClassifyReport{}, err
	}
	if err := out.Flush(); err != nil {
		return ClassifyReport{}, fmt.Errorf("write answers: %w", err)
	}
	c.report.PerSecond = float64(c.report.Items) / time.Since(begun).Seconds()
	c.report.Fields = map[string]measure.Report{}
	for field, t := range c.tallies {
		c.report.Fields[field] = t.Report()
	}
	for field, p := range c.pairs {
		if c.report.Against == nil {
			c.report.Against = map[string]measure.Comparison{}
		}
		c.report.Against[field] = p.Compare()
	}
	return c.report, nil
}

type classifying struct {
	o        ClassifyOptions
	judge    *judge.Judge
	embedder embed.Embedder
	own      *fit.Own // fitted on the set itself, or nil
	against  *reading
	tallies  map[string]*measure.Tally
	pairs    map[string]*measure.Pair
	report   ClassifyReport
}

// labelled is a line of the input.
type labelled struct {
	id         json.RawMessage
	text, body string
	labels     []label
	vector     []float32
}

// answer is a line of the output.
type answer struct {
	ID         json.RawMessage `json:"id"`
	Kind       string          `json:"kind"`
	Sentiment  float64         `json:"sentiment"`
	Confidence float64         `json:"confidence"`
}

func (c *classifying) run(ctx context.Context, in *reading, out *json.Encoder) error {
	for {
		batch, err := c.batch(ctx, in)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, l := range batch {
			a, moodConfidence := c.answer(l)
			if err := out.Encode(a); err != nil {
				return fmt.Errorf("write answers: %w", err)
			}
			c.report.Items++
			if err := c.score(l, a, moodConfidence); err != nil {
				return err
			}
		}
	}
}

// batch reads and embeds the next lines.
func (c *classifying) batch(ctx context.Context, in *reading) ([]labelled, error) {
	var batch []labelled
	for len(batch) < classifyBatch {
		raw, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		l, err := c.parse(raw, in.number)
		if err != nil {
			return nil, fmt.Errorf("read line %d: %w", in.number, err)
		}
		batch = append(batch, l)
	}
	if len(batch) == 0 {
		return nil, nil
	}
	texts := make([]string, len(batch))
	for i, l := range batch {
		texts[i] = mask.Mask(l.text).Text
	}
	vectors, err := c.embedder.Embed(ctx, texts)
	if err != nil {
		return nil, err
	}
	for i := range batch {
		batch[i].vector = vectors[i]
	}
	return batch, nil
}

func (c *classifying) parse(raw []byte, number int) (labelled, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return labelled{}, errors.New("not a JSON object")
	}
	l := labelled{id: fields["id"]}
	if len(l.id) == 0 {
		l.id = json.RawMessage(strconv.Quote(strconv.Itoa(number)))
	}
	if json.Unmarshal(fields["text"], &l.text) != nil {
		return labelled{}, errors.New("text is missing or no string")
	}
	if b := fields["body"]; len(b) > 0 && json.Unmarshal(b, &l.body) != nil {
		return labelled{}, errors.New("body is no string")
	}
	for _, name := range c.o.Fields {
		found, err := c.o.Labels.read(fields[name], c.o.Fit != nil)
		if err != nil {
			return labelled{}, err
		}
		l.labels = append(l.labels, found...)
	}
	return l, nil
}

// answer judges a line. moodConfidence is how sure the sentiment is of its sign and size.
func (c *classifying) answer(l labelled) (a answer, moodConfidence float64) {
	space := c.embedder.Space().ID()
	v := c.judge.Whole(space, l.vector, l.text, l.body)
	a = answer{ID: l.id, Kind: string(v.Kind), Sentiment: v.Sentiment, Confidence: v.Confidence}
	if c.own == nil {
		return a, -1
	}
	p := c.own.Probabilities(l.text, l.body, l.vector)
	best := slices.Index(p, slices.Max(p))
	if c.report.Fitted == fieldKind {
		a.Kind, a.Confidence = c.own.Labels()[best], p[best]
		return a, -1
	}
	a.Sentiment = sentiment(c.own.Labels(), p)
	return a, p[best]
}

// sentiment is the probability of good less that of bad. A set without neutral texts has no
// neutral answers.
func sentiment(moods []string, p []float64) float64 {
	s := 0.0
	for i, m := range moods {
		switch m {
		case judge.Positive:
			s += p[i]
		case judge.Negative:
			s -= p[i]
		}
	}
	const edge = 0.201
	switch {
	case slices.Contains(moods, judge.Neutral):
		return s
	case s < 0:
		return -edge + (1-edge)*s
	}
	return edge + (1-edge)*s
}

// score compares an answer with the labels, and with what the other configuration said.
func (c *classifying) score(l labelled, a answer, moodConfidence float64) error {
	var other answer
	if c.against != nil {
		raw, err := c.against.next()
		if err != nil {
			return fmt.Errorf("read the answers to compare with: %w", err)
		}
		if json.Unmarshal(raw, &other) != nil || !bytes.Equal(other.ID, a.ID) {
			return fmt.Errorf("read the answers to compare with: line %d is not the answer to the input's", c.against.number)
		}
	}
	for _, want := range l.labels {
		got, rival, confidence := a.Kind, other.Kind, a.Confidence
		if want.field == fieldSentiment {
			got, rival, confidence = measure.Mood(a.Sentiment), measure.Mood(other.Sentiment), moodConfidence
		}
		if c.tallies[want.field] == nil {
			c.tallies[want.field] = &measure.Tally{}
		}
		c.tallies[want.field].Add(want.value, got, confidence)
		if c.against == nil {
			continue
		}
		if c.pairs[want.field] == nil {
			c.pairs[want.field] = &measure.Pair{}
		}
		if !c.pairs[want.field].Add(want.value, got, rival) {
			return errors.New("compare answers: more different labels than can be compared")
		}
	}
	return nil
}

// fit fits a head on the set's own lines.
func (c *classifying) fit(ctx context.Context) error {
	var examples []fit.Example
	fields := map[string]int{}
	in := lines(c.o.Fit)
	for {
		batch, err := c.batch(ctx, in)
		if err != nil {
			return fmt.Errorf("fit: %w", err)
		}
		if len(batch) == 0 {
			break
		}
		for _, l := range batch {
			if len(l.labels) != 1 {
				continue
			}
			fields[l.labels[0].field]++
			examples = append(examples, fit.Example{Text: l.text, Body: l.body, Vector: l.vector, Label: l.labels[0].value})
		}
	}
	if len(fields) != 1 {
		return fmt.Errorf("fit: the lines must have labels of one field, not of %d", len(fields))
	}
	own, err := fit.NewOwn(c.judge.Lexicon(), examples)
	if err != nil {
		return err
	}
	c.own, c.report.FittedOn = own, len(examples)
	c.report.Fitted = slices.Collect(maps.Keys(fields))[0]
	return nil
}

// reading reads lines, skipping empty ones.
type reading struct {
	from   *bufio.Reader
	number int
}

func lines(r io.Reader) *reading { return &reading{from: bufio.NewReaderSize(r, 1<<16)} }

// next returns the next line that is not empty, or io.EOF.
func (r *reading) next() ([]byte, error) {
	for {
		raw, err := r.from.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read line %d: %w", r.number+1, err)
		}
		if len(raw) == 0 {
			return nil, io.EOF
		}
		r.number++
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			return raw, nil
		}
	}
}
