// Package matrix holds the handful of float32 kernels that an encoder spends
// its time in: the inner product, scaled addition, and the product of a tall
// activation matrix with a weight matrix.
//
// Two kernels exist, an AVX2+FMA one written in assembly and a portable one
// written in Go, and Best picks one from the processor's features at run time.
// Every kernel computes each element of a product in an order that depends on
// the weight matrix only, never on how many rows are multiplied together: a row
// therefore has the same bits whether it is multiplied alone or in a batch. The
// two kernels agree with each other to rounding, not to the bit.
package matrix

import "fmt"

// panelWidth is the number of columns a weight panel holds: two AVX2 registers.
const panelWidth = 16

// Kernel is one implementation of the arithmetic. It is immutable, and safe for
// concurrent use.
type Kernel struct {
	// Name says which implementation it is: "avx2" or "portable".
	Name string
	// Dot returns the inner product of a and b, which must have equal lengths.
	Dot func(a, b []float32) float32
	// AddScaled adds s times x to dst, which must have equal lengths.
	AddScaled func(dst, x []float32, s float32)

	product func(dst, a []float32, l *Linear, rows int)
}

// Portable returns the kernel in plain Go, which runs on every processor.
func Portable() Kernel {
	return Kernel{Name: "portable", Dot: dotPortable, AddScaled: addScaledPortable, product: productPortable}
}

// Linear is an affine map x·W + b whose weights are laid out for the kernels.
// It is immutable, and safe for concurrent use.
type Linear struct {
	// In and Out are the widths of the rows it takes and gives.
	In, Out int

	bias   []float32
	panels []float32 // Out/16 panels of In rows of 16 columns
}

// NewLinear lays out weights (In rows of Out columns) and bias (Out). Out must
// be a multiple of 16.
func NewLinear(in, out int, weights, bias []float32) (Linear, error) {
	if in <= 0 || out <= 0 || out%panelWidth != 0 || len(weights) != in*out || len(bias) != out {
		return Linear{}, fmt.Errorf("lay out linear map: %d weights and %d biases do not make %d×%d", len(weights), len(bias), in, out)
	}
	l := Linear{In: in, Out: out, bias: append([]float32(nil), bias...), panels: make([]float32, 0, in*out)}
	for column := 0; column < out; column += panelWidth {
		for row := range in {
			l.panels = append(l.panels, weights[row*out+column:][:panelWidth]...)
		}
	}
	return l, nil
}

// Apply writes rows·W + b to dst: a holds rows rows of l.In, dst rows rows of
// l.Out. dst and a must not overlap.
func (k Kernel) Apply(dst, a []float32, l *Linear, rows int) {
	if rows == 0 {
		return
	}
	k.product(dst[:rows*l.Out], a[:rows*l.In], l, rows)
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

func addScaledPortable(dst, x []float32, s float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += s * x[i]
	}
}

// productPortable keeps four columns in registers at a time.
func productPortable(dst, a []float32, l *Linear, rows int) {
	const block = 4
	for column := 0; column < l.Out; column += panelWidth {
		panel := l.panels[column*l.In:][:l.In*panelWidth]
		for part := 0; part < panelWidth; part += block {
			for r := range rows {
				row := a[r*l.In:][:l.In]
				bias := l.bias[column+part:][:block]
				s0, s1, s2, s3 := bias[0], bias[1], bias[2], bias[3]
				for k, v := range row {
					w := panel[k*panelWidth+part:][:block:block]
					s0 += v * w[0]
					s1 += v * w[1]
					s2 += v * w[2]
					s3 += v * w[3]
				}
				out := dst[r*l.Out+column+part:][:block]
				out[0], out[1], out[2], out[3] = s0, s1, s2, s3
			}
		}
	}
}
