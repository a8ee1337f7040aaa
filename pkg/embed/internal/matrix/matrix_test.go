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

func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	best, portable := Best(), Portable()
	for _, n := range []int{0, 1, 7, 8, 31, 32, 33, 64, 511, 768} {
		a, b := random(1, n), random(2, n)
		want := 0.0
		for i := range a {
			want += float64(a[i]) * float64(b[i])
		}
		for name, got := range map[string]float32{"best": best.Dot(a, b), "portable": portable.Dot(a, b), "exported": Dot(a, b)} {
			if math.Abs(float64(got)-want) > 1e-4 {
				t.Errorf("%s dot of %d values is %g, want %g", name, n, got, want)
			}
		}
		x, y := slices.Clone(a), slices.Clone(a)
		best.AddScaled(x, b, .5)
		portable.AddScaled(y, b, .5)
		for i := range x {
			if want := a[i] + b[i]/2; math.Abs(float64(x[i]-want)) > 1e-6 || math.Abs(float64(y[i]-want)) > 1e-6 {
				t.Fatalf("scaled addition of %d values: %g and %g at %d, want %g", n, x[i], y[i], i, want)
			}
		}
	}
}

func TestProductsAgreeWithArithmetic(t *testing.T) {
	t.Parallel()
	for _, shape := range [][3]int{{1, 1, 16}, {5, 3, 16}, {6, 256, 32}, {7, 257, 48}, {97, 512, 64}, {200, 1536, 16}} {
		rows, in, out := shape[0], shape[1], shape[2]
		a, w, b := random(3, rows*in), random(4, in*out), random(5, out)
		l, err := NewLinear(in, out, w, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []Kernel{Best(), Portable()} {
			got := make([]float32, rows*out)
			k.Apply(got, a, &l, rows)
			for r := range rows {
				for c := range out {
					want := float64(b[c])
					for i := range in {
						want += float64(a[r*in+i]) * float64(w[i*out+c])
					}
					if math.Abs(float64(got[r*out+c])-want) > 1e-3 {
						t.Fatalf("%s %v: %g at row %d column %d, want %g", k.Name, shape, got[r*out+c], r, c, want)
					}
				}
			}
		}
	}
}

func TestRowHasTheSameBitsAloneAndInABatch(t *testing.T) {
	t.Parallel()
	const rows, in, out = 203, 512, 48
	a := random(6, rows*in)
	l, err := NewLinear(in, out, random(7, in*out), random(8, out))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []Kernel{Best(), Portable()} {
		together := make([]float32, rows*out)
		k.Apply(together, a, &l, rows)
		for r := range rows {
			alone := make([]float32, out)
			k.Apply(alone, a[r*in:], &l, 1)
			if !slices.Equal(alone, together[r*out:][:out]) {
				t.Fatalf("%s: row %d differs", k.Name, r)
			}
		}
	}
}

func TestLinearRefusesShapesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string][4]int{
		"columns":     {4, 15, 60, 15},
		"weights":     {4, 16, 63, 16},
		"bias":        {4, 16, 64, 15},
		"no rows":     {0, 16, 0, 16},
		"negative in": {-4, 16, 64, 16},
	} {
		if _, err := NewLinear(shape[0], shape[1], make([]float32, shape[2]), make([]float32, shape[3])); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
