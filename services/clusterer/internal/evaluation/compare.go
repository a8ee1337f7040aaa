package evaluation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/throughline-dev/throughline/services/clusterer/internal/baseline"
	"github.com/throughline-dev/throughline/services/clusterer/internal/score"
)

// Row is one way of clustering the same labelled items.
type Row struct {
	Method string       `json:"method"`
	Scores score.Scores `json:"scores"`
	// AtArrival and Churn are of streamed methods.
	AtArrival *score.Scores `json:"at_arrival,omitempty"`
	Churn     float64       `json:"churn,omitempty"`
	LateChurn float64       `json:"late_churn,omitempty"`
	PerSecond float64       `json:"items_per_second_clustering"`
}

// Comparison are all rows and how far the orders lie apart.
type Comparison struct {
	Items int   `json:"items"`
	Rows  []Row `json:"rows"`
	// Spread is the largest less the smallest NMI over the orders.
	Spread float64 `json:"spread_nmi"`
}

// Against says what to compare with.
type Against struct {
	// Orders is how many random orders are run beside the given one and a
	// drifting one, in which subjects come up one after another.
	Orders int
	// Baselines adds k-means given the true number, HDBSCAN (smallest cluster
	// 5) and the leader (cosine 0.5) on the same vectors. HDBSCAN's time grows
	// with the square of the items.
	Baselines bool
}

// Compare clusters labelled JSON lines in several orders, and in other ways.
// Unlike Cluster it holds all vectors. It refuses what Cluster refuses, and
// lines without a label.
func Compare(ctx context.Context, r io.Reader, embedder Embedder, o Options, against Against) (Comparison, error) {
	collected := &collection{}
	if err := o.read(r, func(batch []line) error { return collected.add(ctx, embedder, batch) }); err != nil {
		return Comparison{}, err
	}
	if len(collected.lines) == 0 {
		return Comparison{}, errors.New("compare clusters: no lines")
	}
	comparison := Comparison{Items: len(collected.lines)}
	lowest, highest := 2.0, -1.0
	for _, order := range collected.orders(against.Orders) {
		row, err := collected.stream(ctx, order, o)
		if err != nil {
			return Comparison{}, err
		}
		lowest, highest = min(lowest, row.Scores.NMI), max(highest, row.Scores.NMI)
		comparison.Rows = append(comparison.Rows, row)
	}
	comparison.Spread = highest - lowest
	if !against.Baselines {
		return comparison, nil
	}
	const (
		smallest  = 5
		threshold = 0.5
	)
	number := comparison.Rows[0].Scores.Labels
	for _, method := range []struct {
		name string
		run  func([][]float32) []int
	}{
		{"k-means, true number given", func(v [][]float32) []int { return baseline.KMeans(v, number) }},
		{"HDBSCAN", func(v [][]float32) []int { return baseline.HDBSCAN(v, smallest) }},
		{"leader", func(v [][]float32) []int { return baseline.Leader(v, threshold) }},
	} {
		if err := ctx.Err(); err != nil {
			return Comparison{}, err
		}
		begun := o.Now()
		found := method.run(collected.vectors)
		row := Row{Method: method.name, PerSecond: rate(len(found), o.Now().Sub(begun))}
		names := make([]string, len(found))
		for i, c := range found {
			names[i] = fmt.Sprint(c)
		}
		var err error
		if row.Scores, err = score.Compare(collected.labels, names); err != nil {
			return Comparison{}, err
		}
		comparison.Rows = append(comparison.Rows, row)
	}
	return comparison, nil
}

// collection are all lines with their vectors.
type collection struct {
	lines   []line
	labels  []string
	vectors [][]float32
}

func (c *collection) add(ctx context.Context, embedder Embedder, batch []line) error {
	vectors, err := vectorsOf(ctx, embedder, batch)
	if err != nil {
		return err
	}
	for i, l := range batch {
		if l.Label == nil {
			return fmt.Errorf("read item %d: no label to compare with", len(c.lines)+1)
		}
		c.lines = append(c.lines, line{ID: l.ID, Label: l.Label})
		c.labels = append(c.labels, *l.Label)
		c.vectors = append(c.vectors, vectors[i])
	}
	return nil
}

type order struct {
	name string
	at   []int
}

func (c *collection) orders(random int) []order {
	given := make([]int, len(c.lines))
	for i := range given {
		given[i] = i
	}
	all := []order{{"as given", given}}
	if random == 0 {
		return all
	}
	for seed := range uint64(random) {
		all = append(all, order{fmt.Sprint("random ", seed+1), rand.New(rand.NewPCG(7+seed, 0)).Perm(len(given))})
	}
	return append(all, order{"drifting", c.drifting()})
}

// drifting lets subjects come up one after another: each has a moment, and its
// items lie around it by a tenth of the whole.
func (c *collection) drifting() []int {
	const width = 0.1
	random := rand.New(rand.NewPCG(7, 1))
	moment := map[string]float64{}
	when := make([]float64, len(c.labels))
	at := make([]int, len(c.labels))
	for i, label := range c.labels {
		if _, known := moment[label]; !known {
			moment[label] = random.Float64()
		}
		when[i] = moment[label] + width*random.NormFloat64()
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(when[a], when[b]) })
	return at
}

func (c *collection) stream(ctx context.Context, in order, o Options) (Row, error) {
	run := newRun(o)
	const batch = 256
	for at := 0; at < len(in.at); at += batch {
		lines, vectors := make([]line, 0, batch), make([][]float32, 0, batch)
		for _, i := range in.at[at:min(at+batch, len(in.at))] {
			lines, vectors = append(lines, c.lines[i]), append(vectors, c.vectors[i])
		}
		if err := run.insert(lines, vectors); err != nil {
			return Row{}, err
		}
		if err := ctx.Err(); err != nil {
			return Row{}, err
		}
	}
	report, err := run.report()
	if err != nil {
		return Row{}, err
	}
	return Row{Method: "throughline, " + in.name, Scores: *report.Scores, AtArrival: report.AtArrival, Churn: report.Churn, LateChurn: report.LateChurn, PerSecond: report.PerSecond}, nil
}
