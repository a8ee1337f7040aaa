// Package measure compares answers with labels: tables of confusion, F1, calibration, and
// whether one configuration is better than another by more than chance.
//
// It promises memory that grows with the classes, not with the items, but for Pair, which
// keeps three bytes an item; and the same figures for the same answers. It is pure.
package measure

import (
	"maps"
	"math"
	"slices"
)

// Tally counts answers of one field against their labels.
type Tally struct {
	counts map[string]map[string]int // label, answer
	bins   [10]struct {
		items, right int
		confidence   float64
	}
	sure struct{ items, right int }
}

// bar is the confidence from which an answer counts as sure.
const bar = 0.8

// Add counts one answer and the confidence it was given with, which is negative where there
// is none.
func (t *Tally) Add(label, answer string, confidence float64) {
	if t.counts == nil {
		t.counts = map[string]map[string]int{}
	}
	if t.counts[label] == nil {
		t.counts[label] = map[string]int{}
	}
	t.counts[label][answer]++
	if confidence < 0 {
		return
	}
	right := 0
	if label == answer {
		right = 1
	}
	b := &t.bins[min(int(confidence*float64(len(t.bins))), len(t.bins)-1)]
	b.items++
	b.right += right
	b.confidence += confidence
	if confidence >= bar {
		t.sure.items++
		t.sure.right += right
	}
}

// Class is how one label fared. Precision counts the answers given to labelled items only.
type Class struct {
	Label     string  `json:"label"`
	Items     int     `json:"items"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Bin is a step of the reliability diagram: of the answers whose confidence lay in it, how
// sure they were in the mean, and how many of them were right.
type Bin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Items      int     `json:"items"`
	Confidence float64 `json:"confidence"`
	Right      float64 `json:"right"`
}

// Calibration says what confidences are worth. Error is the expected calibration error:
// |right - confidence| over the bins, weighted by their items. Sure are the answers at 0.8
// and above, by share of all, and RightWhenSure the share of those that are right.
type Calibration struct {
	Error         float64 `json:"error"`
	Sure          float64 `json:"sure"`
	RightWhenSure float64 `json:"right_when_sure"`
	Bins          []Bin   `json:"bins"`
}

// Report is what was measured of a field. MacroF1 is the mean over the labels that occur;
// an answer that is none of them is wrong.
type Report struct {
	Items       int                       `json:"items"`
	MacroF1     float64                   `json:"macro_f1"`
	Accuracy    float64                   `json:"accuracy"`
	Classes     []Class                   `json:"classes"`
	Confusion   map[string]map[string]int `json:"confusion"`
	Calibration *Calibration              `json:"calibration,omitempty"`
}

// Report sums up what was counted.
func (t *Tally) Report() Report {
	out := Report{Confusion: t.counts}
	answered, right := map[string]int{}, 0
	for label, row := range t.counts {
		for answer, n := range row {
			out.Items += n
			answered[answer] += n
			if label == answer {
				right += n
			}
		}
	}
	if out.Items == 0 {
		return out
	}
	out.Accuracy = float64(right) / float64(out.Items)
	for _, label := range slices.Sorted(maps.Keys(t.counts)) {
		c := Class{Label: label}
		for _, n := range t.counts[label] {
			c.Items += n
		}
		hit := float64(t.counts[label][label])
		c.Recall = hit / float64(c.Items)
		if n := answered[label]; n > 0 {
			c.Precision = hit / float64(n)
		}
		c.F1 = 2 * hit / float64(c.Items+answered[label])
		out.Classes = append(out.Classes, c)
		out.MacroF1 += c.F1 / float64(len(t.counts))
	}
	out.Calibration = t.calibration()
	return out
}

func (t *Tally) calibration() *Calibration {
	c, items := &Calibration{}, 0
	for _, b := range t.bins {
		items += b.items
	}
	if items == 0 {
		return nil
	}
	step := 1 / float64(len(t.bins))
	for i, b := range t.bins {
		if b.items == 0 {
			continue
		}
		n := float64(b.items)
		bin := Bin{From: float64(i) * step, To: float64(i+1) * step, Items: b.items, Confidence: b.confidence / n, Right: float64(b.right) / n}
		c.Bins = append(c.Bins, bin)
		c.Error += math.Abs(bin.Right-bin.Confidence) * n / float64(items)
	}
	c.Sure = float64(t.sure.items) / float64(items)
	if t.sure.items > 0 {
		c.RightWhenSure = float64(t.sure.right) / float64(t.sure.items)
	}
	return c
}

// Mood is the word for a sentiment in [-1, 1]: negative below -0.2, positive above 0.2.
func Mood(sentiment float64) string {
	switch {
	case sentiment < -moodBar:
		return "negative"
	case sentiment > moodBar:
		return "positive"
	}
	return "neutral"
}

const moodBar = 0.2
