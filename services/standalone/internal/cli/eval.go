package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalCommand struct {
	Cluster  evalCluster  `cmd:"" help:"Cluster JSONL {id, text, label?} in stream order; NMI, ARI, B³, V-measure."`
	Classify evalClassify `cmd:"" help:"Judge JSONL {id, text, body?, labels…}; macro F1, confusion, calibration."`
	Extract  evalExtract  `cmd:"" help:"Find the signals of JSONL {id, text, signals?}; span F1, signals per item, items per second."`
	Burst    evalBurst    `cmd:"" help:"Find planted bursts in a JSONL stream {id, ts, text, label, account}; found within 6 hours, precision."`
	Alerts   evalAlerts   `cmd:"" help:"Live through a simulated year with bursts, spikes, leavings and attempts to be heard too much; precision and delay of the alerts."`
	Name     evalName     `cmd:"" help:"Name each label of JSONL {text, label} as a cluster is named; how well names tell labels apart."`
	Attach   evalAttach   `cmd:"" help:"Match feedback JSONL {id, text, ticket?} to tickets; recall, MRR, precision and coverage of what is attached without asking."`
	Handoff  evalHandoff  `cmd:"" help:"Play a folder of handoff scenarios; facts told within 1,000 and 4,000 tokens, beside two baselines."`
	Growth   evalGrowth   `cmd:"" help:"Cluster a million signals made of the texts of JSONL {text}; time, memory and restart at each size."`
}

// evalFlags are shared by the evaluations.
type evalFlags struct {
	Input  string `help:"JSON lines to read; - for standard input." required:"" placeholder:"FILE"`
	Output string `help:"Where to write the answers, one a line; - for standard output." default:"-" placeholder:"FILE"`
	Models string `help:"Folder of the model's weights." placeholder:"DIR"`
	Embed  string `help:"Embedding provider: ${enum}." enum:"local,lexical" default:"local"`
}

// open opens the files; close must be called with the run's error, and keeps an output only
// if there was none.
func (f evalFlags) open(s *Streams) (in io.Reader, out io.Writer, close func(error) error, err error) {
	in, out = s.In, s.Out
	var files []*os.File
	close = func(err error) error {
		for _, file := range files {
			err = errors.Join(err, file.Close())
		}
		return err
	}
	if f.Input != "-" {
		file, err := os.Open(f.Input)
		if err != nil {
			return nil, nil, nil, usage{err}
		}
		in, files = file, append(files, file)
	}
	if f.Output != "-" {
		file, err := os.Create(f.Output)
		if err != nil {
			return nil, nil, nil, close(usage{err})
		}
		out, files = file, append(files, file)
	}
	return in, out, close, nil
}

func (f evalFlags) embedder() (embed.Embedder, error) {
	return process.Embedder(config.Models{Dir: f.Models, Embeddings: config.Embeddings{Provider: f.Embed}})
}

// report prints what was measured as indented JSON on the error stream, so that answers on
// standard output stay clean.
func report(s *Streams, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Err, string(b))
	return err
}

type evalCluster struct {
	evalFlags
	Orders    int  `help:"Also stream it in this many random orders and a drifting one, and print a table; the output gets the rows. Needs labels; holds all vectors." placeholder:"N"`
	Baselines bool `help:"Also cluster the same vectors with k-means given the true number, HDBSCAN and leader, and print a table; the output gets the rows. Needs labels; HDBSCAN is quadratic."`
}

func (e *evalCluster) Run(ctx context.Context, s *Streams) error {
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	if e.Orders > 0 || e.Baselines {
		c, err := clusterer.Compare(ctx, in, embedder, clusterer.Against{Orders: e.Orders, Baselines: e.Baselines})
		if err == nil {
			err = writeRows(out, c)
		}
		if err := done(err); err != nil {
			return err
		}
		return clusterTable(s.Err, c)
	}
	r, err := clusterer.Eval(ctx, in, embedder, out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}
