// Package evaluation streams labelled data through the clusterer's own code
// and measures what comes out: `throughline eval cluster`.
//
// It promises that lines are clustered in file order, one pass, with nothing
// known of labels or of how many clusters there are; that the output has one
// line per input line, in the same order, after all merges; and that memory
// grows with the clusterer's state, not with the texts. A line without an id has
// its number for one. It refuses lines that are not JSON, have no text, or
// repeat an id, naming the line and never its text.
package evaluation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/score"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Embedder turns texts into vectors, one each, all of the same length.
type Embedder interface {
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Options of a run.
type Options struct {
	Space space.Options
	// Batch is how many texts are embedded at once; 256 where zero. It changes
	// nothing but the speed.
	Batch int
	// Now tells the time, for the rates.
	Now func() time.Time
}

// Report is what was measured. Scores are present where every line had a
// label.
type Report struct {
	Items    int `json:"items"`
	Clusters int `json:"clusters"`
	// OverTrue is clusters found over labels there are.
	OverTrue float64 `json:"clusters_over_true,omitempty"`
	// Unassigned is the share of items that are a cluster of their own.
	Unassigned float64 `json:"unassigned"`
	// Scores compare the final clusters with the labels, AtArrival what was
	// said of the second half of the items at the moment they came, ids
	// resolved through later merges.
	Scores    *score.Scores `json:"scores,omitempty"`
	AtArrival *score.Scores `json:"at_arrival,omitempty"`
	// Churn is how many times a signal went to another cluster in the mean,
	// other than with a whole cluster that was merged.
	Churn float64 `json:"churn"`
	// LateChurn is the part of it that fell into the last fifth of the items.
	LateChurn float64 `json:"late_churn"`
	// PerSecond is items per second of clustering alone; WithEmbedding of the
	// whole run.
	PerSecond     float64 `json:"items_per_second_clustering"`
	WithEmbedding float64 `json:"items_per_second"`
}

type line struct {
	ID    string  `json:"id"`
	Text  string  `json:"text"`
	Label *string `json:"label"`
}

type result struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster"`
}

// Cluster reads JSON lines {"id","text","time"?,"label"?} and writes
// {"id","cluster"} lines once all are in.
func Cluster(ctx context.Context, r io.Reader, embedder Embedder, w io.Writer, o Options) (Report, error) {
	run := newRun(o)
	begun := o.Now()
	err := o.read(r, func(batch []line) error {
		vectors, err := vectorsOf(ctx, embedder, batch)
		if err != nil {
			return err
		}
		return run.insert(batch, vectors)
	})
	if err != nil {
		return Report{}, err
	}
	if run.space == nil {
		return Report{}, errors.New("evaluate clusters: no lines")
	}
	report, err := run.report()
	if err != nil {
		return Report{}, err
	}
	report.WithEmbedding = rate(len(run.ids), o.Now().Sub(begun))
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	for i, id := range run.ids {
		if err := encoder.Encode(result{id, run.final[i]}); err != nil {
			return Report{}, fmt.Errorf("write clusters: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return Report{}, fmt.Errorf("write clusters: %w", err)
	}
	return report, nil
}

// read takes lines from a reader and hands them on in batches, which are the
// caller's until it returns.
func (o Options) read(from io.Reader, take func([]line) error) error {
	in := bufio.NewReaderSize(from, 1<<16)
	size := o.Batch
	if size <= 0 {
		size = 256
	}
	var batch []line
	for number := 1; ; number++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", number, err)
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			var l line
			if json.Unmarshal(raw, &l) != nil {
				return fmt.Errorf("read line %d: not a JSON object with string id, text and label", number)
			}
			if l.Text == "" {
				return fmt.Errorf("read line %d: text is missing", number)
			}
			if l.ID == "" {
				l.ID = strconv.Itoa(number)
			}
			batch = append(batch, l)
		}
		if len(batch) == size || (err != nil && len(batch) > 0) {
			if err := take(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if err != nil {
			return nil
		}
	}
}

func vectorsOf(ctx context.Context, embedder Embedder, batch []line) ([][]float32, error) {
	texts := make([]string, len(batch))
	for i, l := range batch {
		texts[i] = l.Text
	}
	vectors, err := embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed texts: %w", err)
	}
	if len(vectors) != len(texts) {
		return nil, fmt.Errorf("embed texts: %d vectors for %d texts", len(vectors), len(texts))
	}
	return vectors, ctx.Err()
}

// run is one pass over the items.
type run struct {
	options Options
	space   *space.Space
	ids     []string
	labels  []string
	arrival []string
	final   []string
	moved   []int // by item: how many others its arrival moved
	spent   time.Duration
}

func newRun(o Options) *run { return &run{options: o} }

func (r *run) insert(batch []line, vectors [][]float32) error {
	if r.space == nil {
		r.space = space.New(len(vectors[0]), r.options.Space)
	}
	begun := r.options.Now()
	for i, l := range batch {
		if _, known := r.space.Assignment(l.ID); known {
			return fmt.Errorf("read item %d: its id occurs twice", len(r.ids)+1)
		}
		assignment, changes, err := r.space.Insert(space.Point{ID: l.ID, Vector: vectors[i]})
		if err != nil {
			return fmt.Errorf("cluster item %d: %w", len(r.ids)+1, err)
		}
		moved := 0
		for _, c := range changes {
			if c.Kind == space.Moved && r.space.Resolve(c.From) != c.To {
				moved++
			}
		}
		r.ids = append(r.ids, l.ID)
		r.arrival = append(r.arrival, assignment.ClusterID)
		r.moved = append(r.moved, moved)
		if l.Label != nil {
			r.labels = append(r.labels, *l.Label)
		}
	}
	r.spent += r.options.Now().Sub(begun)
	return nil
}

func (r *run) report() (Report, error) {
	n := len(r.ids)
	report := Report{Items: n, PerSecond: rate(n, r.spent)}
	for _, id := range r.ids {
		a, _ := r.space.Assignment(id)
		r.final = append(r.final, a.ClusterID)
	}
	for _, c := range r.space.Clusters() {
		report.Clusters++
		if c.Size == 1 {
			report.Unassigned += 1 / float64(n)
		}
	}
	for i, moved := range r.moved {
		report.Churn += float64(moved) / float64(n)
		if i >= n-n/5 {
			report.LateChurn += float64(moved) / float64(n)
		}
	}
	if len(r.labels) != n {
		return report, nil
	}
	scores, err := score.Compare(r.labels, r.final)
	if err != nil {
		return Report{}, err
	}
	report.Scores, report.OverTrue = &scores, float64(scores.Clusters)/float64(scores.Labels)
	if half := n / 2; half > 0 {
		arrival := make([]string, 0, n-half)
		for _, id := range r.arrival[half:] {
			arrival = append(arrival, r.space.Resolve(id))
		}
		second, err := score.Compare(r.labels[half:], arrival)
		if err != nil {
			return Report{}, err
		}
		report.AtArrival = &second
	}
	return report, nil
}

func rate(items int, spent time.Duration) float64 {
	if spent <= 0 {
		return 0
	}
	return float64(items) / spent.Seconds()
}
