package space

import "slices"

// A full graph takes in only what it does not know yet; the rest hangs on the
// nearest vertex. So the cost of a signal and of a refresh depends on how much
// there is to tell apart, and hardly on how many signals say it.

func (n *node) inGraph() bool { return n.items > 0 && n.host == none }

// hangs says whether a signal with these nearest nodes becomes a satellite.
func (s *Space) hangs(found []neighbour) bool {
	if s.live < s.options.GraphSize || len(found) == 0 {
		return false
	}
	usual := float64(s.nodes[found[0].node].usual)
	return float64(found[0].similarity) >= usual*float64(s.options.GraphSize)/float64(s.live)
}

// hostOf is the nearest of the nodes found in the community that these pull
// to most.
func (s *Space) hostOf(found []neighbour) int32 {
	votes := s.scratch[:0]
	for _, c := range found[:min(s.options.Neighbours, len(found))] {
		weight := int64(float64(c.similarity) * float64(c.similarity) * float64(c.similarity) * weightUnit)
		h := s.nodes[c.node].community
		at := slices.IndexFunc(votes, func(v pull) bool { return v.label == h })
		if at < 0 {
			votes = append(votes, pull{h, weight})
			continue
		}
		votes[at].weight += weight
	}
	s.scratch = votes
	best := votes[0] // the nearest one's, where equal
	for _, v := range votes {
		if v.weight > best.weight {
			best = v
		}
	}
	at := slices.IndexFunc(found, func(c neighbour) bool { return s.nodes[c.node].community == best.label })
	return found[at].node
}

func (s *Space) addSatellite(at int32, r row, host int32) {
	slot := s.newSlot(at, r)
	s.hang(slot, host)
}

// hang makes a node the youngest satellite of a vertex. Satellites are hung in
// the order in which their signals were inserted.
func (s *Space) hang(slot, host int32) {
	n, h := &s.nodes[slot], &s.nodes[host]
	n.host, n.community = host, h.community
	n.elder, h.satellite = h.satellite, slot
}

// removeSatellite frees a satellite that no item is left on.
func (s *Space) removeSatellite(slot int32) {
	n := &s.nodes[slot]
	link := &s.nodes[n.host].satellite
	for *link != slot {
		link = &s.nodes[*link].elder
	}
	*link = n.elder
	n.community, n.host, n.elder = none, none, none
	s.free = append(s.free, slot)
}

// succeed makes the eldest satellite of a vertex that is about to leave the
// graph a vertex of the same community, and the others its satellites.
func (s *Space) succeed(slot int32) {
	var heirs []int32
	for other := s.nodes[slot].satellite; other != none; other = s.nodes[other].elder {
		heirs = append(heirs, other)
	}
	if len(heirs) == 0 {
		return
	}
	community := s.nodes[slot].community
	s.leave(slot) // with its satellites
	s.nodes[slot].satellite = none
	s.enter(slot, community)
	slices.Reverse(heirs)
	eldest := heirs[0]
	found := s.candidates(s.vectors.row(eldest), s.options.Candidates, slot)
	s.nodes[eldest].host, s.nodes[eldest].community, s.nodes[eldest].elder = none, none, none
	s.join(eldest, found)
	for _, other := range heirs[1:] {
		s.hang(other, eldest)
	}
	s.enter(eldest, community)
}

// signalsOn counts the signals on a vertex and its satellites.
func (s *Space) signalsOn(slot int32) int32 {
	count := s.nodes[slot].items
	for other := s.nodes[slot].satellite; other != none; other = s.nodes[other].elder {
		count += s.nodes[other].items
	}
	return count
}

// around are the nearest known nodes of a node, nearest first: for a satellite,
// its host and that one's.
func (s *Space) around(slot int32) []neighbour {
	n := &s.nodes[slot]
	if n.host == none {
		return n.near
	}
	r := s.vectors.row(slot)
	near := make([]neighbour, 0, listLength+1)
	near = append(near, neighbour{n.host, s.vectors.similarity(r, n.host)})
	for _, c := range s.nodes[n.host].near {
		near = append(near, neighbour{c.node, s.vectors.similarity(r, c.node)})
	}
	slices.SortFunc(near, func(a, b neighbour) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	return near
}
