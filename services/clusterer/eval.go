package clusterer

import (
	"context"
	"io"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/evaluation"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Report is what an evaluation measured, Comparison what several measured on the same items,
// Against what to compare with.
type (
	Report     = evaluation.Report
	Comparison = evaluation.Comparison
	Against    = evaluation.Against
)

// Eval clusters the items of r, JSON lines {"id","text","time"?,"label"?} in stream order, one
// after another with the code and the settings of the service, and writes {"id","cluster"} for
// each after the last, merges applied. Labels, where given, are only compared with at the end.
// A line that cannot be read is an error that names it. The input is streamed.
func Eval(ctx context.Context, r io.Reader, embedder evaluation.Embedder, w io.Writer) (Report, error) {
	return evaluation.Cluster(ctx, r, embedder, w, evaluation.Options{Space: space.Default(), Now: time.Now})
}

// Compare clusters the labelled items of r in several orders and in other ways, on the same
// vectors. It holds all vectors; memory and, with baselines, time grow accordingly.
func Compare(ctx context.Context, r io.Reader, embedder evaluation.Embedder, against Against) (Comparison, error) {
	return evaluation.Compare(ctx, r, embedder, evaluation.Options{Space: space.Default(), Now: time.Now}, against)
}
