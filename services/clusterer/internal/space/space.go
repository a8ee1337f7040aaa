// Package space is where signals become clusters: an evolving graph of nearest
// neighbours, divided by an incremental Leiden algorithm whose resolution tunes
// itself from the data. No number of clusters and no similarity threshold is
// given.
//
// It promises:
//
//   - One home for every live signal, given as it arrives, and repaired as more
//     is seen: a refresh divides the whole graph anew from the present clusters.
//   - Ids that stay. A cluster keeps its id for as long as most of it stays
//     together; a merge keeps the older id of two of like size and redirects the
//     other; a split leaves the id with the larger share. Lineage and Resolve
//     tell what became of an id.
//   - The same input in the same order gives the same outcome, and a snapshot
//     restored anywhere goes on as if it had never been taken.
//   - People's decisions hold whatever the machine thinks later, and undoing
//     them all gives back exactly the world without them (see Decision).
//   - Nothing is forced: a signal with no neighbour nearer than the noise of the
//     collection stays a cluster of its own.
//
// It refuses vectors of another dimension, zero or non-finite ones. It knows
// nothing of buses, stores, clocks or randomness. A Space is for one goroutine
// at a time, reads included.
//
// The method is that of the team's measurements (reference, sections 0 and D):
// Traag, Waltman and van Eck, "From Louvain to Leiden" (2019) on a k-nearest-
// neighbour graph whose weights are scaled to what is usual around each node.
package space

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Options are the settings of a Space. Two spaces with equal options and equal
// input are equal.
type Options struct {
	// Seed goes into every cluster id, so that two workspaces never share one.
	// Use the workspace id.
	Seed string
	// Theta is the granularity: resolution = Theta × the effective number of
	// clusters (the exponential of the entropy of their sizes), less from 4,500
	// nodes on. 0.08 is coarse, 0.20 fine.
	Theta float64
	// Fuse is how alike the signals of two clusters must be, as a share of how
	// alike those within the tighter one are, for the two to be one.
	Fuse float64
	// Neighbours is how many of a signal's nearest are tied to it. At most 32.
	Neighbours int
	// Candidates is how many nearest nodes are looked at per signal.
	Candidates int
	// MinSimilarity is the cosine below which two signals are never neighbours.
	MinSimilarity float64
	// Outlier is how near a signal must be to another to count as its
	// neighbour, as a share of that one's mean similarity to its own nearest:
	// what keeps strays out of dense clusters whatever the scale of the
	// vectors (the idea of the local outlier factor, Breunig et al. 2000).
	Outlier float64
	// DuplicateSimilarity is the cosine from which a signal is counted on the
	// node of another instead of becoming a node.
	DuplicateSimilarity float64
	// RefreshEvery and RefreshShare: the whole graph is divided anew after
	// RefreshShare × nodes have come or gone; in small worlds after RefreshEvery,
	// or twice that share where this is less.
	RefreshEvery int
	RefreshShare float64
	// GraphSize is how many nodes the graph takes before it is full. From then
	// on a signal that lies as near to a node as that one's neighbours do hangs on
	// the nearest of the cluster its neighbours pull to, as a satellite, and goes
	// where that goes; the fuller the graph, the farther a signal may lie.
	GraphSize int
	// LocalMoves bounds how many neighbours are reconsidered per insert.
	LocalMoves int
	// ExactBelow is the number of nodes from which an inverted-file index is
	// used, and Probe how many of its cells a search visits.
	ExactBelow, Probe int
}

// Default are the options everything was measured with.
func Default() Options {
	return Options{
		Theta:               0.14,
		Fuse:                0.72,
		Neighbours:          16,
		Candidates:          40,
		MinSimilarity:       0.05,
		Outlier:             0.5,
		DuplicateSimilarity: 0.985,
		RefreshEvery:        50,
		RefreshShare:        0.1,
		GraphSize:           25_000,
		LocalMoves:          20,
		ExactBelow:          2000,
		Probe:               12,
	}
}

// Point is a signal: its id and its embedding, of any length but zero.
type Point struct {
	ID     string
	Vector []float32
}

// Assignment says where a signal is and why.
type Assignment struct {
	SignalID, ClusterID string
	// Similarity is the mean cosine to the (up to three) nearest other signals
	// of the cluster; 0 for a signal on its own.
	Similarity float64
	// RunnerUpID is the cluster with the next best claim by the same measure,
	// RunnerUp its similarity; empty and 0 where no neighbour is elsewhere.
	RunnerUpID string
	RunnerUp   float64
	// Margin is Similarity − RunnerUp. It may be negative: the graph as a
	// whole decides, not the three nearest.
	Margin float64
	// Reason is one of the Reason constants.
	Reason string
}

// Reasons of an assignment.
const (
	ReasonAlone     = "alone: no neighbour is near enough to share a cluster with"
	ReasonGraph     = "graph: its nearest neighbours hold together in this cluster"
	ReasonDuplicate = "duplicate: says the same as a signal of this cluster"
	ReasonDecision  = "decision: a person put it here"
	ReasonFollows   = "decision: its neighbours are here by a person's decision"
)

// ChangeKind is what happened to a signal or a cluster.
type ChangeKind string

// Kinds of changes. A writer makes a cluster's row on Created and Split, closes
// it on Merged and Retired, and sets a signal's cluster on Assigned and Moved.
const (
	Created  ChangeKind = "created"  // cluster To is new, or is back after an undo
	Split    ChangeKind = "split"    // cluster To is new and came out of From
	Assigned ChangeKind = "assigned" // signal SignalID arrived in To
	Moved    ChangeKind = "moved"    // signal SignalID went From → To
	Removed  ChangeKind = "removed"  // signal SignalID left From and the space
	Merged   ChangeKind = "merged"   // cluster From is empty and lives on as To
	Retired  ChangeKind = "retired"  // cluster From is empty and lives on nowhere
)

// Change is one thing a writer must record. Changes of one call come in an
// order in which they can be applied: clusters made, signals set, clusters
// closed. A signal occurs at most once per call.
type Change struct {
	Kind     ChangeKind
	SignalID string
	From, To string // cluster ids
	Decision string // id of the decision or undo that caused it, empty for the machine
}

// Cluster is a cluster with at least one live signal.
type Cluster struct {
	ID   string
	Size int
	// Created is how many signals had been inserted when it came to be.
	Created int
	// Centroid is the unit mean of the members' vectors.
	Centroid []float32
	// Members are signal ids in the order they were inserted, and Medoid the
	// member nearest to the centroid. Only Space.Cluster fills them.
	Members []string
	Medoid  string
}

// LineageEvent is one step in the life of cluster ids.
type LineageEvent struct {
	Kind     ChangeKind // Merged (From lives on as To), Split (To came out of From), Retired (From)
	From, To string
	At       int    // how many signals had been inserted
	Decision string // the decision that did it, empty for the machine
}

// Neighbour is a cluster and the cosine of its centroid to a vector.
type Neighbour struct {
	ID         string
	Similarity float64
}

const (
	// listLength is how many nearest neighbours a node remembers; the first
	// Options.Neighbours are edges, the others stand in when one of those leaves.
	listLength = 32
	// weightUnit makes edge weights integers, so that degrees are exact sums
	// whatever the order of additions and removals.
	weightUnit = 1 << 20
	none       = int32(-1)
)

// Space is one workspace's world of signals. Make one with New, or restore one
// with UnmarshalBinary.
type Space struct {
	options    Options
	dimensions int

	items []item           // in the order of insertion; removed ones leave an empty place
	index map[string]int32 // signal id → item

	vectors vectors
	nodes   []node
	free    []int32 // empty node slots, the last freed first
	live    int     // nodes of the graph: those in use that are no satellites
	cells   cells

	labels  []label          // every cluster id there ever was, in order of creation
	byID    map[string]int32 // cluster id → label
	machine int              // labels made by the machine, for the next id
	lineage []LineageEvent   // the machine's

	total      int64 // sum of all degrees
	resolution float64
	since      int // nodes come and gone since the last refresh
	refreshes  int

	decisions []decision
	minted    int             // ids given to decisions without one
	redirect  map[int32]int32 // from people's merges, derived from decisions
	pins      []pin           // by item, derived from decisions; nil without any
	effects   *effects        // of the call under way
	scratch   []pull          // reused by pulls
}

// item is a signal. Several items share a node when they say the same.
type item struct {
	id    string
	node  int32 // none once removed
	label int32 // the cluster it is shown in
	next  int32 // the next item of the same node
}

// node is a vertex of the graph, or hangs on one as its satellite: then it has
// a vector and a community, that of its host, but no edges.
type node struct {
	items     int32 // how many signals; 0 for an empty slot
	first     int32 // the first of them
	last      int32 // and the last, where there are several
	community int32 // the cluster the machine has it in
	degree    int64
	usual     float32     // its mean similarity to its nearest
	near      []neighbour // the nearest, nearest first
	listedBy  []int32     // nodes that have this one among their nearest
	host      int32       // the node a satellite hangs on; none for a vertex
	satellite int32       // the youngest of a vertex's satellites
	elder     int32       // the next older satellite of the same host
}

// label is a cluster id and what is known of it.
type label struct {
	id       string
	created  int
	into     int32 // what it was merged into, none while it stands
	from     int32 // what it was split from
	nodes    int32 // nodes the machine has in it
	degree   int64
	anchored int32   // of the signals in them, how many a decision holds
	size     int32   // signals shown in it
	sum      []int32 // of their vectors, in fixed point
}

// New makes an empty space for vectors of the given number of dimensions.
func New(dimensions int, o Options) *Space {
	return &Space{
		options:    o,
		dimensions: dimensions,
		index:      map[string]int32{},
		vectors:    newVectors(dimensions),
		byID:       map[string]int32{},
		resolution: 1,
		redirect:   map[int32]int32{},
	}
}

// Insert takes in a signal and says where it belongs, with everything else
// that changed by it. A known id changes nothing and gets its present
// assignment, whatever the vector. Fails, changing nothing, on an empty id or
// a vector that is zero, not finite or of another dimension.
func (s *Space) Insert(p Point) (Assignment, []Change, error) {
	if at, known := s.index[p.ID]; known {
		return s.assignment(at), nil, nil
	}
	if p.ID == "" {
		return Assignment{}, nil, fmt.Errorf("insert signal: id is empty")
	}
	r, err := s.vectors.quantise(p.Vector)
	if err != nil {
		return Assignment{}, nil, err
	}
	s.effects = &effects{}
	at := s.place(p.ID, r)
	return s.assignment(at), s.finish(""), nil
}

func (s *Space) place(id string, r row) int32 {
	at := int32(len(s.items))
	s.items = append(s.items, item{id: id, node: none, label: none, next: none})
	s.index[id] = at
	if s.pins != nil {
		s.pins = append(s.pins, pin{decision: none})
	}
	found := s.candidates(r, s.options.Candidates, none)
	if len(found) > 0 && float64(found[0].similarity) >= s.options.DuplicateSimilarity {
		s.attach(at, found[0].node)
		s.show(at, s.project(at))
		return at
	}
	if s.hangs(found) {
		s.addSatellite(at, r, s.hostOf(found))
		s.show(at, s.project(at))
		return at
	}
	slot := s.addNode(at, r, found)
	s.settle(slot)
	s.since++
	if s.due() {
		s.refresh()
	} else if s.effects.emptied && len(s.redirect)+len(s.pins) > 0 {
		s.projectAll()
	}
	return at
}

// due says whether enough has changed to divide the graph anew.
func (s *Space) due() bool {
	const first = 16 // nodes
	share := s.options.RefreshShare * float64(s.live)
	return s.live >= first && float64(s.since) >= max(share, min(2*share, float64(s.options.RefreshEvery)))
}

// Remove takes a signal out. Nobody else is reassigned by it: neighbours that
// lose an edge get their next nearest instead, and the next refresh sees the
// graph without it. Its id is forgotten entirely, also by decisions. False if
// it is not here.
func (s *Space) Remove(id string) ([]Change, bool) {
	at, known := s.index[id]
	if !known {
		return nil, false
	}
	s.effects = &effects{removed: id, removedFrom: s.labels[s.items[at].label].id}
	s.forgetDecided(at)
	s.hide(at)
	if slot := s.items[at].node; s.detach(at) {
		if s.nodes[slot].host != none {
			s.removeSatellite(slot)
		} else {
			s.succeed(slot)
			s.removeNode(slot)
			s.since++
		}
	}
	delete(s.index, id)
	s.items[at].id = ""
	if s.effects.emptied && len(s.redirect)+len(s.pins) > 0 {
		s.projectAll()
	}
	return s.finish(""), true
}

// Assignment is where a signal is now. False if it is not here.
func (s *Space) Assignment(id string) (Assignment, bool) {
	at, known := s.index[id]
	if !known {
		return Assignment{}, false
	}
	return s.assignment(at), true
}

func (s *Space) assignment(at int32) Assignment {
	const nearestMembers = 3
	it := s.items[at]
	n := &s.nodes[it.node]
	type claim struct {
		label int32
		count int
		sum   float64
	}
	var claims []claim
	vote := func(label int32, similarity float64) {
		i := slices.IndexFunc(claims, func(c claim) bool { return c.label == label })
		if i < 0 {
			claims = append(claims, claim{label: label})
			i = len(claims) - 1
		}
		if claims[i].count < nearestMembers {
			claims[i].count++
			claims[i].sum += similarity
		}
	}
	twin := false
	for other, seen := n.first, 0; other != none && seen < 2*nearestMembers; other, seen = s.items[other].next, seen+1 {
		if other != at {
			vote(s.items[other].label, 1)
			twin = twin || (s.items[other].label == it.label && other < at)
		}
	}
	for _, near := range s.around(it.node) {
		vote(s.items[s.nodes[near.node].first].label, float64(near.similarity))
	}
	a := Assignment{SignalID: it.id, ClusterID: s.labels[it.label].id, Reason: ReasonAlone}
	for _, c := range claims {
		mean := c.sum / float64(c.count)
		if c.label == it.label {
			a.Similarity, a.Reason = mean, ReasonGraph
		} else if mean > a.RunnerUp {
			a.RunnerUp, a.RunnerUpID = mean, s.labels[c.label].id
		}
	}
	if s.labels[it.label].size > 1 && a.Reason == ReasonAlone {
		a.Reason = ReasonGraph // held by edges from others, none of its own nearest are here
	}
	a.Margin = a.Similarity - a.RunnerUp
	switch {
	case s.pinned(at):
		a.Reason = ReasonDecision
	case it.label != n.community:
		a.Reason = ReasonFollows
	case twin:
		a.Reason = ReasonDuplicate
	}
	return a
}

// Len is the number of live signals.
func (s *Space) Len() int { return len(s.index) }

// Clusters are all clusters with at least one signal, oldest first.
func (s *Space) Clusters() []Cluster {
	var all []Cluster
	for h := range s.labels {
		if s.labels[h].size > 0 {
			all = append(all, s.describe(int32(h)))
		}
	}
	slices.SortStableFunc(all, func(a, b Cluster) int { return a.Created - b.Created })
	return all
}

func (s *Space) describe(h int32) Cluster {
	l := &s.labels[h]
	return Cluster{ID: l.id, Size: int(l.size), Created: l.created, Centroid: unit(l.sum)}
}

// Cluster is one cluster by its present id, with its members and medoid. False
// if there is none: Resolve tells what became of it.
func (s *Space) Cluster(id string) (Cluster, bool) {
	h, known := s.byID[id]
	if !known || s.labels[h].size == 0 {
		return Cluster{}, false
	}
	c := s.describe(h)
	best := math.Inf(-1)
	for i := range s.items {
		it := &s.items[i]
		if it.node == none || it.label != h {
			continue
		}
		c.Members = append(c.Members, it.id)
		product := 0.0
		for j, q := range s.vectors.at(it.node)[:s.dimensions] {
			product += float64(q) * float64(c.Centroid[j])
		}
		if similarity := product * s.vectors.inverse[it.node]; similarity > best {
			best, c.Medoid = similarity, it.id
		}
	}
	return c, true
}

// Resolve follows merges: the id under which a cluster lives on, itself while
// it stands or when it ended with nothing left, "" if there never was one.
func (s *Space) Resolve(id string) string {
	h, known := s.byID[id]
	if !known {
		return ""
	}
	return s.labels[s.heir(h)].id
}

// Lineage is what happened to cluster ids: the machine's merges, splits and
// retirements and those of the decisions in force, in order.
func (s *Space) Lineage() []LineageEvent {
	all := slices.Concat(s.lineage, s.decidedLineage())
	all = slices.DeleteFunc(all, func(e LineageEvent) bool { // a decision may keep what the machine gave up
		return e.Kind == Retired && s.labels[s.byID[e.From]].size > 0
	})
	slices.SortStableFunc(all, func(a, b LineageEvent) int { return a.At - b.At })
	return all
}

// Nearest are the k clusters whose centroids are nearest to v, nearest first,
// ties by age. Empty for a vector that cannot be compared.
func (s *Space) Nearest(v []float32, k int) []Neighbour {
	if len(v) != s.dimensions || k <= 0 {
		return nil
	}
	length := 0.0
	for _, c := range v {
		length += float64(c) * float64(c)
	}
	if !(length > 0) || math.IsInf(length, 0) {
		return nil
	}
	var found []Neighbour
	for h := range s.labels {
		l := &s.labels[h]
		if l.size == 0 {
			continue
		}
		product, own := 0.0, 0.0
		for i, c := range l.sum {
			product += float64(c) * float64(v[i])
			own += float64(c) * float64(c)
		}
		if own > 0 {
			found = append(found, Neighbour{l.id, product / math.Sqrt(own*length)})
		}
	}
	slices.SortStableFunc(found, func(a, b Neighbour) int {
		switch {
		case a.Similarity > b.Similarity:
			return -1
		case a.Similarity < b.Similarity:
			return 1
		}
		return 0
	})
	return found[:min(k, len(found))]
}

// unit is the direction of a centroid sum; zeros where it has none.
func unit(sum []int32) []float32 {
	length := 0.0
	for _, c := range sum {
		length += float64(c) * float64(c)
	}
	v := make([]float32, len(sum))
	if length > 0 {
		length = math.Sqrt(length)
		for i, c := range sum {
			v[i] = float32(float64(c) / length)
		}
	}
	return v
}

// newLabel makes a cluster id for the machine: a hash of the seed and the
// ordinal of the cluster.
func (s *Space) newLabel(from int32) int32 {
	s.machine++
	return s.addLabel(clusterID(s.options.Seed, "machine", strconv.Itoa(s.machine)), from)
}

func (s *Space) addLabel(id string, from int32) int32 {
	h := int32(len(s.labels))
	s.labels = append(s.labels, label{id: id, created: len(s.items), into: none, from: from})
	s.byID[id] = h
	return h
}

func clusterID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return "clu_" + hex.EncodeToString(h.Sum(nil)[:10])
}
