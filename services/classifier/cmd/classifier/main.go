// Command classifier runs the classifier over an external NATS and ClickHouse.
package main

import (
	"context"
	"os"
	"time"

	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/classifier"
)

func main() {
	os.Exit(process.Main("classifier", os.Args[1:], func(_ context.Context, p *process.Process) (process.Service, error) {
		embedder, err := process.Embedder(p.Config.Models)
		if err != nil {
			return nil, err
		}
		return classifier.New(classifier.Config{Workspaces: p.Workspaces(), Chat: p.Config.Models.Chat}, classifier.Deps{
			Bus: p.Bus, Store: p.Store, Embedder: embedder, Logger: p.Logger, Registerer: p.Registry, Now: time.Now,
		})
	}))
}
