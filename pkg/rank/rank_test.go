package rank

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func constant(v float64) func(string) float64 { return func(string) float64 { return v } }
func company(voice string) string             { return "acc-" + voice }

func TestTenMessagesByOneCustomerAreOneVoice(t *testing.T) {
	t.Parallel()
	var v Voices
	for i := range 10 {
		v.Observe(Utterance{Signal: fmt.Sprint(i), Voice: "ada", Severity: 0.5, At: day})
	}
	in := v.Inputs(company, constant(20_000))
	if in.Reach != 1 || in.Worth != 20_000 || in.Signals != 10 {
		t.Errorf("%+v", in)
	}
}

// The figures below were worked out by hand from the formula.
func TestScoreIsTheDocumentedArithmetic(t *testing.T) {
	t.Parallel()
	in := Inputs{Reach: math.E - 1, Worth: 10_000 * (math.E - 1), SeveritySum: 3.5, Signals: 5, Fast: 0, Slow: 0, AsOf: day}
	got := Score(in, DefaultWeights)
	if !near(got.Reach, 0.35) || !near(got.Worth, 0.25) || !near(got.Severity, 0.5) || !near(got.Momentum, 0) || !near(got.Score, 1.1) {
		t.Errorf("%+v", got)
	}
}

func TestFadingTwiceIsFadingOnce(t *testing.T) {
	t.Parallel()
	in := Inputs{Reach: 3, Worth: 50_000, Fast: 2, Slow: 7, Signals: 4, AsOf: day}
	twice := in.At(day.Add(50 * time.Hour)).At(day.Add(200 * time.Hour))
	once := in.At(day.Add(200 * time.Hour))
	if !near(twice.Reach, once.Reach) || !near(twice.Worth, once.Worth) || !near(twice.Fast, once.Fast) || !near(twice.Slow, once.Slow) {
		t.Errorf("%+v\n%+v", twice, once)
	}
	if half := in.At(day.Add(HalfLife)); !near(half.Reach, 1.5) {
		t.Errorf("after a half-life the reach is %g", half.Reach)
	}
}

// Whatever is forgotten leaves no trace, and the order of telling does not matter.
func TestForgettingLeavesNoTrace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var kept, all Voices
	var utterances []Utterance
	for i := range 200 {
		utterances = append(utterances, Utterance{
			Signal: fmt.Sprint(i), Voice: fmt.Sprint(r.IntN(40)), Severity: r.Float64(), At: day.Add(-time.Duration(r.IntN(1000)) * time.Hour),
		})
	}
	for i, u := range utterances {
		if i%2 == 0 {
			kept.Observe(u)
		}
	}
	for _, i := range r.Perm(len(utterances)) {
		all.Observe(utterances[i])
		all.Observe(utterances[i])
	}
	for i, u := range utterances {
		if i%2 == 1 {
			all.Forget(u.Voice, u.Signal)
		}
	}
	if a, b := kept.Inputs(company, constant(100)), all.Inputs(company, constant(100)); a != b {
		t.Errorf("\n%+v\n%+v", a, b)
	}
}

func TestExplainReachesItsGoal(t *testing.T) {
	t.Parallel()
	in := Inputs{Reach: 3, Worth: 30_000, SeveritySum: 2, Signals: 6, Fast: 1, Slow: 2, AsOf: day}
	goal := Score(in, DefaultWeights).Score + 0.3
	for _, n := range Explain(in, DefaultWeights, goal) {
		if !n.Possible {
			continue
		}
		with := in
		switch n.Term {
		case "reach":
			with.Reach = n.Needed
		case "worth":
			with.Worth = n.Needed
		case "severity":
			with.SeveritySum = n.Needed*(float64(in.Signals)+PriorVotes) - PriorVotes*PriorMean
		default:
			continue
		}
		if got := Score(with, DefaultWeights).Score; math.Abs(got-goal) > 1e-6 {
			t.Errorf("%s: %g instead of %g", n.Term, got, goal)
		}
	}
	if Explain(in, DefaultWeights, 0) != nil {
		t.Error("a score beyond its goal needs something")
	}
}
