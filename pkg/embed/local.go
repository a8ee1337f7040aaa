package embed

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/embed/bge"
	"github.com/throughline-dev/throughline/pkg/embed/internal/background"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
)

// The hybrid: 384 values of meaning beside 384 of words, which weigh about a
// third as much. See decision 0003 for what the choice was measured on.
const (
	hybridRecipe = "centred-384+words-384*0.35"
	meaningWidth = background.Width
	wordsWidth   = 384
	wordsWeight  = 0.35
	hybridWidth  = meaningWidth + wordsWidth
)

// LocalOptions tune the local embedder. The zero value is the right one for a
// server.
type LocalOptions struct {
	// Threads bounds how many cores embed at once, over all callers; zero means
	// all that Go may use.
	Threads int
}

// OpenLocal opens the embedder that ships with Throughline: BGE-small-en-v1.5,
// read from the weights in dir, beside the words of Lexical. dir is where
// `make models` put the weights (.cache/models). Missing or altered weights
// give an error that wraps bge.ErrWeights and names the remedy.
//
// It reads English best. Text in a script that the encoder was not taught is
// compared by its words alone.
func OpenLocal(dir string, o LocalOptions) (Embedder, error) {
	encoder, err := bge.Open(dir, bge.Options{Threads: o.Threads})
	if err != nil {
		return nil, fmt.Errorf("open local embedder: %w", err)
	}
	h := newHybrid(encoder)
	if _, err := h.Embed(context.Background(), []string{"warm up: bring the weights into memory"}); err != nil {
		return nil, fmt.Errorf("open local embedder: %w", err)
	}
	return h, nil
}

type hybrid struct {
	encoder *bge.Encoder
	words   *words
}

func newHybrid(encoder *bge.Encoder) *hybrid {
	return &hybrid{encoder: encoder, words: newWords()}
}

func (h *hybrid) Space() Space {
	return Space{
		Model:      "bge-small-hybrid",
		Version:    version(hybridRecipe, lexicalRecipe, bge.Sum(), background.Sum()),
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
// as far as the encoder was taught its script, then its words, and the whole at
// length one. Text without words keeps the axis that words.write gave it.
func (h *hybrid) join(dst []float32, encoding bge.Encoding, normalised string) {
	if !h.words.write(dst[meaningWidth:], normalised) {
		return
	}
	h.meaning(dst[:meaningWidth], encoding)
	scale(dst[:meaningWidth], encoding.Covered)
	scale(dst[meaningWidth:], wordsWeight)
	lexical.Unit(dst)
}

// meaning writes how an encoding differs from that of ordinary text, at length
// one: what all texts have in common would hide what tells them apart.
func (h *hybrid) meaning(dst []float32, encoding bge.Encoding) {
	copy(dst, encoding.Mean)
	lexical.Unit(dst)
	for i, mean := range h.words.background.Mean {
		dst[i] -= mean
	}
	lexical.Unit(dst)
}

func scale(v []float32, by float32) {
	for i := range v {
		v[i] *= by
	}
}
