package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/process"
)

type doctorCommand struct {
	configFlags
	JSON bool `help:"Print JSON, one check a line."`
}

// check is one finding; Remedy says what to do where it is not OK.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

func (d *doctorCommand) Run(ctx context.Context, s *Streams) error {
	checks := []check{}
	add := func(name, found string, err error, remedy string) {
		c := check{Name: name, OK: err == nil, Found: found}
		if err != nil {
			c.Found, c.Remedy = err.Error(), remedy
		}
		checks = append(checks, c)
	}
	c, err := config.Load(process.ConfigPath(d.Config))
	add("configuration", "valid", err, "mend the lines named; `throughline config print` shows what is in force")
	if err == nil {
		if d.Data != "" {
			c.Data = d.Data
		}
		d.look(ctx, c, add)
	}
	bad := 0
	for _, c := range checks {
		if !c.OK {
			bad++
		}
		if d.JSON {
			if err := json.NewEncoder(s.Out).Encode(c); err != nil {
				return err
			}
			continue
		}
		mark := "ok  "
		if !c.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(s.Out, "%s  %-14s %s\n", mark, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(s.Out, "      %-14s %s\n", "", c.Remedy)
		}
	}
	if bad > 0 {
		return finding{fmt.Errorf("%d of %d checks failed", bad, len(checks))}
	}
	return nil
}

func (d *doctorCommand) look(ctx context.Context, c config.Config, add func(name, found string, err error, remedy string)) {
	if len(c.Workspaces) == 0 {
		add("workspaces", "", errors.New("none is configured"), "add one to the configuration, see README")
	} else {
		add("workspaces", fmt.Sprint(len(c.Workspaces)), nil, "")
	}
	for _, w := range c.Workspaces {
		for _, k := range w.Connections {
			var err error
			if len(k.Secrets()) == 0 {
				err = errors.New("has no secret, so every delivery is refused")
			}
			add("connection", k.ID+" ("+k.Type+")", err, "set the secret of "+k.ID+" as its vendor shows it")
		}
	}
	_, err := process.Embedder(c.Models)
	add("model", c.Models.Embeddings.Provider, err, "run `make models`, or choose another provider")
	if c.ClickHouse.Mode == "embedded" {
		path, err := engine.FindLibrary("")
		add("engine", filepath.Base(path), err, "run `make engine`, or name an external clickhouse.addr")
	} else {
		add("clickhouse", "configured", dial(ctx, c), "check address, user and password")
	}
	if c.NATS.Mode != "embedded" {
		nc, err := process.DialNATS(c.NATS, process.NewLogger(c.Log, os.Stderr))
		if err == nil {
			nc.Close()
		}
		add("nats", "answers", err, "check nats.url and credentials")
	}
	if c.ClickHouse.Mode == "embedded" || c.NATS.Mode == "embedded" {
		add("data folder", c.Data, writable(c.Data), "make the folder writable for this user, or choose another with data:")
	}
	year := time.Now().Year()
	var clock error
	if year < 2026 {
		clock = fmt.Errorf("the clock says %d", year)
	}
	add("clock", time.Now().Format(time.RFC3339), clock, "set the clock: signed webhooks are refused when it is wrong by five minutes")
}
