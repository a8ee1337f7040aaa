// Package matrix holds the arithmetic that an encoder spends its time in: the
// inner product of two vectors, affine maps whose weights are bytes, and what a
// transformer does between them.
//
// An affine map codes each row that it is given as bytes, in steps that depend
// on that row only, and multiplies bytes into whole numbers. Whole numbers add
// up to the same whatever the order: a row has the same bits whether it is
// multiplied alone or among others, and whichever kernel multiplies it. What is
// not whole is rounded after every step, in one order: no kernel may round a
// product and a sum at once. Three kernels exist, in assembly for processors
// with AVX-512 VNNI and with AVX2, and in plain Go, and agree to the bit. Only
// Dot is left to the processor.
package matrix

import "fmt"

// panelWidth is the number of columns a panel of weights holds, and groupDepth
// the number of rows whose weights lie side by side in it.
const (
	panelWidth = 64
	groupDepth = 4
	groupBytes = panelWidth * groupDepth
)

// Kernel is one implementation of the product of bytes. It is immutable, and
// safe for concurrent use.
type Kernel struct {
	// Name says which implementation it is: "vnni", "avx2" or "portable".
	Name string

	// product sets sums (rows rows of m.Out) to the product of codes (rows rows
	// of m.In) with the weights.
	product func(sums []int32, codes []uint8, m *Map, rows int)
	rows    rows
}

// Portable returns the kernel in plain Go, which runs on every processor.
func Portable() Kernel { return Kernel{Name: "portable", product: productPortable, rows: portableRows} }

// Map is an affine map x·W + b whose weights are bytes times one factor per
// column. It is immutable, and safe for concurrent use.
type Map struct {
	// In and Out are the widths of the rows it takes and gives.
	In, Out int

	factors []float32 // per column, what a weight's byte counts
	bias    []float32
	totals  []int32 // per column, the sum of its bytes
	panels  []int8  // Out/64 panels; in each, In/4 groups; in each, 64 columns of four bytes
}

// Part is some columns of a Map: In rows of len(Bias) bytes, what a byte counts
// in each column, and what is added to each.
type Part struct {
	Weights       []int8
	Factors, Bias []float32
}

// NewMap lays out parts, side by side. in must be a multiple of 4, and the
// columns together one of 64.
func NewMap(in int, parts ...Part) (Map, error) {
	m := Map{In: in}
	for _, p := range parts {
		m.factors = append(m.factors, p.Factors...)
		m.bias = append(m.bias, p.Bias...)
		if len(p.Weights) != in*len(p.Bias) || len(p.Factors) != len(p.Bias) {
			return Map{}, fmt.Errorf("lay out map: %d weights, %d factors and %d biases do not belong together", len(p.Weights), len(p.Factors), len(p.Bias))
		}
	}
	m.Out = len(m.bias)
	if in <= 0 || in%groupDepth != 0 || m.Out == 0 || m.Out%panelWidth != 0 {
		return Map{}, fmt.Errorf("lay out map: it cannot be %d×%d", in, m.Out)
	}
	m.totals = make([]int32, m.Out)
	m.panels = make([]int8, in*m.Out)
	first := 0
	for _, p := range parts {
		width := len(p.Bias)
		for row := range in {
			group := m.panels[row/groupDepth*groupBytes+row%groupDepth:]
			for c, w := range p.Weights[row*width:][:width] {
				column := first + c
				m.totals[column] += int32(w)
				group[column/panelWidth*panelWidth*in+column%panelWidth*groupDepth] = w
			}
		}
		first += width
	}
	return m, nil
}

// Scratch is the working memory of Apply. Its zero value is ready. It is not
// safe for concurrent use.
type Scratch struct {
	codes []uint8
	sums  []int32
}

// Apply writes x·W + b to dst: x holds rows rows of m.In, dst rows rows of
// m.Out. A row is coded as 256 steps between its least and its greatest value,
// zero being one of them. dst and x must not overlap.
func (k Kernel) Apply(dst, x []float32, m *Map, rows int, s *Scratch) {
	if cap(s.codes) < rows*m.In {
		s.codes = make([]uint8, rows*m.In)
	}
	if cap(s.sums) < rows*m.Out {
		s.sums = make([]int32, rows*m.Out)
	}
	codes, sums := s.codes[:rows*m.In], s.sums[:rows*m.Out]
	for r := range rows {
		// dst is free until the row is done: its first two values keep the coding.
		step, zero := k.rows.code(codes[r*m.In:][:m.In], x[r*m.In:][:m.In])
		dst[r*m.Out], dst[r*m.Out+1] = step, float32(zero)
	}
	k.product(sums, codes, m, rows)
	for r := range rows {
		row := dst[r*m.Out:][:m.Out]
		k.rows.decode(row, sums[r*m.Out:][:m.Out], m, row[0], int32(row[1]))
	}
}

func productPortable(sums []int32, codes []uint8, m *Map, rows int) {
	for column := 0; column < m.Out; column += panelWidth {
		panel := m.panels[column*m.In:][:m.In*panelWidth]
		for r := range rows {
			var out [panelWidth]int32
			row := codes[r*m.In:][:m.In]
			for k := 0; k < m.In; k += groupDepth {
				group := panel[k*panelWidth:][:groupBytes]
				a := row[k:][:groupDepth]
				a0, a1, a2, a3 := int32(a[0]), int32(a[1]), int32(a[2]), int32(a[3])
				for c := range out {
					w := group[c*groupDepth:][:groupDepth]
					out[c] += a0*int32(w[0]) + a1*int32(w[1]) + a2*int32(w[2]) + a3*int32(w[3])
				}
			}
			copy(sums[r*m.Out+column:], out[:])
		}
	}
}

func dotPortable(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
