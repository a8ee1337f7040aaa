package world

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

var (
	manySignals   = flag.Int("signals", 500, "signals that random decisions are made among")
	manyDecisions = flag.Int("decisions", 60, "random decisions")
)

// shown is what people see: where each signal is, and what each standing cluster is called.
func shown(w *World) map[string]string {
	out := map[string]string{}
	for id, s := range w.signals {
		out[id] = s.Cluster
	}
	for id := range w.clusters {
		if c, _ := w.Cluster(id); !c.Retired {
			out[id] = c.Name + "|" + c.Status
		}
	}
	return out
}

// holds checks a decision that was just taken, or taken again in a replay: all that it named
// is where it was put, unless a later one named it, too.
func holds(t *testing.T, w *World, d feedback.Decision, members []string, overruled map[string]bool) {
	t.Helper()
	var free []string
	for _, id := range members {
		if !overruled[id] {
			free = append(free, id)
		}
	}
	for i := 1; i < len(free); i++ {
		if w.signals[free[i]].Cluster != w.signals[free[0]].Cluster {
			t.Fatalf("%s %s: what it put together is apart", d.Action, d.ID)
		}
	}
}

// every is after how many decisions all that stand are looked at.
const every = 5

// Random decisions and undos among many signals, with restarts and replays in between: every
// decision holds, a replay gives the same world, and undoing all of them gives the first
// world back. make decisions runs it with 200 among 50,000.
func TestRandomDecisionsHoldAndAllCanBeUndone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 11))
	inputs := stream(*manySignals)
	w := New("acme", DefaultOptions())
	feed(t, w, inputs)
	first := shown(w)
	log := slices.Clone(inputs)
	type taken struct {
		d       feedback.Decision
		members []string
	}
	var force []taken
	take := func(d feedback.Decision) Outcome {
		d.At = start.Add(time.Duration(len(log)) * time.Minute)
		in := Input{Sequence: uint64(len(log) + 1), Decision: &d}
		log = append(log, in)
		out, err := w.Take(in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	members := func(cluster string) []string { return w.Members(cluster) }
	standing := func() []string {
		var out []string
		for id, c := range w.clusters {
			if !c.Retired && len(c.Signals) > 0 {
				out = append(out, id)
			}
		}
		slices.Sort(out)
		return out
	}
	all := make([]string, 0, len(w.signals))
	for id := range w.signals {
		all = append(all, id)
	}
	slices.Sort(all)
	for n := range *manyDecisions {
		clusters := standing()
		d := feedback.Decision{ID: fmt.Sprintf("dec_%03d", n), By: "ada"}
		var named []string
		switch kind := r.IntN(5); {
		case kind == 0 && len(force) > 0:
			i := r.IntN(len(force))
			if out := take(feedback.Decision{ID: "undo_" + d.ID, Action: feedback.Undo, Undoes: force[i].d.ID}); out.Refused != nil {
				t.Fatal(out.Refused)
			}
			for j := range force { // who had come to a place by what is undone leaves it again
				if j > i && force[j].d.Action == feedback.Merge {
					force[j].members = slices.DeleteFunc(force[j].members, func(id string) bool { return slices.Contains(force[i].members, id) })
				}
			}
			force = slices.Delete(force, i, i+1)
			continue
		case kind <= 1 && len(clusters) > 2:
			d.Action, d.Cluster, d.Into = feedback.Merge, clusters[r.IntN(len(clusters))], clusters[r.IntN(len(clusters))]
			named = append(members(d.Cluster), members(d.Into)...)
		case kind == 2:
			d.Action, d.Cluster = feedback.Split, clusters[r.IntN(len(clusters))]
			of := members(d.Cluster)
			named = of[:len(of)/2]
			d.Signals = named
		default:
			d.Action, d.Into = feedback.Move, clusters[r.IntN(len(clusters))]
			named = []string{all[r.IntN(len(all))], all[r.IntN(len(all))]}
			slices.Sort(named)
			d.Signals = slices.Compact(named)
		}
		if out := take(d); out.Refused != nil {
			continue // a merge with itself, a split of one: said, and nothing changed
		}
		force = append(force, taken{d, named})
		if n%20 == 19 {
			b, err := w.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if w, err = Restore("acme", DefaultOptions(), b); err != nil {
				t.Fatal(err)
			}
		}
		if n%every != every-1 && n != *manyDecisions-1 {
			continue
		}
		overruled := map[string]bool{}
		for i := len(force) - 1; i >= 0; i-- {
			holds(t, w, force[i].d, force[i].members, overruled)
			for _, id := range force[i].members {
				overruled[id] = true
			}
			if force[i].d.Action == feedback.Split { // those left behind were decided, too
				for _, id := range members(force[i].d.Cluster) {
					overruled[id] = true
				}
			}
		}
	}
	again := New("acme", DefaultOptions())
	feed(t, again, log)
	if !reflect.DeepEqual(shown(again), shown(w)) {
		t.Fatal("a replay of the log gives another world")
	}
	r.Shuffle(len(force), func(i, j int) { force[i], force[j] = force[j], force[i] })
	for i, f := range force {
		if out := take(feedback.Decision{ID: fmt.Sprint("last_", i), Action: feedback.Undo, Undoes: f.d.ID}); out.Refused != nil {
			t.Fatal(out.Refused)
		}
	}
	last := shown(w)
	for id, want := range first {
		if got := last[id]; got != want {
			kind := "cluster"
			if strings.HasPrefix(id, "sig_") {
				kind = "signal"
			}
			t.Fatalf("after undoing everything the %s %s is %q and was %q", kind, id, got, want)
		}
	}
}
