package space

import (
	"fmt"
	"math"
)

// Vectors are kept as eight-bit integers with one scale per vector: a quarter
// of the memory of float32, faster to compare, and — because integer sums do
// not depend on the order of addition — the same on every processor. The
// cosine of two quantised unit vectors of some hundred dimensions differs from
// the true one by about 0.001.

const (
	// lane is the number of components the kernel takes at a time; rows are
	// padded with zeros to a multiple of it.
	lane = 32
	// pageRows is how many vectors share one allocation, so that growing
	// never copies what is there.
	pageRows = 256
	// centroidUnit is the fixed-point unit of centroid sums: two million
	// vectors can be summed in an int32 without overflow.
	centroidUnit = 1 << 10
)

// row is one quantised vector: components and the inverse of their length.
type row struct {
	q       []int8
	inverse float64
}

// vectors is a paged table of quantised unit vectors, addressed by slot.
type vectors struct {
	dimensions int
	padded     int
	pages      [][]int8
	inverse    []float64
}

func newVectors(dimensions int) vectors {
	return vectors{dimensions: dimensions, padded: (dimensions + lane - 1) / lane * lane}
}

// quantise checks and quantises v. The direction is kept, the length is not.
func (v *vectors) quantise(x []float32) (row, error) {
	if len(x) != v.dimensions {
		return row{}, fmt.Errorf("insert signal: vector has %d dimensions, want %d", len(x), v.dimensions)
	}
	largest := 0.0
	for i, c := range x {
		a := math.Abs(float64(c))
		if math.IsNaN(a) || math.IsInf(a, 0) {
			return row{}, fmt.Errorf("insert signal: vector component %d is not finite", i)
		}
		largest = max(largest, a)
	}
	if largest == 0 {
		return row{}, fmt.Errorf("insert signal: vector is zero, it has no direction")
	}
	q := make([]int8, v.padded)
	for i, c := range x {
		q[i] = int8(math.Round(float64(c) / largest * 127))
	}
	return newRow(q), nil
}

func newRow(q []int8) row {
	return row{q: q, inverse: 1 / math.Sqrt(float64(dot(q, q)))}
}

// put writes r at slot, growing the table by at most one page.
func (v *vectors) put(slot int32, r row) {
	for int(slot) >= len(v.pages)*pageRows {
		v.pages = append(v.pages, make([]int8, pageRows*v.padded))
	}
	for int(slot) >= len(v.inverse) {
		v.inverse = append(v.inverse, 0)
	}
	copy(v.at(slot), r.q)
	v.inverse[slot] = r.inverse
}

func (v *vectors) at(slot int32) []int8 {
	page := v.pages[slot/pageRows]
	from := int(slot%pageRows) * v.padded
	return page[from : from+v.padded : from+v.padded]
}

func (v *vectors) row(slot int32) row { return row{q: v.at(slot), inverse: v.inverse[slot]} }

// similarity is the cosine between r and the vector at slot, in [-1, 1].
func (v *vectors) similarity(r row, slot int32) float32 {
	return cosine(dot(r.q, v.at(slot)), r.inverse, v.inverse[slot])
}

func cosine(product int32, a, b float64) float32 { return float32(float64(product) * a * b) }

// addTo adds (sign +1) or takes away (sign -1) the unit vector at slot to a
// centroid sum in fixed point, exactly.
func (v *vectors) addTo(sum []int32, slot int32, sign int32) {
	scale := v.inverse[slot] * centroidUnit
	for i, c := range v.at(slot)[:len(sum)] {
		sum[i] += sign * int32(math.Round(float64(c)*scale))
	}
}
