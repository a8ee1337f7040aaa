package matrix

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

func randomBytes(seed uint64, n int) []int8 {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([]int8, n)
	for i := range out {
		out[i] = int8(r.IntN(256) - 128)
	}
	return out
}

func TestDotsAgree(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7, 8, 31, 32, 33, 64, 511, 768} {
		a, b := random(1, n), random(2, n)
		want := 0.0
		for i := range a {
			want += float64(a[i]) * float64(b[i])
		}
		for name, got := range map[string]float32{"portable": dotPortable(a, b), "best": Dot(a, b)} {
			if math.Abs(float64(got)-want) > 1e-4 {
				t.Errorf("%s dot of %d values is %g, want %g", name, n, got, want)
			}
		}
	}
}

func TestProductsAreExact(t *testing.T) {
	t.Parallel()
	for _, shape := range [][3]int{{1, 4, 64}, {2, 8, 64}, {5, 12, 128}, {6, 384, 128}, {7, 384, 192}, {13, 1536, 64}} {
		rows, in, out := shape[0], shape[1], shape[2]
		weights := randomBytes(4, in*out)
		m, err := NewMap(in, Part{Weights: weights, Factors: random(5, out), Bias: random(6, out)})
		if err != nil {
			t.Fatal(err)
		}
		codes := make([]uint8, rows*in)
		for i, b := range randomBytes(7, rows*in) {
			codes[i] = uint8(b)
		}
		// The extremes together, where sixteen bits would overflow.
		for i := range in {
			codes[i] = 255
			for c := range out {
				if c%3 == 0 {
					weights[i*out+c] = -128
				}
			}
		}
		if m, err = NewMap(in, Part{Weights: weights, Factors: random(5, out), Bias: random(6, out)}); err != nil {
			t.Fatal(err)
		}
		for _, k := range kernels() {
			sums := make([]int32, rows*out)
			k.product(sums, codes, &m, rows)
			for r := range rows {
				for c := range out {
					var want int32
					for i := range in {
						want += int32(codes[r*in+i]) * int32(weights[i*out+c])
					}
					if got := sums[r*out+c]; got != want {
						t.Fatalf("%s, %v: row %d column %d is %d, want %d", k.Name, shape, r, c, got, want)
					}
				}
			}
		}
	}
}

func TestMapsAgreeWithArithmetic(t *testing.T) {
	t.Parallel()
	const rows, in = 9, 384
	left := Part{Weights: randomBytes(1, in*64), Factors: random(2, 64), Bias: random(3, 64)}
	right := Part{Weights: randomBytes(4, in*128), Factors: random(5, 128), Bias: random(6, 128)}
	m, err := NewMap(in, left, right)
	if err != nil {
		t.Fatal(err)
	}
	x := random(7, rows*in)
	clear(x[in : 2*in])
	var s Scratch
	for _, k := range kernels() {
		got := make([]float32, rows*m.Out)
		k.Apply(got, x, &m, rows, &s)
		for r := range rows {
			for c := range m.Out {
				p, j := left, c
				if c >= 64 {
					p, j = right, c-64
				}
				want, size := float64(p.Bias[j]), 1.0
				for i := range in {
					term := float64(x[r*in+i]) * float64(p.Weights[i*len(p.Bias)+j]) * float64(p.Factors[j])
					want += term
					size += term * term
				}
				if math.Abs(float64(got[r*m.Out+c])-want) > .03*math.Sqrt(size) {
					t.Fatalf("%s: row %d column %d is %g, want %g", k.Name, r, c, got[r*m.Out+c], want)
				}
			}
		}
	}
}

func TestARowHasTheSameBitsAloneAndByEveryKernel(t *testing.T) {
	t.Parallel()
	const rows, in, out = 17, 384, 128
	m, err := NewMap(in, Part{Weights: randomBytes(1, in*out), Factors: random(2, out), Bias: random(3, out)})
	if err != nil {
		t.Fatal(err)
	}
	x := random(4, rows*in)
	var s Scratch
	want := make([]float32, rows*out)
	Portable().Apply(want, x, &m, rows, &s)
	for _, k := range kernels() {
		for r := range rows {
			alone := make([]float32, out)
			k.Apply(alone, x[r*in:][:in], &m, 1, &s)
			if !slices.Equal(alone, want[r*out:][:out]) {
				t.Fatalf("%s: row %d has other bits alone", k.Name, r)
			}
		}
	}
}

func TestMapsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]Part{
		"no columns":  {},
		"few weights": {Weights: randomBytes(1, 8), Factors: random(1, 64), Bias: random(1, 64)},
		"few factors": {Weights: randomBytes(1, 4*64), Factors: random(1, 63), Bias: random(1, 64)},
		"odd width":   {Weights: randomBytes(1, 4*48), Factors: random(1, 48), Bias: random(1, 48)},
	} {
		if _, err := NewMap(4, part); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
