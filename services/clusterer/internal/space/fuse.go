package space

import "slices"

// fuse unites communities that lie within one another: those between whose members the mean
// cosine is Options.Fuse, or more, of what it is among the members of the tighter of the two.
// Modularity cuts a subject much larger than a node's few neighbours into pieces that
// hardly an edge joins, as it would two subjects; the vectors tell the one from the
// other. The two most alike go first, and what comes of them is compared anew, so that
// no chain of likenesses unites what is far apart; a wide one does not swallow a tight one
// in its middle. Only communities with an edge between them are compared.
//
// This is average linkage (Sokal and Michener, 1958), scaled to what is usual in the two.
func (s *Space) fuse(live []int32, g *network, community []int32) []int32 {
	community, count := compact(community)
	bodies := make([]body, count)
	for i, c := range community {
		bodies[c].take(&s.vectors, live[i])
	}
	world := body{sum: make([]int32, s.dimensions)}
	for c := range bodies {
		world.unite(&bodies[c])
	}
	common := world.within()
	borders := g.aggregate(community, count).borders()
	compare := func(b *border) { b.likeness = bodies[b.a].likeness(&bodies[b.b], common) }
	for i := range borders {
		compare(&borders[i])
	}
	into := make([]int32, count)
	for c := range into {
		into[c] = int32(c)
	}
	for len(borders) > 0 {
		next := slices.MaxFunc(borders, func(x, y border) int { return x.compare(y) })
		if next.likeness < s.options.Fuse {
			break
		}
		bodies[next.a].unite(&bodies[next.b])
		into[next.b] = next.a
		borders = merged(borders, next.a, next.b)
		for i := range borders {
			if borders[i].a == next.a || borders[i].b == next.a {
				compare(&borders[i])
			}
		}
	}
	for i, c := range community {
		for into[c] != c {
			c = into[c]
		}
		community[i] = c
	}
	return community
}

// body is a community as its vectors lie: their sum in centroidUnit, and how many.
type body struct {
	sum  []int32
	size float64
}

func (b *body) take(v *vectors, slot int32) {
	if b.sum == nil {
		b.sum = make([]int32, v.dimensions)
	}
	v.addTo(b.sum, slot, 1)
	b.size++
}

func (b *body) unite(other *body) {
	for i, x := range other.sum {
		b.sum[i] += x
	}
	b.size += other.size
}

// inner is the sum of the cosines of every member of one with every member of the other.
func (b *body) inner(other *body) float64 {
	sum := int64(0)
	for i, x := range b.sum {
		sum += int64(x) * int64(other.sum[i])
	}
	return float64(sum) / (centroidUnit * centroidUnit)
}

// within is the mean cosine between two members, and 1 for a member alone.
func (b *body) within() float64 {
	if b.size == 1 {
		return 1
	}
	return (b.inner(b) - b.size) / (b.size * (b.size - 1))
}

// likeness is the mean cosine between the members of two, as a share of that within the
// tighter. It is 0 where the members of each have nothing in common, or hardly more than
// any two signals of the world: in a collection that is all of one kind, as the issues of one
// program, everything is like everything, and one cluster would swallow a third of it.
func (b *body) likeness(other *body, common float64) float64 {
	const own = 0.6 // of what the tighter has beyond what is common to all
	within := max(b.within(), other.within())
	between := b.inner(other) / (b.size * other.size)
	if within <= 0 || between-common < own*(within-common) {
		return 0
	}
	return between / within
}

// border is where two communities, a < b, have an edge.
type border struct {
	a, b     int32
	likeness float64
}

// compare orders by likeness; of those alike, the one of older communities is larger.
func (x border) compare(y border) int {
	switch {
	case x.likeness != y.likeness:
		if x.likeness < y.likeness {
			return -1
		}
		return 1
	case x.a != y.a:
		return int(y.a - x.a)
	}
	return int(y.b - x.b)
}

// borders are the pairs of nodes with an edge between them, each once.
func (g *network) borders() []border {
	var all []border
	for i := range int32(g.len()) {
		for _, j := range g.to[g.start[i]:g.start[i+1]] {
			if i < j {
				all = append(all, border{a: i, b: j})
			}
		}
	}
	return all
}

// merged are the borders after b has become a part of a, in no special order.
func merged(borders []border, a, b int32) []border {
	var neighbours []int32
	borders = slices.DeleteFunc(borders, func(x border) bool {
		switch {
		case x.a == a || x.a == b:
			neighbours = append(neighbours, x.b)
		case x.b == a || x.b == b:
			neighbours = append(neighbours, x.a)
		default:
			return false
		}
		return true
	})
	slices.Sort(neighbours)
	for _, n := range slices.Compact(neighbours) {
		if n != a && n != b {
			borders = append(borders, border{a: min(a, n), b: max(a, n)})
		}
	}
	return borders
}
