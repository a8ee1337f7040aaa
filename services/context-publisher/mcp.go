package contextpublisher

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/mcpserver"
)

// RemoteOptions say which running server an MCP session over stdio asks. Server is its
// address ("http://127.0.0.1:8080"), Token a token with the scope read: it decides the
// workspace. Client is required and must have no overall timeout, because
// events are streamed. Random gives the delimiters of fences (crypto/rand.Reader). Decides
// offers the tools that write, for which the token needs the scope decide.
type RemoteOptions struct {
	Server, Token string
	Version       string
	Decides       bool
	Client        *http.Client
	Random        io.Reader
	Logger        *slog.Logger
}

// ServeMCP speaks the Model Context Protocol over in and out, one JSON message a line,
// until in ends or ctx does, answering from a running server over its /v1. Nothing but
// protocol messages is written to out. It fails when the options cannot work; a server
// that is away makes tool calls answer with an error, not ServeMCP.
func ServeMCP(ctx context.Context, in io.ReadCloser, out io.WriteCloser, o RemoteOptions) error {
	remote, err := mcpserver.NewRemote(o.Server, o.Token, o.Client)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return mcpserver.NewWorkspace(remote, mcpserver.Offer{Decides: o.Decides, Version: o.Version, Random: o.Random, Logger: o.Logger}).ServeStdio(ctx, in, out, remote.Watch(ctx))
}
