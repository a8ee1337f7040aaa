package clusterer

import (
	"context"
	"io"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/evaluation"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Report is what an evaluation measured.
type Report = evaluation.Report

// Eval clusters the items of r, JSON lines {"id","text","time"?,"label"?} in stream order, one
// after another with the code and the settings of the service, and writes {"id","cluster"} for
// each after the last, merges applied. Labels, where given, are only compared with at the end.
// A line that cannot be read is an error that names it. The input is streamed.
func Eval(ctx context.Context, r io.Reader, embedder evaluation.Embedder, w io.Writer) (Report, error) {
	return evaluation.Cluster(ctx, r, embedder, w, evaluation.Options{Space: space.Default(), Now: time.Now})
}
