package baseline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// blobs are unit vectors around a few directions, and strays.
func blobs(strays int) (vectors [][]float32, truth []int) {
	random := rand.New(rand.NewPCG(3, 3))
	const dimensions = 32
	draw := func(around []float32, noise float64) []float32 {
		v := make([]float32, dimensions)
		length := 0.0
		for i := range v {
			x := random.NormFloat64() * noise
			if around != nil {
				x += float64(around[i])
			}
			v[i] = float32(x)
			length += x * x
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(length))
		}
		return v
	}
	for subject := range 5 {
		around := draw(nil, 1)
		for range 20 + 5*subject {
			vectors, truth = append(vectors, draw(around, 0.08)), append(truth, subject)
		}
	}
	for i := range strays {
		vectors, truth = append(vectors, draw(nil, 1)), append(truth, 5+i)
	}
	return vectors, truth
}

// same tells whether two divisions are one, whatever the numbers.
func same(a, b []int) bool {
	to, back := map[int]int{}, map[int]int{}
	for i := range a {
		if x, known := to[a[i]]; known && x != b[i] {
			return false
		}
		if x, known := back[b[i]]; known && x != a[i] {
			return false
		}
		to[a[i]], back[b[i]] = b[i], a[i]
	}
	return len(a) == len(b)
}

func TestFindPlainGroups(t *testing.T) {
	t.Parallel()
	vectors, truth := blobs(0)
	for name, found := range map[string][]int{
		"k-means": KMeans(vectors, 5),
		"HDBSCAN": HDBSCAN(vectors, 5),
		"leader":  Leader(vectors, 0.6),
	} {
		if !same(found, truth) {
			t.Errorf("%s found %v", name, found)
		}
	}
}

func TestHDBSCANLeavesStraysAlone(t *testing.T) {
	t.Parallel()
	vectors, truth := blobs(6)
	found := HDBSCAN(vectors, 5)
	groups := len(truth) - 6
	if !same(found[:groups], truth[:groups]) {
		t.Fatalf("found %v", found)
	}
	alone := 0
	for _, c := range found[groups:] {
		if !slices.Contains(found[:groups], c) {
			alone++
		}
	}
	if alone < 4 { // one that lies beside a group is an unlikely member of it
		t.Errorf("%d of 6 strays are alone", alone)
	}
}

func TestNothingAndOne(t *testing.T) {
	t.Parallel()
	one := [][]float32{{1, 0}}
	for _, found := range [][]int{KMeans(nil, 3), HDBSCAN(nil, 5), Leader(nil, 0.5)} {
		if len(found) != 0 {
			t.Errorf("found %v in nothing", found)
		}
	}
	for _, found := range [][]int{KMeans(one, 3), HDBSCAN(one, 5), Leader(one, 0.5)} {
		if len(found) != 1 {
			t.Errorf("found %v in one", found)
		}
	}
	if a, b := KMeans(one, 1), KMeans(one, 1); !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
}
