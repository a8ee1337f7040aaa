// Package bge runs BGE-small-en-v1.5, an English text encoder of twelve
// transformer layers, whose weights (MIT) arrive as bytes in a Maven artifact.
// It is plain Go with some assembly for the processors that most servers have,
// so that an embedding costs no network, no key and no C.
//
// It promises that a text's vector does not depend on what it is encoded
// beside, on how many goroutines encode, nor on the processor: the products are
// of whole numbers, and everything between them rounds the same way everywhere.
//
// It refuses weights that are not exactly those it was written for (see
// ErrWeights). It does not prepare text beyond what the published tokeniser
// does: that is its caller's to do.
package bge

import (
	"context"
	"runtime"
	"sync"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// MaxWindows is how many windows of WindowPieces pieces are read of one text;
// what lies beyond, some 1,500 words in, is not read.
const MaxWindows = 8

// batchRows is how many pieces go through the network together: enough to read
// each weight once for many, few enough to stay in a core's cache.
const batchRows = 192

// Options tune an Encoder. The zero value is the right one for a server.
type Options struct {
	// Threads bounds how many cores encode at once, over all callers; zero means
	// all that Go may use.
	Threads int
	// Portable leaves the processor's vector instructions alone. It is many
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

// Open reads the weights in dir, or in the folder of them below dir, which is
// where `make models` puts them. An error wraps ErrWeights when a file is
// missing or is not the pinned one.
func Open(dir string, o Options) (*Encoder, error) {
	files, err := readPinned(dir)
	if err != nil {
		return nil, err
	}
	e := &Encoder{kernel: matrix.Best()}
	if o.Portable {
		e.kernel = matrix.Portable()
	}
	if e.network, err = assemble(files[weightsFile]); err != nil {
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
	// Mean is the mean of the last layer's states over all pieces, Width values,
	// not normalised.
	Mean []float32
	// Covered is the share of the text's words, 0 to 1, in a script that the
	// encoder was taught. Text in others has 0, and a Mean that says little more
	// than that; so has empty text.
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

// batch is some texts' windows, run through the network together. A text's
// windows are never spread over two batches.
type batch struct {
	texts   []int // per window, the text it is of
	windows [][]int32
	rows    int
}

// plan cuts texts into pieces and the pieces into windows, each between the
// marks of a beginning and an end, and fills in how much of each text is
// covered.
func (e *Encoder) plan(texts []string, out []Encoding) []batch {
	var batches []batch
	var b batch
	for i, text := range texts {
		ids, covered := e.tokenizer.pieces(text, MaxWindows*WindowPieces)
		out[i].Covered = covered
		windows := max(1, (len(ids)+WindowPieces-1)/WindowPieces)
		rows := len(ids) + 2*windows
		if b.rows > 0 && b.rows+rows > batchRows {
			batches, b = append(batches, b), batch{}
		}
		b.rows += rows
		for range windows {
			n := min(len(ids), WindowPieces)
			window := make([]int32, 0, n+2)
			window = append(append(append(window, begin), ids[:n]...), end)
			b.texts, b.windows = append(b.texts, i), append(b.windows, window)
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
	states := e.network.states(e.kernel, b.windows, b.rows, desk)
	pieces := 0
	for w, window := range b.windows {
		text := &out[b.texts[w]]
		if text.Mean == nil {
			text.Mean = make([]float32, Width)
			pieces = 0
		}
		for range window {
			for j, v := range states[:Width] {
				text.Mean[j] += v
			}
			states = states[Width:]
		}
		pieces += len(window)
		if w+1 == len(b.windows) || b.texts[w+1] != b.texts[w] {
			for j := range text.Mean {
				text.Mean[j] /= float32(pieces)
			}
		}
	}
}
