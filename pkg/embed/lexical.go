package embed

import (
	"context"
	"fmt"
	"sync"

	"github.com/throughline-dev/throughline/pkg/embed/internal/background"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
)

// lexicalRecipe changes whenever code changes what the lexical part makes of a
// text: the normaliser, the features, their weights or their places.
const lexicalRecipe = "words-1"

// lexicalWidth is the width of the vectors of Lexical.
const lexicalWidth = 768

// Lexical returns the embedder that always works: it compares texts by the
// words they share, rare ones first, and knows nothing of what words mean. It
// reads no weights and needs no network. Text that says nothing has the last
// axis to itself, at right angles to every other text.
func Lexical() Embedder {
	return lexicalEmbedder{words: newWords()}
}

type lexicalEmbedder struct{ words *words }

func (lexicalEmbedder) Space() Space {
	return Space{
		Model:      "lexical",
		Version:    version(lexicalRecipe, background.Sum()),
		Dimensions: lexicalWidth,
	}
}

func (e lexicalEmbedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out[i] = make([]float32, lexicalWidth)
		e.words.write(out[i], Normalise(text))
	}
	return out, nil
}

// words writes the lexical part of a vector.
type words struct {
	background *background.Background
	extractors sync.Pool
}

// newWords panics where the background compiled into the program cannot be
// read: that program could embed nothing, and a test of this package fails.
func newWords() *words {
	b, err := background.Shipped()
	if err != nil {
		panic(fmt.Sprintf("read the background compiled into the program: %v", err))
	}
	return &words{background: b, extractors: sync.Pool{New: func() any { return new(lexical.Extractor) }}}
}

// write fills dst, which must be zero, with the unit-length vector of a
// normalised text, and reports whether the text had words. The last value is
// kept for text that has none: it is 1 there, and 0 everywhere else.
func (w *words) write(dst []float32, normalised string) bool {
	x := w.extractors.Get().(*lexical.Extractor)
	defer w.extractors.Put(x)
	last := len(dst) - 1
	if x.Add(dst[:last], normalised, w.background.Rarity) {
		return true
	}
	dst[last] = 1
	return false
}
