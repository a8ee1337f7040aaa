package cli

import (
	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalName struct {
	evalFlags
}

func (e *evalName) Run(s *Streams) error {
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	r, err := clusterer.EvalNames(in, out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}
