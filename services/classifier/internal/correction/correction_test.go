package correction_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/correction"
)

// at is a vector of unit length near an axis, each a little different.
func at(axis, n int) []float32 {
	v := make([]float32, 8)
	v[axis] = 1
	v[7] = float32(n%5) / 20
	length := float32(math.Sqrt(float64(1 + v[7]*v[7])))
	for i := range v {
		v[i] /= length
	}
	return v
}

func examples(n, axis int, was, kind feedback.Kind) []correction.Example {
	var out []correction.Example
	for i := range n {
		out = append(out, correction.Example{Signal: fmt.Sprint("sig_", axis, "_", i), Vector: at(axis, i), Was: was, Kind: kind})
	}
	return out
}

func TestAHeadThatWinsIsUsedAndTouchesNothingElse(t *testing.T) {
	t.Parallel()
	h, r := correction.Fit(append(examples(15, 0, feedback.Complaint, feedback.Bug), examples(5, 1, feedback.Praise, feedback.Praise)...))
	if h == nil || !r.Used || r.Own != 20 || r.Shipped != 5 || r.Chance > 0.001 {
		t.Fatalf("report %+v", r)
	}
	if kind, sure := h.Kind(at(0, 99), feedback.Complaint); kind != feedback.Bug || sure < 0.7 {
		t.Errorf("a signal like the corrected ones is %s at %v", kind, sure)
	}
	if kind, _ := h.Kind(at(1, 3), feedback.Praise); kind != feedback.Praise {
		t.Errorf("confirmed praise became %s", kind)
	}
	if kind, sure := h.Kind(at(3, 0), feedback.Question); kind != feedback.Question || sure != 0 {
		t.Errorf("a signal unlike any became %s at %v", kind, sure)
	}
}

func TestAHeadThatDoesNotWinIsNotUsed(t *testing.T) {
	t.Parallel()
	mixed := examples(30, 0, feedback.Bug, feedback.Bug)
	for i := range mixed {
		if i%3 == 0 {
			mixed[i].Kind = feedback.Question // no pattern that neighbours could tell
		}
	}
	for name, e := range map[string][]correction.Example{
		"none": nil, "too few": examples(6, 0, feedback.Bug, feedback.Complaint), "nothing to gain": examples(40, 0, feedback.Bug, feedback.Bug), "noise": mixed,
	} {
		if h, r := correction.Fit(e); h != nil || r.Used {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestVectorsOfAnotherLengthAreNoNeighbours(t *testing.T) {
	t.Parallel()
	h, _ := correction.Fit(examples(20, 0, feedback.Bug, feedback.Complaint))
	if kind, sure := h.Kind([]float32{1}, feedback.Bug); kind != feedback.Bug || sure != 0 {
		t.Errorf("%s at %v", kind, sure)
	}
}
