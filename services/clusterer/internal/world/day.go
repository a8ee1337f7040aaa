package world

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/rank"
)

// Day is the ranking at the end of a day (UTC), best first; ignored clusters have no place.
type Day struct {
	Day    time.Time
	Places []Place
}

// Place is a cluster's place with its arithmetic.
type Place struct {
	Cluster string
	Inputs  rank.Inputs
	Terms   rank.Terms
}

// maxDays is how many days are written at once: after a longer silence the ranking in
// between follows from the last one by fading alone.
const maxDays = 7

// turn closes the days that end before a signal of time at: their ranking is what the world
// is now.
func (t *taking) turn(at time.Time) {
	if t.asOf.IsZero() || !at.After(t.asOf) {
		return
	}
	const day = 24 * time.Hour
	first, last := t.asOf.UTC().Truncate(day), at.UTC().Truncate(day)
	for d, n := first, 0; d.Before(last) && n < maxDays; d, n = d.Add(day), n+1 {
		t.out.Days = append(t.out.Days, Day{Day: d, Places: t.Ranking(d.Add(day))})
	}
}

// Ranking is every standing cluster that is not ignored, best first, ties by id, as of a
// time.
func (w *World) Ranking(at time.Time) []Place {
	var out []Place
	for _, id := range slices.Sorted(maps.Keys(w.clusters)) {
		c := w.clusters[id]
		if c.Retired || c.ignored() || len(c.Signals) == 0 {
			continue
		}
		in := w.inputs(c)
		in.Boost = w.settings.Boosts[string(w.kind(c))]
		in = in.At(at)
		out = append(out, Place{Cluster: id, Inputs: in, Terms: rank.Score(in, w.settings.Weights)})
	}
	slices.SortStableFunc(out, func(a, b Place) int { return cmp.Compare(b.Terms.Score, a.Terms.Score) })
	return out
}
