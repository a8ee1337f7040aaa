package attach

import "math"

// titleTimes is how often a word of a title counts for one in the body (the weighting that
// found most duplicates among Hadoop issues: title three times and body).
const titleTimes = 3

// meaningWeight is what meaning counts beside words. Lexical-heavy: on the 64 duplicate
// pairs of gitbugs-hadoop among 2,422 tickets, words + w · meaning has a mean reciprocal
// rank of .67 at w = 0, .69 at .15, .69 at .20 and .67 at .30 with the local encoder.
const meaningWeight = 0.15

// What a cluster must show to be attached without being asked. Each is a reason a person
// would give for doubting a match; `throughline eval attach` prints what they are worth: on
// the 64 duplicate pairs of gitbugs-hadoop (the later is feedback, everything else tickets)
// 26 were attached without being asked, 25 of them to the labelled ticket. The bars were set
// with all 64 in view, for want of a second labelled set, so take that as their best case.
const (
	// Ahead is by how much the ticket has to lead the next best open ticket, in score. A
	// match that another ticket fits as well is nobody's to make but a person's.
	Ahead = 0.075
	// TitleBar is the least likeness to the ticket's title: what agrees in bodies alone is
	// a pasted log more often than the same need.
	TitleBar = 0.10
	// NearerBy is by how much the ticket may be nearer to another ticket than to the
	// customers' words: one of a family of tickets ("Upgrade Netty to …") is near to
	// everything that its family is near to.
	NearerBy = 0.07
	// SuggestedBar is what the likest quote, with meaning at hintWeight, must reach for a
	// person to be asked: a suggestion costs a glance, so one quote and a hint are enough.
	SuggestedBar = 0.30
)

const hintWeight = 0.4

// runnerUp is the score that the best of a crowd of unrelated tickets is taken to reach
// where the open tickets are few: the fewer compete, the less a lead over them proves. Of
// some thousand tickets the best unrelated one reaches about .17 (median on Hadoop issues).
func runnerUp(others int) float64 {
	const crowd, alone = 0.17, 0.39
	missing := 1 - math.Log10(float64(1+others))/3
	return crowd + (alone-crowd)*max(0, missing)
}

// Score joins the terms, each in [0, 1], into one number in [0, 1]. It orders and is
// compared with the bars; it is no probability. A reference is certain.
func Score(meaning, words, reference float64) float64 {
	if reference == 1 {
		return 1
	}
	return (words + meaningWeight*meaning) / (1 + meaningWeight)
}

// A signal by itself is suggested where it stands out among all that the workspace said: as
// a logistic function of by how many standard deviations it is nearer to the ticket than the
// rest (slope 1.56, intercept -8.58). Fitted on the 22 handoff scenarios that ship, of which
// each stood among 4,999 app reviews; fitted on twenty of them in turn and read on the two
// others, a chance of 0.1 suggested 31 of the 120 conversations that concern a ticket, two of
// the 60 that stood beside them and 22 of the reviews. That words agree was worth nothing
// beside it (slope 0.25 for a cosine in [0, 1]); they have bars of their own.
const (
	standingSlope     = 1.56
	standingIntercept = -8.58
	// SingleBar is the chance from which a person is asked about a signal.
	SingleBar = 0.1
	// MostSingles is how many signals a person is asked about for one ticket at most: the
	// scenarios' tickets have five conversations about them, and who has to read a page of
	// suggestions reads none.
	MostSingles = 10
	// NearestSingles is how many signals, the nearest by meaning, are looked at one by one.
	NearestSingles = 20
)
