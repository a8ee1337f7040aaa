package matrix

import "math"

// rows is what a kernel does to rows of values, between products. Lengths are
// multiples of eight.
type rows struct {
	// code writes x as bytes: x is about step times (byte - zero).
	code func(dst []uint8, x []float32) (step float32, zero int32)
	// decode turns a row of sums into values.
	decode func(dst []float32, sums []int32, m *Map, step float32, zero int32)
	// add adds x to dst.
	add func(dst, x []float32)
	// gelu applies the activation to each value.
	gelu func(x []float32)
	// total adds x up, in eight sums; spread takes mean from each value and adds
	// the squares up, in eight sums; rescale is x·by·scale + shift.
	total   func(x []float32) [8]float32
	spread  func(x []float32, mean float32) [8]float32
	rescale func(x []float32, by float32, scale, shift []float32)
	// score sets scores to the products of a query with keys, which are columns.
	score func(scores []float32, query *[HeadWidth]float32, keys []float32)
	// exponents sets each score x to e^(x·scale - highest), and adds them up, in
	// eight sums.
	exponents func(scores []float32, scale, highest float32) [8]float32
	// gather adds up values, each by its weight; they are every stride apart.
	gather func(dst *[HeadWidth]float32, weights, values []float32, stride int)
}

var portableRows = rows{
	code: codePortable, decode: decodePortable, add: addPortable, gelu: geluPortable,
	total: totalPortable, spread: spreadPortable, rescale: rescalePortable,
	score: scorePortable, exponents: exponentsPortable, gather: gatherPortable,
}

// Add adds x to dst, which must have equal lengths, multiples of eight.
func (k Kernel) Add(dst, x []float32) { k.rows.add(dst, x[:len(dst)]) }

// GELU applies x·Φ(x), Φ the normal distribution, to each value, to about 2e-6.
// The length must be a multiple of eight.
func (k Kernel) GELU(x []float32) { k.rows.gelu(x) }

// Normalise brings each row of len(scale) values, a multiple of eight, to mean 0
// and variance 1, then scales and shifts it. epsilon is added to the variance.
func (k Kernel) Normalise(x, scale, shift []float32, epsilon float32) {
	width := len(scale)
	for ; len(x) > 0; x = x[width:] {
		row := x[:width]
		mean := fold(k.rows.total(row)) / float32(width)
		variance := fold(k.rows.spread(row, mean)) / float32(width)
		k.rows.rescale(row, float32(1/math.Sqrt(float64(variance+epsilon))), scale, shift)
	}
}

// HeadWidth is the width of one attention head.
const HeadWidth = 32

// Attention is the working memory of Attend. Its zero value is ready. It is not
// safe for concurrent use.
type Attention struct{ keys, scores []float32 }

// Attend lets each of n rows look at all of them. x holds n rows of query, key
// and value, each of width values, a multiple of HeadWidth; what head after
// head gathers is written to dst, n rows of width.
func (k Kernel) Attend(dst, x []float32, n, width int, a *Attention) {
	scale := float32(1 / math.Sqrt(HeadWidth))
	padded := (n + 7) &^ 7
	if cap(a.keys) < padded*HeadWidth {
		a.keys = make([]float32, padded*HeadWidth)
		a.scores = make([]float32, padded)
	}
	keys, scores := a.keys[:padded*HeadWidth], a.scores[:padded]
	clear(keys)
	for from := 0; from < width; from += HeadWidth {
		for j := range n {
			for d, v := range x[j*3*width+width+from:][:HeadWidth] {
				keys[d*padded+j] = v
			}
		}
		for i := range n {
			k.rows.score(scores, (*[HeadWidth]float32)(x[i*3*width+from:]), keys)
			highest := scores[0]
			for _, s := range scores[1:n] {
				highest = max(highest, s)
			}
			for j := n; j < padded; j++ {
				scores[j] = float32(math.Inf(-1))
			}
			sum := fold(k.rows.exponents(scores, scale, highest*scale))
			out := (*[HeadWidth]float32)(dst[i*width+from:])
			k.rows.gather(out, scores[:n], x[2*width+from:], 3*width)
			for d := range out {
				out[d] /= sum
			}
		}
	}
}

// fold adds eight sums up, halves to halves.
func fold(s [8]float32) float32 {
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

func codePortable(dst []uint8, x []float32) (step float32, zero int32) {
	var low, high float32
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	step, inverse, zero := steps(low, high)
	shift := float32(zero)
	for i, v := range x {
		dst[i] = uint8(max(0, min(255, nearest(float32(v*inverse)+shift))))
	}
	return step, zero
}

// steps divides what lies between low, at most 0, and high, at least 0, into
// 255 steps, and says where zero is among them.
func steps(low, high float32) (step, inverse float32, zero int32) {
	if high == low {
		return 0, 0, 0
	}
	step = (high - low) / 255
	inverse = 1 / step
	return step, inverse, nearest(float32(-low * inverse))
}

// nearest rounds to the nearest whole number, half to even, for |v| < 2^22.
func nearest(v float32) int32 {
	const magic = 3 << 22
	return int32(math.Float32bits(v+magic)) - 0x4b400000
}

func decodePortable(dst []float32, sums []int32, m *Map, step float32, zero int32) {
	totals, factors, bias := m.totals[:len(sums)], m.factors[:len(sums)], m.bias[:len(sums)]
	for j, sum := range sums {
		dst[j] = float32(float32(sum-zero*totals[j])*float32(step*factors[j])) + bias[j]
	}
}

func addPortable(dst, x []float32) {
	for i := range dst {
		dst[i] += x[i]
	}
}

// The activation, tabulated: between two entries it is straight; outside it is
// zero on the left and x on the right.
const (
	geluReach = 6
	geluSteps = 256 // entries per unit
)

var geluTable = func() (out [2*geluReach*geluSteps + 2]float32) {
	for i := range out {
		x := float64(i)/geluSteps - geluReach
		out[i] = float32(x / 2 * (1 + math.Erf(x/math.Sqrt2)))
	}
	return out
}()

func geluPortable(x []float32) {
	for i, v := range x {
		switch {
		case v <= -geluReach:
			x[i] = 0
		case v < geluReach:
			at := float32((v + geluReach) * geluSteps)
			entry := int(at)
			low, high := geluTable[entry], geluTable[entry+1]
			x[i] = low + float32((high-low)*(at-float32(entry)))
		}
	}
}

func totalPortable(x []float32) (s [8]float32) {
	for ; len(x) >= 8; x = x[8:] {
		for i, v := range x[:8] {
			s[i] += v
		}
	}
	return s
}

func spreadPortable(x []float32, mean float32) (s [8]float32) {
	for ; len(x) >= 8; x = x[8:] {
		for i := range s {
			x[i] -= mean
			s[i] += float32(x[i] * x[i])
		}
	}
	return s
}

func rescalePortable(x []float32, by float32, scale, shift []float32) {
	for i := range x {
		x[i] = float32(float32(x[i]*by)*scale[i]) + shift[i]
	}
}

func scorePortable(scores []float32, query *[HeadWidth]float32, keys []float32) {
	clear(scores)
	for _, q := range query {
		for j := range scores {
			scores[j] += float32(q * keys[j])
		}
		keys = keys[len(scores):]
	}
}

func exponentsPortable(scores []float32, scale, highest float32) (s [8]float32) {
	for i, v := range scores {
		scores[i] = exp(float32(v*scale) - highest)
		s[i%8] += scores[i]
	}
	return s
}

// exp is e^x for x ≤ 0, within 2e-7 of it relatively: a power of two times the
// series of the remainder, |r| ≤ ln2/2, to the sixth power.
func exp(x float32) float32 {
	if x < -87 {
		return 0
	}
	n := nearest(float32(x * math.Log2E))
	// ln 2 in two parts: the first has so few digits that its product is exact.
	r := x - float32(float32(n)*0.693359375)
	r += float32(float32(n) * 2.12194440e-4)
	p := float32(r*(1.0/720)) + 1.0/120
	p = float32(p*r) + 1.0/24
	p = float32(p*r) + 1.0/6
	p = float32(p*r) + 0.5
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	return math.Float32frombits(math.Float32bits(p) + uint32(n)<<23)
}

func gatherPortable(dst *[HeadWidth]float32, weights, values []float32, stride int) {
	*dst = [HeadWidth]float32{}
	for j, w := range weights {
		for d, v := range values[j*stride:][:HeadWidth] {
			dst[d] += float32(v * w)
		}
	}
}
