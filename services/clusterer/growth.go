package clusterer

import (
	"context"
	"io"
	"runtime"

	"github.com/throughline-dev/throughline/services/clusterer/internal/evaluation"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Growth is what a world of a size costs, per signal.
type Growth = evaluation.Growth

// Grow lets a world grow to each of the sizes, ascending, on the texts of r recombined, and
// measures what an assignment, the memory and a restart cost there. Times are of the processor,
// not of the clock, so that a busy machine measures the same; where the system does not tell
// them apart they are the clock's.
func Grow(ctx context.Context, r io.Reader, embedder evaluation.Embedder, sizes []int) ([]Growth, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return evaluation.Grow(ctx, r, embedder, evaluation.Growing{Space: space.Default(), Sizes: sizes, Processor: processorTime, Resident: peakMemory})
}
