package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/standalone"
	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

type demoCommand struct {
	Exit   bool   `help:"Stop after the summary; exit code 3 if something that must be there is not."`
	Listen string `help:"Address to serve on." default:"127.0.0.1:8080"`
	Data   string `help:"Folder of the engines; default a fresh one, removed at the end." placeholder:"DIR"`
	At     string `help:"When the last feedback was said (RFC 3339); default now." placeholder:"TIME"`
}

func (d *demoCommand) Run(ctx context.Context, s *Streams) error {
	at := time.Now()
	if d.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, d.At); err != nil {
			return usage{errors.New("--at must be a time such as 2026-11-22T08:00:00Z")}
		}
	}
	if d.Data == "" {
		dir, err := os.MkdirTemp("", "throughline-demo-")
		if err != nil {
			return fmt.Errorf("make a folder for the demo: %w", err)
		}
		defer os.RemoveAll(dir)
		d.Data = dir
	}
	if err := os.MkdirAll(d.Data, 0o700); err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	trackers, err := demo.StartTrackers()
	if err != nil {
		return err
	}
	defer trackers.Close()
	c, err := demoConfig(d, trackers)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	logs, err := os.Create(filepath.Join(d.Data, "throughline.log"))
	if err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	defer logs.Close()
	ready := make(chan string, 1)
	stopped := make(chan error, 1)
	go func() {
		stopped <- standalone.Run(ctx, c, process.NewLogger(c.Log, logs), func(addr string, p *process.Process) {
			banner(s.Out, c, addr, p)
			ready <- addr
		})
	}()
	select {
	case err := <-stopped:
		return err
	case addr := <-ready:
		err = d.play(ctx, s, "http://"+addr, trackers, at)
	}
	if err != nil || d.Exit {
		cancel(nil)
		return errors.Join(err, <-stopped)
	}
	return <-stopped
}

// demoConfig reads the demo's configuration as an operator's would be read: the file, then
// the environment.
func demoConfig(d *demoCommand, trackers *demo.Trackers) (config.Config, error) {
	file := filepath.Join(d.Data, "throughline.yaml")
	if err := os.WriteFile(file, demo.Configuration, 0o600); err != nil {
		return config.Config{}, fmt.Errorf("write the demo's configuration: %w", err)
	}
	for _, kv := range trackers.Environment() {
		name, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(name, value); err != nil {
			return config.Config{}, err
		}
	}
	c, err := config.Load(file)
	if err != nil {
		return config.Config{}, err
	}
	c.Data, c.Listen, c.PublicURL = d.Data, d.Listen, "http://"+d.Listen
	return c, nil
}

func (d *demoCommand) play(ctx context.Context, s *Streams, url string, trackers *demo.Trackers, at time.Time) error {
	play := &demo.Play{
		Sender:   &demo.Sender{URL: url, Client: &http.Client{Timeout: 30 * time.Second}, Now: time.Now},
		Trackers: trackers, At: at,
	}
	if isTerminal(s.Err) {
		var bar *progressbar.ProgressBar
		play.Progress = func(done, total int) {
			if bar == nil {
				bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("webhooks"), progressbar.OptionClearOnFinish())
			}
			_ = bar.Set(done)
		}
	} else {
		fmt.Fprintln(s.Out, "\nsending signed webhooks …")
	}
	result, err := play.Run(ctx)
	if err != nil {
		return err
	}
	result.Print(s.Out)
	fmt.Fprintf(s.Out, "\nLook around:\n  page      %s/   (sign in with the token)\n  API       curl -H 'Authorization: Bearer %s' %s/v1/clusters?limit=3\n  agent     claude mcp add --transport http throughline %s/mcp --header 'Authorization: Bearer %s'\n  trackers  what was written, as JSON: %s/_written\n",
		url, demo.Secrets["DEMO_TOKEN"], url, url, demo.Secrets["DEMO_TOKEN"], trackers.URLs["jira"])
	missing := result.Check()
	if d.Exit {
		if missing != nil {
			return finding{missing}
		}
		return nil
	}
	if missing != nil {
		fmt.Fprintln(s.Err, "\nNot everything is as it should be:\n"+missing.Error())
	}
	fmt.Fprintln(s.Out, "\nServing until interrupted (Ctrl-C).")
	return nil
}
