package contextpublisher

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/evaluation"
)

// AttachReport is what an evaluation of matching measured.
type AttachReport = evaluation.AttachReport

// EvalAttach matches each line of input {"id","text","ticket"?} to tickets
// {"id","title","body"} with the code and the bars of the service, and writes
// {"id","tickets":[{"id","score"}],"automatic"} for each. Labels are only compared with at
// the end. Input is streamed; a line that cannot be read is an error that names it.
func EvalAttach(ctx context.Context, tickets, input io.Reader, embedder embed.Embedder, w io.Writer) (AttachReport, error) {
	return evaluation.Attach(ctx, tickets, input, embedder, w, time.Now)
}

// HandoffReport is what an evaluation of handing a ticket over measured.
type HandoffReport = evaluation.HandoffReport

// Found is a signal of a text: what kind it is, and where it stands in bytes.
type Found = evaluation.Found

// EvalHandoff plays every scenario (*.json) of a folder among
// 5,000 other items with the service's matching and briefs, and writes a line per scenario:
// its briefs, answers and scores. extract finds the signals of texts.
func EvalHandoff(ctx context.Context, folder fs.FS, embedder embed.Embedder, extract func(context.Context, []string) ([][]Found, error), w io.Writer) (HandoffReport, error) {
	return evaluation.Handoff(ctx, folder, embedder, extract, w)
}
