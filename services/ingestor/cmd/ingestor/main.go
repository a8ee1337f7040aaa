// Command ingestor runs the ingestor over an external NATS and ClickHouse.
package main

import (
	"context"
	"os"
	"time"

	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/ingestor"
)

func main() {
	os.Exit(process.Main("ingestor", os.Args[1:], func(_ context.Context, p *process.Process) (process.Service, error) {
		return ingestor.New(ingestor.Config{Workspaces: p.Config.Workspaces}, ingestor.Deps{
			Bus: p.Bus, Appender: p.Committer(), Store: p.Store, Logger: p.Logger, Registerer: p.Registry, Now: time.Now, Holder: p.Holder, Transport: p.Outbound,
		})
	}))
}
