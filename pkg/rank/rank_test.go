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
		v.Observe(Utterance{Signal: fmt.Sprint(i), Voice: "ada", Severity: 0.5, At: day, Weight: 1})
	}
	in := v.Inputs(company, constant(20_000))
	if in.Reach != 1 || in.Worth != 20_000 || in.People != 1 || in.SeveritySum != 0.5 || in.Fast != 1 {
		t.Errorf("%+v", in)
	}
}

// The figures below were worked out by hand from the formula.
func TestScoreIsTheDocumentedArithmetic(t *testing.T) {
	t.Parallel()
	in := Inputs{Reach: math.E - 1, Worth: 10_000 * (math.E - 1), SeveritySum: 3.5, People: 5, Churning: 1, Boost: -0.1, AsOf: day}
	got := Score(in, DefaultWeights)
	if !near(got.Reach, 0.35) || !near(got.Worth, 0.25) || !near(got.Severity, 0.5) || !near(got.Momentum, 0) || !near(got.Churn, 0.0625) || !near(got.Score, 1.0625) {
		t.Errorf("%+v", got)
	}
}

func TestFadingTwiceIsFadingOnce(t *testing.T) {
	t.Parallel()
	in := Inputs{Reach: 3, Worth: 50_000, Fast: 2, Slow: 7, People: 4, AsOf: day}
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
			Signal: fmt.Sprint(i), Voice: fmt.Sprint(r.IntN(40)), Severity: r.Float64(), Weight: 1, At: day.Add(-time.Duration(r.IntN(1000)) * time.Hour),
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
	in := Inputs{Reach: 3, Worth: 30_000, SeveritySum: 2, People: 6, Fast: 1, Slow: 2, AsOf: day}
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
			with.SeveritySum = n.Needed*(float64(in.People)+PriorVotes) - PriorVotes*PriorMean
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

func observe(v *Voices, n int, voice func(i int) string, at func(i int) time.Time, text string) {
	for i := range n {
		v.Observe(Utterance{Signal: fmt.Sprint(text, i), Voice: voice(i), Severity: 0.9, At: at(i), Copy: Copy(text), Weight: 1})
	}
}

// Whatever one person, one account or one copied text does, the score stays near that of a
// single voice; as many different companies move it far.
func TestNobodyVotesTwice(t *testing.T) {
	t.Parallel()
	spread := func(i int) time.Time { return day.Add(-time.Duration(i) * time.Hour) }
	each := func(i int) string { return fmt.Sprint("p", i) }
	score := func(v *Voices, account func(string) string) float64 {
		in := v.Inputs(account, constant(10_000))
		in.Since = day.AddDate(-1, 0, 0)
		return Score(in, DefaultWeights).Score
	}
	nowhere := func(string) string { return "" }
	var one, person, account, copied, many Voices
	observe(&one, 1, each, spread, "the export drops rows")
	observe(&person, 50, func(int) string { return "p0" }, spread, "the export drops rows")
	observe(&account, 50, each, spread, "the export drops rows")
	observe(&copied, 50, each, spread, "we all demand that you bring the old export back now")
	observe(&many, 50, each, spread, "the export drops rows")
	base := score(&one, nowhere)
	if got := score(&person, nowhere); got > base+0.2 {
		t.Errorf("fifty messages of one person score %.2f, one %.2f", got, base)
	}
	if got := score(&copied, nowhere); got > base+0.2 {
		t.Errorf("fifty copies of one text score %.2f, one %.2f", got, base)
	}
	all := score(&many, nowhere)
	if got := score(&account, func(string) string { return "acme" }); got > all-0.5 {
		t.Errorf("fifty people of one account score %.2f, of fifty %.2f, one %.2f", got, all, base)
	}
	if all < base+1.2 {
		t.Errorf("fifty people score %.2f, one %.2f", all, base)
	}
}

func TestOneLoudDayIsNoTrend(t *testing.T) {
	t.Parallel()
	year := day.AddDate(-1, 0, 0)
	build := func(extra ...time.Time) Inputs {
		var v Voices
		n := 0
		for at := day.AddDate(0, 0, -100); at.Before(day); at = at.AddDate(0, 0, 1) {
			v.Observe(Utterance{Signal: fmt.Sprint(n), Voice: fmt.Sprint(n), At: at, Weight: 1})
			n++
		}
		for i, at := range extra {
			for range 4 {
				v.Observe(Utterance{Signal: fmt.Sprint(n), Voice: fmt.Sprint(n), At: at.Add(time.Duration(i) * time.Minute), Weight: 1})
				n++
			}
		}
		in := v.Inputs(func(string) string { return "" }, constant(0)).At(day)
		in.Since = year
		return in
	}
	steady, loud := build().Momentum(), build(day.AddDate(0, 0, -5)).Momentum()
	rising := build(day.AddDate(0, 0, -4), day.AddDate(0, 0, -3), day.AddDate(0, 0, -2), day.AddDate(0, 0, -1)).Momentum()
	if math.Abs(steady) > 0.1 || loud > 0.35 || rising < 0.6 {
		t.Errorf("steady %.2f, one loud day five days ago %.2f, four days %.2f", steady, loud, rising)
	}
}

func TestBusyWeekdaysCountLess(t *testing.T) {
	t.Parallel()
	var r Rhythm
	monday := time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
	for week := range 20 {
		for i := range 30 {
			r.Observe(monday.AddDate(0, 0, 7*week).Add(time.Duration(i) * time.Minute))
		}
		for weekday := 1; weekday < 7; weekday++ {
			r.Observe(monday.AddDate(0, 0, 7*week+weekday))
		}
	}
	if m, tu := r.Weight(monday), r.Weight(monday.AddDate(0, 0, 1)); m > 0.5 || tu < 1.5 {
		t.Errorf("a Monday weighs %.2f, a Tuesday %.2f", m, tu)
	}
	if w := new(Rhythm).Weight(monday); w != 1 {
		t.Errorf("without knowledge a day weighs %g", w)
	}
}

func TestLeaving(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"We are going to cancel if this is not fixed": true, "I cancelled my subscription": true, "we're switching to Competitor next month": true,
		"We will not renew": true, "Please let me cancel an order": false, "switch to dark mode": false, "I love it": false, "looking for an alternative": true,
	} {
		if Leaving(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestCounterfactuals(t *testing.T) {
	t.Parallel()
	others := map[string]float64{"a": 3, "b": 2.5, "c": 2, "d": 1}
	in := Inputs{Reach: 2, Worth: 20_000, People: 2, SeveritySum: 0.8, AsOf: day, Since: day.AddDate(-1, 0, 0)}
	score := Score(in, DefaultWeights).Score
	others["me"] = score
	now := Place("me", score, others)
	for _, m := range MoreAccounts("me", in, DefaultWeights, 20_000, others) {
		with := func(n int) int {
			x := in
			x.Reach, x.Worth, x.People, x.SeveritySum = x.Reach+float64(n), x.Worth+20_000*float64(n), x.People+n, x.SeveritySum+float64(n)*in.Severity()
			return Place("me", Score(x, DefaultWeights).Score, others)
		}
		if m.Place >= now || with(m.Accounts) != m.Place || with(m.Accounts-1) <= m.Place {
			t.Errorf("%+v from place %d", m, now)
		}
	}
	if len(MoreAccounts("me", in, DefaultWeights, 20_000, others)) == 0 || MoreAccounts("a", in, DefaultWeights, 1, map[string]float64{"a": 9}) != nil {
		t.Error("no way up is told, or one from the top")
	}
	less := Without("me", []string{"big", "small"}, 1, DefaultWeights, others, func(account string) Inputs {
		x := in
		x.Reach--
		if account == "big" {
			x.Worth = 0
		}
		return x
	})
	if len(less) != 1 || less[0].Account != "big" || less[0].Place < now {
		t.Errorf("%+v", less)
	}
	if Place("b", 1, map[string]float64{"a": 1, "c": 1}) != 2 {
		t.Error("ties are not broken by id")
	}
}
