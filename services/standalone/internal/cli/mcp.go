package cli

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/throughline-dev/throughline/pkg/process"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
)

type mcpCommand struct {
	serverFlags
	Decide bool `help:"Also offer the tools that record decisions; the token needs the scope decide."`
}

// Run speaks MCP on the standard streams, so nothing else may be written to the output.
func (m *mcpCommand) Run(ctx context.Context, s *Streams) error {
	return contextpublisher.ServeMCP(ctx, io.NopCloser(s.In), nopCloser{s.Out}, contextpublisher.RemoteOptions{
		Server: m.URL, Token: m.Token, Version: process.Version, Random: rand.Reader, Decides: m.Decide,
		Client: &http.Client{}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
