package baseline

import (
	"cmp"
	"math"
	"slices"

	"github.com/throughline-dev/throughline/pkg/embed"
)

// HDBSCAN is Campello, Moulavi and Sander (2013) on cosine distance, clusters
// chosen by excess of mass. Least is both the smallest cluster and the number
// of neighbours that make a core. Noise comes out as clusters of one. Time
// grows with the square of the number of vectors.
func HDBSCAN(vectors [][]float32, least int) []int {
	n := len(vectors)
	if n == 0 {
		return nil
	}
	return choose(condense(join(spanning(vectors, cores(vectors, least)), n), n, least), n)
}

func distance(a, b []float32) float64 { return max(0, 1-float64(embed.Dot(a, b))) }

// cores are each vector's distance to its k-th neighbour.
func cores(vectors [][]float32, k int) []float64 {
	core := make([]float64, len(vectors))
	for i, v := range vectors {
		near := make([]float64, 0, k+1) // ascending; the vector itself is one of them
		for _, other := range vectors {
			d := distance(v, other)
			at, _ := slices.BinarySearch(near, d)
			if at > k {
				continue
			}
			if len(near) > k {
				near = near[:k]
			}
			near = slices.Insert(near, at, d)
		}
		core[i] = near[len(near)-1]
	}
	return core
}

type link struct {
	a, b   int
	length float64
}

// spanning is the minimum spanning tree of mutual reachability, shortest first
// (Prim).
func spanning(vectors [][]float32, core []float64) []link {
	n := len(vectors)
	away, from, done := make([]float64, n), make([]int, n), make([]bool, n)
	for i := range away {
		away[i] = math.Inf(1)
	}
	links := make([]link, 0, n-1)
	for at := 0; len(links) < n-1; {
		done[at] = true
		next := -1
		for i := range vectors {
			if done[i] {
				continue
			}
			if d := max(distance(vectors[at], vectors[i]), core[at], core[i]); d < away[i] {
				away[i], from[i] = d, at
			}
			if next < 0 || away[i] < away[next] {
				next = i
			}
		}
		links = append(links, link{from[next], next, away[next]})
		at = next
	}
	slices.SortStableFunc(links, func(a, b link) int { return cmp.Compare(a.length, b.length) })
	return links
}

// merger is an inner node of the single-linkage tree; children below n are
// vectors, others mergers n, n+1, ….
type merger struct {
	left, right int
	length      float64
	size        int
}

func join(links []link, n int) []merger {
	parent := make([]int, 2*n)
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	tree := make([]merger, 0, len(links))
	size := func(i int) int {
		if i < n {
			return 1
		}
		return tree[i-n].size
	}
	for _, l := range links {
		a, b := root(l.a), root(l.b)
		tree = append(tree, merger{a, b, l.length, size(a) + size(b)})
		parent[a], parent[b] = n+len(tree)-1, n+len(tree)-1
	}
	return tree
}

// group is a cluster of the condensed tree: born at a density (1/distance),
// losing members as density grows.
type group struct {
	parent    int
	born      float64
	stability float64
	members   []int // vectors that fall out of it, not into a group of their own
	children  []int
}

// condense keeps of the tree the splits into two of at least least vectors.
func condense(tree []merger, n, least int) []group {
	groups := []group{{parent: -1}}
	type visit struct{ node, group int }
	stack := []visit{{n + len(tree) - 1, 0}}
	size := func(i int) int {
		if i < n {
			return 1
		}
		return tree[i-n].size
	}
	fall := func(node, g int, density float64) {
		inner := []int{node}
		for len(inner) > 0 {
			at := inner[len(inner)-1]
			inner = inner[:len(inner)-1]
			if at >= n {
				inner = append(inner, tree[at-n].left, tree[at-n].right)
				continue
			}
			groups[g].members = append(groups[g].members, at)
			groups[g].stability += density - groups[g].born
		}
	}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v.node < n {
			fall(v.node, v.group, groups[v.group].born)
			continue
		}
		m := tree[v.node-n]
		density := 1 / max(m.length, 1e-9)
		left, right := size(m.left) >= least, size(m.right) >= least
		for _, side := range [2]struct {
			node  int
			large bool
		}{{m.left, left}, {m.right, right}} {
			switch {
			case !side.large:
				fall(side.node, v.group, density)
			case left && right:
				groups[v.group].stability += (density - groups[v.group].born) * float64(size(side.node))
				groups = append(groups, group{parent: v.group, born: density})
				groups[v.group].children = append(groups[v.group].children, len(groups)-1)
				stack = append(stack, visit{side.node, len(groups) - 1})
			default:
				stack = append(stack, visit{side.node, v.group})
			}
		}
	}
	return groups
}

// choose takes the groups whose excess of mass is above that of what they split
// into, and numbers the vectors by them. The root is never one.
func choose(groups []group, n int) []int {
	chosen := make([]bool, len(groups))
	best := make([]float64, len(groups))
	for g := len(groups) - 1; g > 0; g-- { // children come after parents
		below := 0.0
		for _, c := range groups[g].children {
			below += best[c]
		}
		best[g], chosen[g] = max(below, groups[g].stability), groups[g].stability >= below
	}
	of := make([]int, len(groups)) // the topmost chosen group around each
	found := make([]int, n)
	next := len(groups)
	for g := range groups {
		switch {
		case g > 0 && of[groups[g].parent] > 0:
			of[g] = of[groups[g].parent]
		case chosen[g]:
			of[g] = g
		}
		for _, i := range groups[g].members {
			if found[i] = of[g]; of[g] == 0 {
				found[i] = next
				next++
			}
		}
	}
	return found
}
