package space

// effects gathers what one call does, so that a signal that is moved twice is
// reported once and clusters are reported by what they were before and are now.
type effects struct {
	emptied              bool // a community lost its last node: what resolves to it may have changed
	removed, removedFrom string
	moved                []movement
	seen                 map[int32]int // item → index in moved
	before               map[int32]int32
	touched              []int32
}

type movement struct{ item, from int32 }

func (e *effects) touch(h, size int32) {
	if e.before == nil {
		e.before = map[int32]int32{}
	}
	if _, known := e.before[h]; !known {
		e.before[h] = size
		e.touched = append(e.touched, h)
	}
}

// show sets the cluster a signal is shown in.
func (s *Space) show(at, h int32) {
	it := &s.items[at]
	if it.label == h {
		return
	}
	e := s.effects
	if e.seen == nil {
		e.seen = map[int32]int{}
	}
	if _, known := e.seen[at]; !known {
		e.seen[at] = len(e.moved)
		e.moved = append(e.moved, movement{at, it.label})
	}
	if it.label != none {
		s.hide(at)
	}
	e.touch(h, s.labels[h].size)
	it.label = h
	l := &s.labels[h]
	l.size++
	if l.sum == nil {
		l.sum = make([]int32, s.dimensions)
	}
	s.vectors.addTo(l.sum, it.node, 1)
}

// hide takes a signal out of the cluster it is shown in.
func (s *Space) hide(at int32) {
	it := &s.items[at]
	l := &s.labels[it.label]
	s.effects.touch(it.label, l.size)
	s.vectors.addTo(l.sum, it.node, -1)
	it.label = none
	if l.size--; l.size == 0 {
		l.sum = nil
	}
}

// finish turns the effects of the call under way into changes.
func (s *Space) finish(decision string) []Change {
	e := s.effects
	s.effects = nil
	var changes []Change
	for _, h := range e.touched {
		l := &s.labels[h]
		if e.before[h] > 0 || l.size == 0 {
			continue
		}
		if parent := l.from; parent != none && l.created == len(s.items) {
			changes = append(changes, Change{Kind: Split, From: s.labels[parent].id, To: l.id, Decision: decision})
		} else {
			changes = append(changes, Change{Kind: Created, To: l.id, Decision: decision})
		}
	}
	if e.removed != "" {
		changes = append(changes, Change{Kind: Removed, SignalID: e.removed, From: e.removedFrom, Decision: decision})
	}
	for _, m := range e.moved {
		it := &s.items[m.item]
		switch {
		case m.from == none:
			changes = append(changes, Change{Kind: Assigned, SignalID: it.id, To: s.labels[it.label].id, Decision: decision})
		case m.from != it.label:
			changes = append(changes, Change{Kind: Moved, SignalID: it.id, From: s.labels[m.from].id, To: s.labels[it.label].id, Decision: decision})
		}
	}
	for _, h := range e.touched {
		if e.before[h] == 0 || s.labels[h].size > 0 {
			continue
		}
		if heir := s.heir(h); heir != h && s.labels[heir].size > 0 {
			changes = append(changes, Change{Kind: Merged, From: s.labels[h].id, To: s.labels[heir].id, Decision: decision})
		} else {
			changes = append(changes, Change{Kind: Retired, From: s.labels[h].id, Decision: decision})
		}
	}
	return changes
}
