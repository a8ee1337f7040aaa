// Package cli is the command line of the all-in-one. Each command is a struct whose fields are
// its flags; help, environment and exit codes are the same for all.
//
// Exit codes: 0 done; 1 failed; 2 wrong command line or configuration; 3 done, and what was
// found is not as it should be (doctor, config check, demo --exit).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/process"
)

// Commands is the tree of commands.
type Commands struct {
	Up         upCommand         `cmd:"" help:"Run everything in one process: the four services over an embedded broker and engine."`
	Demo       demoCommand       `cmd:"" help:"Play real feedback through signed webhooks and show what comes of it."`
	Import     importCommand     `cmd:"" help:"Send feedback from JSONL or CSV files to a running Throughline."`
	Backfill   backfillCommand   `cmd:"" help:"Read a connection's history through its vendor's API and repair what is missing."`
	Replay     replayCommand     `cmd:"" help:"Decode stored deliveries again, after a decoder was mended; or, with --shadow, compare what the log would give with other settings."`
	Erase      eraseCommand      `cmd:"" help:"Remove a customer's words from everywhere, and prove it with a report."`
	Retention  retentionCommand  `cmd:"" help:"Show what was last erased for its age, and how."`
	Export     exportCommand     `cmd:"" help:"Write feedback items, signals or clusters as JSON lines or CSV."`
	Eval       evalCommand       `cmd:"" help:"Measure quality on labelled data, with the code of the services."`
	DeadLetter deadLetterCommand `cmd:"" name:"dead-letter" help:"List, show, retry or drop events that were given up on."`
	Digest     digestCommand     `cmd:"" help:"Print the digest of a day."`
	MCP        mcpCommand        `cmd:"" name:"mcp" help:"Speak MCP over standard input and output, answering from a running Throughline."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the tables up to date and exit."`
	Config     configCommand     `cmd:"" help:"Check or print the effective configuration."`
	Doctor     doctorCommand     `cmd:"" help:"Check configuration, files, disk, address, proxy, broker, store, models, tokens and clock, and say what to do; exit code 3 if something is wrong."`
	Broker     brokerCommand     `cmd:"" help:"Run the embedded broker as a server of its own."`
	Engine     engineCommand     `cmd:"" help:"Run the embedded ClickHouse engine as a server of its own."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// Streams are a command's standard streams.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// finding is an error that means "done, and it is not as it should be".
type finding struct{ error }

// usage is an error that means "this cannot be asked for".
type usage struct{ error }

// Run parses the arguments, runs the command and returns the exit code.
func Run(args []string, in io.Reader, out, errs io.Writer) int {
	var c Commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("throughline"),
		kong.Description("Keeps the voice of the customer attached to the work.\n\nExit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 done and found wanting."),
		kong.UsageOnError(), kong.Writers(out, errs), kong.Exit(func(code int) { exit = code }))
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintln(errs, "throughline:", err)
		return 2
	}
	ctx, cancel := process.Signalled()
	defer cancel()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&Streams{in, out, errs})
	var f finding
	var u usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		fmt.Fprintln(errs, "throughline:", err)
		return 3
	case errors.As(err, &u):
		fmt.Fprintln(errs, "throughline:", err)
		return 2
	}
	fmt.Fprintln(errs, "throughline:", err)
	return 1
}

// configFlags are shared by commands that read the configuration.
type configFlags struct {
	Config string `help:"Configuration file; default $THROUGHLINE_CONFIG, then ./throughline.yaml." placeholder:"FILE"`
	Data   string `help:"Folder of the embedded engines; default that of the configuration." placeholder:"DIR"`
	Listen string `help:"Address to serve on; default that of the configuration." placeholder:"HOST:PORT"`
}

func (f configFlags) load(streams *Streams) (config.Config, *slog.Logger, error) {
	c, err := config.Load(process.ConfigPath(f.Config))
	if err != nil {
		return config.Config{}, nil, usage{err}
	}
	if f.Data != "" {
		c.Data = f.Data
	}
	if f.Listen != "" {
		c.Listen = f.Listen
	}
	return c, process.NewLogger(c.Log, streams.Err), nil
}

// serverFlags are shared by commands that ask a running server.
type serverFlags struct {
	URL   string `help:"Address of a running Throughline." env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080"`
	Token string `help:"API token; its workspace is the one that is asked." env:"THROUGHLINE_TOKEN" required:""`
}
