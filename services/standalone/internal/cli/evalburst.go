package cli

import (
	"context"
	"os"

	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalBurst struct {
	evalFlags
	Key string `help:"The planted bursts: JSON lines {label, burst_start, hours}." required:"" placeholder:"FILE"`
}

func (e *evalBurst) Run(ctx context.Context, s *Streams) error {
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	key, err := os.Open(e.Key)
	if err != nil {
		return usage{err}
	}
	defer key.Close()
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	r, err := clusterer.EvalBurst(ctx, in, key, embedder, out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}
