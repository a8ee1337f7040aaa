// Package rank says how much a cluster matters, by arithmetic that a person can check.
// A score is the sum of four terms, each a weight times a value that depends on this
// cluster alone, so that no cluster's score changes because of another's:
//
//	reach     how many people say it          ln(1 + people)
//	worth     what their companies are worth  ln(1 + yearly value / 10,000)
//	severity  how bad it is for them          mean severity in [0, 1], pulled to 0.3 by five votes
//	momentum  whether it is growing           ln of the recent rate over the usual rate, in [-1, 2]
//
// People and companies count once, however much they say, and fade with a half-life of
// 14 days from when they last spoke: ten messages by one customer are one voice. Because
// everything fades exponentially, sums kept as of a cluster's own newest signal can be
// scaled exactly to any later time; the view ranked_clusters (schemas/clickhouse) does the
// same arithmetic in SQL, and a test of the clusterer keeps both equal.
//
// The package is pure: no clock, no I/O.
package rank

import (
	"math"
	"time"
)

// The constants of the formula. The weights are a judgement (reference: the team's science
// notes, "Ranking"); a doubling of people and a tenfold worth move a score about as much as
// going from mild to severe.
const (
	HalfLife     = 14 * 24 * time.Hour // of a voice
	FastHalfLife = 3 * 24 * time.Hour  // of the recent rate
	SlowHalfLife = 28 * 24 * time.Hour // of the usual rate
	WorthUnit    = 10_000              // of yearly value
	PriorMean    = 0.3                 // of severity
	PriorVotes   = 5                   // how many signals the prior counts for
	RatePrior    = 0.5                 // signals a day added to both rates, so that one signal is no trend
	MomentumMin  = -1.0
	MomentumMax  = 2.0
)

// Weights say how much each term counts.
type Weights struct {
	Reach    float64 `json:"reach"`
	Worth    float64 `json:"worth"`
	Severity float64 `json:"severity"`
	Momentum float64 `json:"momentum"`
}

// DefaultWeights are those of the formula as documented.
var DefaultWeights = Weights{Reach: 0.35, Worth: 0.25, Severity: 1, Momentum: 0.2}

// Formula is the arithmetic in one line, as it is printed beside ranks.
const Formula = "score = 0.35·ln(1 + people) + 0.25·ln(1 + yearly worth / 10,000) + 1·severity + 0.2·momentum; people and worth halve 14 days after they last spoke"

// Inputs are the sums that a cluster's rank is computed from, as of AsOf.
type Inputs struct {
	Reach       float64   `json:"reach"`        // Σ over people of 2^(-(AsOf - last spoke) / HalfLife)
	Worth       float64   `json:"worth"`        // Σ over accounts of the same fading × yearly value
	SeveritySum float64   `json:"severity_sum"` // Σ over signals, not faded
	Signals     int       `json:"signals"`
	Fast        float64   `json:"fast"` // Σ over signals of 2^(-age / FastHalfLife)
	Slow        float64   `json:"slow"` // Σ over signals of 2^(-age / SlowHalfLife)
	AsOf        time.Time `json:"as_of"`
}

// At scales the sums to a later time, exactly. An earlier time gives the inputs as they
// are.
func (in Inputs) At(t time.Time) Inputs {
	age := t.Sub(in.AsOf)
	if age <= 0 {
		return in
	}
	in.Reach *= fade(age, HalfLife)
	in.Worth *= fade(age, HalfLife)
	in.Fast *= fade(age, FastHalfLife)
	in.Slow *= fade(age, SlowHalfLife)
	in.AsOf = t
	return in
}

func fade(age, halfLife time.Duration) float64 {
	return math.Exp2(-age.Seconds() / halfLife.Seconds())
}

// Terms are the contributions to a score, weights applied; Score is their sum.
type Terms struct {
	Reach    float64 `json:"reach"`
	Worth    float64 `json:"worth"`
	Severity float64 `json:"severity"`
	Momentum float64 `json:"momentum"`
	Score    float64 `json:"score"`
}

// Score computes the terms of inputs as of their time.
func Score(in Inputs, w Weights) Terms {
	t := Terms{
		Reach:    w.Reach * math.Log1p(in.Reach),
		Worth:    w.Worth * math.Log1p(in.Worth/WorthUnit),
		Severity: w.Severity * (in.SeveritySum + PriorVotes*PriorMean) / (float64(in.Signals) + PriorVotes),
		Momentum: w.Momentum * momentum(in.Fast, in.Slow),
	}
	t.Score = t.Reach + t.Worth + t.Severity + t.Momentum
	return t
}

// daily turns an exponentially faded count into signals a day: a steady rate r gives a sum
// of r × half-life / ln 2.
func daily(sum float64, halfLife time.Duration) float64 {
	return sum * math.Ln2 / (halfLife.Hours() / 24)
}

func momentum(fast, slow float64) float64 {
	m := math.Log((daily(fast, FastHalfLife) + RatePrior) / (daily(slow, SlowHalfLife) + RatePrior))
	return min(max(m, MomentumMin), MomentumMax)
}
