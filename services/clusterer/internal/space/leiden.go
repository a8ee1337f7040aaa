package space

import (
	"cmp"
	"math"
	"slices"
)

// network is a weighted undirected graph in compressed rows: node i's edges are
// to[start[i]:start[i+1]]. Degrees count inner weight of aggregated nodes.
type network struct {
	start  []int32
	to     []int32
	weight []int64
	degree []int64
	total  int64
}

func (g *network) len() int { return len(g.degree) }

// network builds the graph of the live nodes, numbered as in live.
func (s *Space) network(live []int32) *network {
	number := make([]int32, len(s.nodes))
	for i, slot := range live {
		number[slot] = int32(i)
	}
	type half struct {
		to     int32
		weight int64
	}
	g := &network{start: make([]int32, 1, len(live)+1), degree: make([]int64, len(live))}
	var row []half
	for i, slot := range live {
		row = row[:0]
		s.eachEdge(slot, func(other int32, weight int64) { row = append(row, half{number[other], weight}) })
		slices.SortFunc(row, func(a, b half) int { return cmp.Compare(a.to, b.to) })
		for j, h := range row {
			if j > 0 && row[j-1].to == h.to {
				g.weight[len(g.weight)-1] += h.weight
			} else {
				g.to = append(g.to, h.to)
				g.weight = append(g.weight, h.weight)
			}
			g.degree[i] += h.weight
		}
		g.start = append(g.start, int32(len(g.to)))
		g.total += g.degree[i]
	}
	g.total = max(g.total, 1)
	return g
}

// compact renumbers communities 0…k−1 in order of first appearance.
func compact(community []int32) ([]int32, int) {
	largest := int32(-1)
	for _, c := range community {
		largest = max(largest, c)
	}
	number := make([]int32, largest+1)
	for i := range number {
		number[i] = -1
	}
	renumbered := make([]int32, len(community))
	k := int32(0)
	for i, c := range community {
		if number[c] < 0 {
			number[c] = k
			k++
		}
		renumbered[i] = number[c]
	}
	return renumbered, int(k)
}

// effective is the effective number of communities: the exponential of the
// entropy of their sizes.
func effective(community []int32) float64 {
	renumbered, k := compact(community)
	sizes := make([]float64, k)
	for _, c := range renumbered {
		sizes[c]++
	}
	entropy := 0.0
	for _, size := range sizes {
		share := size / float64(len(community))
		entropy -= share * math.Log(share)
	}
	return math.Exp(entropy)
}

// likeliest is the resolution at which modularity would find a division like
// this one the likeliest, were the graph drawn at random with one density of
// edges within communities and another between them (Newman, "Equivalence
// between modularity optimization and maximum likelihood methods for community
// detection", 2016). It is 1 where
// the two densities do not differ, and infinite without edges between.
func (g *network) likeliest(community []int32) float64 {
	community, k := compact(community)
	degree := make([]float64, k)
	within := 0.0
	for i, c := range community {
		degree[c] += float64(g.degree[i])
		inner := g.degree[i] // what is not outer, so that aggregated nodes count too
		for e := g.start[i]; e < g.start[i+1]; e++ {
			if community[g.to[e]] != c {
				inner -= g.weight[e]
			}
		}
		within += float64(inner)
	}
	total, square := float64(g.total), 0.0
	for _, d := range degree {
		square += d * d / total
	}
	between := total - within
	switch {
	case k == 1 || within <= 0 || square >= total:
		return 1
	case between <= 0:
		return math.Inf(1)
	}
	inside, outside := within/square, between/(total-square)
	if inside <= outside {
		return 1
	}
	return (inside - outside) / (math.Log(inside) - math.Log(outside))
}

// move is Leiden's fast local moving: nodes go, one at a time, where modularity
// gains most, until none wants to. Communities are numbers below g.len(). Returns
// the number of moves.
func (g *network) move(community []int32, resolution float64) int {
	const bound = 60 // visits per node, never reached in practice
	n := g.len()
	degree := make([]int64, n)
	size := make([]int32, n)
	for i, c := range community {
		degree[c] += g.degree[i]
		size[c]++
	}
	var empty []int32
	for c := n - 1; c >= 0; c-- {
		if size[c] == 0 {
			empty = append(empty, int32(c))
		}
	}
	queue := make([]int32, n)
	queued := make([]bool, n)
	for i := range queue {
		queue[i], queued[i] = int32(i), true
	}
	pull := make([]int64, n)
	var touched []int32
	moves := 0
	for head := 0; head < len(queue) && head < bound*n; head++ {
		i := queue[head]
		queued[i] = false
		present := community[i]
		degree[present] -= g.degree[i]
		size[present]--
		touched = touched[:0]
		from, to := g.start[i], g.start[i+1]
		for e := from; e < to; e++ {
			c := community[g.to[e]]
			if pull[c] == 0 {
				touched = append(touched, c)
			}
			pull[c] += g.weight[e]
		}
		share := resolution * float64(g.degree[i]) / float64(g.total)
		best, gain := present, float64(pull[present])-share*float64(degree[present])
		for _, c := range touched {
			if other := float64(pull[c]) - share*float64(degree[c]); other > gain+1e-6 {
				best, gain = c, other
			}
		}
		if gain < -1e-6 && size[present] > 0 && len(empty) > 0 {
			best = empty[len(empty)-1]
			empty = empty[:len(empty)-1]
		}
		for _, c := range touched {
			pull[c] = 0
		}
		community[i] = best
		degree[best] += g.degree[i]
		size[best]++
		if size[present] == 0 {
			empty = append(empty, present)
		}
		if best == present {
			continue
		}
		moves++
		for e := from; e < to; e++ {
			if j := g.to[e]; community[j] != best && !queued[j] {
				queued[j] = true
				queue = append(queue, j)
			}
		}
	}
	return moves
}

// refine is Leiden's refinement: within each community, nodes start alone and
// join only what they are well connected to, so that a community that has
// fallen in two comes apart in the next aggregation.
func (g *network) refine(community []int32, resolution float64) []int32 {
	n := g.len()
	refined := make([]int32, n)
	degree := make([]int64, n)
	size := make([]int32, n)
	whole := make([]int64, n)
	order := make([]int32, n)
	for i := range refined {
		refined[i], order[i] = int32(i), int32(i)
		degree[i] = g.degree[i]
		size[i] = 1
		whole[community[i]] += g.degree[i]
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(g.degree[a], g.degree[b]) })
	pull := make([]int64, n)
	var touched []int32
	for _, i := range order {
		own := refined[i]
		if size[own] > 1 {
			continue
		}
		touched = touched[:0]
		within := int64(0)
		for e := g.start[i]; e < g.start[i+1]; e++ {
			j := g.to[e]
			if community[j] != community[i] {
				continue
			}
			within += g.weight[e]
			c := refined[j]
			if pull[c] == 0 {
				touched = append(touched, c)
			}
			pull[c] += g.weight[e]
		}
		share := resolution * float64(g.degree[i]) / float64(g.total)
		if float64(within) >= share*float64(whole[community[i]]-g.degree[i]) {
			best, gain := own, 0.0
			for _, c := range touched {
				if c == own {
					continue
				}
				if other := float64(pull[c]) - share*float64(degree[c]); other > gain {
					best, gain = c, other
				}
			}
			if best != own {
				size[own]--
				degree[own] -= g.degree[i]
				refined[i] = best
				size[best]++
				degree[best] += g.degree[i]
			}
		}
		for _, c := range touched {
			pull[c] = 0
		}
	}
	return refined
}

// aggregate makes one node of each community 0…k−1.
func (g *network) aggregate(community []int32, k int) *network {
	first := make([]int32, k+1)
	for _, c := range community {
		first[c+1]++
	}
	for c := range k {
		first[c+1] += first[c]
	}
	members := make([]int32, len(community))
	at := slices.Clone(first)
	for i, c := range community {
		members[at[c]] = int32(i)
		at[c]++
	}
	whole := &network{start: make([]int32, 1, k+1), degree: make([]int64, k), total: g.total}
	pull := make([]int64, k)
	var touched []int32
	for c := range k {
		touched = touched[:0]
		for _, i := range members[first[c]:first[c+1]] {
			whole.degree[c] += g.degree[i]
			for e := g.start[i]; e < g.start[i+1]; e++ {
				other := community[g.to[e]]
				if int(other) == c {
					continue
				}
				if pull[other] == 0 {
					touched = append(touched, other)
				}
				pull[other] += g.weight[e]
			}
		}
		slices.Sort(touched)
		for _, other := range touched {
			whole.to = append(whole.to, other)
			whole.weight = append(whole.weight, pull[other])
			pull[other] = 0
		}
		whole.start = append(whole.start, int32(len(whole.to)))
	}
	return whole
}

// leiden divides the graph, starting from a division (nil: every node alone).
func (g *network) leiden(from []int32, resolution float64, rounds int) []int32 {
	n := g.len()
	community := make([]int32, n)
	if from == nil {
		for i := range community {
			community[i] = int32(i)
		}
	} else {
		community, _ = compact(from)
	}
	for range rounds {
		level, at := g, slices.Clone(community)
		member := make([]int32, n)
		for i := range member {
			member[i] = int32(i)
		}
		moves := 0
		for {
			moves += level.move(at, resolution)
			renumbered, k := compact(at)
			if k == level.len() {
				break
			}
			refined, parts := compact(level.refine(at, resolution))
			if parts == level.len() { // refinement keeps all apart: finish with the communities themselves
				refined, parts = renumbered, k
			}
			next := make([]int32, parts)
			for i, part := range refined {
				next[part] = renumbered[i]
			}
			level = level.aggregate(refined, parts)
			at, _ = compact(next)
			for i := range member {
				member[i] = refined[member[i]]
			}
		}
		for i := range community {
			community[i] = at[member[i]]
		}
		if moves == 0 {
			break
		}
	}
	return community
}
