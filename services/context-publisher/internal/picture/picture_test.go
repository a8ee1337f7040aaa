package picture_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/picture"
)

// Two groups in many dimensions stay two groups on the plane.
func TestGroupsStayApart(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var vectors [][]float32
	for i := range 60 {
		v := make([]float32, 64)
		for j := range v {
			v[j] = float32(r.NormFloat64() * 0.05)
		}
		v[i%2] += 1
		vectors = append(vectors, v)
	}
	spots := picture.Plane(vectors)
	within, between := 0.0, math.Inf(1)
	for i, a := range spots {
		if a.X < 0 || a.X > 1 || a.Y < 0 || a.Y > 1 {
			t.Fatalf("spot %d lies outside: %v", i, a)
		}
		for j, b := range spots[:i] {
			if i%2 == j%2 {
				within = max(within, math.Abs(a.X-b.X))
			} else {
				between = min(between, math.Abs(a.X-b.X))
			}
		}
	}
	if within >= between {
		t.Errorf("within a group up to %.2f, between groups from %.2f", within, between)
	}
	if !reflect.DeepEqual(spots, picture.Plane(vectors)) {
		t.Error("the same vectors gave another picture")
	}
}

func TestNothingToTellApart(t *testing.T) {
	t.Parallel()
	if got := picture.Plane(nil); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for _, vectors := range [][][]float32{{{1, 2, 3}}, {{1, 2, 3}, {1, 2, 3}}} {
		for _, s := range picture.Plane(vectors) {
			if s != (picture.Spot{X: 0.5, Y: 0.5}) {
				t.Errorf("%v", s)
			}
		}
	}
	for _, s := range picture.Plane([][]float32{{0, 0}, {1, 0}, {2, 0}}) {
		if s.Y != 0.5 {
			t.Errorf("vectors on a line: %v", s)
		}
	}
}
