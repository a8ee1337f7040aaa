package world

import (
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// work is what was told of a ticket last. Clusters are called as they were then: where one
// was merged since, what it became answers to the ticket, and an undo gives it back.
type work struct {
	Category feedback.StatusCategory
	Since    time.Time // when it came to its category
	Clusters []string
	Sequence uint64 // of the signals stream
}

// said is what a person last said of how far a cluster's work is, "" for nothing.
type said struct {
	Status feedback.Status
	At     time.Time
}

// standing is how far a cluster's work is, and since when. People are those who spoke of
// it after it had shipped.
type standing struct {
	Status feedback.Status
	Since  time.Time
	People int
}

func (s standing) regressed() bool { return s.Status == feedback.StatusShipped && s.People > 0 }

func ticketKey(a *event.Attached) string { return string(a.Tracker) + " " + a.Ticket }

// attached replaces what is known of a ticket.
func (t *taking) attached(a *event.Attached, sequence uint64) {
	before := t.tickets[ticketKey(a)]
	now := work{Category: a.Category, Since: a.At, Clusters: a.Clusters, Sequence: sequence}
	if accepted := a.Origin.AcceptedAt; !accepted.IsZero() && now.Since.After(accepted) {
		now.Since = accepted // a tracker's clock that runs ahead does not move ours
	}
	if before.Category == now.Category && before.Sequence > 0 {
		now.Since = before.Since
	}
	t.tickets[ticketKey(a)] = now
	t.answering = nil
	for _, id := range slices.Concat(before.Clusters, now.Clusters) {
		if c := t.standing(id); c != nil {
			t.touch(c.ID)
		}
	}
}

// told reports whether a ticket's clusters and category are known as they are told.
func (w *World) told(a *event.Attached, sequence uint64) bool {
	known := w.tickets[ticketKey(a)]
	return known.Sequence >= sequence || known.Sequence > 0 && known.Category == a.Category && slices.Equal(known.Clusters, a.Clusters)
}

// answersTo lists the tickets that a cluster answers to.
func (w *World) answersTo(id string) []string {
	if w.answering == nil {
		w.answering = map[string][]string{}
		for _, key := range slices.Sorted(maps.Keys(w.tickets)) {
			for _, of := range w.tickets[key].Clusters {
				if c := w.standing(of); c != nil && !slices.Contains(w.answering[c.ID], key) {
					w.answering[c.ID] = append(w.answering[c.ID], key)
				}
			}
		}
	}
	return w.answering[id]
}

// stands tells how far the work on a cluster is: what a person said of it, else what its
// tickets say. After a reopening, tickets that had been done before say nothing any more.
func (w *World) stands(c *cluster) standing {
	if c.Said.Status != "" && c.Said.Status != feedback.StatusOpen {
		return w.since(c, standing{Status: c.Said.Status, Since: c.Said.At})
	}
	out := standing{Status: feedback.StatusOpen, Since: c.Said.At}
	order := map[feedback.StatusCategory]feedback.Status{feedback.Done: feedback.StatusShipped, feedback.Open: feedback.StatusPlanned, feedback.InProgress: feedback.StatusInProgress}
	weight := map[feedback.Status]int{feedback.StatusShipped: 1, feedback.StatusPlanned: 2, feedback.StatusInProgress: 3}
	for _, key := range w.answersTo(c.ID) {
		t := w.tickets[key]
		status := order[t.Category]
		if status == feedback.StatusShipped && c.Said.Status == feedback.StatusOpen && !t.Since.After(c.Said.At) {
			continue
		}
		if weight[status] > weight[out.Status] {
			out = standing{Status: status, Since: t.Since}
		} else if status == out.Status && t.Since.After(out.Since) {
			out.Since = t.Since
		}
	}
	return w.since(c, out)
}

// since counts who spoke of a cluster after it had shipped.
func (w *World) since(c *cluster, s standing) standing {
	if s.Status != feedback.StatusShipped {
		return s
	}
	people := map[string]bool{}
	for id := range c.Signals {
		if w.signals[id].At.After(s.Since) {
			people[w.signals[id].Customer] = true
		}
	}
	s.People = len(people)
	return s
}

// progress tells where a cluster's work came further or back, and where something new was
// said of what had shipped. A person's own word is in the history already.
func (t *taking) progress(id string) {
	c := t.clusters[id]
	if c.Retired {
		c.Stood = standing{}
		return
	}
	before, now := c.Stood, t.stands(c)
	c.Stood = now
	if before.Status == "" {
		before.Status = feedback.StatusOpen
	}
	if before.Status == now.Status && before.regressed() == now.regressed() {
		return
	}
	t.out.Statuses = append(t.out.Statuses, event.Status{Cluster: id, Status: now.Status, Previous: before.Status, Regressed: now.regressed()})
	switch {
	case before.Status != now.Status && !t.worded(id):
		t.event(Event{Cluster: id, Kind: "status", Other: string(before.Status), Detail: string(now.Status)})
	case before.Status == now.Status && now.regressed():
		t.event(Event{Cluster: id, Kind: "regressed"})
	}
}

// worded reports whether this input was a person's word about the cluster.
func (t *taking) worded(id string) bool {
	return slices.ContainsFunc(t.out.Events, func(e Event) bool {
		return e.Cluster == id && (e.Kind == "ignored" || e.Kind == "reopened" || e.Kind == "marked" || e.Kind == "undone")
	})
}
