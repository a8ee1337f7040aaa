// Package picture lays vectors out on a plane, so that a person sees which of a cluster's
// signals are close and whether they form sub-groups.
//
// It is pure and the same for the same input. It refuses to judge: what looks like two groups
// is for a person to split.
package picture

import "math"

// Spot is where a vector lies, both in [0, 1].
type Spot struct{ X, Y float64 }

// iterations of the power method per axis: more change no pixel for vectors of the sizes that
// are drawn.
const iterations = 60

// Plane projects vectors of one length onto their first two principal components (the
// directions in which they differ most), found by power iteration with deflation, scaled to
// fill the unit square. A lone vector, or vectors that are all the same, lie in the middle.
// The sign of an axis is such that the first vector is not right of, nor below, the middle.
func Plane(vectors [][]float32) []Spot {
	out := make([]Spot, len(vectors))
	if len(vectors) == 0 {
		return out
	}
	rows := centred(vectors)
	first := axis(rows, nil)
	second := axis(rows, first)
	xs, ys := along(rows, first), along(rows, second)
	for i := range out {
		out[i] = Spot{xs[i], ys[i]}
	}
	return out
}

func centred(vectors [][]float32) [][]float64 {
	mean := make([]float64, len(vectors[0]))
	for _, v := range vectors {
		for j, x := range v {
			mean[j] += float64(x) / float64(len(vectors))
		}
	}
	rows := make([][]float64, len(vectors))
	for i, v := range vectors {
		rows[i] = make([]float64, len(mean))
		for j, x := range v {
			rows[i][j] = float64(x) - mean[j]
		}
	}
	return rows
}

// axis finds the direction of the greatest variance that is orthogonal to not, nil where
// there is none.
func axis(rows [][]float64, not []float64) []float64 {
	// The row farthest from the middle is never orthogonal to what is looked for, unless
	// all are the same.
	var at []float64
	longest := 0.0
	for _, r := range rows {
		if free := without(r, not); dot(free, free) > longest {
			at, longest = free, dot(free, free)
		}
	}
	if longest < 1e-18 {
		return nil
	}
	for range iterations {
		next := make([]float64, len(at))
		for _, r := range rows {
			d := dot(r, at)
			for j, x := range r {
				next[j] += d * x
			}
		}
		next = without(next, not)
		length := math.Sqrt(dot(next, next))
		if length == 0 {
			return nil
		}
		for j := range next {
			next[j] /= length
		}
		at = next
	}
	return at
}

func without(v, not []float64) []float64 {
	out := append([]float64{}, v...)
	if not != nil {
		d := dot(v, not)
		for j := range out {
			out[j] -= d * not[j]
		}
	}
	return out
}

func along(rows [][]float64, axis []float64) []float64 {
	out := make([]float64, len(rows))
	if axis == nil {
		for i := range out {
			out[i] = 0.5
		}
		return out
	}
	least, most := math.Inf(1), math.Inf(-1)
	sign := 1.0
	for i, r := range rows {
		out[i] = dot(r, axis)
		if i == 0 && out[0] > 0 {
			sign = -1
		}
		out[i] *= sign
		least, most = min(least, out[i]), max(most, out[i])
	}
	for i := range out {
		if most-least < 1e-9 {
			out[i] = 0.5
			continue
		}
		out[i] = (out[i] - least) / (most - least)
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}
