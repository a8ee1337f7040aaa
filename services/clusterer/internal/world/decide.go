package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// decide applies a person's decision. One that cannot be applied (its cluster is gone,
// its signals are elsewhere) is taken and reported as refused: it is the person who has
// to look again, not the log.
func (t *taking) decide(d feedback.Decision) {
	var err error
	switch d.Action {
	case feedback.Merge:
		err = t.shape(d, space.Decision{ID: d.ID, Kind: space.DecideMerge, Cluster: d.Into, Other: d.Cluster})
	case feedback.Split:
		err = t.shape(d, space.Decision{ID: d.ID, Kind: space.DecideSplit, Cluster: d.Cluster, Signals: d.Signals})
	case feedback.Move:
		err = t.shape(d, space.Decision{ID: d.ID, Kind: space.DecideMove, Cluster: d.Into, Signals: d.Signals})
	case feedback.Rename:
		err = t.mark(d, "renamed", d.Name, func(c *cluster) { c.Pinned = d.Name })
		if err == nil {
			t.renamed(d)
		}
	case feedback.Ignore:
		err = t.mark(d, "ignored", "", func(c *cluster) { c.Said = said{feedback.StatusIgnored, d.At} })
	case feedback.Reopen:
		err = t.mark(d, "reopened", "", func(c *cluster) { c.Said = said{feedback.StatusOpen, d.At} })
	case feedback.Mark:
		err = t.mark(d, "marked", string(d.Status), func(c *cluster) { c.Said = said{d.Status, d.At} })
	case feedback.Undo:
		err = t.undo(d)
	case feedback.Pin, feedback.Reject:
		// About tickets: the context-publisher applies them.
		return
	case feedback.Correct:
		// About a signal's kind: the classifier reads its item again, which comes as an input.
		return
	default:
		err = fmt.Errorf("decide: unknown action %q", d.Action)
	}
	if err != nil {
		t.out.Refused = err
		return
	}
	if d.Action != feedback.Undo {
		t.decisions[d.ID] = d
	}
}

// shape hands a decision about membership to the space.
func (t *taking) shape(d feedback.Decision, sd space.Decision) error {
	if t.space == nil {
		return fmt.Errorf("decide %s: there are no clusters yet", d.Action)
	}
	changes, err := t.space.Decide(sd)
	if err != nil {
		return err
	}
	t.hold(d.ID, changes)
	t.apply(changes)
	about := t.standing(sd.Cluster)
	for _, earlier := range t.space.Contradicted(d.ID) {
		t.event(Event{Cluster: about.ID, Kind: "contradicted", Other: earlier, Decision: d.ID})
	}
	return nil
}

// renamed reports the names that others gave a cluster before, as contradicted by another one.
func (t *taking) renamed(d feedback.Decision) {
	for _, id := range slices.Sorted(maps.Keys(t.decisions)) {
		o := t.decisions[id]
		if o.Action == feedback.Rename && o.By != d.By && o.Name != d.Name && t.standing(o.Cluster) == t.standing(d.Cluster) {
			t.event(Event{Cluster: t.standing(d.Cluster).ID, Kind: "contradicted", Other: o.ID, Decision: d.ID})
		}
	}
}

// mark changes what is said about a cluster, not what is in it.
func (t *taking) mark(d feedback.Decision, kind, detail string, change func(*cluster)) error {
	c := t.standing(d.Cluster)
	if c == nil {
		return fmt.Errorf("decide %s: no such cluster", d.Action)
	}
	change(c)
	t.touch(c.ID)
	t.event(Event{Cluster: c.ID, Kind: kind, Detail: detail, Decision: d.ID})
	return nil
}

// standing finds a cluster by its id, or by that of one merged into it.
func (w *World) standing(id string) *cluster {
	if w.space == nil {
		return nil
	}
	return w.clusters[w.space.Resolve(id)]
}

// undo takes a decision back with its effects. Undoing a rename or a word about the status
// gives back what the latest earlier decision in force said.
func (t *taking) undo(d feedback.Decision) error {
	old, ok := t.decisions[d.Undoes]
	if !ok {
		return fmt.Errorf("undo: no such decision in force")
	}
	delete(t.decisions, old.ID)
	switch old.Action {
	case feedback.Merge, feedback.Split, feedback.Move:
		changes, _ := t.space.Undo(old.ID)
		t.apply(changes)
		t.release(old.ID)
		return nil
	}
	c := t.standing(old.Cluster)
	if c == nil {
		return nil
	}
	var name, status feedback.Decision
	for _, o := range t.decisions {
		if t.standing(o.Cluster) != c {
			continue
		}
		switch {
		case o.Action == feedback.Rename && later(o, name):
			name = o
		case saidBy(o) != "" && later(o, status):
			status = o
		}
	}
	c.Pinned = name.Name
	c.Said = said{saidBy(status), status.At}
	t.touch(c.ID)
	t.event(Event{Cluster: c.ID, Kind: "undone", Detail: string(old.Action), Decision: d.ID})
	return nil
}

// saidBy is the status that a decision gives a cluster, "" for one about something else.
func saidBy(d feedback.Decision) feedback.Status {
	switch d.Action {
	case feedback.Ignore:
		return feedback.StatusIgnored
	case feedback.Reopen:
		return feedback.StatusOpen
	case feedback.Mark:
		return d.Status
	default:
		return ""
	}
}

func later(a, b feedback.Decision) bool {
	return b.ID == "" || a.At.After(b.At) || a.At.Equal(b.At) && a.ID > b.ID
}
