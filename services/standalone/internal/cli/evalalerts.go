package cli

import (
	"errors"
	"io"
	"os"

	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalAlerts struct {
	Days   int    `help:"How many days are simulated." default:"365"`
	Seed   uint64 `help:"Which year." default:"1"`
	Output string `help:"Where to write the alerts, one a line; - for standard output." default:"-" placeholder:"FILE"`
}

func (e *evalAlerts) Run(s *Streams) (err error) {
	year := clusterer.DefaultYear()
	if e.Days < 60 {
		return usage{errors.New("at least 60 days: alarms need a past")}
	}
	year.Each = max(1, year.Each*e.Days/year.Days)
	year.Days, year.Seed = e.Days, e.Seed
	out := io.Writer(s.Out)
	if e.Output != "-" {
		file, err := os.Create(e.Output)
		if err != nil {
			return usage{err}
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	r, err := clusterer.EvalAlerts(year, out)
	if err != nil {
		return err
	}
	return report(s, r)
}
