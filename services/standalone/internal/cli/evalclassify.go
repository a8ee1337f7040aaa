package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/classifier"
)

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
