package attach

import (
	"cmp"
	"math"
	"slices"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Around is how near a workspace's signals are to one ticket: mean and standard deviation
// of their cosines with it. A ticket in general words is near to everything, so what counts
// of a signal is by how much it is nearer than the rest. The zero value is that nothing is
// known of the rest: then nothing stands out.
type Around struct {
	Mean      float64
	Deviation float64
}

// fewAround is how many signals a workspace needs before one can stand out among them.
const fewAround = 50

// AroundOf measures the cosines of a workspace's signals with a ticket.
func AroundOf(cosines []float64) Around {
	if len(cosines) < fewAround {
		return Around{}
	}
	var sum, square float64
	for _, c := range cosines {
		sum += c
	}
	mean := sum / float64(len(cosines))
	for _, c := range cosines {
		square += (c - mean) * (c - mean)
	}
	return Around{mean, math.Sqrt(square / float64(len(cosines)))}
}

// chance that a signal which is so near to a ticket is about it, in [0, 1].
func (a Around) chance(cosine float64) float64 {
	if a.Deviation < 1e-6 {
		return 0
	}
	return 1 / (1 + math.Exp(-standingSlope*(cosine-a.Mean)/a.Deviation-standingIntercept))
}

// StandsOut reports whether a vector is so much nearer to a ticket than the rest of the
// workspace that a person is to be asked about its signal. It is false across spaces.
func (a Around) StandsOut(t Ticket, space string, vector []float32) bool {
	return a.chance(cosine(t, space, vector)) >= SingleBar
}

func cosine(t Ticket, space string, vector []float32) float64 {
	if t.Space != space || len(t.Vector) == 0 || len(t.Vector) != len(vector) {
		return 0
	}
	return float64(embed.Dot(t.Vector, vector))
}

// Single is a signal that may be attached by itself, whatever cluster it is in.
type Single struct {
	Evidence
	Space string
}

// Singles returns the signals that are attached to a ticket by themselves, best first:
// automatic or suggested as a cluster of this one signal would be, suggested too where it
// stands out in meaning, and as a person ruled (rulings are by signal; one on a signal that
// is not among said is kept, with no score). Of those that wait for a person only the
// MostSingles best are returned.
func (m Matcher) Singles(t Ticket, said []Single, around Around, rulings map[string]Ruling) []Match {
	bag := m.Corpus.ticket(t)
	var out []Match
	seen := map[string]bool{}
	for _, s := range said {
		if seen[s.Signal] {
			continue
		}
		seen[s.Signal] = true
		c := Candidate{Space: s.Space, Evidence: []Evidence{s.Evidence}}
		c.Evidence[0].Near = false
		match := m.score(t, bag, c)
		match.Signal = s.Signal
		match.Terms["chance"] = around.chance(cosine(t, s.Space, s.Vector))
		if match.Mode == "" && match.Terms["chance"] >= SingleBar {
			match.Mode = feedback.Suggested
		}
		if r, ok := rulings[s.Signal]; ok {
			match.Mode, match.DecidedBy, match.Decision = r.Mode, r.By, r.Decision
		}
		if match.Mode != "" {
			match.Reasons = m.reasons(t, bag, c)
			out = append(out, match)
		}
	}
	for signal, r := range rulings {
		if !seen[signal] {
			out = append(out, Match{Signal: signal, Mode: r.Mode, Terms: map[string]float64{}, DecidedBy: r.By, Decision: r.Decision})
		}
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.worth(), a.worth()), cmp.Compare(a.Signal, b.Signal))
	})
	waiting := 0
	return slices.DeleteFunc(out, func(m Match) bool {
		if m.Mode == feedback.Suggested {
			waiting++
		}
		return m.Mode == feedback.Suggested && waiting > MostSingles
	})
}

// worth orders single signals: by meaning as by words, whichever says more.
func (m Match) worth() float64 { return max(m.Score, m.Terms["chance"]) }
