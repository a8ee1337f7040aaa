package cli

import (
	"context"
	"errors"
	"os"

	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
)

type evalAttach struct {
	evalFlags
	Tickets string `help:"JSON lines {id, title, body} of the tickets." required:"" placeholder:"FILE"`
}

func (e *evalAttach) Run(ctx context.Context, s *Streams) error {
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	tickets, err := os.Open(e.Tickets)
	if err != nil {
		return usage{err}
	}
	in, out, done, err := e.open(s)
	if err != nil {
		return errors.Join(err, tickets.Close())
	}
	r, err := contextpublisher.EvalAttach(ctx, tickets, in, embedder, out)
	if err := errors.Join(done(err), tickets.Close()); err != nil {
		return err
	}
	return report(s, r)
}
