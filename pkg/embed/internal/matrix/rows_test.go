package matrix

import (
	"math"
	"slices"
	"testing"
)

// spiky is values with the extremes that the steps between products must bear.
func spiky(seed uint64, n int) []float32 {
	x := random(seed, n)
	for i, v := range []float32{0, 6, -6, 5.9999995, -5.9999995, 100, -100, 1e-30} {
		x[i*n/8] = v
	}
	return x
}

func TestRowsHaveTheSameBitsByEveryKernel(t *testing.T) {
	t.Parallel()
	const rows, width = 150, 384
	portable := Portable()
	for _, k := range kernels() {
		for _, step := range []struct {
			name string
			do   func(k Kernel, x []float32)
		}{
			{"add", func(k Kernel, x []float32) { k.Add(x, random(2, len(x))) }},
			{"gelu", func(k Kernel, x []float32) { k.GELU(x) }},
			{"normalise", func(k Kernel, x []float32) { k.Normalise(x, random(3, width), random(4, width), 1e-12) }},
			{"attend", func(k Kernel, x []float32) {
				var a Attention
				for _, n := range []int{49, 39, 32, 8, 1} {
					k.Attend(x[:n*width], slices.Clone(x[width:]), n, width, &a)
				}
			}},
		} {
			got, want := spiky(1, rows*width), spiky(1, rows*width)
			step.do(k, got)
			step.do(portable, want)
			if !slices.Equal(got, want) {
				t.Errorf("%s has other bits by %s", step.name, k.Name)
			}
		}
	}
}

func TestActivationIsThatOfTheBook(t *testing.T) {
	t.Parallel()
	var x []float32
	for v := -8.0; v < 8; v += 1.0 / 512 {
		x = append(x, float32(v))
	}
	y := slices.Clone(x)
	Best().GELU(y)
	for i, v := range x {
		if want := float64(v) / 2 * (1 + math.Erf(float64(v)/math.Sqrt2)); math.Abs(float64(y[i])-want) > 3e-6 {
			t.Fatalf("at %g it is %g, want %g", v, y[i], want)
		}
	}
}

func TestNormalisedRowsHaveMeanZeroAndVarianceOne(t *testing.T) {
	t.Parallel()
	const width = 64
	x, ones := random(1, 3*width), slices.Repeat([]float32{1}, width)
	Best().Normalise(x, ones, make([]float32, width), 0)
	for row := range slices.Chunk(x, width) {
		var mean, square float64
		for _, v := range row {
			mean += float64(v) / width
			square += float64(v) * float64(v) / width
		}
		if math.Abs(mean) > 1e-6 || math.Abs(square-1) > 1e-5 {
			t.Errorf("mean %g, variance %g", mean, square)
		}
	}
}

func TestAttentionIsThatOfTheBook(t *testing.T) {
	t.Parallel()
	const n, width = 11, 64
	x, got := random(1, n*3*width), make([]float32, n*width)
	var a Attention
	Best().Attend(got, x, n, width, &a)
	for i := range n {
		for from := 0; from < width; from += HeadWidth {
			weights, sum := make([]float64, n), 0.0
			for j := range n {
				for d := range HeadWidth {
					weights[j] += float64(x[i*3*width+from+d]) * float64(x[(j*3+1)*width+from+d])
				}
				weights[j] = math.Exp(weights[j] / math.Sqrt(HeadWidth))
				sum += weights[j]
			}
			for d := range HeadWidth {
				want := 0.0
				for j := range n {
					want += weights[j] / sum * float64(x[(j*3+2)*width+from+d])
				}
				if math.Abs(float64(got[i*width+from+d])-want) > 1e-5 {
					t.Fatalf("row %d value %d is %g, want %g", i, from+d, got[i*width+from+d], want)
				}
			}
		}
	}
}
