package space

import (
	"math"
	"slices"
)

// neighbour is a node and its similarity to the one that lists it.
type neighbour struct {
	node       int32
	similarity float32
}

// before orders neighbours: the nearer first, the lower slot where equal, so
// that the order in which candidates are seen decides nothing.
func (a neighbour) before(b neighbour) bool {
	return a.similarity > b.similarity || (a.similarity == b.similarity && a.node < b.node)
}

// nearest keeps the best few of what is offered, in order.
type nearest struct {
	keep  int
	found []neighbour
}

func (n *nearest) offer(c neighbour) {
	last := len(n.found) - 1
	if len(n.found) < n.keep {
		n.found = append(n.found, c)
		last++
	} else if c.before(n.found[last]) {
		n.found[last] = c
	} else {
		return
	}
	for ; last > 0 && n.found[last].before(n.found[last-1]); last-- {
		n.found[last], n.found[last-1] = n.found[last-1], n.found[last]
	}
}

// cells is an inverted-file index: nodes listed under the nearest of about
// 2·√n centroids, of which a query visits the nearest Probe. Below
// Options.ExactBelow nodes it is unused and every node is compared.
type cells struct {
	centroids []row
	members   []members
	cell      []int32 // by slot; -1 where the slot is empty or the index unused
	trained   int     // live nodes when last trained
}

// members are the nodes of a cell with copies of their vectors side by side: a
// search waits for memory more than for arithmetic.
type members struct {
	slots   []int32
	inverse []float64
	vectors []int8
}

func (m *members) add(slot int32, r row) {
	m.slots = append(m.slots, slot)
	m.inverse = append(m.inverse, r.inverse)
	m.vectors = append(m.vectors, r.q...)
}

// remove puts the last in the place of the one removed.
func (m *members) remove(slot int32) {
	at, last := slices.Index(m.slots, slot), len(m.slots)-1
	width := len(m.vectors) / len(m.slots)
	m.slots[at], m.inverse[at] = m.slots[last], m.inverse[last]
	copy(m.vectors[at*width:(at+1)*width], m.vectors[last*width:])
	m.slots, m.inverse, m.vectors = m.slots[:last], m.inverse[:last], m.vectors[:last*width]
}

// offer offers all but except to the nearest of r.
func (m *members) offer(best *nearest, r row, except int32) {
	width := len(r.q)
	for i, slot := range m.slots {
		if slot != except {
			best.offer(neighbour{slot, cosine(dot(r.q, m.vectors[i*width:(i+1)*width]), r.inverse, m.inverse[i])})
		}
	}
}

func (c *cells) ready() bool { return len(c.centroids) > 0 }

func (c *cells) nearestCell(r row) int32 {
	best, bestSimilarity := int32(0), float32(-2)
	for i, centroid := range c.centroids {
		if s := cosine(dot(centroid.q, r.q), centroid.inverse, r.inverse); s > bestSimilarity {
			best, bestSimilarity = int32(i), s
		}
	}
	return best
}

func (c *cells) add(slot int32, r row) {
	for int(slot) >= len(c.cell) {
		c.cell = append(c.cell, -1)
	}
	if !c.ready() {
		return
	}
	cell := c.nearestCell(r)
	c.cell[slot] = cell
	c.members[cell].add(slot, r)
}

func (c *cells) remove(slot int32) {
	cell := c.cell[slot]
	c.cell[slot] = -1
	if cell < 0 {
		return
	}
	c.members[cell].remove(slot)
}

// candidates are the keep nodes nearest to r, nearest first, without the node
// except (-1 for none).
func (s *Space) candidates(r row, keep int, except int32) []neighbour {
	best := nearest{keep: keep, found: make([]neighbour, 0, keep)}
	if !s.cells.ready() {
		for slot := range int32(len(s.nodes)) {
			if s.nodes[slot].inGraph() && slot != except {
				best.offer(neighbour{slot, s.vectors.similarity(r, slot)})
			}
		}
		return best.found
	}
	probe := nearest{keep: s.options.Probe, found: make([]neighbour, 0, s.options.Probe)}
	for i, centroid := range s.cells.centroids {
		probe.offer(neighbour{int32(i), cosine(dot(centroid.q, r.q), centroid.inverse, r.inverse)})
	}
	for _, cell := range probe.found {
		s.cells.members[cell.node].offer(&best, r, except)
	}
	return best.found
}

// train builds the index anew when the world has become large enough for one,
// or twice as large as when it was last built: spherical k-means, three
// rounds, over an evenly spaced sample. Nothing random: the nodes in slot
// order decide.
func (s *Space) train() {
	if s.live < s.options.ExactBelow || (s.cells.ready() && s.live <= 2*s.cells.trained) {
		return
	}
	live := s.liveNodes()
	count := int(2 * math.Sqrt(float64(len(live))))
	centroids := make([]row, count)
	for i := range centroids {
		centroids[i] = newRow(slices.Clone(s.vectors.at(live[i*len(live)/count])))
	}
	index := cells{centroids: centroids, members: make([]members, count), cell: make([]int32, len(s.nodes)), trained: len(live)}
	sample := min(len(live), 40*count)
	sums := make([]float32, count*s.vectors.padded)
	for range 3 {
		clear(sums)
		for i := range sample {
			slot := live[i*len(live)/sample]
			r := s.vectors.row(slot)
			cell := int(index.nearestCell(r))
			sum := sums[cell*s.vectors.padded : (cell+1)*s.vectors.padded]
			for j, q := range r.q {
				sum[j] += float32(float64(q) * r.inverse)
			}
		}
		for i := range centroids {
			sum := sums[i*s.vectors.padded : (i+1)*s.vectors.padded]
			if r, err := s.vectors.quantise(sum[:s.dimensions]); err == nil { // an empty cell keeps its place
				centroids[i] = r
			}
		}
	}
	for i := range index.cell {
		index.cell[i] = -1
	}
	s.cells = index
	for _, slot := range live {
		s.cells.add(slot, s.vectors.row(slot))
	}
}
