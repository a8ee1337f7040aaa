package measure_test

import (
	"math"
	"testing"

	"github.com/throughline-dev/throughline/services/classifier/internal/measure"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestMacroF1CountsAnyOtherAnswerAsWrong(t *testing.T) {
	t.Parallel()
	var y measure.Tally
	for _, x := range []struct {
		label, answer string
		n             int
	}{{"bug", "bug", 3}, {"bug", "praise", 1}, {"request", "bug", 1}, {"request", "request", 1}} {
		for range x.n {
			y.Add(x.label, x.answer, -1)
		}
	}
	r := y.Report()
	// bug: 3 right of 4, answered 4 times: F1 6/8. request: 1 of 2, answered once: 2/3.
	if want := (0.75 + 2.0/3) / 2; !near(r.MacroF1, want) || !near(r.Accuracy, 4.0/6) || len(r.Classes) != 2 || r.Confusion["bug"]["praise"] != 1 {
		t.Errorf("got %+v, want a macro F1 of %v", r, want)
	}
	if r.Calibration != nil {
		t.Error("answers without confidence have a calibration")
	}
}

func TestCalibrationTellsSureFromRight(t *testing.T) {
	t.Parallel()
	var y measure.Tally
	for i := range 10 {
		answer := "a"
		if i < 2 {
			answer = "b"
		}
		y.Add("a", answer, 0.85)
	}
	y.Add("a", "b", 1)
	c := y.Report().Calibration
	if len(c.Bins) != 2 || !near(c.Bins[0].Right, 0.8) || !near(c.Sure, 1) || !near(c.RightWhenSure, 8.0/11) {
		t.Errorf("got %+v", c)
	}
	if want := (0.05*10 + 1) / 11; !near(c.Error, want) {
		t.Errorf("error %v, want %v", c.Error, want)
	}
}

func TestMoodHasItsBars(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{-1: "negative", -0.21: "negative", -0.2: "neutral", 0: "neutral", 0.2: "neutral", 0.3: "positive"} {
		if got := measure.Mood(v); got != want {
			t.Errorf("Mood(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestComparisonTellsLuckFromSkill(t *testing.T) {
	t.Parallel()
	var luck, skill measure.Pair
	for i := range 200 {
		label := []string{"a", "b"}[i%2]
		first, second := label, label
		if i < 6 {
			second = "c"
		}
		if i >= 6 && i < 12 {
			first = "c"
		}
		luck.Add(label, first, second)
		if i < 40 {
			second = "c"
		}
		skill.Add(label, label, second)
	}
	if c := luck.Compare(); !near(c.P, 1) || c.Low > 0 || c.High < 0 {
		t.Errorf("six against six: %+v", c)
	}
	if c := skill.Compare(); c.P > 1e-6 || c.Low <= 0 || c != skill.Compare() {
		t.Errorf("forty against none: %+v", c)
	}
	// Three against none: both tails of four coins less one, 2/8.
	if p := measure.McNemar(3, 0); !near(p, 0.25) {
		t.Errorf("McNemar(3, 0) = %v", p)
	}
}
