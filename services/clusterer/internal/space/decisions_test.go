package space

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMergeKeepsTheWinnerAndRedirects(t *testing.T) {
	t.Parallel()
	s, kept := settled(t, 21, 800)
	winner, loser := s.Clusters()[2], s.Clusters()[0] // the person's choice, not the older
	changes, err := s.Merge(winner.ID, loser.ID)
	if err != nil {
		t.Fatal(err)
	}
	kept.apply(t, changes)
	kept.check(t, s)
	merged, _ := s.Cluster(winner.ID)
	if merged.Size != winner.Size+loser.Size || s.Resolve(loser.ID) != winner.ID {
		t.Errorf("merged cluster has %d signals, want %d; the loser resolves to %s", merged.Size, winner.Size+loser.Size, s.Resolve(loser.ID))
	}
	last := changes[len(changes)-1]
	if last.Kind != Merged || last.From != loser.ID || last.To != winner.ID || last.Decision != "decision-1" {
		t.Errorf("the last change is %+v", last)
	}
	if a, _ := s.Assignment(merged.Members[0]); a.Reason != ReasonDecision {
		t.Errorf("reason is %q", a.Reason)
	}
	// what comes later to the loser's place goes to the winner
	a, changes, err := s.Insert(Point{"late", loser.Centroid})
	if err != nil || a.ClusterID != winner.ID || a.Reason != ReasonFollows {
		t.Errorf("a newcomer like the loser: %+v, %v", a, err)
	}
	kept.apply(t, changes)
	if _, err := s.Merge(winner.ID, loser.ID); err == nil {
		t.Error("merged twice")
	}
}

func TestSplitKeepsApartWhatComesLaterToo(t *testing.T) {
	t.Parallel()
	s, kept := settled(t, 22, 800)
	c, _ := s.Cluster(s.Clusters()[1].ID)
	out := c.Members[:c.Size/2]
	changes, err := s.Split(c.ID, out)
	if err != nil {
		t.Fatal(err)
	}
	kept.apply(t, changes)
	kept.check(t, s)
	child := changes[0].To
	if changes[0].Kind != Split || changes[0].From != c.ID {
		t.Fatalf("the first change is %+v", changes[0])
	}
	more, _ := topics(22, 1700, 10, 0.7) // the same topics go on, long enough for refreshes
	for _, p := range more[800:] {
		_, changes, err := s.Insert(p)
		if err != nil {
			t.Fatal(err)
		}
		kept.apply(t, changes)
	}
	kept.check(t, s)
	for i, id := range c.Members {
		a, _ := s.Assignment(id)
		if inChild := a.ClusterID == child; inChild != (i < len(out)) {
			t.Fatalf("%s is in %s after refreshes, taken out: %v", id, a.ClusterID, i < len(out))
		}
	}
	full, _ := s.Cluster(child)
	if full.Size == len(out) {
		t.Error("no newcomer followed its neighbours into the child")
	}
	if _, here := s.Undo("decision-1"); !here {
		t.Fatal("the split could not be undone")
	}
	if s.Resolve(child) != s.Resolve(c.ID) {
		t.Errorf("after the undo the child resolves to %s", s.Resolve(child))
	}
}

func TestMoveStays(t *testing.T) {
	t.Parallel()
	s, kept := settled(t, 24, 400)
	clusters := s.Clusters()
	c, _ := s.Cluster(clusters[0].ID)
	id := c.Members[0]
	changes, err := s.Move(id, clusters[3].ID)
	if err != nil {
		t.Fatal(err)
	}
	kept.apply(t, changes)
	more, _ := topics(25, 900, 10, 0.9)
	insertAll(t, s, more)
	if a, _ := s.Assignment(id); a.ClusterID != s.Resolve(clusters[3].ID) || a.Reason != ReasonDecision {
		t.Errorf("the moved signal is at %+v", a)
	}
	if rest, _ := s.Assignment(c.Members[1]); rest.Reason == ReasonDecision {
		t.Error("a move held another signal")
	}
}

func TestDecisionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := settled(t, 26, 200)
	before := s.Digest()
	c, _ := s.Cluster(s.Clusters()[0].ID)
	other, _ := s.Cluster(s.Clusters()[1].ID)
	for name, d := range map[string]Decision{
		"merge with itself":         {Kind: DecideMerge, Cluster: c.ID, Other: c.ID},
		"merge of an unknown":       {Kind: DecideMerge, Cluster: c.ID, Other: "clu_none"},
		"merge into an unknown":     {Kind: DecideMerge, Cluster: "clu_none", Other: c.ID},
		"split of all":              {Kind: DecideSplit, Cluster: c.ID, Signals: c.Members},
		"split of none":             {Kind: DecideSplit, Cluster: c.ID},
		"split of another's":        {Kind: DecideSplit, Cluster: c.ID, Signals: other.Members[:1]},
		"move of an unknown signal": {Kind: DecideMove, Cluster: c.ID, Signals: []string{"sig_none"}},
		"unknown kind":              {Kind: "burn", Cluster: c.ID},
	} {
		if changes, err := s.Decide(d); err == nil || changes != nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if s.Digest() != before {
		t.Error("a refused decision changed the world")
	}
	if _, err := s.Decide(Decision{ID: "d", Kind: DecideMerge, Cluster: c.ID, Other: other.ID}); err != nil {
		t.Fatal(err)
	}
	if changes, err := s.Decide(Decision{ID: "d", Kind: DecideMerge, Cluster: c.ID, Other: other.ID}); err != nil || changes != nil {
		t.Errorf("the same decision again: %v, %v", changes, err)
	}
	if _, here := s.Undo("d"); !here || s.Digest() != before {
		t.Error("undoing did not give the world back")
	}
	if _, err := s.Decide(Decision{ID: "d", Kind: DecideMerge, Cluster: c.ID, Other: other.ID}); err == nil {
		t.Error("a decision that was undone was taken again")
	}
	if _, here := s.Undo("d"); here {
		t.Error("undone twice")
	}
}

// TestUndoTakesAlongWhatItBrought: A ∪ B, then C joins; undoing A ∪ B leaves C
// with the cluster it joined and lets the others go.
func TestUndoTakesAlongWhatItBrought(t *testing.T) {
	t.Parallel()
	s, kept := settled(t, 27, 800)
	clusters := s.Clusters()
	a, b, c := clusters[0], clusters[1], clusters[2]
	for _, loser := range []string{b.ID, c.ID} {
		changes, err := s.Merge(a.ID, loser)
		if err != nil {
			t.Fatal(err)
		}
		kept.apply(t, changes)
	}
	changes, _ := s.Undo("decision-1")
	kept.apply(t, changes)
	kept.check(t, s)
	both, _ := s.Cluster(a.ID)
	back, _ := s.Cluster(b.ID)
	if both.Size != a.Size+c.Size || back.Size != b.Size {
		t.Errorf("sizes are %d and %d, want %d and %d", both.Size, back.Size, a.Size+c.Size, b.Size)
	}
}

// TestRandomDecisionsHoldAndUndoToTheFirstWorld inserts, removes, merges,
// splits, moves and undoes at random, checks every promise on the way, and in
// the end takes all decisions back.
func TestRandomDecisionsHoldAndUndoToTheFirstWorld(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 5))
			points, _ := topics(100+seed, 1000, 14, 1.0)
			o := testOptions()
			o.ExactBelow, o.GraphSize = 500, 300+int(seed)*400
			s, untouched := New(testDimensions, o), New(testDimensions, o)
			kept := newLedger()
			word := &record{of: map[string]int{}}
			undone := false
			for i, p := range points {
				_, changes, err := s.Insert(p)
				if err != nil {
					t.Fatal(err)
				}
				kept.apply(t, changes)
				insertAll(t, untouched, points[i:i+1])
				if random.IntN(9) == 0 {
					id := points[random.IntN(i+1)].ID
					changes, _ := s.Remove(id)
					kept.apply(t, changes)
					untouched.Remove(id)
					delete(word.of, id)
				}
				if random.IntN(14) == 0 {
					kept.apply(t, decide(t, s, random, word))
				}
				if made := s.Decisions(); i > 500 && len(made) > 0 && random.IntN(40) == 0 {
					changes, _ := s.Undo(made[random.IntN(len(made))].ID)
					kept.apply(t, changes)
					undone = true
				}
				if i%200 == 199 {
					kept.check(t, s)
					if !undone { // the record below does not know what an undo takes along
						word.check(t, s)
					}
				}
			}
			if s.Digest() == untouched.Digest() {
				t.Error("the decisions left no trace")
			}
			for made := s.Decisions(); len(made) > 0; made = s.Decisions() {
				changes, _ := s.Undo(made[random.IntN(len(made))].ID)
				kept.apply(t, changes)
			}
			kept.check(t, s)
			if s.Digest() != untouched.Digest() {
				t.Error("undoing everything did not give the first world back")
			}
		})
	}
}

// record is what people said, by signal: the group the last decision about it
// put it in, and which groups must differ.
type record struct {
	of    map[string]int
	apart [][2]int
	next  int
}

func (r *record) group(ids []string) int {
	r.next++
	for _, id := range ids {
		r.of[id] = r.next
	}
	return r.next
}

func (r *record) check(t *testing.T, s *Space) {
	t.Helper()
	home := map[int]string{}
	for id, g := range r.of {
		a, _ := s.Assignment(id)
		if at, known := home[g]; known && at != a.ClusterID {
			t.Fatalf("a group that people put together is in %s and %s", at, a.ClusterID)
		}
		home[g] = a.ClusterID
	}
	for _, pair := range r.apart {
		a, b := home[pair[0]], home[pair[1]]
		if a != "" && a == b {
			t.Fatalf("two groups that people put apart are both in %s", a)
		}
	}
}

func decide(t *testing.T, s *Space, random *rand.Rand, word *record) []Change {
	t.Helper()
	clusters := s.Clusters()
	if len(clusters) < 4 {
		return nil
	}
	c, _ := s.Cluster(clusters[random.IntN(len(clusters))].ID)
	other, _ := s.Cluster(clusters[random.IntN(len(clusters))].ID)
	var changes []Change
	var err error
	switch kind := random.IntN(3); {
	case kind == 0 && c.ID != other.ID && c.Size+other.Size < 300:
		changes, err = s.Merge(c.ID, other.ID)
		word.group(slices.Concat(c.Members, other.Members))
	case kind == 1 && c.Size > 1:
		out := c.Members[:1+random.IntN(c.Size-1)]
		changes, err = s.Split(c.ID, out)
		word.apart = append(word.apart, [2]int{word.group(out), word.group(c.Members[len(out):])})
	case kind == 2 && c.ID != other.ID:
		changes, err = s.Move(c.Members[0], other.ID)
		delete(word.of, c.Members[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// settled is a world of clear topics and the ledger of it.
func settled(t *testing.T, seed uint64, count int) (*Space, *ledger) {
	t.Helper()
	points, _ := topics(seed, count, 10, 0.7)
	s := New(testDimensions, testOptions())
	kept := newLedger()
	for _, p := range points {
		_, changes, err := s.Insert(p)
		if err != nil {
			t.Fatal(err)
		}
		kept.apply(t, changes)
	}
	if len(s.Clusters()) < 5 {
		t.Fatalf("only %d clusters", len(s.Clusters()))
	}
	return s, kept
}
