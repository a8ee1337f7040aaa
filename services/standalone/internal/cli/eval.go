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
	"github.com/throughline-dev/throughline/services/classifier"
	"github.com/throughline-dev/throughline/services/clusterer"
)

type evalCommand struct {
	Cluster  evalCluster  `cmd:"" help:"Cluster JSONL {id, text, label?} in stream order; NMI, ARI, B³, V-measure."`
	Classify evalClassify `cmd:"" help:"Judge JSONL {id, text, body?, labels…}; macro F1, confusion, calibration."`
	Extract  evalExtract  `cmd:"" help:"Find the signals of JSONL {id, text, signals?}; span F1, signals per item, items per second."`
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
	r, err := clusterer.Eval(ctx, in, embedder, out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}

type evalClassify struct {
	evalFlags
	Field   []string `help:"Fields of the input that hold labels." placeholder:"LABEL" default:"kind,sentiment"`
	Map     string   `help:"YAML that says what the set's labels mean in ours; labels that it does not name are not scored." placeholder:"FILE"`
	Fit     string   `help:"Labelled JSON lines to fit a head on first." placeholder:"FILE"`
	Against string   `help:"Answers of another configuration to the same input, to test the difference." placeholder:"FILE"`
}

func (e *evalClassify) Help() string {
	return "Writes {id, kind, sentiment, confidence} a line, in the order of the input, and the measures to the error stream. " +
		"Kinds are bug, feature_request, usability, question, praise, complaint and other, or the set's own after --fit without --map; " +
		"a sentiment is negative below -0.2 and positive above 0.2. Where only some labels are scored, any other answer is wrong. " +
		"A map is lines like \"bug report: bug\", \"rating: null\" or \"happy: positive\"."
}

func (e *evalClassify) Run(ctx context.Context, s *Streams) error {
	o := classifier.ClassifyOptions{Fields: e.Field}
	if e.Map != "" {
		file, err := os.Open(e.Map)
		if err != nil {
			return usage{err}
		}
		entries, err := config.ReadMapping(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return usage{err}
		}
		if o.Labels, err = classifier.NewLabels(entries); err != nil {
			return usage{err}
		}
	}
	for _, more := range []struct {
		name string
		to   *io.Reader
	}{{e.Fit, &o.Fit}, {e.Against, &o.Against}} {
		if more.name == "" {
			continue
		}
		file, err := os.Open(more.name)
		if err != nil {
			return usage{err}
		}
		defer func() { _ = file.Close() }()
		*more.to = file
	}
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	in, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	r, err := classifier.EvalClassify(ctx, in, embedder, out, o)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}
