package picture_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/picture"
)

// cloud draws vectors around a direction.
func cloud(random *rand.Rand, n, axis int, spread float64) [][]float32 {
	out := make([][]float32, n)
	for i := range out {
		v := make([]float32, 16)
		for j := range v {
			v[j] = float32(spread * random.NormFloat64())
		}
		v[axis]++
		out[i] = v
	}
	return out
}

func TestTwoNeedsAreTwoGroups(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	vectors := append(cloud(random, 30, 0, 0.1), cloud(random, 12, 5, 0.1)...)
	second, silhouette := picture.Groups(vectors)
	for i := range vectors {
		if second[i] != second[0] != (i >= 30) {
			t.Fatalf("vector %d is in the wrong group", i)
		}
	}
	if silhouette < 0.7 {
		t.Errorf("two clouds are %.2f apart", silhouette)
	}
	again, same := picture.Groups(vectors)
	if !reflect.DeepEqual(again, second) || same != silhouette {
		t.Error("the same vectors give other groups")
	}
	if _, one := picture.Groups(cloud(random, 40, 3, 0.3)); one > 0.25 {
		t.Errorf("one cloud is %.2f apart from itself", one)
	}
}

func TestWhatHasNoGroups(t *testing.T) {
	t.Parallel()
	same := [][]float32{{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}}
	for about, v := range map[string][][]float32{"nothing": nil, "three": same[:3], "all the same": same, "no direction": {{0, 0}, {1, 0}, {0, 1}, {1, 1}}} {
		if _, s := picture.Groups(v); s != -1 {
			t.Errorf("%s: %f", about, s)
		}
	}
}
