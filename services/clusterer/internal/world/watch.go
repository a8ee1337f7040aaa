package world

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/burst"
)

// Alert is something that people should hear of now.
type Alert struct {
	ID      string // the same however often the input is taken again
	Kind    string // new, rising, severity, churn or regression
	Cluster string
	Signals []string // what was said, the newest first
	Voices  int      // accounts that said it
	Window  time.Duration
	P       float64 // how probable it is by chance; 0 where that was not asked
	AtRisk  float64 // churn: yearly value of the accounts that speak of leaving
	At      time.Time
}

const (
	// quiet is how long nothing more is said of a cluster after an alert of a kind.
	quiet = 24 * time.Hour
	// young is how old the first signal of a cluster may be for a burst to be of
	// something new and not of something rising.
	young = 7 * 24 * time.Hour
	// largeShare is which part of all accounts' value an account must be of to be large,
	// and largest how many of the largest always are.
	largeShare = 0.05
	largest    = 3
	// late is how much older than the newest a signal may be to tell something about now,
	// and remembered what has to be known of the past for that.
	late       = time.Hour
	remembered = 24*time.Hour + late
)

// moment is a signal's time, to look up what was said when.
type moment struct {
	at time.Time
	id string
}

func (m moment) compare(o moment) int { return cmp.Or(m.at.Compare(o.at), cmp.Compare(m.id, o.id)) }

// recall puts a signal among those of the last day.
func (w *World) recall(s *signal) {
	horizon := w.asOf.Add(-remembered)
	if !s.At.After(horizon) {
		return
	}
	at, _ := slices.BinarySearchFunc(w.recent, moment{s.At, s.ID}, moment.compare)
	w.recent = slices.Insert(w.recent, at, moment{s.At, s.ID})
	past, _ := slices.BinarySearchFunc(w.recent, moment{at: horizon}, moment.compare)
	w.recent = slices.Delete(w.recent, 0, past)
}

func (w *World) unrecall(s *signal) {
	if at, found := slices.BinarySearchFunc(w.recent, moment{s.At, s.ID}, moment.compare); found {
		w.recent = slices.Delete(w.recent, at, at+1)
	}
}

// share is which part of all other signals was said in the window that ends at a time.
func (w *World) share(at time.Time, window time.Duration) float64 {
	from, _ := slices.BinarySearchFunc(w.recent, moment{at: at.Add(-window)}, moment.compare)
	to, _ := slices.BinarySearchFunc(w.recent, moment{at: at.Add(1)}, moment.compare)
	return float64(to-from) / float64(max(len(w.signals)-1, 1))
}

func (w *World) sighting(s *signal) burst.Sighting {
	who := w.who(s.Customer)
	return burst.Sighting{Signal: s.ID, Person: s.Customer, Who: who, Share: float64(w.spoken[who]) / float64(max(len(w.signals), 1)), Copy: s.Copy, Severe: s.Severity >= burst.Severe, At: s.At}
}

// watch looks whether a signal that just came is part of a burst, a spike, a large account
// that speaks of leaving, or the first of what had shipped. What came late tells nothing about now, and what nobody
// wants to hear of stays silent.
func (t *taking) watch(s *signal) {
	c := t.clusters[s.Cluster]
	if s.At.Before(t.asOf.Add(-late)) || c == nil || c.ignored() {
		return
	}
	var near []burst.Sighting
	for _, n := range t.space.Around(s.ID) {
		near = append(near, t.sighting(t.World.signals[n.ID]))
	}
	me := t.sighting(s)
	share := func(window time.Duration) float64 { return t.share(s.At, window) }
	if a, spiked := t.bursts.Spiked(me, near, share(burst.Spike)); spiked {
		t.alert(c, Alert{Kind: "severity", Signals: a.Signals, Voices: a.Voices, Window: a.Window, P: a.P}, s.At)
	}
	if a, found := t.bursts.Test(me, near, share); found {
		kind := "rising"
		if first := t.first(c); first.After(s.At.Add(-young)) {
			kind = "new"
		}
		t.alert(c, Alert{Kind: kind, Signals: a.Signals, Voices: a.Voices, Window: a.Window, P: a.P}, s.At)
	}
	if s.Leaving && t.large(me.Who) {
		t.alert(c, Alert{Kind: "churn", Signals: []string{s.ID}, Voices: 1, AtRisk: t.accounts[me.Who].Value}, s.At)
	}
	if stands := t.stands(c); stands.regressed() && s.At.After(stands.Since) && !c.Alerted["regression"].After(stands.Since) {
		t.alert(c, Alert{Kind: "regression", Signals: []string{s.ID}, Voices: 1, Window: s.At.Sub(stands.Since)}, s.At)
	}
}

// first is when a cluster was first heard of.
func (w *World) first(c *cluster) time.Time {
	var first time.Time
	for id := range c.Signals {
		if at := w.signals[id].At; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// alert tells something once, and then nothing more of the cluster for a while, nor of one
// that any of the signals was told with: a burst that the machine later puts elsewhere is
// still the same burst.
func (t *taking) alert(c *cluster, a Alert, at time.Time) {
	key := a.Kind
	if key == "new" {
		key = "rising"
	}
	if last, told := c.Alerted[key]; told && at.Before(last.Add(quiet)) {
		return
	}
	again := 0
	for _, id := range a.Signals {
		if t.World.signals[id].Told {
			again++
		}
	}
	if c.Alerted == nil {
		c.Alerted = map[string]time.Time{}
	}
	c.Alerted[key] = at
	if 2*again > len(a.Signals) {
		return
	}
	for _, id := range a.Signals {
		t.World.signals[id].Told = true
	}
	a.Cluster, a.At = c.ID, at
	a.ID = "alr_" + t.workspace + "_" + a.Kind + "_" + a.Signals[0]
	t.out.Alerts = append(t.out.Alerts, a)
}

// large says whether an account is one of the workspace's largest.
func (w *World) large(account string) bool {
	value := w.accounts[account].Value
	if value <= 0 {
		return false
	}
	total, greater := 0.0, 0
	for _, id := range slices.Sorted(maps.Keys(w.accounts)) {
		a := w.accounts[id]
		total += a.Value
		if a.Value > value {
			greater++
		}
	}
	return greater < largest || value >= largeShare*total
}
