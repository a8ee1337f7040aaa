package shadow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

var (
	start  = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	topics = []string{"the export loses a day", "single sign on does not work", "please add a dark mode", "the total of the invoice is wrong", "search finds nothing", "the app is slow on Mondays"}
)

// pointed is a vector of one topic, in a space of its own per seed.
func pointed(seed uint64, topic int, n int) feedback.Vector {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	v := make(feedback.Vector, 24)
	v[(topic*3+int(seed))%24] = 1
	for i := range v {
		v[i] += float32(r.NormFloat64() * 0.07)
	}
	return v
}

func inputs(n int) []world.Input {
	var out []world.Input
	for i := range n {
		id, at := fmt.Sprintf("itm_%04d", i), start.Add(time.Duration(i)*time.Hour)
		out = append(out, world.Input{Sequence: uint64(i + 1), Classified: &event.Classified{
			ItemSequence: uint64(i + 1), Origin: event.Origin{AcceptedAt: at},
			Item:    &event.ItemHead{ID: id, Revision: 1, Source: feedback.Slack, CreatedAt: at, UpdatedAt: at, Customer: feedback.Customer{ID: fmt.Sprint("cus_", i%50)}},
			Signals: []feedback.Signal{{ID: "sig_" + id, Item: id, Revision: 1, Kind: feedback.Bug, Quote: fmt.Sprintf("%s, case %d", topics[i%len(topics)], i), Space: "one/24", Vector: pointed(1, i%len(topics), i)}},
		}})
	}
	return out
}

// anew embeds quotes in another space, where the last two topics are one.
func anew(_ context.Context, quotes []string) ([][]float32, error) {
	var out [][]float32
	for _, q := range quotes {
		topic, n := 0, 0
		for i, name := range topics {
			if len(q) > len(name) && q[:len(name)] == name {
				topic = min(i, len(topics)-2)
				if _, err := fmt.Sscanf(q[len(name):], ", case %d", &n); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, pointed(2, topic, n))
	}
	return out, nil
}

func take(t *testing.T, s *Shadow, in ...world.Input) {
	t.Helper()
	for _, in := range in {
		if err := s.Take(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameSettingsGiveTheSameWorld(t *testing.T) {
	t.Parallel()
	s := New("acme", world.DefaultOptions(), world.DefaultOptions(), "one/24", anew)
	take(t, s, inputs(240)...)
	d := s.Difference()
	if d.Signals != 240 || d.Moved != 0 || d.Before != d.After || d.Kept != d.Before || len(d.Merged)+len(d.Split)+len(d.Ranks)+len(d.Refused) != 0 {
		t.Errorf("the same settings differ: %+v", d)
	}
	if s.Present.Digest() != s.Other.Digest() {
		t.Error("the same settings give another world")
	}
}

func TestAnotherSpaceIsComparedAndDecisionsHoldInIt(t *testing.T) {
	t.Parallel()
	s := New("acme", world.DefaultOptions(), world.DefaultOptions(), "two/24", anew)
	take(t, s, inputs(240)...)
	of := func(w *world.World, topic int) string {
		g, _ := w.Signal(fmt.Sprintf("sig_itm_%04d", topic))
		return g.Cluster
	}
	decided := func(d feedback.Decision) world.Input {
		d.Workspace, d.By, d.At = "acme", "ada", start.AddDate(0, 1, 0)
		return world.Input{Sequence: 1000, Decision: &d}
	}
	take(t, s,
		decided(feedback.Decision{ID: "dec_1", Action: feedback.Merge, Cluster: of(s.Present, 0), Into: of(s.Present, 1)}),
		decided(feedback.Decision{ID: "dec_2", Action: feedback.Rename, Cluster: of(s.Present, 2), Name: "Dark mode"}),
		decided(feedback.Decision{ID: "dec_3", Action: feedback.Merge, Cluster: of(s.Present, 4), Into: of(s.Present, 5)}),
		world.Input{Sequence: 1001, Attached: &event.Attached{Tracker: feedback.Jira, Ticket: "PROJ-1", Category: feedback.InProgress, At: start, Clusters: []string{of(s.Present, 3)}}},
	)
	if of(s.Other, 0) != of(s.Other, 1) {
		t.Error("a merge does not hold in the other world")
	}
	if c, _ := s.Other.Cluster(of(s.Other, 2)); c.Name != "Dark mode" || !c.NamePinned {
		t.Errorf("a pinned name is %q in the other world", c.Name)
	}
	if c, _ := s.Other.Cluster(of(s.Other, 3)); c.Status != "in_progress" {
		t.Errorf("the cluster of a ticket in progress is %s in the other world", c.Status)
	}
	d := s.Difference()
	if !slices.Equal(d.Refused, []string{"dec_3"}) {
		t.Errorf("what cannot be taken there is %v: the two are one there already", d.Refused)
	}
	if d.Moved != 0 || d.Before != d.After {
		t.Errorf("the two worlds divide alike in the end, and differ by %+v", d)
	}
}

func TestWhatWouldBeMergedAndSplitIsNamed(t *testing.T) {
	t.Parallel()
	s := New("acme", world.DefaultOptions(), world.DefaultOptions(), "two/24", anew)
	take(t, s, inputs(240)...)
	d := s.Difference()
	if len(d.Merged) != 1 || len(d.Merged[0].Several) != 2 || d.Merged[0].One.Signals != 80 || d.Merged[0].Several[0].Name == "" {
		t.Errorf("would be merged: %+v", d.Merged)
	}
	if d.Moved != 0 && d.Moved != 40 || d.After != d.Before-1 || len(d.Ranks) == 0 {
		t.Errorf("the difference is %+v", d)
	}
	back := New("acme", world.DefaultOptions(), world.DefaultOptions(), "one/24", func(context.Context, []string) ([][]float32, error) {
		t.Error("what is in the space already is embedded anew")
		return nil, nil
	})
	take(t, back, inputs(60)...)
	joined := joins(map[string]map[string]int{"a": {"x": 3}, "b": {"x": 2, "y": 1}, "c": {"y": 5}}, back.Present, back.Other)
	if len(joined) != 1 || joined[0].One.ID != "x" || len(joined[0].Several) != 2 {
		t.Errorf("joined: %+v", joined)
	}
}
