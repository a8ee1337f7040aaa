package rank

import "math"

// Need says what one term alone would have to become for a score to reach a goal.
type Need struct {
	Term     string  `json:"term"`     // reach, worth, severity or momentum
	Now      float64 `json:"now"`      // the term's input now: people, yearly worth, severity, momentum
	Needed   float64 `json:"needed"`   // what it would have to be
	Possible bool    `json:"possible"` // false where no value of this term is enough
}

// Explain answers "what would move it to a score of goal": for each term, the value that
// would do it alone. A score that is there already needs nothing.
func Explain(in Inputs, w Weights, goal float64) []Need {
	t := Score(in, w)
	missing := goal - t.Score
	if missing <= 0 {
		return nil
	}
	severity := (in.SeveritySum + PriorVotes*PriorMean) / (float64(in.Signals) + PriorVotes)
	trend := momentum(in.Fast, in.Slow)
	need := func(term string, now, needed, most float64) Need {
		return Need{Term: term, Now: now, Needed: needed, Possible: needed <= most}
	}
	return []Need{
		need("reach", in.Reach, math.Expm1((t.Reach+missing)/w.Reach), 1e9),
		need("worth", in.Worth, WorthUnit*math.Expm1((t.Worth+missing)/w.Worth), 1e12),
		need("severity", severity, (t.Severity+missing)/w.Severity, 1),
		need("momentum", trend, (t.Momentum+missing)/w.Momentum, MomentumMax),
	}
}
