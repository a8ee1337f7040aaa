// Command context-publisher runs the context-publisher over an external NATS and ClickHouse.
package main

import (
	"context"
	"os"
	"time"

	"github.com/throughline-dev/throughline/pkg/process"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
)

func main() {
	os.Exit(process.Main("context-publisher", os.Args[1:], func(_ context.Context, p *process.Process) (process.Service, error) {
		embedder, err := process.Embedder(p.Config.Models)
		if err != nil {
			return nil, err
		}
		return contextpublisher.New(contextpublisher.Config{Workspaces: p.Config.Workspaces, SMTP: p.Config.SMTP, SignIn: p.Config.SignIn, PublicURL: p.Config.PublicURL}, contextpublisher.Deps{
			Bus: p.Bus, Store: p.Store, Embedder: embedder, Logger: p.Logger, Registerer: p.Registry, Now: time.Now, Holder: p.Holder, Transport: p.Outbound,
		})
	}))
}
