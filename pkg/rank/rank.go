// Package rank says how much a cluster matters, by arithmetic that a person can check.
// A score is the sum of six terms that depend on this cluster alone, so that no cluster's
// score changes because of another's:
//
//	reach     how many say it                0.35 · ln(1 + Σ over accounts of √people, fading)
//	worth     what their companies are worth 0.25 · ln(1 + yearly value / 10,000, fading)
//	severity  how bad it is for them         1.00 · mean over people, pulled to 0.3 by five votes
//	momentum  whether it is growing          0.20 · confidence · ln(recent rate / usual rate) in [-1, 2]
//	churn     whether they speak of leaving  0.50 · share of people, pulled to 0.05 by five votes
//	boost     what the workspace adds for the kind of need
//
// where confidence is people / (people + 5): how much is evidence and how much is prior.
//
// What it does against being gamed: a person counts once however much is said, the people
// of an account count as the square root of their number, a person who only repeats a long
// text of another word for word does not count, and an account is one voice a day for
// momentum, so that neither one loud account nor one loud day is a trend. A day counts less
// where its weekday is usually busier.
//
// Because everything fades exponentially, sums kept as of a cluster's own newest signal can
// be scaled exactly to any later time; the view ranked_clusters (schemas/clickhouse) does the
// same arithmetic in SQL, and a test of the clusterer keeps both equal.
//
// The package is pure: no clock, no I/O.
package rank

import (
	"math"
	"time"
)

// Version is that of the formula, stored with every rank.
const Version = 2

// The constants of the formula. The weights are a judgement (reference: the team's science
// notes, "Ranking"); a doubling of people and a tenfold worth move a score about as much as
// going from mild to severe.
const (
	HalfLife     = 14 * 24 * time.Hour // of a voice
	FastHalfLife = 3 * 24 * time.Hour  // of the recent rate
	SlowHalfLife = 28 * 24 * time.Hour // of the usual rate
	WorthUnit    = 10_000              // of yearly value
	PriorMean    = 0.3                 // of severity
	PriorChurn   = 0.05                // of the share that speaks of leaving
	PriorVotes   = 5                   // how many people the priors count for
	RatePrior    = 0.5                 // accounts a day added to both rates, so that one voice is no trend
	MomentumMin  = -1.0
	MomentumMax  = 2.0
)

// Weights say how much each term counts.
type Weights struct {
	Reach    float64 `json:"reach"`
	Worth    float64 `json:"worth"`
	Severity float64 `json:"severity"`
	Momentum float64 `json:"momentum"`
	Churn    float64 `json:"churn"`
}

// Of is the weight of a term by its name, nil where there is no such term.
func (w *Weights) Of(term string) *float64 {
	switch term {
	case "reach":
		return &w.Reach
	case "worth":
		return &w.Worth
	case "severity":
		return &w.Severity
	case "momentum":
		return &w.Momentum
	case "churn":
		return &w.Churn
	}
	return nil
}

// DefaultWeights are those of the formula as documented.
var DefaultWeights = Weights{Reach: 0.35, Worth: 0.25, Severity: 1, Momentum: 0.2, Churn: 0.5}

// Settings are what a workspace makes of the formula.
type Settings struct {
	Weights Weights
	// Segments multiply the value of accounts of a segment; 1 for those not named.
	Segments map[string]float64
	// Boosts are added to the score of clusters whose signals are mostly of a kind.
	Boosts map[string]float64
}

// DefaultSettings rank needs above praise: a boost of -0.6 is about two thirds of the
// severity term.
func DefaultSettings() Settings {
	return Settings{Weights: DefaultWeights, Boosts: map[string]float64{"praise": -0.6, "other": -0.3}}
}

// Value is what an account counts for: its yearly value times that of its segment.
func (s Settings) Value(value float64, segment string) float64 {
	if m, ok := s.Segments[segment]; ok {
		return value * m
	}
	return value
}

// Formula is the arithmetic in one line, as it is printed beside ranks.
const Formula = "score = 0.35·ln(1 + Σ√people of each account) + 0.25·ln(1 + yearly worth / 10,000) + 1·severity + 0.2·confidence·momentum + 0.5·churn + boost; accounts and worth halve 14 days after they last spoke"

// Inputs are the sums that a cluster's rank is computed from, as of AsOf.
type Inputs struct {
	Reach       float64   `json:"reach"`        // Σ over accounts of √people × 2^(-(AsOf - last spoke) / HalfLife); who has no account is one of his own
	Worth       float64   `json:"worth"`        // Σ over accounts of the same fading × yearly value
	People      int       `json:"people"`       // who count: those who only repeat others do not
	SeveritySum float64   `json:"severity_sum"` // Σ over people of the mean severity of what each said, not faded
	Churning    int       `json:"churning"`     // people who speak of leaving
	AtRisk      float64   `json:"at_risk"`      // Σ over accounts that speak of leaving of yearly value, faded from when they did
	Fast        float64   `json:"fast"`         // Σ over accounts and days of weight × 2^(-age / FastHalfLife)
	Slow        float64   `json:"slow"`         // Σ over accounts and days of weight × 2^(-age / SlowHalfLife)
	Boost       float64   `json:"boost"`
	Since       time.Time `json:"since"` // the workspace's first signal: rates are of what could be seen
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
	in.AtRisk *= fade(age, HalfLife)
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
	Churn    float64 `json:"churn"`
	Boost    float64 `json:"boost"`
	Score    float64 `json:"score"`
}

// Score computes the terms of inputs as of their time.
func Score(in Inputs, w Weights) Terms {
	t := Terms{
		Reach:    w.Reach * math.Log1p(in.Reach),
		Worth:    w.Worth * math.Log1p(in.Worth/WorthUnit),
		Severity: w.Severity * in.Severity(),
		Momentum: w.Momentum * in.Confidence() * in.Momentum(),
		Churn:    w.Churn * in.Churn(),
		Boost:    in.Boost,
	}
	t.Score = t.Reach + t.Worth + t.Severity + t.Momentum + t.Churn + t.Boost
	return t
}

// Severity is the mean over people in [0, 1], shrunk to the prior.
func (in Inputs) Severity() float64 {
	return (in.SeveritySum + PriorVotes*PriorMean) / (float64(in.People) + PriorVotes)
}

// Churn is the share of people who speak of leaving, in [0, 1], shrunk to the prior.
func (in Inputs) Churn() float64 {
	return (float64(in.Churning) + PriorVotes*PriorChurn) / (float64(in.People) + PriorVotes)
}

// Confidence is how much of what is said here is evidence, in [0, 1).
func (in Inputs) Confidence() float64 {
	return float64(in.People) / (float64(in.People) + PriorVotes)
}

// Momentum is the logarithm of the recent rate over the usual one, in [MomentumMin,
// MomentumMax].
func (in Inputs) Momentum() float64 {
	observed := max(in.AsOf.Sub(in.Since), 24*time.Hour)
	m := math.Log((daily(in.Fast, FastHalfLife, observed) + RatePrior) / (daily(in.Slow, SlowHalfLife, observed) + RatePrior))
	return min(max(m, MomentumMin), MomentumMax)
}

// daily turns an exponentially faded count into accounts a day: a steady rate r over a time T
// gives a sum of r × half-life / ln 2 × (1 - 2^(-T / half-life)).
func daily(sum float64, halfLife, observed time.Duration) float64 {
	return sum * math.Ln2 / (halfLife.Hours() / 24) / (1 - fade(observed, halfLife))
}
