package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/schollz/progressbar/v3"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/clusterer"
)

// shadowFlags are those of a replay beside what is there.
type shadowFlags struct {
	configFlags
	With      string `help:"Shadow: configuration with the other settings (models, rank); default that of --config." placeholder:"FILE"`
	Workspace string `help:"Shadow: the workspace; not needed where there is one only." placeholder:"ID"`
}

// shadow makes the second world and prints how it differs. It reads the log from its
// beginning: half a world cannot be compared.
func (f shadowFlags) shadow(ctx context.Context, s *Streams, asJSON bool) error {
	c, log, err := f.load(s)
	if err != nil {
		return err
	}
	with := c
	if f.With != "" {
		if with, err = config.Load(f.With); err != nil {
			return usage{err}
		}
	}
	id := f.Workspace
	if id == "" && len(c.Workspaces) == 1 {
		id = c.Workspaces[0].ID
	}
	rankOf := func(c config.Config) (config.Rank, bool) {
		for _, w := range c.Workspaces {
			if w.ID == id {
				return w.Rank, true
			}
		}
		return config.Rank{}, false
	}
	present, ok := rankOf(c)
	if !ok {
		return usage{errors.New("--workspace names one of the configuration")}
	}
	other, ok := rankOf(with)
	if !ok {
		return usage{errors.New("the configuration of --with has no such workspace")}
	}
	embedder, err := process.Embedder(with.Models)
	if err != nil {
		return err
	}
	db, done, err := reading(ctx, c, log)
	if err != nil {
		return err
	}
	defer done()
	progress := func(uint64, uint64) {}
	if isTerminal(s.Err) {
		var bar *progressbar.ProgressBar
		progress = func(taken, of uint64) {
			if bar == nil {
				bar = progressbar.NewOptions64(int64(of), progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("inputs"), progressbar.OptionClearOnFinish())
			}
			_ = bar.Set64(int64(taken))
		}
	}
	d, err := clusterer.Shadow(ctx, db, id, present, other, embedder, progress)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(d)
	}
	return writeDifference(s.Out, d)
}

// reading opens the store as it is, without bringing its tables up to date: that of the
// configuration, the embedded one, or the embedded one of a Throughline that runs.
func reading(ctx context.Context, c config.Config, log *slog.Logger) (*store.DB, func(), error) {
	o, err := process.StoreOptions(c.ClickHouse)
	if err != nil {
		return nil, nil, err
	}
	stop := func() {}
	if c.ClickHouse.Mode == "embedded" {
		dir := filepath.Join(c.Data, "clickhouse")
		e, err := engine.Start(ctx, engine.Options{Dir: dir, Logger: log})
		var addr, password string
		switch {
		case err == nil:
			addr, password, stop = e.Addr(), e.Password(), func() { _ = e.Stop(context.WithoutCancel(ctx)) }
		case errors.Is(err, engine.ErrLocked):
			addr, password, err = engine.Running(dir)
		}
		if err != nil {
			return nil, nil, err
		}
		o.Addr, o.Username, o.Password = []string{addr}, engine.Username, password
	}
	o.Logger, o.Registerer = log, prometheus.NewRegistry()
	db, err := store.Open(ctx, o)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return db, func() { db.Close(); stop() }, nil
}

// How many changes of a kind are printed, and how much of a name; --json has all.
const (
	listed  = 20
	longest = 200 // bytes of a name
)

func writeDifference(w io.Writer, d clusterer.Difference) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d inputs, %d signals. Nothing was changed.\n\n", d.Inputs, d.Signals)
	fmt.Fprintf(&b, "clusters   %d now, %d then; %d stay what they are\n", d.Before, d.After, d.Kept)
	fmt.Fprintf(&b, "signals    %d of %d would be elsewhere than most of their cluster\n", d.Moved, d.Signals)
	fmt.Fprintf(&b, "alerts     %d now, %d then\n", d.Alerts, d.AlertsIn)
	joins := func(title string, all []clusterer.Join, line string) {
		if len(all) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s (%d):\n", title, len(all))
		for _, j := range all[:min(listed, len(all))] {
			var several []string
			for _, p := range j.Several {
				several = append(several, label(p.Name, p.Signals))
			}
			fmt.Fprintf(&b, line, label(j.One.Name, j.One.Signals), strings.Join(several, "; "))
		}
	}
	joins("would be merged", d.Merged, "  %s  <-  %s\n")
	joins("would be split", d.Split, "  %s  ->  %s\n")
	if len(d.Ranks) > 0 {
		fmt.Fprintf(&b, "\nwould change place (%d):\n", len(d.Ranks))
		for _, r := range d.Ranks[:min(listed, len(d.Ranks))] {
			fmt.Fprintf(&b, "  %4s -> %-4s %s\n", place(r.Before), place(r.After), fence.Clean(r.Name, longest))
		}
	}
	if len(d.Refused) > 0 {
		fmt.Fprintf(&b, "\ndecisions that could not be taken there (%d): %s\n", len(d.Refused), strings.Join(d.Refused, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func label(name string, signals int) string {
	return fmt.Sprintf("%q (%d)", fence.Clean(name, longest), signals)
}

func place(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}
