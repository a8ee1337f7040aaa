package world

import (
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/clusterer/internal/name"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// cluster is what the world keeps of a cluster besides who is in it.
type cluster struct {
	ID      string
	Into    string // what it was merged into
	Retired bool
	Pinned  string    // a name given by a person
	Name    name.Name // a name given by the machine
	NamedAt int       // how many signals it had when its name was last thought over
	Said    said      // about its status, by people
	Stood   standing  // when it last changed
	Signals map[string]bool
	Alerted map[string]time.Time // by kind, when people were last told
	Held    int                  // decisions in force that moved signals of it
	Before  *named               // its name before the first of them

	voices rank.Voices  // derived
	summed *rank.Inputs // of voices, until something changes
	counts name.Counts  // derived
}

// ignored reports whether people want to hear no more of it.
func (c *cluster) ignored() bool { return c.Said.Status == feedback.StatusIgnored }

// named is a name with when it was given.
type named struct {
	Name    name.Name
	NamedAt int
}

// open makes a cluster stand, or stand again after an undo.
func (t *taking) open(id string) {
	c := t.clusters[id]
	if c == nil {
		c = &cluster{ID: id, Signals: map[string]bool{}}
		t.clusters[id] = c
	}
	if c.Retired {
		t.answering = nil
	}
	c.Into, c.Retired = "", false
	t.touch(id)
}

func (t *taking) close(id, into string) {
	c := t.clusters[id]
	c.Into, c.Retired = into, true
	t.answering = nil
	t.call(c, name.Name{})
	c.NamedAt = 0
	t.touch(id)
	if into != "" {
		t.touch(into)
	}
}

func (t *taking) enter(id string, s *signal) {
	c := t.clusters[id]
	c.Signals[s.ID] = true
	c.counts.Add(s.Quote)
	c.voices.Observe(s.utterance())
	t.touch(id)
}

func (t *taking) leave(id string, s *signal) {
	c := t.clusters[id]
	delete(c.Signals, s.ID)
	c.counts.Remove(s.Quote)
	c.voices.Forget(s.Customer, s.ID)
	t.touch(id)
}

// Signal is a signal's present place and standing.
type Signal struct {
	ID, Item, Customer, Account string
	Kind                        feedback.Kind
	Severity                    float64
	At                          time.Time
	Said                        rank.Utterance
	Cluster                     string
	Similarity, RunnerUp        float64
	RunnerUpID                  string
	Reason                      string
}

// Signal returns a signal, false once it is gone.
func (w *World) Signal(id string) (Signal, bool) {
	s := w.signals[id]
	if s == nil {
		return Signal{}, false
	}
	a, _ := w.space.Assignment(id)
	return Signal{
		ID: s.ID, Item: s.Item, Customer: s.Customer, Account: w.accountOf(s.Customer), Kind: s.Kind, Severity: s.Severity, At: s.At, Said: s.utterance(),
		Cluster: s.Cluster, Similarity: a.Similarity, RunnerUp: a.RunnerUp, RunnerUpID: a.RunnerUpID, Reason: a.Reason,
	}, true
}

// Placed is which cluster each signal is in.
func (w *World) Placed() map[string]string {
	out := make(map[string]string, len(w.signals))
	for id, s := range w.signals {
		out[id] = s.Cluster
	}
	return out
}

// Members are the signals of a cluster, or of the one it was merged into, in order of id.
func (w *World) Members(id string) []string {
	c := w.standing(id)
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Signals))
}

// Cluster is a cluster as it is written to the store.
type Cluster struct {
	ID, Name                string
	NamePinned              bool
	Status                  string    // a feedback.Status, or merged for one that stands no more
	StatusSince             time.Time // zero where it always was so
	PeopleSince             int       // who spoke of it after it had shipped: a possible regression
	Into                    string
	Retired                 bool
	Kind                    feedback.Kind
	Kinds, Sources          map[string]uint32
	Medoid                  string
	Items, Voices, Accounts int
	Signals                 int
	Rank                    rank.Inputs
	FirstSeen, LastSeen     time.Time
	Centroid                []float32
}

// Cluster describes a cluster, standing or not. false if there never was one.
func (w *World) Cluster(id string) (Cluster, bool) {
	c := w.clusters[id]
	if c == nil {
		return Cluster{}, false
	}
	out := Cluster{ID: id, Name: c.Name.Text, Into: c.Into, Retired: c.Retired, Kinds: map[string]uint32{}, Sources: map[string]uint32{}}
	if c.Pinned != "" {
		out.Name, out.NamePinned = c.Pinned, true
	}
	if c.Retired {
		out.Status = "merged"
		return out, true
	}
	stands := w.stands(c)
	out.Status, out.StatusSince, out.PeopleSince = string(stands.Status), stands.Since, stands.People
	items := map[string]bool{}
	for id := range c.Signals {
		s := w.signals[id]
		items[s.Item] = true
		out.Kinds[string(s.Kind)]++
		out.Sources[string(s.Source)]++
		if out.FirstSeen.IsZero() || s.At.Before(out.FirstSeen) {
			out.FirstSeen = s.At
		}
		if s.At.After(out.LastSeen) {
			out.LastSeen = s.At
		}
	}
	out.Items = len(items)
	out.Kind = w.kind(c)
	out.Voices, out.Accounts, out.Signals = c.voices.Count(w.accountOf)
	out.Rank = w.inputs(c)
	out.Rank.Boost = w.settings.Boosts[string(out.Kind)]
	if sc, ok := w.space.Cluster(id); ok {
		out.Centroid, out.Medoid = sc.Centroid, sc.Medoid
	}
	return out, true
}

// inputs sums up what a cluster's rank is computed from, without the boost.
func (w *World) inputs(c *cluster) rank.Inputs {
	if c.summed == nil {
		in := c.voices.Inputs(w.accountOf, func(a string) float64 { return w.settings.Value(w.accounts[a].Value, w.accounts[a].Segment) })
		c.summed = &in
	}
	in := *c.summed
	in.Since = w.begun
	return in
}

// kind is the kind that most of a cluster's signals are of.
func (w *World) kind(c *cluster) feedback.Kind {
	kinds := map[feedback.Kind]int{}
	for id := range c.Signals {
		kinds[w.signals[id].Kind]++
	}
	var most feedback.Kind
	for _, k := range feedback.Kinds {
		if kinds[k] > kinds[most] {
			most = k
		}
	}
	return most
}

// rename thinks a cluster's name over when it has grown or shrunk enough for its words to
// have changed. A name changes only when another is clearly better.
func (t *taking) rename(id string) {
	c := t.clusters[id]
	size := len(c.Signals)
	if c.Retired || size == 0 || c.Name.Text != "" && size > 6 && abs(size-c.NamedAt)*8 < c.NamedAt {
		return
	}
	c.NamedAt = size
	of := name.Cluster{ID: id, Counts: &c.counts, Quote: t.quote(id), Quotes: t.quotes(c)}
	taken := func(key string) bool {
		holder, ok := t.names[key]
		return ok && holder != id
	}
	present := c.Name
	present.Score = name.Score(&c.counts, &t.counts, present.Terms)
	proposed := name.Choose(of, &t.counts, taken)
	if !name.Rename(present, proposed) {
		return
	}
	t.call(c, proposed)
	if present.Text != "" {
		t.event(Event{Cluster: id, Kind: "renamed", Other: present.Text, Detail: proposed.Text})
	}
}

// call gives a cluster a machine-made name, "" for none.
func (t *taking) call(c *cluster, n name.Name) {
	if key := name.Key(c.Name.Text); c.Name.Text != "" && (c.Before == nil || name.Key(c.Before.Name.Text) != key) {
		delete(t.names, key)
	}
	if c.Name = n; n.Text != "" {
		t.names[name.Key(n.Text)] = c.ID
	}
}

// hold remembers the names of the clusters that a decision changes, and keeps others from
// taking them, so that undoing it gives them back.
func (t *taking) hold(decision string, changes []space.Change) {
	seen := map[string]bool{}
	for _, ch := range changes {
		for _, id := range []string{ch.From, ch.To} {
			if id == "" || seen[id] {
				continue
			}
			seen[id] = true
			t.held[decision] = append(t.held[decision], id)
		}
	}
	for _, id := range t.held[decision] {
		c := t.clusters[id]
		if c == nil {
			c = &cluster{ID: id, Signals: map[string]bool{}}
			t.clusters[id] = c
		}
		if c.Held++; c.Before == nil {
			c.Before = &named{c.Name, c.NamedAt}
		}
	}
}

// release gives clusters that no decision holds any more the names that they had.
func (t *taking) release(decision string) {
	for _, id := range t.held[decision] {
		c := t.clusters[id]
		if c.Held--; c.Held > 0 {
			continue
		}
		before := c.Before
		c.Before = nil
		if key := name.Key(before.Name.Text); before.Name.Text != "" && t.names[key] == id && c.Name.Text != before.Name.Text {
			delete(t.names, key)
		}
		if !c.Retired && before.Name.Text != "" {
			t.call(c, before.Name)
			c.NamedAt = before.NamedAt
			t.touch(id)
		}
	}
	delete(t.held, decision)
}

// The most quotes that a name is cut out of, and the most of one person.
const (
	namedFrom = 120
	ofOne     = 3
)

// quotes are a sample of what a cluster's members said: in order of id, which says nothing
// about the words.
func (w *World) quotes(c *cluster) []name.Quote {
	var out []name.Quote
	said := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(c.Signals)) {
		s := w.signals[id]
		if said[s.Customer]++; said[s.Customer] > ofOne {
			continue
		}
		if out = append(out, name.Quote{Voice: s.Customer, Text: s.Quote}); len(out) == namedFrom {
			break
		}
	}
	return out
}

// quote is the words of a cluster's most typical signal.
func (w *World) quote(id string) string {
	if sc, ok := w.space.Cluster(id); ok && w.signals[sc.Medoid] != nil {
		return w.signals[sc.Medoid].Quote
	}
	return ""
}

func abs(n int) int { return max(n, -n) }
