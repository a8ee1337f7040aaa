package space

import (
	"math"
	"slices"
)

// liveNodes are the slots in use, in slot order.
func (s *Space) liveNodes() []int32 {
	live := make([]int32, 0, s.live)
	for slot := range int32(len(s.nodes)) {
		if s.nodes[slot].inGraph() {
			live = append(live, slot)
		}
	}
	return live
}

// weight is what listing a neighbour counts, in weightUnits: half of the cube of
// the similarity over the geometric mean of what is usual around the two, so
// that crowded and sparse places weigh alike whatever the scale of the vectors,
// and two nodes that list each other share a whole edge. Near-copies count no
// more than closest. It is nothing where the neighbour is much nearer to its own
// neighbours than to this one.
//
// Local scaling is that of Zelnik-Manor and Perona, "Self-tuning spectral
// clustering" (2004), on cosines.
func (s *Space) weight(slot int32, c neighbour) int64 {
	const closest = 2.5 // of the squared ratio
	usual := s.nodes[c.node].usual
	if float64(c.similarity) < max(s.options.Outlier*float64(usual), s.options.MinSimilarity) {
		return 0
	}
	squared := float64(c.similarity) * float64(c.similarity) / (float64(s.nodes[slot].usual) * float64(usual))
	squared = min(squared, closest)
	return int64(squared * math.Sqrt(squared) / 2 * weightUnit)
}

// usual is the mean similarity of a node to its nearest ones, and at least
// Options.MinSimilarity. It stays as it is between refreshes, so that weights
// taken away are those that were added.
func (s *Space) usual(near []neighbour) float32 {
	sum, count := float32(0), float32(0)
	for _, c := range near[:min(s.options.Neighbours, len(near))] {
		sum += c.similarity
		count++
	}
	return max(float32(s.options.MinSimilarity), sum/max(count, 1))
}

// attach puts an item on a node that is there.
func (s *Space) attach(at, slot int32) {
	n := &s.nodes[slot]
	s.items[at].node = slot
	n.items++
	if n.items == 1 {
		n.first = at
		return
	}
	last := n.first // the chain stays in order of insertion
	if n.items > 2 {
		last = n.last
	}
	s.items[last].next = at
	n.last = at
}

// detach takes an item off its node; true if the node has none left.
func (s *Space) detach(at int32) bool {
	slot := s.items[at].node
	n := &s.nodes[slot]
	before := none
	for other := n.first; other != at; other = s.items[other].next {
		before = other
	}
	next := s.items[at].next
	if before == none {
		n.first = next
	} else {
		s.items[before].next = next
	}
	if next == none {
		n.last = before
	}
	n.items--
	s.items[at].node, s.items[at].next = none, none
	return n.items == 0
}

// newSlot makes a node for an item, in no community and without edges.
func (s *Space) newSlot(at int32, r row) int32 {
	var slot int32
	if last := len(s.free) - 1; last >= 0 {
		slot = s.free[last]
		s.free = s.free[:last]
	} else {
		slot = int32(len(s.nodes))
		s.nodes = append(s.nodes, node{})
	}
	s.nodes[slot] = node{community: none, near: s.nodes[slot].near[:0], listedBy: s.nodes[slot].listedBy[:0], host: none, satellite: none, elder: none}
	s.vectors.put(slot, r)
	s.attach(at, slot)
	return slot
}

// addNode makes a vertex for an item and ties it into the neighbours' lists.
// Its community is not decided yet.
func (s *Space) addNode(at int32, r row, found []neighbour) int32 {
	slot := s.newSlot(at, r)
	s.join(slot, found)
	return slot
}

// join makes a node a vertex: it is found by searches, and tied to those found.
func (s *Space) join(slot int32, found []neighbour) {
	s.live++
	s.train()
	if s.cells.ready() && int(slot) < len(s.cells.cell) && s.cells.cell[slot] >= 0 {
		// training has just listed it
	} else {
		s.cells.add(slot, s.vectors.row(slot))
	}
	s.nodes[slot].usual = s.usual(found)
	for _, c := range found {
		if float64(c.similarity) < s.options.MinSimilarity {
			break
		}
		s.list(slot, c)
		s.list(c.node, neighbour{slot, c.similarity})
	}
}

// list offers c to the nearest neighbours of a node, letting the farthest go
// where there are too many, and keeps the edges and their weights in step.
func (s *Space) list(slot int32, c neighbour) {
	n := &s.nodes[slot]
	at, _ := slices.BinarySearchFunc(n.near, c, func(a, b neighbour) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	if at >= listLength {
		return
	}
	if at < s.options.Neighbours {
		s.tie(slot, c.node, s.weight(slot, c))
		if len(n.near) >= s.options.Neighbours {
			pushed := n.near[s.options.Neighbours-1]
			s.tie(slot, pushed.node, -s.weight(slot, pushed))
		}
	}
	if len(n.near) == listLength {
		dropped := n.near[listLength-1].node
		s.unlistBy(dropped, slot)
		n.near = n.near[:listLength-1]
	}
	n.near = slices.Insert(n.near, at, c)
	s.nodes[c.node].listedBy = append(s.nodes[c.node].listedBy, slot)
}

// tie adds weight to the edge between two nodes, as far as sums are concerned.
func (s *Space) tie(a, b int32, weight int64) {
	for _, slot := range [2]int32{a, b} {
		n := &s.nodes[slot]
		n.degree += weight
		if n.community != none {
			s.labels[n.community].degree += weight
		}
	}
	s.total += 2 * weight
}

func (s *Space) unlistBy(slot, by int32) {
	list := s.nodes[slot].listedBy
	at := slices.Index(list, by)
	list[at] = list[len(list)-1]
	s.nodes[slot].listedBy = list[:len(list)-1]
}

// removeNode takes a node that no item is left on out of the graph. Nodes that
// had it as a neighbour move up the next nearest they remember, and search for
// more once they remember too few.
func (s *Space) removeNode(slot int32) {
	n := &s.nodes[slot]
	orphans := slices.Clone(n.listedBy)
	slices.Sort(orphans)
	for _, by := range orphans {
		s.unlist(by, slot)
	}
	for len(n.near) > 0 {
		s.unlist(slot, n.near[len(n.near)-1].node)
	}
	s.leave(slot)
	if l := &s.labels[n.community]; l.nodes == 0 {
		s.effects.emptied = true
		s.lineage = append(s.lineage, LineageEvent{Kind: Retired, From: l.id, At: len(s.items)})
	}
	n.community = none
	s.cells.remove(slot)
	s.free = append(s.free, slot)
	s.live--
	for _, by := range orphans {
		if len(s.nodes[by].near) >= s.options.Neighbours || len(s.nodes[by].near) >= s.live-1 {
			continue
		}
		for _, c := range s.candidates(s.vectors.row(by), listLength, by) {
			known := slices.ContainsFunc(s.nodes[by].near, func(o neighbour) bool { return o.node == c.node })
			if !known && float64(c.similarity) >= s.options.MinSimilarity {
				s.list(by, c)
			}
		}
	}
}

// unlist takes other out of the neighbours of a node.
func (s *Space) unlist(slot, other int32) {
	n := &s.nodes[slot]
	at := slices.IndexFunc(n.near, func(c neighbour) bool { return c.node == other })
	if at < s.options.Neighbours {
		s.tie(slot, other, -s.weight(slot, n.near[at]))
		if len(n.near) > s.options.Neighbours {
			risen := n.near[s.options.Neighbours]
			s.tie(slot, risen.node, s.weight(slot, risen))
		}
	}
	n.near = slices.Delete(n.near, at, at+1)
	s.unlistBy(other, slot)
}

// eachEdge calls visit for every edge of a node; a pair that list each other
// comes twice, with half the weight each.
func (s *Space) eachEdge(slot int32, visit func(other int32, weight int64)) {
	n := &s.nodes[slot]
	for i, c := range n.near {
		if i == s.options.Neighbours {
			break
		}
		if w := s.weight(slot, c); w > 0 {
			visit(c.node, w)
		}
	}
	for _, by := range n.listedBy {
		for i, c := range s.nodes[by].near {
			if i == s.options.Neighbours {
				break
			}
			if c.node == slot {
				if w := s.weight(by, c); w > 0 {
					visit(by, w)
				}
				break
			}
		}
	}
}

// pull is how strongly a node is tied to a community.
type pull struct {
	label  int32
	weight int64
}

func (s *Space) pulls(slot int32) []pull {
	found := s.scratch[:0]
	s.eachEdge(slot, func(other int32, weight int64) {
		c := s.nodes[other].community
		for i := range found {
			if found[i].label == c {
				found[i].weight += weight
				return
			}
		}
		found = append(found, pull{c, weight})
	})
	s.scratch = found
	return found
}

// choose is the community with the largest gain in modularity for a node that
// is in none; none if it is better alone. Ties go to the older.
func (s *Space) choose(slot int32, present int32) int32 {
	best, bestGain := none, 0.0
	degree := float64(s.nodes[slot].degree)
	gain := func(p pull) float64 {
		return float64(p.weight) - s.resolution*degree*float64(s.labels[p.label].degree)/float64(max(s.total, 1))
	}
	found := s.pulls(slot)
	for _, p := range found {
		if p.label == present {
			best, bestGain = present, gain(p)
		}
	}
	if bestGain < 0 {
		best, bestGain = none, 0
	}
	for _, p := range found {
		g := gain(p)
		if p.label != present && (g > bestGain || (g == bestGain && p.label < best)) && g > 0 {
			best, bestGain = p.label, g
		}
	}
	return best
}

// enter puts a node that is in no community into one.
func (s *Space) enter(slot, h int32) {
	n := &s.nodes[slot]
	n.community = h
	l := &s.labels[h]
	l.nodes++
	l.degree += n.degree
	l.anchored += s.anchoredOn(slot)
	for other := n.satellite; other != none; other = s.nodes[other].elder {
		s.nodes[other].community = h
		l.anchored += s.anchoredOn(other)
	}
}

// leave takes a node out of its community.
func (s *Space) leave(slot int32) {
	n := &s.nodes[slot]
	l := &s.labels[n.community]
	l.degree -= n.degree
	l.anchored -= s.anchoredOn(slot)
	for other := n.satellite; other != none; other = s.nodes[other].elder {
		l.anchored -= s.anchoredOn(other)
	}
	l.nodes--
}

// settle finds a new node its community and lets its neighbours reconsider, a
// bounded number of them, in slot order.
func (s *Space) settle(slot int32) {
	h := s.choose(slot, none)
	if h == none {
		h = s.newLabel(none)
	}
	s.enter(slot, h)
	s.show(s.nodes[slot].first, s.project(s.nodes[slot].first))

	queue := s.disagreeing(slot)
	for budget := s.options.LocalMoves; len(queue) > 0 && budget > 0; budget-- {
		next := queue[0]
		queue = queue[1:]
		if s.reconsider(next) {
			for _, other := range s.disagreeing(next) {
				if len(queue) < budget && !slices.Contains(queue, other) {
					queue = append(queue, other)
				}
			}
		}
	}
}

// disagreeing are the neighbours of a node in other communities, in slot order.
func (s *Space) disagreeing(slot int32) []int32 {
	var found []int32
	s.eachEdge(slot, func(other int32, _ int64) {
		if s.nodes[other].community != s.nodes[slot].community {
			found = append(found, other)
		}
	})
	slices.Sort(found)
	return slices.Compact(found)
}

// reconsider moves a node to the community it gains most from. True if it
// moved.
func (s *Space) reconsider(slot int32) bool {
	present := s.nodes[slot].community
	s.leave(slot)
	h := s.choose(slot, present)
	if h == none {
		if h = present; s.labels[present].nodes > 0 {
			h = s.newLabel(present)
			s.lineage = append(s.lineage, LineageEvent{Kind: Split, From: s.labels[present].id, To: s.labels[h].id, At: len(s.items)})
		}
	}
	s.enter(slot, h)
	if h == present {
		return false
	}
	if s.labels[present].nodes == 0 {
		s.merge(present, h)
	}
	for other := slot; other != none; {
		for at := s.nodes[other].first; at != none; at = s.items[at].next {
			s.show(at, s.project(at))
		}
		if other == slot {
			other = s.nodes[slot].satellite
		} else {
			other = s.nodes[other].elder
		}
	}
	return true
}

// merge records that the community of one label has gone into another.
func (s *Space) merge(loser, winner int32) {
	s.effects.emptied = true
	s.labels[loser].into = winner
	s.lineage = append(s.lineage, LineageEvent{Kind: Merged, From: s.labels[loser].id, To: s.labels[winner].id, At: len(s.items)})
}
