// Command fitbackground fits the background of the embedding: the rarity of
// words, and the mean of the encoder's vectors. It is run once, by hand, when
// the recipe changes:
//
//	go run ./embed/fitbackground -models ../.cache/models -data DIR -output embed/internal/background/background.bin
//
// It reads only sets whose licences let the result ship (see the README beside
// the output), without their labels.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/embed/bge"
	"github.com/throughline-dev/throughline/pkg/embed/internal/background"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
)

// sources are the sets that the background may be fitted on, below the data folder.
var sources = []string{
	"app-reviews/reviews.jsonl",
	"gitbugs-hadoop/issues.jsonl",
	"clinc150/train.jsonl",
	"uci-sentiment/train.jsonl",
}

func main() {
	models := flag.String("models", ".cache/models", "folder of the encoder weights")
	data := flag.String("data", "", "folder of the sets")
	output := flag.String("output", "background.bin", "file to write")
	flag.Parse()
	if err := run(*models, *data, *output); err != nil {
		fmt.Fprintln(os.Stderr, "fitbackground:", err)
		os.Exit(1)
	}
}

func run(models, data, output string) error {
	texts, err := read(data)
	if err != nil {
		return err
	}
	encoder, err := bge.Open(models, bge.Options{})
	if err != nil {
		return err
	}
	b := &background.Background{Documents: len(texts), Rarities: rarities(texts)}
	if b.Mean, err = mean(encoder, texts); err != nil {
		return err
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := b.Encode(file); err != nil {
		return err
	}
	fmt.Printf("%d texts, %d features, %s\n", b.Documents, len(b.Rarities), runtime.Version())
	return file.Close()
}

// read gives the distinct normalised texts of the sources. An issue's body is
// cut to what a person reads of it first, before logs and traces.
func read(data string) ([]string, error) {
	const bodyBytes = 600
	var texts []string
	seen := map[string]bool{"": true}
	for _, source := range sources {
		file, err := os.Open(filepath.Join(data, filepath.FromSlash(source)))
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var item struct{ Text, Body string }
			if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
				return nil, fmt.Errorf("decode %s: %w", source, err)
			}
			text := embed.Normalise(item.Text + "\n" + item.Body[:min(len(item.Body), bodyBytes)])
			if !seen[text] {
				seen[text] = true
				texts = append(texts, text)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", source, err)
		}
		file.Close()
	}
	return texts, nil
}

// rarities counts in how many texts each feature is, and keeps the common ones.
func rarities(texts []string) map[uint32]uint8 {
	counts := map[uint32]int{}
	var x lexical.Extractor
	for _, text := range texts {
		for _, f := range x.Features(text) {
			counts[uint32(f.Key>>32)]++
		}
	}
	out := map[uint32]uint8{}
	for key, n := range counts {
		if n >= background.MinDocuments {
			out[key] = background.Quantise(n, len(texts))
		}
	}
	return out
}

// mean is the mean of the vectors of every fourth text, each at length one.
func mean(encoder *bge.Encoder, texts []string) ([]float32, error) {
	const each = 4
	var some []string
	for i := 0; i < len(texts); i += each {
		some = append(some, texts[i])
	}
	encodings, err := encoder.Encode(context.Background(), some)
	if err != nil {
		return nil, err
	}
	sum := make([]float64, background.Width)
	for _, e := range encodings {
		lexical.Unit(e.Mean)
		for j, v := range e.Mean {
			sum[j] += float64(v)
		}
	}
	out := make([]float32, len(sum))
	for j, v := range sum {
		out[j] = float32(v / float64(len(encodings)))
	}
	return out, nil
}
