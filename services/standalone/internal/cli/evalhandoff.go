package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
)

type evalHandoff struct {
	evalFlags
}

func (e *evalHandoff) Run(ctx context.Context, s *Streams) error {
	if info, err := os.Stat(e.Input); err != nil || !info.IsDir() {
		return usage{errors.Join(fmt.Errorf("--input must be a folder of scenarios"), err)}
	}
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	folder := e.Input
	e.Input = "-" // only the output is a file
	_, out, done, err := e.open(s)
	if err != nil {
		return err
	}
	r, err := contextpublisher.EvalHandoff(ctx, os.DirFS(folder), embedder, extractor(embedder), out)
	if err := done(err); err != nil {
		return err
	}
	return report(s, r)
}

// extractor finds signals with the code of the classifier.
func extractor(embedder embed.Embedder) func(context.Context, []string) ([][]contextpublisher.Found, error) {
	return func(ctx context.Context, texts []string) ([][]contextpublisher.Found, error) {
		var in, out bytes.Buffer
		encoder := json.NewEncoder(&in)
		for i, text := range texts {
			if err := encoder.Encode(map[string]string{"id": strconv.Itoa(i), "text": text}); err != nil {
				return nil, err
			}
		}
		if _, err := classifier.EvalExtract(ctx, &in, embedder, &out); err != nil {
			return nil, err
		}
		var found [][]contextpublisher.Found
		for lines := bufio.NewScanner(&out); lines.Scan(); {
			var answer struct {
				Signals []struct {
					Kind  feedback.Kind `json:"kind"`
					Start int           `json:"start"`
					End   int           `json:"end"`
				} `json:"signals"`
			}
			if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
				return nil, fmt.Errorf("read signals: %w", err)
			}
			var of []contextpublisher.Found
			for _, g := range answer.Signals {
				of = append(of, contextpublisher.Found{Kind: g.Kind, Start: g.Start, End: g.End})
			}
			found = append(found, of)
		}
		if len(found) != len(texts) {
			return nil, errors.New("read signals: not every text has an answer")
		}
		return found, nil
	}
}
