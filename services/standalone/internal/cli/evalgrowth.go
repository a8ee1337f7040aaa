package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalGrowth struct {
	evalFlags
	Sizes []int `help:"Numbers of signals to measure at, ascending." default:"10000,100000,1000000"`
}

func (e *evalGrowth) Run(ctx context.Context, s *Streams) error {
	for i, size := range e.Sizes {
		if size <= 0 || (i > 0 && size <= e.Sizes[i-1]) {
			return usage{errors.New("sizes must be positive and ascending")}
		}
	}
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	grown, err := clusterer.Grow(ctx, in, embedder, e.Sizes)
	encoder := json.NewEncoder(out)
	for i := 0; i < len(grown) && err == nil; i++ {
		err = encoder.Encode(grown[i])
	}
	if err := done(err); err != nil {
		return err
	}
	return growthTable(s.Err, grown)
}

// growthTable prints growth for a person.
func growthTable(w io.Writer, grown []clusterer.Growth) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "signals\tclusters\tassignments/s\tp50\tp99\tslowest\tpeak B/signal\tsnapshot B/signal\trestart\t")
	for _, g := range grown {
		fmt.Fprintf(t, "%d\t%d\t%.0f\t%v\t%v\t%v\t%.0f\t%.0f\t%v\t\n", g.Signals, g.Clusters, g.PerSecond, g.P50.Round(time.Microsecond), g.P99.Round(time.Microsecond), g.Slowest.Round(time.Millisecond), g.Resident, g.Snapshot, g.Restart.Round(time.Millisecond))
	}
	return t.Flush()
}
