package matrix

import "golang.org/x/sys/cpu"

// hasAVX2 is read once: the processor does not change under a process.
var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// Best returns the fastest kernel this processor can run.
func Best() Kernel {
	if !hasAVX2 {
		return Portable()
	}
	return Kernel{Name: "avx2", Dot: dotAVX2, AddScaled: addScaledAVX2, product: productAVX2}
}

// Dot returns the inner product of a and b by the fastest kernel. b must be at
// least as long as a; what it has beyond is not read.
func Dot(a, b []float32) float32 {
	if hasAVX2 {
		return dotAVX2(a, b)
	}
	return dotPortable(a, b)
}

// multiply6x16 adds to six rows of 16 columns of c the product of six rows of a
// (depth columns) with a panel of depth rows of 16 columns. The strides are in
// bytes.
//
//go:noescape
func multiply6x16(depth int, a *float32, aStride int, panel, c *float32, cStride int)

// dot32 is the inner product of n values, n a positive multiple of 32.
//
//go:noescape
func dot32(n int, a, b *float32) float32

// addScaled8 adds s·x to dst over n values, n a positive multiple of 8.
//
//go:noescape
func addScaled8(n int, dst, x *float32, s float32)

const (
	rowBlock   = 6   // rows of one multiply6x16: twelve of the sixteen registers
	depthBlock = 256 // one panel block is 16 KiB, half of a first-level cache
	rowTile    = 96  // 96 rows of 256 are 96 KiB, well inside a second-level cache
)

func productAVX2(dst, a []float32, l *Linear, rows int) {
	for r := range rows {
		copy(dst[r*l.Out:][:l.Out], l.bias)
	}
	for depth := 0; depth < l.In; depth += depthBlock {
		n := min(depthBlock, l.In-depth)
		for tile := 0; tile < rows; tile += rowTile {
			end := min(tile+rowTile, rows)
			whole := tile + (end-tile)/rowBlock*rowBlock
			for column := 0; column < l.Out; column += panelWidth {
				panel := &l.panels[column*l.In+depth*panelWidth]
				for r := tile; r < whole; r += rowBlock {
					multiply6x16(n, &a[r*l.In+depth], l.In*4, panel, &dst[r*l.Out+column], l.Out*4)
				}
			}
			if whole < end {
				productRest(dst, a, l, whole, end, depth, n)
			}
		}
	}
}

// productRest multiplies the last one to five rows through a padded copy, so
// that they go through the same instructions as every other row.
func productRest(dst, a []float32, l *Linear, from, to, depth, n int) {
	var rows [rowBlock * depthBlock]float32
	var out [rowBlock * panelWidth]float32
	for r := from; r < to; r++ {
		copy(rows[(r-from)*depthBlock:][:n], a[r*l.In+depth:])
	}
	for column := 0; column < l.Out; column += panelWidth {
		for r := from; r < to; r++ {
			copy(out[(r-from)*panelWidth:][:panelWidth], dst[r*l.Out+column:])
		}
		multiply6x16(n, &rows[0], depthBlock*4, &l.panels[column*l.In+depth*panelWidth], &out[0], panelWidth*4)
		for r := from; r < to; r++ {
			copy(dst[r*l.Out+column:][:panelWidth], out[(r-from)*panelWidth:])
		}
	}
}

func dotAVX2(a, b []float32) float32 {
	b = b[:len(a)]
	n := len(a) &^ 31
	var s float32
	if n > 0 {
		s = dot32(n, &a[0], &b[0])
	}
	for i := n; i < len(a); i++ {
		s += a[i] * b[i]
	}
	return s
}

func addScaledAVX2(dst, x []float32, s float32) {
	x = x[:len(dst)]
	n := len(dst) &^ 7
	if n > 0 {
		addScaled8(n, &dst[0], &x[0], s)
	}
	for i := n; i < len(dst); i++ {
		dst[i] += s * x[i]
	}
}
