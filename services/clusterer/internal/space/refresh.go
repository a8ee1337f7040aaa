package space

import (
	"cmp"
	"math"
	"slices"
)

// refresh divides the whole graph anew from the present division, tunes the
// resolution, unites what was cut too finely, and gives the communities found the ids
// of those they came from.
func (s *Space) refresh() {
	s.since = 0
	s.refreshes++
	live := s.liveNodes()
	slices.SortFunc(live, func(a, b int32) int { // so that it matters little in which order they came
		return cmp.Or(slices.Compare(s.vectors.at(a), s.vectors.at(b)), cmp.Compare(a, b))
	})
	for _, slot := range live {
		s.nodes[slot].usual = s.usual(s.nodes[slot].near)
	}
	g := s.network(live)
	present := make([]int32, len(live))
	for i, slot := range live {
		present[i] = s.nodes[slot].community
	}
	found := s.fuse(live, g, s.divide(g, present))
	s.rename(live, present, found)
	s.total = 0
	for h := range s.labels {
		s.labels[h].degree = 0
	}
	for i, slot := range live {
		n := &s.nodes[slot]
		n.degree = g.degree[i]
		s.labels[n.community].degree += n.degree
		s.total += n.degree
	}
	s.projectAll()
}

// divide runs Leiden until the resolution agrees with the division it gives:
// Theta × effective number of clusters, but not much more than the likeliest (see
// network.likeliest) and no less than a floor, damped by half. Where subjects
// run into one another, as in reviews of one product, any number of clusters
// agrees with itself: there the floor keeps all from ending up together and the
// likeliest keeps all from ending up apart. It starts from the present division;
// starting from nothing was measured to give no better one, at any size.
func (s *Space) divide(g *network, present []int32) []int32 {
	const (
		rounds = 2

		floor       = 2.0
		slack       = 1.25 // over the likeliest
		small       = 400  // nodes: with fewer, all are neighbours of most
		large       = 4500 // nodes: with more, neighbours are a smaller part of a subject
		crowding    = 0.4  // measured on 3,000 to 15,000 nodes
		enough      = 0.04
		adjustments = 8
	)
	n := float64(g.len())
	least := floor * min(n/small, 1)
	crowded := math.Pow(min(large/n, 1), crowding)
	target := func(c []int32) float64 {
		return max(crowded*min(s.options.Theta*effective(c), slack*g.likeliest(c)), least)
	}
	found := g.leiden(present, s.resolution, rounds)
	for range adjustments {
		next := target(found)
		if math.Abs(next-s.resolution) <= enough*s.resolution {
			break
		}
		s.resolution = (s.resolution + next) / 2
		found = g.leiden(found, s.resolution, rounds)
	}
	return found
}

// overlap is how many signals a community found shares with a label there was.
type overlap struct {
	found, label int32
	items        int32
}

// rename gives communities the labels of those they came from, the largest
// overlap first. A label whose community is taken by another was merged into
// the community most of it went to; if it is the older of two of like size, the
// two change places. A community left without a label was split from the label
// it shares most with.
func (s *Space) rename(live, present, found []int32) {
	found, count := compact(found)
	overlaps := s.overlaps(live, present, found)
	whole := make([]int32, len(s.labels)) // signals of each label before
	for _, o := range overlaps {
		whole[o.label] += o.items
	}
	given := slices.Repeat([]int32{none}, count)        // community → label
	home := slices.Repeat([]int32{none}, len(s.labels)) // label → community
	share := make([]int32, count)
	for _, o := range overlaps {
		if given[o.found] == none && home[o.label] == none {
			given[o.found], home[o.label], share[o.found] = o.label, o.found, o.items
		}
	}
	for _, o := range overlaps { // the older id of two of like size
		rival := given[o.found]
		if home[o.label] == none && o.label < rival && 2*o.items > whole[o.label] && 3*o.items >= share[o.found] {
			given[o.found], home[o.label], home[rival] = o.label, o.found, none
		}
	}
	parent := slices.Repeat([]int32{none}, count)
	for _, o := range overlaps {
		if parent[o.found] == none {
			parent[o.found] = o.label
		}
	}
	for c, h := range given {
		if h == none {
			given[c] = s.newLabel(parent[c])
			s.lineage = append(s.lineage, LineageEvent{Kind: Split, From: s.labels[parent[c]].id, To: s.labels[given[c]].id, At: len(s.items)})
		}
	}
	for _, slot := range live {
		s.leave(slot)
	}
	for i, slot := range live {
		s.enter(slot, given[found[i]])
	}
	for _, o := range overlaps { // largest overlap first: where most of it went
		if home[o.label] == none && s.labels[o.label].into == none {
			s.merge(o.label, given[o.found])
		}
	}
}

// overlaps counts signals by community found and label, most first; the older
// label and the earlier community where equal.
func (s *Space) overlaps(live, present, found []int32) []overlap {
	keys := make([]uint64, len(live))
	for i := range live {
		keys[i] = uint64(found[i])<<32 | uint64(present[i])
	}
	order := make([]int32, len(live))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		switch {
		case keys[a] < keys[b]:
			return -1
		case keys[a] > keys[b]:
			return 1
		}
		return 0
	})
	var all []overlap
	for at, i := range order {
		if at == 0 || keys[order[at-1]] != keys[i] {
			all = append(all, overlap{found: found[i], label: present[i]})
		}
		all[len(all)-1].items += s.signalsOn(live[i])
	}
	slices.SortFunc(all, func(a, b overlap) int {
		switch {
		case a.items != b.items:
			return int(b.items - a.items)
		case a.label != b.label:
			return int(a.label - b.label)
		}
		return int(a.found - b.found)
	})
	return all
}
