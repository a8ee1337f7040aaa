// Package shadow makes a second world of a first one's inputs, with other settings, and
// tells how the two differ before anybody switches. It is as pure as package world: it is
// handed the inputs and does no I/O of its own.
//
// A cluster of the one world is another in the other: what a person or a ticket said of a
// cluster is said, in the other world, of the cluster that most of its signals of that
// moment are in. So decisions hold there, too, or are named among those that cannot.
package shadow

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// Embed gives each quote its vector.
type Embed func(ctx context.Context, quotes []string) ([][]float32, error)

// Shadow is a world with one beside it that takes the same inputs.
type Shadow struct {
	Present, Other *world.World
	space          string // the other world's
	embed          Embed
	refused        []string // decisions that hold in the present world and not in the other
	alerts         [2]int
}

// New makes both worlds, empty. In the other one, signals whose vectors are of another space
// than the one named are embedded anew.
func New(workspace string, present, other world.Options, space string, embed Embed) *Shadow {
	return &Shadow{Present: world.New(workspace, present), Other: world.New(workspace, other), space: space, embed: embed}
}

// Take takes the next input of the log in both worlds.
func (s *Shadow) Take(ctx context.Context, in world.Input) error {
	other, err := s.translate(ctx, in)
	if err != nil {
		return err
	}
	before, err := s.Present.Take(in)
	if err != nil {
		return fmt.Errorf("take input in the present world: %w", err)
	}
	after, err := s.Other.Take(other)
	if err != nil {
		return fmt.Errorf("take input in the other world: %w", err)
	}
	if before.Refused == nil && after.Refused != nil {
		s.refused = append(s.refused, in.Decision.ID)
	}
	s.alerts[0] += len(before.Alerts)
	s.alerts[1] += len(after.Alerts)
	return nil
}

// translate says an input in the other world's words.
func (s *Shadow) translate(ctx context.Context, in world.Input) (world.Input, error) {
	switch {
	case in.Decision != nil:
		d := *in.Decision
		if d.Action == feedback.Split {
			d.Cluster, d.Signals = s.holding(d.Signals)
		} else {
			d.Cluster = s.cluster(d.Cluster)
		}
		d.Into = s.cluster(d.Into)
		in.Decision = &d
	case in.Attached != nil:
		a := *in.Attached
		a.Clusters = nil
		for _, id := range in.Attached.Clusters {
			a.Clusters = append(a.Clusters, s.cluster(id))
		}
		slices.Sort(a.Clusters)
		a.Clusters = slices.Compact(a.Clusters)
		in.Attached = &a
	default:
		c, err := s.embedded(ctx, *in.Classified)
		if err != nil {
			return world.Input{}, err
		}
		in.Classified = &c
	}
	return in, nil
}

func (s *Shadow) embedded(ctx context.Context, c event.Classified) (event.Classified, error) {
	var quotes []string
	for _, g := range c.Signals {
		if g.Space != s.space {
			quotes = append(quotes, g.Quote)
		}
	}
	if len(quotes) == 0 {
		return c, nil
	}
	vectors, err := s.embed(ctx, quotes)
	if err != nil {
		return c, fmt.Errorf("embed anew: %w", err)
	}
	c.Signals = slices.Clone(c.Signals)
	for i := range c.Signals {
		if g := &c.Signals[i]; g.Space != s.space {
			g.Space, g.Vector, vectors = s.space, vectors[0], vectors[1:]
		}
	}
	return c, nil
}

// cluster is the other world's name of a cluster: the one that holds most of its signals, or
// the id itself where nobody is in it.
func (s *Shadow) cluster(id string) string {
	if id == "" {
		return ""
	}
	if best, _ := s.holding(s.Present.Members(id)); best != "" {
		return best
	}
	return id
}

// holding is the other world's cluster that most of some signals are in, with those of them
// that are.
func (s *Shadow) holding(signals []string) (string, []string) {
	in := map[string][]string{}
	for _, id := range signals {
		if g, ok := s.Other.Signal(id); ok {
			in[g.Cluster] = append(in[g.Cluster], id)
		}
	}
	best := ""
	for _, id := range slices.Sorted(maps.Keys(in)) {
		if best == "" || len(in[id]) > len(in[best]) {
			best = id
		}
	}
	return best, in[best]
}

// Difference is what would become of a workspace's clusters. Ids are of the world they are
// said of; names are made of customers' words.
type Difference struct {
	Inputs   uint64   `json:"inputs"`
	Signals  int      `json:"signals"`
	Before   int      `json:"clusters_before"`
	After    int      `json:"clusters_after"`
	Kept     int      `json:"clusters_kept"` // have one in the other world that is most of each other
	Moved    int      `json:"signals_moved"` // are not where most of their cluster is
	Merged   []Join   `json:"merged"`
	Split    []Join   `json:"split"`
	Ranks    []Rank   `json:"ranks"`   // of kept clusters that change place, the best first
	Refused  []string `json:"refused"` // decisions that could not be taken there
	Alerts   int      `json:"alerts_before"`
	AlertsIn int      `json:"alerts_after"`
}

// Join is one cluster that takes the place of several, or that several take the place of.
type Join struct {
	One     Named   `json:"one"`
	Several []Named `json:"several"`
}

// Named is a cluster with its name and size.
type Named struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Signals int    `json:"signals"`
}

// Rank is a change of place. Before and After count from 1; 0 is no place.
type Rank struct {
	ID     string `json:"id"` // in the present world
	Name   string `json:"name"`
	Before int    `json:"before"`
	After  int    `json:"after"`
}

// Difference compares the two worlds as they are now.
func (s *Shadow) Difference() Difference {
	before, after := s.Present.Placed(), s.Other.Placed()
	d := Difference{Inputs: s.Present.Position(), Merged: []Join{}, Split: []Join{}, Ranks: []Rank{}, Refused: append([]string{}, s.refused...), Alerts: s.alerts[0], AlertsIn: s.alerts[1]}
	there, back := overlaps(before, after), overlaps(after, before)
	d.Before, d.After = len(there), len(back)
	kept := map[string]string{}
	for id, of := range there {
		if best := most(of); most(back[best]) == id {
			kept[id] = best
		}
	}
	d.Kept = len(kept)
	for id, at := range before {
		if now, ok := after[id]; ok {
			d.Signals++
			if now != most(there[at]) {
				d.Moved++
			}
		}
	}
	d.Merged = joins(there, s.Other, s.Present)
	d.Split = joins(back, s.Present, s.Other)
	d.Ranks = s.ranks(kept)
	return d
}

// overlaps counts, for every cluster of one world, its signals by cluster of the other.
func overlaps(of, in map[string]string) map[string]map[string]int {
	out := map[string]map[string]int{}
	for id, cluster := range of {
		if out[cluster] == nil {
			out[cluster] = map[string]int{}
		}
		if other, ok := in[id]; ok {
			out[cluster][other]++
		}
	}
	return out
}

// most is the key with the largest count, the least of those that are equal.
func most(counts map[string]int) string {
	best := ""
	for k, n := range counts {
		if best == "" || n > counts[best] || n == counts[best] && k < best {
			best = k
		}
	}
	return best
}

// joins lists clusters of one world that hold most of two or more of the other's.
func joins(parts map[string]map[string]int, ofWhole, ofParts *world.World) []Join {
	into := map[string][]string{}
	for part, in := range parts {
		total := 0
		for _, n := range in {
			total += n
		}
		if best := most(in); best != "" && 2*in[best] > total {
			into[best] = append(into[best], part)
		}
	}
	out := []Join{}
	for _, one := range slices.Sorted(maps.Keys(into)) {
		if len(into[one]) < 2 {
			continue
		}
		j := Join{One: named(ofWhole, one)}
		for _, part := range slices.Sorted(slices.Values(into[one])) {
			j.Several = append(j.Several, named(ofParts, part))
		}
		out = append(out, j)
	}
	slices.SortStableFunc(out, func(a, b Join) int { return cmp.Compare(b.One.Signals, a.One.Signals) })
	return out
}

func named(w *world.World, id string) Named {
	c, _ := w.Cluster(id)
	return Named{ID: id, Name: c.Name, Signals: c.Signals}
}

func (s *Shadow) ranks(kept map[string]string) []Rank {
	places := func(w *world.World) map[string]int {
		out := map[string]int{}
		for i, p := range w.Ranking(w.AsOf()) {
			out[p.Cluster] = i + 1
		}
		return out
	}
	before, after := places(s.Present), places(s.Other)
	out := []Rank{}
	for _, id := range slices.Sorted(maps.Keys(kept)) {
		if was, is := before[id], after[kept[id]]; was != is {
			out = append(out, Rank{ID: id, Name: named(s.Present, id).Name, Before: was, After: is})
		}
	}
	better := func(r Rank) int { return min(cmp.Or(r.Before, 1<<30), cmp.Or(r.After, 1<<30)) }
	slices.SortStableFunc(out, func(a, b Rank) int { return cmp.Compare(better(a), better(b)) })
	return out
}
