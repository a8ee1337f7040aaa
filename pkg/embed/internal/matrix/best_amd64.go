package matrix

import "golang.org/x/sys/cpu"

// What the processor has is read once: it does not change under a process.
var (
	hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasVNNI = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI
)

// kernels lists what this processor can run, the fastest first.
func kernels() []Kernel {
	var out []Kernel
	if hasVNNI {
		out = append(out, Kernel{Name: "vnni", product: productVNNI, rows: rowsAVX2})
	}
	if hasAVX2 {
		out = append(out, Kernel{Name: "avx2", product: productAVX2, rows: rowsAVX2})
	}
	return append(out, Portable())
}

// Best returns the fastest kernel this processor can run.
func Best() Kernel { return kernels()[0] }

// Dot returns the inner product of a and b by the fastest kernel. b must be at
// least as long as a; what it has beyond is not read.
func Dot(a, b []float32) float32 {
	if hasAVX2 {
		return dotAVX2(a, b)
	}
	return dotPortable(a, b)
}

// dot32 is the inner product of n values, n a positive multiple of 32.
//
//go:noescape
func dot32(n int, a, b *float32) float32

func dotAVX2(a, b []float32) float32 {
	b = b[:len(a)]
	whole := len(a) &^ 31
	if whole == 0 {
		return dotPortable(a, b)
	}
	return dot32(whole, &a[0], &b[0]) + dotPortable(a[whole:], b[whole:])
}

// multiply6x64 sets six rows of 64 columns of sums to the product of six rows
// of groups·4 codes with a panel of as many groups of weights. multiply1x64
// does one row. The strides are in bytes.
//
//go:noescape
func multiply6x64(groups int, codes *uint8, codesStride int, panel *int8, sums *int32, sumsStride int)

//go:noescape
func multiply1x64(groups int, codes *uint8, panel *int8, sums *int32)

func productVNNI(sums []int32, codes []uint8, m *Map, rows int) {
	const block = 6 // rows of one multiply6x64: 24 of the 32 registers
	groups := m.In / groupDepth
	for column := 0; column < m.Out; column += panelWidth {
		panel := &m.panels[column*m.In]
		r := 0
		for ; r+block <= rows; r += block {
			multiply6x64(groups, &codes[r*m.In], m.In, panel, &sums[r*m.Out+column], m.Out*4)
		}
		for ; r < rows; r++ {
			multiply1x64(groups, &codes[r*m.In], panel, &sums[r*m.Out+column])
		}
	}
}

// multiply2x16 sets two rows of 16 columns of sums to the product of two rows
// of groups·4 codes with 16 columns of a panel.
//
//go:noescape
func multiply2x16(groups int, codes *uint8, codesStride int, panel *int8, sums *int32, sumsStride int)

func productAVX2(sums []int32, codes []uint8, m *Map, rows int) {
	const slice = 16
	groups := m.In / groupDepth
	for column := 0; column < m.Out; column += slice {
		panel := &m.panels[column/panelWidth*panelWidth*m.In+column%panelWidth*groupDepth]
		r := 0
		for ; r+2 <= rows; r += 2 {
			multiply2x16(groups, &codes[r*m.In], m.In, panel, &sums[r*m.Out+column], m.Out*4)
		}
		if r < rows { // the last row, twice
			multiply2x16(groups, &codes[r*m.In], 0, panel, &sums[r*m.Out+column], 0)
		}
	}
}
