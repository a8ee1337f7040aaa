// Command fitheads fits the heads that ship with the classifier on the texts of the seed
// folder. `make heads` runs it at the root of the repository, once, when texts or features
// change:
//
//	go run ./services/classifier/fitheads -models .cache/models -seed services/classifier/seed -output services/classifier/internal/judge/heads.bin
//
// The same texts give the same heads on the same kind of processor.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/classifier/internal/fit"
)

func main() {
	models := flag.String("models", ".cache/models", "folder of the encoder's weights")
	seed := flag.String("seed", "services/classifier/seed", "folder of the labelled texts")
	output := flag.String("output", "services/classifier/internal/judge/heads.bin", "file to write")
	flag.Parse()
	if err := run(os.Stdout, *models, *seed, *output); err != nil {
		fmt.Fprintln(os.Stderr, "fitheads:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, models, seed, output string) error {
	texts, err := fit.Load(os.DirFS(seed))
	if err != nil {
		return err
	}
	embedder, err := embed.OpenLocal(models, embed.LocalOptions{})
	if err != nil {
		return err
	}
	heads, report, err := fit.Heads(context.Background(), texts, embedder, fit.KindOptions, fit.MoodOptions)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := heads.Write(&b); err != nil {
		return err
	}
	if err := os.WriteFile(output, b.Bytes(), 0o644); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(report)
}
