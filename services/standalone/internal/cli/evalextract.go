package cli

import (
	"context"

	"github.com/throughline-dev/throughline/services/classifier"
)

type evalExtract struct {
	evalFlags
}

func (e *evalExtract) Run(ctx context.Context, s *Streams) error {
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	r, err := classifier.EvalExtract(ctx, in, embedder, out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}
