package uselite

import (
	"math"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// The shape of the network, as published.
const (
	// Width is how many values the encoder gives for a text.
	Width = 512
	// WindowPieces is how many pieces the network reads at a time: the published
	// graph clips its input there.
	WindowPieces = 128

	vocabularySize = 8002
	narrow         = 256 // the width of the word embeddings and of the first layer
	inner          = 1536
	heads          = 4
)

// network is the transformer: two pre-norm layers, the first 256 wide with a
// dense shortcut to 512, the second 512 wide.
type network struct {
	embeddings []float32 // vocabularySize rows of narrow
	timing     []float32 // WindowPieces rows of narrow: what position adds
	layers     [2]layer
	final      matrix.Linear
}

type layer struct {
	width         int
	attentionNorm layerNorm
	attend        matrix.Linear // to query, key and value, side by side
	gather        matrix.Linear
	widen         *matrix.Linear // the shortcut, where the width changes
	forwardNorm   layerNorm
	expand        matrix.Linear
	contract      matrix.Linear
}

type layerNorm struct{ scale, shift []float32 }

// timing tabulates the sinusoids of the position signal.
func timing(frequencies []float32) []float32 {
	out := make([]float32, 0, WindowPieces*narrow)
	for position := range WindowPieces {
		for _, f := range frequencies {
			out = append(out, float32(math.Sin(float64(float32(position)*f))))
		}
		for _, f := range frequencies {
			out = append(out, float32(math.Cos(float64(float32(position)*f))))
		}
	}
	return out
}

// scratch is the working memory of one forward pass, reused between passes.
type scratch struct {
	state, next, normed, attended []float32
	queries                       []float32
	inner                         []float32
	weights                       []float32
}

// sized returns a slice of n values, reusing *buffer where it is large enough.
// What it holds is unspecified.
func sized(buffer *[]float32, n int) []float32 {
	if cap(*buffer) < n {
		*buffer = make([]float32, n+n/4)
	}
	return (*buffer)[:n]
}

// hidden runs windows, each of one to WindowPieces pieces, and returns the last
// layer's state: one row of Width per piece, the windows one after another. The
// rows are the scratch's, valid until it is used again.
func (n *network) hidden(k matrix.Kernel, windows [][]int32, s *scratch) []float32 {
	rows := 0
	for _, window := range windows {
		rows += len(window)
	}
	// state and next swap roles within a layer, so both are sized for the wider.
	state := sized(&s.state, rows*Width)[:rows*narrow]
	r := 0
	for _, window := range windows {
		for position, id := range window {
			row := state[r*narrow:][:narrow]
			embedding := n.embeddings[int(id)*narrow:][:narrow]
			moment := n.timing[position*narrow:][:narrow]
			for j := range row {
				row[j] = 2*embedding[j] + moment[j]
			}
			r++
		}
	}
	for i := range n.layers {
		state = n.layers[i].forward(k, state, windows, rows, s)
	}
	return state
}

// forward runs one layer over state (rows of l.width) and returns rows of Width
// in s.state.
func (l *layer) forward(k matrix.Kernel, state []float32, windows [][]int32, rows int, s *scratch) []float32 {
	normed := sized(&s.normed, rows*Width)[:rows*l.width]
	l.attentionNorm.apply(normed, state)
	queries := sized(&s.queries, rows*3*Width)[:rows*3*l.width]
	k.Apply(queries, normed, &l.attend, rows)
	attended := sized(&s.attended, rows*Width)[:rows*l.width]
	r := 0
	for _, window := range windows {
		attention(k, attended[r*l.width:], queries[r*3*l.width:], len(window), l.width, s)
		r += len(window)
	}

	next := sized(&s.next, rows*Width)
	k.Apply(next, attended, &l.gather, rows)
	if l.widen != nil {
		shortcut := sized(&s.inner, rows*inner)[:rows*Width]
		k.Apply(shortcut, state, l.widen, rows)
		state = shortcut
	}
	k.AddScaled(next, state, 1)

	normed = sized(&s.normed, rows*Width)
	l.forwardNorm.apply(normed, next)
	expanded := sized(&s.inner, rows*inner)
	k.Apply(expanded, normed, &l.expand, rows)
	for i, v := range expanded {
		expanded[i] = max(v, 0)
	}
	out := sized(&s.state, rows*Width)
	k.Apply(out, expanded, &l.contract, rows)
	k.AddScaled(out, next, 1)
	return out
}

// attention lets each of n rows of queries (query, key, value; 3·width) look at
// all of them, head by head, and writes what it gathers to dst (n rows of width).
func attention(k matrix.Kernel, dst, queries []float32, n, width int, s *scratch) {
	head := width / heads
	scale := float32(1 / math.Sqrt(float64(head)))
	weights := sized(&s.weights, n)
	for from := 0; from < width; from += head {
		for i := range n {
			query := queries[i*3*width+from:][:head]
			highest := float32(math.Inf(-1))
			for j := range n {
				weights[j] = k.Dot(query, queries[(j*3+1)*width+from:][:head]) * scale
				highest = max(highest, weights[j])
			}
			var sum float32
			for j, w := range weights {
				weights[j] = float32(math.Exp(float64(w - highest)))
				sum += weights[j]
			}
			out := dst[i*width+from:][:head]
			clear(out)
			for j, w := range weights {
				k.AddScaled(out, queries[(j*3+2)*width+from:][:head], w/sum)
			}
		}
	}
}

// apply normalises each row of src to mean 0 and variance 1, then scales and
// shifts it.
func (n layerNorm) apply(dst, src []float32) {
	width := len(n.scale)
	for ; len(src) > 0; src, dst = src[width:], dst[width:] {
		x, y := src[:width], dst[:width]
		mean := sum(x, 0, false) / float32(width)
		variance := sum(x, mean, true) / float32(width)
		inverse := float32(1 / math.Sqrt(float64(variance)+1e-6)) // the graph's epsilon
		scale, shift := n.scale[:width], n.shift[:width]
		for j := range y {
			y[j] = (x[j]-mean)*inverse*scale[j] + shift[j]
		}
	}
}

// sum adds x, or the squares of its distances from centre, in four independent
// chains. len(x) is a multiple of four.
func sum(x []float32, centre float32, squared bool) float32 {
	var s [4]float32
	if squared {
		for ; len(x) >= 4; x = x[4:] {
			a, b, c, d := x[0]-centre, x[1]-centre, x[2]-centre, x[3]-centre
			s[0] += a * a
			s[1] += b * b
			s[2] += c * c
			s[3] += d * d
		}
	} else {
		for ; len(x) >= 4; x = x[4:] {
			s[0] += x[0]
			s[1] += x[1]
			s[2] += x[2]
			s[3] += x[3]
		}
	}
	return s[0] + s[1] + s[2] + s[3]
}
