package space

import (
	"fmt"
	"slices"
	"strconv"
)

// People's decisions are a layer over the machine's division, never a part of
// it: the graph and its communities evolve as if nobody had decided anything,
// and what is shown is the machine's division with the decisions in force
// applied in their order. So a decision holds whatever the machine does later,
// and undoing all of them gives back, to the bit, the world in which they were
// never made.
//
// A decision holds the signals that were there when it was made: after a
// merge, all members of both clusters stay together (must-link); after a
// split, those taken out and those left behind stay apart (cannot-link); a
// moved signal stays where it was put. A later decision about a signal
// overrules an earlier one. Signals that come afterwards go, within the
// machine's cluster, with their nearest neighbours.

// DecisionKind is what a person decided.
type DecisionKind string

// Kinds of decisions.
const (
	DecideMerge DecisionKind = "merge" // Other becomes part of Cluster, whose id stays
	DecideSplit DecisionKind = "split" // Signals leave Cluster for a new one
	DecideMove  DecisionKind = "move"  // Signals go to Cluster
)

// Decision is a person's word about clusters. Clusters may be named by ids that
// have been merged since.
type Decision struct {
	ID      string // unique; minted as "decision-1", "decision-2", … where empty
	Kind    DecisionKind
	Cluster string
	Other   string   // merge: the cluster that goes
	Signals []string // split, move
}

// decision is one as kept: labels and items instead of ids, and for each item
// the earlier decision it owed its place to, so that undoing that one does not
// leave it behind.
type decision struct {
	id       string
	kind     DecisionKind
	at       int   // items inserted when it was made
	from, to int32 // labels: merge loser → winner, split parent → child, move none → target
	taken    []anchor
	kept     []anchor // split: those left behind
	undone   bool
}

type anchor struct{ item, owed int32 }

// pin is what the decisions in force say about one item.
type pin struct {
	decision int32 // none if nothing
	target   int32 // label
	spreads  bool  // newcomers beside it follow
	since    int32 // items inserted when it was decided
}

// Merge makes loser part of winner. See Decide.
func (s *Space) Merge(winner, loser string) ([]Change, error) {
	return s.Decide(Decision{Kind: DecideMerge, Cluster: winner, Other: loser})
}

// Split takes members out of a cluster into a new one. See Decide.
func (s *Space) Split(id string, members []string) ([]Change, error) {
	return s.Decide(Decision{Kind: DecideSplit, Cluster: id, Signals: members})
}

// Move puts a signal into a cluster. See Decide.
func (s *Space) Move(signalID, clusterID string) ([]Change, error) {
	return s.Decide(Decision{Kind: DecideMove, Cluster: clusterID, Signals: []string{signalID}})
}

// Decide applies a decision at once and for good, until Undo. The id of the
// decision is in every change. A known id that is in force changes nothing; one
// that was undone fails. Fails, changing nothing, where a cluster or signal is
// unknown, a cluster would be merged with itself, or a split would take all or
// none or signals of another cluster.
func (s *Space) Decide(d Decision) ([]Change, error) {
	if known := slices.IndexFunc(s.decisions, func(o decision) bool { return d.ID != "" && o.id == d.ID }); known >= 0 {
		if s.decisions[known].undone {
			return nil, fmt.Errorf("decide %s: decision was undone, make a new one", d.Kind)
		}
		return nil, nil
	}
	cluster, err := s.standing(d.Kind, d.Cluster)
	if err != nil {
		return nil, err
	}
	made := decision{id: d.ID, kind: d.Kind, at: len(s.items), from: none, to: cluster}
	switch d.Kind {
	case DecideMerge:
		if made.from, err = s.standing(d.Kind, d.Other); err != nil {
			return nil, err
		}
		if made.from == cluster {
			return nil, fmt.Errorf("decide merge: both are one cluster already")
		}
		made.taken = s.anchors(func(at int32) bool { return s.items[at].label == made.from || s.items[at].label == cluster })
	case DecideSplit, DecideMove:
		named := make(map[int32]bool, len(d.Signals))
		for _, id := range d.Signals {
			at, known := s.index[id]
			if !known {
				return nil, fmt.Errorf("decide %s: a signal is not here", d.Kind)
			}
			if d.Kind == DecideSplit && s.items[at].label != cluster {
				return nil, fmt.Errorf("decide split: a signal is not of this cluster")
			}
			named[at] = true
		}
		if len(named) == 0 {
			return nil, fmt.Errorf("decide %s: no signal named", d.Kind)
		}
		made.taken = s.anchors(func(at int32) bool { return named[at] })
		for i := range made.taken {
			made.taken[i].owed = none // they were named, wherever they had come from
		}
		if d.Kind == DecideSplit {
			if len(named) == int(s.labels[cluster].size) {
				return nil, fmt.Errorf("decide split: nothing would be left behind")
			}
			made.kept = s.anchors(func(at int32) bool { return !named[at] && s.items[at].label == cluster })
		}
	default:
		return nil, fmt.Errorf("decide: unknown kind %q", d.Kind)
	}
	if made.id == "" {
		s.minted++
		made.id = "decision-" + strconv.Itoa(s.minted)
	}
	if d.Kind == DecideSplit {
		made.from = cluster
		made.to = s.addLabel(clusterID(s.options.Seed, "decision", made.id), cluster)
	}
	s.decisions = append(s.decisions, made)
	return s.redecide(made.id), nil
}

// Undo takes a decision back with its effects. What later decisions did on
// their own account stays. False if there is no such decision in force.
func (s *Space) Undo(decisionID string) ([]Change, bool) {
	at := slices.IndexFunc(s.decisions, func(d decision) bool { return d.id == decisionID && !d.undone })
	if at < 0 {
		return nil, false
	}
	d := &s.decisions[at]
	d.undone, d.taken, d.kept = true, nil, nil
	if d.kind == DecideSplit {
		s.labels[d.to].into = d.from // what became of it: it went back
	}
	return s.redecide(decisionID), true
}

// Contradicted lists the earlier decisions in force that say the opposite of a decision about
// some signals, in order. The later one stands; which of them is right is for people to say.
func (s *Space) Contradicted(decisionID string) []string {
	at := slices.IndexFunc(s.decisions, func(d decision) bool { return d.id == decisionID && !d.undone })
	if at < 0 {
		return nil
	}
	var out []string
	for i := range s.decisions[:at] {
		if e := &s.decisions[i]; !e.undone && s.opposed(&s.decisions[at], e) {
			out = append(out, e.id)
		}
	}
	return out
}

// opposed reports whether a decision says the opposite of an earlier one: it parts what that
// put together, puts together what that parted, or puts a signal elsewhere.
func (s *Space) opposed(d, e *decision) bool {
	switch {
	case d.kind == DecideSplit && e.kind == DecideMerge:
		return meet(d.taken, e.taken) && meet(d.kept, e.taken)
	case d.kind == DecideMerge && e.kind == DecideSplit:
		return meet(d.taken, e.taken) && meet(d.taken, e.kept)
	case d.kind == DecideSplit && e.kind == DecideMove:
		return s.heir(e.to) == s.heir(d.from) && meet(d.taken, e.taken)
	case d.kind == DecideMove && e.kind == DecideMove:
		return s.heir(e.to) != s.heir(d.to) && meet(d.taken, e.taken)
	case d.kind == DecideMove && e.kind == DecideSplit:
		return s.heir(d.to) == s.heir(e.from) && meet(d.taken, e.taken) || s.heir(d.to) == s.heir(e.to) && meet(d.taken, e.kept)
	}
	return false
}

// meet reports whether two lists of anchors, in order of item, share an item.
func meet(a, b []anchor) bool {
	for _, x := range a {
		if _, found := slices.BinarySearchFunc(b, x.item, func(y anchor, item int32) int { return int(y.item - item) }); found {
			return true
		}
	}
	return false
}

// Decisions are those in force, in order, with the ids clusters have now.
func (s *Space) Decisions() []Decision {
	var all []Decision
	for _, d := range s.decisions {
		if d.undone {
			continue
		}
		out := Decision{ID: d.id, Kind: d.kind, Cluster: s.labels[d.to].id}
		switch d.kind {
		case DecideMerge:
			out.Other = s.labels[d.from].id
			all = append(all, out)
			continue
		case DecideSplit:
			out.Cluster = s.labels[d.from].id
		}
		for _, a := range d.taken {
			out.Signals = append(out.Signals, s.items[a.item].id)
		}
		all = append(all, out)
	}
	return all
}

func (s *Space) decidedLineage() []LineageEvent {
	var all []LineageEvent
	for _, d := range s.decisions {
		if d.undone || d.kind == DecideMove {
			continue
		}
		kind := Merged
		if d.kind == DecideSplit {
			kind = Split
		}
		all = append(all, LineageEvent{Kind: kind, From: s.labels[d.from].id, To: s.labels[d.to].id, At: d.at, Decision: d.id})
	}
	return all
}

// standing is the label a cluster id lives under now.
func (s *Space) standing(kind DecisionKind, id string) (int32, error) {
	h, known := s.byID[id]
	if !known {
		return none, fmt.Errorf("decide %s: unknown cluster %q", kind, id)
	}
	if h = s.heir(h); s.labels[h].size == 0 {
		return none, fmt.Errorf("decide %s: cluster %q is empty", kind, id)
	}
	return h, nil
}

func (s *Space) anchors(of func(at int32) bool) []anchor {
	var found []anchor
	for at := range int32(len(s.items)) {
		if s.items[at].node != none && of(at) {
			found = append(found, anchor{at, s.owed(at)})
		}
	}
	return found
}

// owed is the decision an item's place comes from, none where the machine's own
// division would have it there.
func (s *Space) owed(at int32) int32 {
	if s.pinned(at) {
		return s.pins[at].decision
	}
	label := s.items[at].label
	if label == s.byMachine(s.nodes[s.items[at].node].community) {
		return none
	}
	for i := len(s.decisions) - 1; i >= 0; i-- {
		if d := &s.decisions[i]; !d.undone && d.kind != DecideMove && (s.heir(d.to) == label || s.heir(d.from) == label) {
			return int32(i)
		}
	}
	return none
}

// redecide derives redirects and pins from the decisions in force and shows
// every signal where they put it.
func (s *Space) redecide(decisionID string) []Change {
	s.effects = &effects{}
	s.derive()
	s.projectAll()
	return s.finish(decisionID)
}

// derive applies the decisions in force, in order, to redirects and pins.
func (s *Space) derive() {
	clear(s.redirect)
	s.pins = nil
	if slices.ContainsFunc(s.decisions, func(d decision) bool { return !d.undone }) {
		s.pins = slices.Repeat([]pin{{decision: none}}, len(s.items))
	}
	for i := range s.decisions {
		d := &s.decisions[i]
		if d.undone {
			continue
		}
		if d.kind == DecideMerge {
			s.redirect[d.from] = d.to
		}
		s.hold(int32(i), d.taken, d.to)
		s.hold(int32(i), d.kept, d.from)
	}
	for h := range s.labels {
		s.labels[h].anchored = 0
	}
	for slot := range s.nodes {
		if n := &s.nodes[slot]; n.items > 0 {
			s.labels[n.community].anchored += s.anchoredOn(int32(slot))
		}
	}
}

func (s *Space) hold(i int32, anchors []anchor, target int32) {
	d := &s.decisions[i]
	for _, a := range anchors {
		if a.owed != none {
			earlier := &s.decisions[a.owed]
			if earlier.undone || (earlier.names(a.item) && s.pins[a.item].decision != a.owed) {
				continue // what brought it here is gone
			}
		}
		s.pins[a.item] = pin{decision: i, target: target, spreads: d.kind != DecideMove, since: int32(d.at)}
	}
}

func (d *decision) names(at int32) bool {
	for _, list := range [2][]anchor{d.taken, d.kept} {
		if _, found := slices.BinarySearchFunc(list, at, func(a anchor, at int32) int { return int(a.item - at) }); found {
			return true
		}
	}
	return false
}

func (s *Space) pinned(at int32) bool { return s.pins != nil && s.pins[at].decision != none }

// anchoredOn counts the items of a node that newcomers follow.
func (s *Space) anchoredOn(slot int32) int32 {
	if s.pins == nil {
		return 0
	}
	count := int32(0)
	for at := s.nodes[slot].first; at != none; at = s.items[at].next {
		if s.pinned(at) && s.pins[at].spreads {
			count++
		}
	}
	return count
}

// forgetDecided takes an item that is about to leave out of all decisions.
func (s *Space) forgetDecided(at int32) {
	for i := range s.decisions {
		d := &s.decisions[i]
		d.taken = slices.DeleteFunc(d.taken, func(a anchor) bool { return a.item == at })
		d.kept = slices.DeleteFunc(d.kept, func(a anchor) bool { return a.item == at })
	}
	if s.pinned(at) {
		if s.pins[at].spreads {
			s.labels[s.nodes[s.items[at].node].community].anchored--
		}
		s.pins[at] = pin{decision: none}
	}
}

// byMachine is the label a machine's cluster lives on under as far as the
// machine is concerned.
func (s *Space) byMachine(h int32) int32 {
	for s.labels[h].into != none {
		h = s.labels[h].into
	}
	return h
}

// heir is the label under which a label lives on: people's merges first, the
// machine's after them. Where the two contradict (a person put B into A, the
// machine later A into B) the person's word stands.
func (s *Space) heir(h int32) int32 {
	var path []int32
	for {
		next, decided := s.redirect[h]
		if !decided {
			next = s.labels[h].into
		}
		if next == none {
			return h
		}
		path = append(path, h)
		if at := slices.Index(path, next); at >= 0 {
			best := none
			for _, c := range path[at:] {
				if _, decided := s.redirect[c]; !decided && (best == none || c < best) {
					best = c
				}
			}
			return best
		}
		h = next
	}
}

// project is the cluster an item is shown in: the machine's, unless a decision
// says otherwise.
func (s *Space) project(at int32) int32 {
	community := s.nodes[s.items[at].node].community
	if s.pins == nil {
		return community
	}
	if s.pinned(at) {
		return s.heir(s.pins[at].target)
	}
	if s.labels[community].anchored > 0 {
		if h := s.follow(at); h != none {
			return h
		}
	}
	return s.heir(community)
}

// follow is the cluster an undecided item's neighbours draw it to, where the
// machine's cluster holds signals that people decided about: those decided
// before it came count where they were put, undecided older ones where they
// are shown. None without any.
func (s *Space) follow(at int32) int32 {
	slot := s.items[at].node
	community := s.nodes[slot].community
	var votes []pull
	vote := func(other int32, weight int64) {
		h := none
		if s.pinned(other) {
			if p := s.pins[other]; p.spreads && at >= p.since {
				h = s.heir(p.target)
			}
		} else if other < at {
			h = s.items[other].label
		}
		if h == none {
			return
		}
		for i := range votes {
			if votes[i].label == h {
				votes[i].weight += weight
				return
			}
		}
		votes = append(votes, pull{h, weight})
	}
	if host := s.nodes[slot].host; host != none {
		slot = host
	}
	if twin := s.nodes[slot].first; twin != at {
		vote(twin, listLength*weightUnit)
	}
	s.eachEdge(slot, func(other int32, weight int64) {
		if s.nodes[other].community == community {
			vote(s.nodes[other].first, weight)
		}
	})
	best, most := none, int64(0)
	for _, v := range votes {
		if v.weight > most || (v.weight == most && v.label < best) {
			best, most = v.label, v.weight
		}
	}
	return best
}

// projectAll shows every signal where it belongs, in order of insertion.
func (s *Space) projectAll() {
	for at := range int32(len(s.items)) {
		if s.items[at].node != none {
			s.show(at, s.project(at))
		}
	}
}
