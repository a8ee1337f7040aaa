package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
)

// Version is set by the linker.
var Version = "dev"

// NewLogger makes the process's logger.
func NewLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // Validate has checked it
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// ConfigPath finds the configuration: the flag, THROUGHLINE_CONFIG, or throughline.yaml here
// if there is one.
func ConfigPath(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv("THROUGHLINE_CONFIG"); env != "" {
		return env
	}
	if _, err := os.Stat("throughline.yaml"); err == nil {
		return "throughline.yaml"
	}
	return ""
}

// ModelsDir finds the weights of the embedded model: the configured folder,
// THROUGHLINE_MODELS, beside the binary, or what `make models` installed above it or above
// the working directory.
func ModelsDir(configured string) string {
	if configured != "" {
		return configured
	}
	if env := os.Getenv("THROUGHLINE_MODELS"); env != "" {
		return env
	}
	var from []string
	if exe, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		from = append(from, wd)
	}
	for _, dir := range from {
		for {
			for _, place := range []string{filepath.Join(dir, "models"), filepath.Join(dir, ".cache", "models")} {
				if info, err := os.Stat(place); err == nil && info.IsDir() {
					return place
				}
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return filepath.Join(".cache", "models")
}

// Signalled returns a context that ends at the first interrupt or termination; a second one
// kills the process.
func Signalled() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// StopWithin is how long a clean stop may take.
const StopWithin = 10 * time.Second

// Main is the main function of a service's own binary: it connects to the configured servers
// and runs the service. It returns the exit status: 0 after a clean stop, 1 after a failure,
// 2 for a wrong command line or configuration.
func Main(name string, args []string, build func(ctx context.Context, p *Process) (Service, error)) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	path := flags.String("config", "", "the configuration file; default $THROUGHLINE_CONFIG, then ./throughline.yaml")
	listen := flags.String("listen", "", "host:port to serve on; default that of the configuration")
	version := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *version {
		fmt.Println(name, Version)
		return 0
	}
	c, err := config.Load(ConfigPath(*path))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if *listen != "" {
		c.Listen = *listen
	}
	log := NewLogger(c.Log, os.Stderr).With("service", name)
	if err := run(c, log, name, build); err != nil {
		log.Error("stopped", "error", err)
		return 1
	}
	return 0
}

func run(c config.Config, log *slog.Logger, name string, build func(context.Context, *Process) (Service, error)) error {
	ctx, cancel := Signalled()
	defer cancel()
	conns, err := External(c, log)
	if err != nil {
		return err
	}
	p, err := Open(ctx, name, c, conns, log)
	if err != nil {
		return err
	}
	defer func() {
		grace, done := context.WithTimeout(context.Background(), StopWithin)
		defer done()
		p.Close(grace)
	}()
	s, err := build(ctx, p)
	if err != nil {
		return err
	}
	return p.Serve(ctx, func(addr string) {
		log.Info("serving", "address", addr, "durability", conns.Syncer.Mode(), "workspaces", p.Workspaces())
	}, s)
}
