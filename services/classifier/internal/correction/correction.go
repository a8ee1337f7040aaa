// Package correction learns from a workspace's own corrections of kinds: a small head beside
// the shipped one, used only where it wins on corrections that it was not shown.
//
// The head looks at the corrected signals nearest in meaning, and lets them vote; the shipped
// head's word is one vote more. It says nothing of a signal that has no neighbour near
// enough, so that a correction touches what is like it and nothing else. It is pure: the same
// corrections give the same head.
package correction

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Example is a corrected signal: its vector (of unit length), what the classifier took it
// for, and what a person says it is, which may be the same.
type Example struct {
	Signal    string
	Vector    []float32
	Was, Kind feedback.Kind
}

// Report says how a head did on held-back corrections, five parts of them in turn.
type Report struct {
	Corrections int     `json:"corrections"`
	Shipped     int     `json:"shipped_right"` // that the shipped head had right
	Own         int     `json:"own_right"`     // that the workspace's head has right
	Chance      float64 `json:"chance"`        // of a difference as great by luck (sign test, one-sided)
	Used        bool    `json:"used"`
}

// Head is a workspace's own. The zero value says nothing.
type Head struct{ examples []Example }

const (
	// enough is how many corrections a head needs.
	enough = 12
	// significant is the chance below which a win is believed.
	significant = 0.05
	// neighbours vote, those at least near (cosine).
	neighbours = 5
	near       = 0.6
	folds      = 5
)

// Fit makes a head of corrections, and says how it does. The head is nil where it does not
// win.
func Fit(examples []Example) (*Head, Report) {
	examples = slices.Clone(examples)
	slices.SortFunc(examples, func(a, b Example) int { return cmp.Compare(a.Signal, b.Signal) })
	r := Report{Corrections: len(examples), Chance: 1}
	better, worse := 0, 0
	for fold := range uint32(folds) {
		var shown, held []Example
		for _, e := range examples {
			if foldOf(e.Signal) == fold {
				held = append(held, e)
			} else {
				shown = append(shown, e)
			}
		}
		h := &Head{shown}
		for _, e := range held {
			kind, _ := h.Kind(e.Vector, e.Was)
			switch {
			case kind == e.Kind && e.Was != e.Kind:
				better++
			case kind != e.Kind && e.Was == e.Kind:
				worse++
			}
			if kind == e.Kind {
				r.Own++
			}
			if e.Was == e.Kind {
				r.Shipped++
			}
		}
	}
	r.Chance = signTest(better, worse)
	r.Used = len(examples) >= enough && better > worse && r.Chance < significant
	if !r.Used {
		return nil, r
	}
	return &Head{examples}, r
}

func foldOf(signal string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(signal))
	return h.Sum32() % folds
}

// Kind is what the head takes a signal for that the shipped one takes for was, and the share
// of votes for it; was and zero where no correction is near enough to say.
func (h *Head) Kind(vector []float32, was feedback.Kind) (feedback.Kind, float64) {
	type neighbour struct {
		similarity float64
		kind       feedback.Kind
	}
	var found []neighbour
	for _, e := range h.examples {
		if s := dot(e.Vector, vector); s >= near {
			found = append(found, neighbour{s, e.Kind})
		}
	}
	if len(found) == 0 {
		return was, 0
	}
	slices.SortStableFunc(found, func(a, b neighbour) int { return cmp.Compare(b.similarity, a.similarity) })
	votes := map[feedback.Kind]float64{was: near}
	sum := near
	for _, n := range found[:min(len(found), neighbours)] {
		votes[n.kind] += n.similarity
		sum += n.similarity
	}
	best := was
	for _, k := range feedback.Kinds {
		if votes[k] > votes[best] {
			best = k
		}
	}
	return best, votes[best] / sum
}

func dot(a, b []float32) float64 {
	if len(a) != len(b) {
		return 0
	}
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// signTest is the chance that, of better and worse equally likely, so many are better.
func signTest(better, worse int) float64 {
	n := better + worse
	if n == 0 {
		return 1
	}
	sum := 0.0
	for k := better; k <= n; k++ {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		sum += math.Exp(a - b - c - float64(n)*math.Ln2)
	}
	return min(sum, 1)
}
