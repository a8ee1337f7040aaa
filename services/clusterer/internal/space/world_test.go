package space

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

const testDimensions = 48

// topics makes count points around a number of directions, in random order but
// always the same for a seed, and the topic of each.
func topics(seed uint64, count, kinds int, spread float64) ([]Point, []int) {
	random := rand.New(rand.NewPCG(seed, 1))
	centres := make([][]float32, kinds)
	for i := range centres {
		centres[i] = direction(random)
	}
	points := make([]Point, count)
	of := make([]int, count)
	for i := range points {
		of[i] = random.IntN(kinds)
		v := direction(random)
		for j := range v {
			v[j] = centres[of[i]][j] + float32(spread)*v[j]
		}
		points[i] = Point{ID: fmt.Sprintf("sig_%d_%d", seed, i), Vector: v}
	}
	return points, of
}

func direction(random *rand.Rand) []float32 {
	v := make([]float32, testDimensions)
	for j := range v {
		v[j] = float32(random.NormFloat64())
	}
	return v
}

func testOptions() Options {
	o := Default()
	o.Seed = "acme"
	return o
}

func insertAll(t testing.TB, s *Space, points []Point) {
	t.Helper()
	for _, p := range points {
		if _, _, err := s.Insert(p); err != nil {
			t.Fatal(err)
		}
	}
}

// ledger is what a writer would have in its tables, kept by changes alone.
type ledger struct {
	of   map[string]string
	open map[string]int
}

func newLedger() *ledger { return &ledger{of: map[string]string{}, open: map[string]int{}} }

func (l *ledger) apply(t testing.TB, changes []Change) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range changes {
		if c.SignalID != "" {
			if seen[c.SignalID] {
				t.Fatalf("signal %s occurs twice in one call", c.SignalID)
			}
			seen[c.SignalID] = true
		}
		switch c.Kind {
		case Created, Split:
			if _, open := l.open[c.To]; open {
				t.Fatalf("%s of %s, which is there", c.Kind, c.To)
			}
			l.open[c.To] = 0
		case Assigned:
			l.enter(t, c)
		case Moved:
			l.leave(t, c)
			l.enter(t, c)
		case Removed:
			l.leave(t, c)
		case Merged, Retired:
			if n, open := l.open[c.From]; !open || n != 0 {
				t.Fatalf("%s of %s, open %v with %d signals", c.Kind, c.From, open, n)
			}
			delete(l.open, c.From)
			if _, open := l.open[c.To]; c.Kind == Merged && !open {
				t.Fatalf("merged into %s, which is not there", c.To)
			}
		default:
			t.Fatalf("unknown change %q", c.Kind)
		}
	}
}

func (l *ledger) enter(t testing.TB, c Change) {
	t.Helper()
	if _, open := l.open[c.To]; !open {
		t.Fatalf("%s goes into %s, which is not there", c.SignalID, c.To)
	}
	l.open[c.To]++
	l.of[c.SignalID] = c.To
}

func (l *ledger) leave(t testing.TB, c Change) {
	t.Helper()
	if l.of[c.SignalID] != c.From {
		t.Fatalf("%s leaves %s but is in %s", c.SignalID, c.From, l.of[c.SignalID])
	}
	l.open[c.From]--
	delete(l.of, c.SignalID)
}

// check holds the space against the ledger and against its own promises.
func (l *ledger) check(t testing.TB, s *Space) {
	t.Helper()
	if s.Len() != len(l.of) {
		t.Fatalf("%d signals, the ledger has %d", s.Len(), len(l.of))
	}
	for id, cluster := range l.of {
		a, here := s.Assignment(id)
		if !here || a.ClusterID != cluster {
			t.Fatalf("%s is in %q (here: %v), the ledger has %s", id, a.ClusterID, here, cluster)
		}
		if s.Resolve(cluster) != cluster {
			t.Fatalf("cluster %s stands but resolves to %s", cluster, s.Resolve(cluster))
		}
	}
	clusters := s.Clusters()
	if len(clusters) != len(l.open) {
		t.Fatalf("%d clusters, the ledger has %d", len(clusters), len(l.open))
	}
	members := 0
	for i, c := range clusters {
		if l.open[c.ID] != c.Size || c.Size == 0 {
			t.Fatalf("cluster %s has %d signals, the ledger %d", c.ID, c.Size, l.open[c.ID])
		}
		if i > 0 && clusters[i-1].Created > c.Created {
			t.Fatal("clusters are not in order of creation")
		}
		full, _ := s.Cluster(c.ID)
		if len(full.Members) != c.Size || !slices.Contains(full.Members, full.Medoid) {
			t.Fatalf("cluster %s: %d members for size %d, medoid among them: %v", c.ID, len(full.Members), c.Size, slices.Contains(full.Members, full.Medoid))
		}
		members += len(full.Members)
	}
	if members != s.Len() {
		t.Fatalf("%d memberships for %d signals", members, s.Len())
	}
	checkGraph(t, s)
}

// checkGraph recomputes what is kept incrementally.
func checkGraph(t testing.TB, s *Space) {
	t.Helper()
	total, live, satellites, hung := int64(0), 0, 0, 0
	degrees := map[int32]int64{}
	nodes := map[int32]int32{}
	for slot := range int32(len(s.nodes)) {
		n := &s.nodes[slot]
		if n.items == 0 {
			if len(n.near) != 0 || len(n.listedBy) != 0 {
				t.Fatal("an empty slot has neighbours")
			}
			continue
		}
		if n.host != none {
			if h := &s.nodes[n.host]; !h.inGraph() || h.community != n.community || len(n.near)+len(n.listedBy) > 0 {
				t.Fatal("a satellite without a host, or tied to others")
			}
			satellites++
			continue
		}
		for other, last := n.satellite, int32(len(s.items)); other != none; other = s.nodes[other].elder {
			if s.nodes[other].host != slot || s.nodes[other].first >= last {
				t.Fatal("satellites are not youngest first, or of another host")
			}
			last = s.nodes[other].first
			hung++
		}
		live++
		degree := int64(0)
		s.eachEdge(slot, func(other int32, weight int64) {
			if !s.nodes[other].inGraph() {
				t.Fatal("an edge to what is not in the graph")
			}
			degree += weight
		})
		if degree != n.degree {
			t.Fatalf("node %d has degree %d, kept as %d", slot, degree, n.degree)
		}
		for i, c := range n.near {
			if i > 0 && !n.near[i-1].before(c) {
				t.Fatal("neighbours are out of order")
			}
			if !slices.Contains(s.nodes[c.node].listedBy, slot) {
				t.Fatal("a neighbour does not know who lists it")
			}
		}
		total += degree
		degrees[n.community] += degree
		nodes[n.community]++
	}
	if total != s.total || live != s.live {
		t.Fatalf("total %d of %d nodes, kept as %d of %d", total, live, s.total, s.live)
	}
	if satellites != hung {
		t.Fatalf("%d satellites, hosts know %d", satellites, hung)
	}
	for h := range s.labels {
		if l := &s.labels[h]; l.degree != degrees[int32(h)] || l.nodes != nodes[int32(h)] {
			t.Fatalf("label %d has degree %d and %d nodes, kept as %d and %d", h, degrees[int32(h)], nodes[int32(h)], l.degree, l.nodes)
		}
	}
}
