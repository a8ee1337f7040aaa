package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/standalone"
)

type upCommand struct {
	configFlags
}

func (u *upCommand) Run(ctx context.Context, s *Streams) error {
	c, log, err := u.load(s)
	if err != nil {
		return err
	}
	return standalone.Run(ctx, c, log, func(addr string, p *process.Process) { banner(s.Out, c, addr, p) })
}

// banner says what runs where, and how safe it is.
func banner(w io.Writer, c config.Config, addr string, p *process.Process) {
	durability := map[string]string{
		"barrier": "every 2xx is on the disk", "always": "every 2xx is on the disk",
		"server": "as safe as the NATS server is configured to be: it needs sync_interval always",
	}[p.Connections.Syncer.Mode()]
	if durability == "" {
		durability = "a power cut loses acknowledged deliveries"
	}
	base := "http://" + addr
	if c.TLS.Certificate != "" {
		base = "https://" + addr
	}
	fmt.Fprintf(w, "Throughline %s\n", process.Version)
	fmt.Fprintf(w, "  page, API   %s/   %s/v1\n", base, base)
	fmt.Fprintf(w, "  MCP         %s/mcp\n", base)
	fmt.Fprintf(w, "  durability  %s: %s\n", p.Connections.Syncer.Mode(), durability)
	if len(c.Workspaces) == 0 {
		fmt.Fprintln(w, "\nNo workspace is configured yet. Write a throughline.yaml (see README, \"Configuration\") or try `throughline demo`.")
	}
	for _, ws := range c.Workspaces {
		for _, k := range ws.Connections {
			fmt.Fprintf(w, "  %-10s  POST %s/webhooks/%s\n", k.Type, base, k.ID)
		}
	}
}

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

func (v *versionCommand) Run(s *Streams) error {
	if v.JSON {
		return json.NewEncoder(s.Out).Encode(map[string]string{"version": process.Version})
	}
	_, err := fmt.Fprintln(s.Out, "throughline", process.Version)
	return err
}

type migrateCommand struct {
	configFlags
}

func (m *migrateCommand) Run(ctx context.Context, s *Streams) error {
	c, log, err := m.load(s)
	if err != nil {
		return err
	}
	conns, err := standalone.Connect(ctx, c, log)
	if err != nil {
		return err
	}
	p, err := process.Open(ctx, "throughline", c, conns, log)
	if err != nil {
		conns.Close(context.WithoutCancel(ctx))
		return err
	}
	defer p.Close(context.WithoutCancel(ctx))
	done, err := p.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%d migrations are applied\n", len(done))
	return err
}

type brokerCommand struct {
	Data   string `help:"Folder." required:"" placeholder:"DIR"`
	Listen string `help:"Address for clients." default:"127.0.0.1:4222"`
	Token  string `help:"What clients must present; needed beyond loopback." env:"THROUGHLINE_BROKER_TOKEN"`
}

func (b *brokerCommand) Run(ctx context.Context, s *Streams) error {
	log := slog.New(slog.NewTextHandler(s.Err, nil))
	return broker.Serve(ctx, broker.Options{Dir: b.Data, Listen: b.Listen, Token: b.Token, Logger: log}, func(srv *broker.Server) {
		fmt.Fprintln(s.Out, "listening on", srv.ClientURL())
	})
}

type engineCommand struct {
	Data string `help:"Folder." required:"" placeholder:"DIR"`
	Port int    `help:"Port on 127.0.0.1; 0 takes a free one." default:"0"`
}

func (e *engineCommand) Run(ctx context.Context, s *Streams) error {
	log := slog.New(slog.NewTextHandler(s.Err, nil))
	return engine.Serve(ctx, engine.ServeOptions{Options: engine.Options{Dir: e.Data, Port: e.Port, Logger: log}, Ready: func(srv *engine.Engine) {
		fmt.Fprintln(s.Out, "listening on", srv.Addr(), "as", engine.Username, "with the password in", strings.TrimRight(e.Data, "/")+"/password")
	}})
}

// isTerminal reports whether w is a terminal, where progress is worth drawing.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
