package embed

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/embed/internal/background"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
	"github.com/throughline-dev/throughline/pkg/embed/uselite"
)

// The hybrid: 256 values of meaning beside 512 of words, the words weighing
// slightly less. See decision 0003 for what the choice was measured on.
const (
	hybridRecipe = "half-white-256+words-512*0.9"
	meaningWidth = background.Narrow
	wordsWidth   = 512
	wordsWeight  = 0.9
	hybridWidth  = meaningWidth + wordsWidth
)

// LocalOptions tune the local embedder. The zero value is the right one for a
// server.
type LocalOptions struct {
	// Threads bounds how many cores embed at once, over all callers; zero means
	// all that Go may use.
	Threads int
}

// OpenLocal opens the embedder that ships with Throughline: the Universal
// Sentence Encoder Lite, read from the weights in dir, beside the words of
// Lexical. dir is where `make models` put the weights (.cache/models). Missing
// or altered weights give an error that wraps uselite.ErrWeights and names the
// remedy.
//
// It reads English best. Text whose characters the encoder does not know, in
// another script say, is compared by its words alone.
func OpenLocal(dir string, o LocalOptions) (Embedder, error) {
	encoder, err := uselite.Open(dir, uselite.Options{Threads: o.Threads})
	if err != nil {
		return nil, fmt.Errorf("open local embedder: %w", err)
	}
	h, err := newHybrid(encoder)
	if err != nil {
		return nil, fmt.Errorf("open local embedder: %w", err)
	}
	if _, err := h.Embed(context.Background(), []string{"warm up: bring the weights into memory"}); err != nil {
		return nil, fmt.Errorf("open local embedder: %w", err)
	}
	return h, nil
}

type hybrid struct {
	encoder    *uselite.Encoder
	words      *words
	kernel     matrix.Kernel
	projection matrix.Linear
}

func newHybrid(encoder *uselite.Encoder) (*hybrid, error) {
	w := newWords()
	b := w.background
	// (x - mean)·P is x·P - mean·P, which is a linear map with a bias.
	bias := make([]float32, background.Narrow)
	for row, mean := range b.Mean {
		for column := range bias {
			bias[column] -= mean * b.Projection[row*background.Narrow+column]
		}
	}
	projection, err := matrix.NewLinear(background.Wide, background.Narrow, b.Projection, bias)
	if err != nil {
		return nil, err
	}
	return &hybrid{encoder: encoder, words: w, kernel: matrix.Best(), projection: projection}, nil
}

func (h *hybrid) Space() Space {
	return Space{
		Model:      "use-lite-hybrid",
		Version:    version(hybridRecipe, lexicalRecipe, uselite.Sum(), background.Sum()),
		Dimensions: hybridWidth,
	}
}

func (h *hybrid) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	normalised := make([]string, len(texts))
	for i, text := range texts {
		normalised[i] = Normalise(text)
	}
	encodings, err := h.encoder.Encode(ctx, normalised)
	if err != nil {
		return nil, fmt.Errorf("embed locally: %w", err)
	}
	out := make([][]float32, len(texts))
	for i, encoding := range encodings {
		out[i] = make([]float32, hybridWidth)
		h.join(out[i], encoding, normalised[i])
	}
	return out, nil
}

// join writes the vector of one text to dst, which must be zero: what it means,
// as far as the encoder knew its characters, then its words, and the whole at
// length one. Text without words keeps the axis that words.write gave it.
func (h *hybrid) join(dst []float32, encoding uselite.Encoding, normalised string) {
	if !h.words.write(dst[meaningWidth:], normalised) {
		return
	}
	h.meaning(dst[:meaningWidth], encoding)
	scale(dst[:meaningWidth], encoding.Covered)
	scale(dst[meaningWidth:], wordsWeight)
	lexical.Unit(dst)
}

// meaning writes the half-whitened projection of a hidden state, at length one.
func (h *hybrid) meaning(dst []float32, encoding uselite.Encoding) {
	state := append([]float32(nil), encoding.Hidden...)
	lexical.Unit(state)
	h.kernel.Apply(dst, state, &h.projection, 1)
	lexical.Unit(dst)
}

func scale(v []float32, by float32) {
	for i := range v {
		v[i] *= by
	}
}
