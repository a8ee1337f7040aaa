// Command fitbackground fits the background of the embedding: the rarity of
// words, and the mean and half-whitening projection of the encoder's hidden
// states. It is run once, by hand, when the recipe changes:
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
	"math"
	"os"
	"path/filepath"
	"runtime"

	"gonum.org/v1/gonum/mat"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/embed/internal/background"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
	"github.com/throughline-dev/throughline/pkg/embed/uselite"
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
	encoder, err := uselite.Open(models, uselite.Options{})
	if err != nil {
		return err
	}
	b := &background.Background{Documents: len(texts), Rarities: rarities(texts)}
	encodings, err := encoder.Encode(context.Background(), texts)
	if err != nil {
		return err
	}
	if err := fit(b, encodings); err != nil {
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

// fit sets the mean and the projection: the leading eigenvectors of the hidden
// states' covariance, each scaled by its eigenvalue to the power -1/4 (half of
// whitening's -1/2), the covariance shrunk by 2 % towards a sphere so that the
// small directions are not blown up.
func fit(b *background.Background, encodings []uselite.Encoding) error {
	const shrinkage = 0.02
	states := mat.NewDense(len(encodings), background.Wide, nil)
	mean := make([]float64, background.Wide)
	for i, e := range encodings {
		lexical.Unit(e.Hidden)
		for j, v := range e.Hidden {
			states.Set(i, j, float64(v))
			mean[j] += float64(v) / float64(len(encodings))
		}
	}
	for i := range encodings {
		for j := range mean {
			states.Set(i, j, states.At(i, j)-mean[j])
		}
	}
	covariance := mat.NewSymDense(background.Wide, nil)
	covariance.SymOuterK(1/float64(len(encodings)), states.T())
	trace := mat.Trace(covariance)
	for i := range background.Wide {
		for j := range i + 1 {
			v := (1 - shrinkage) * covariance.At(i, j)
			if i == j {
				v += shrinkage * trace / background.Wide
			}
			covariance.SetSym(i, j, v)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(covariance, true) {
		return fmt.Errorf("fit projection: the eigenvalues did not converge")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)

	b.Mean = make([]float32, background.Wide)
	for j, v := range mean {
		b.Mean[j] = float32(v)
	}
	b.Projection = make([]float32, background.Wide*background.Narrow)
	for column := range background.Narrow {
		from := background.Wide - 1 - column
		factor := math.Pow(values[from], -0.25)
		for row := range background.Wide {
			b.Projection[row*background.Narrow+column] = float32(vectors.At(row, from) * factor)
		}
	}
	return nil
}
