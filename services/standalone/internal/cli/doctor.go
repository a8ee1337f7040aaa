package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/standalone/internal/doctor"
)

type doctorCommand struct {
	configFlags
	JSON bool `help:"Print JSON, one check a line."`
}

func (d *doctorCommand) Run(ctx context.Context, s *Streams) error {
	looking := doctor.New(process.ConfigPath(d.Config))
	looking.Data, looking.Listen = d.Data, d.Listen
	checks := looking.Examine(ctx)
	bad := 0
	for _, c := range checks {
		if !c.OK {
			bad++
		}
		if d.JSON {
			if err := json.NewEncoder(s.Out).Encode(c); err != nil {
				return err
			}
			continue
		}
		mark := "ok  "
		if !c.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(s.Out, "%s  %-14s %s\n", mark, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(s.Out, "      %-14s %s\n", "", c.Remedy)
		}
	}
	if bad > 0 {
		return finding{fmt.Errorf("%d of %d checks failed", bad, len(checks))}
	}
	return nil
}
