package contextpublisher

import (
	"context"
	"io"
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
