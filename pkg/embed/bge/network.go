package bge

import "github.com/throughline-dev/throughline/pkg/embed/internal/matrix"

// The shape of the network, as published.
const (
	// Width is how many values the encoder gives for a text.
	Width = 384
	// WindowPieces is how many pieces the network reads at a time, without the
	// marks around them. It has places for twice as many; half of them cost a
	// long text a quarter of the attention.
	WindowPieces = 254

	vocabularySize = 30522
	positionCount  = 512
	inner          = 1536
	epsilon        = 1e-12 // of the norms
)

// network is the transformer: twelve post-norm layers of one width.
type network struct {
	words  table
	places []float32 // positionCount rows of Width: what position and kind add
	norm   norms
	layers [12]layer
}

type layer struct {
	attend     matrix.Map // to query, key and value, side by side
	gather     matrix.Map
	gatherNorm norms
	expand     matrix.Map
	contract   matrix.Map
	outputNorm norms
}

type norms struct{ scale, shift []float32 }

// table is rows of bytes; 128 stands for zero.
type table struct {
	bytes []byte
	step  float32
}

func (t table) at(i int) float32 { return float32(int32(t.bytes[i])-128) * t.step }

// scratch is the working memory of one forward pass, reused between passes.
type scratch struct {
	state, attended, inner []float32
	maps                   matrix.Scratch
	attention              matrix.Attention
}

// sized returns a slice of n values, reusing *buffer where it is large enough.
// What it holds is unspecified.
func sized(buffer *[]float32, n int) []float32 {
	if cap(*buffer) < n {
		*buffer = make([]float32, n+n/4)
	}
	return (*buffer)[:n]
}

// states runs windows, rows pieces in all, and returns the last layer's state:
// one row of Width per piece, the windows one after another. The rows are the
// scratch's, valid until it is used again.
func (n *network) states(k matrix.Kernel, windows [][]int32, rows int, s *scratch) []float32 {
	state := sized(&s.state, rows*Width)
	r := 0
	for _, window := range windows {
		for position, id := range window {
			row := state[r*Width:][:Width]
			place := n.places[position*Width:][:Width]
			for j := range row {
				row[j] = n.words.at(int(id)*Width+j) + place[j]
			}
			r++
		}
	}
	k.Normalise(state, n.norm.scale, n.norm.shift, epsilon)
	for i := range n.layers {
		n.layers[i].forward(k, state, windows, rows, s)
	}
	return state
}

// forward runs one layer over state, in place.
func (l *layer) forward(k matrix.Kernel, state []float32, windows [][]int32, rows int, s *scratch) {
	attended := sized(&s.attended, rows*Width)
	wide := sized(&s.inner, rows*inner)

	queries := wide[:rows*3*Width]
	k.Apply(queries, state, &l.attend, rows, &s.maps)
	r := 0
	for _, window := range windows {
		k.Attend(attended[r*Width:], queries[r*3*Width:], len(window), Width, &s.attention)
		r += len(window)
	}
	gathered := wide[:rows*Width]
	k.Apply(gathered, attended, &l.gather, rows, &s.maps)
	k.Add(state, gathered)
	k.Normalise(state, l.gatherNorm.scale, l.gatherNorm.shift, epsilon)

	k.Apply(wide, state, &l.expand, rows, &s.maps)
	k.GELU(wide)
	contracted := attended
	k.Apply(contracted, wide, &l.contract, rows, &s.maps)
	k.Add(state, contracted)
	k.Normalise(state, l.outputNorm.scale, l.outputNorm.shift, epsilon)
}
