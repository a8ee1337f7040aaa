// Command clusterer runs the clusterer over an external NATS and ClickHouse.
package main

import (
	"context"
	"os"

	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/clusterer"
)

func main() {
	os.Exit(process.Main("clusterer", os.Args[1:], func(_ context.Context, p *process.Process) (process.Service, error) {
		return clusterer.New(clusterer.Config{Workspaces: p.Workspaces(), Ranks: p.Ranks()}, clusterer.Deps{
			Bus: p.Bus, Store: p.Store, Logger: p.Logger, Registerer: p.Registry, Holder: p.Holder,
		})
	}))
}
