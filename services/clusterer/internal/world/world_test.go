package world

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

var start = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)

// topics are what people in these tests talk about, each a direction of its own.
var topics = []string{"export loses a day", "cannot log in with single sign on", "please add dark mode", "invoice total is wrong", "search finds nothing"}

// vector points to a topic, with some noise of its own.
func vector(r *rand.Rand, topic int) feedback.Vector {
	v := make(feedback.Vector, 32)
	v[topic] = 1
	for i := range v {
		v[i] += float32(r.NormFloat64() * 0.08)
	}
	return v
}

// stream makes n classified items about the topics by a few dozen people.
func stream(n int) []Input {
	r := rand.New(rand.NewPCG(7, 7))
	var out []Input
	for i := range n {
		topic := r.IntN(len(topics))
		who := r.IntN(60)
		id := fmt.Sprintf("itm_%04d", i)
		quote := fmt.Sprintf("%s again, case %d", topics[topic], i)
		out = append(out, Input{Sequence: uint64(i + 1), Classified: &event.Classified{
			ItemSequence: uint64(i + 1), Origin: event.Origin{Sequence: uint64(i + 1), AcceptedAt: start.Add(1000 * time.Hour)},
			Item: &event.ItemHead{
				ID: id, Revision: 1, Source: feedback.Slack, CreatedAt: start.Add(time.Duration(i) * time.Hour), UpdatedAt: start.Add(time.Duration(i) * time.Hour),
				Customer: feedback.Customer{ID: fmt.Sprintf("cus_%d", who), Email: fmt.Sprintf("p%d@company-%d.example", who, who%7)},
			},
			Signals: []feedback.Signal{{
				ID: "sig_" + id, Item: id, Revision: 1, Kind: feedback.Bug, Quote: quote, Severity: 0.4, Space: "test/32", Vector: vector(r, topic),
			}},
		}})
	}
	return out
}

func feed(t *testing.T, w *World, inputs []Input) {
	t.Helper()
	for _, in := range inputs {
		if w.Took(in) {
			continue
		}
		if _, err := w.Take(in); err != nil {
			t.Fatal(err)
		}
	}
}

// picture is everything a writer would write of a world.
func picture(w *World) map[string]any {
	out := map[string]any{"position": w.Position(), "as of": w.AsOf(), "digest": w.Digest()}
	for id := range w.clusters {
		c, _ := w.Cluster(id)
		out[id] = c
	}
	for id := range w.signals {
		s, _ := w.Signal(id)
		out[id] = s
	}
	return out
}

func TestSameInputsSameWorld(t *testing.T) {
	t.Parallel()
	a, b := New("acme", DefaultOptions()), New("acme", DefaultOptions())
	feed(t, a, stream(400))
	feed(t, b, stream(400))
	if !reflect.DeepEqual(picture(a), picture(b)) {
		t.Error("two runs of the same inputs differ")
	}
}

func TestRedeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	once, twice := New("acme", DefaultOptions()), New("acme", DefaultOptions())
	inputs := stream(200)
	feed(t, once, inputs)
	for i := range inputs {
		feed(t, twice, inputs[:i+1])
	}
	if !reflect.DeepEqual(picture(once), picture(twice)) {
		t.Error("a redelivery changed the world")
	}
}

func TestSnapshotGoesOnAsIfNeverTaken(t *testing.T) {
	t.Parallel()
	inputs := stream(400)
	straight := New("acme", DefaultOptions())
	feed(t, straight, inputs)
	stopped := New("acme", DefaultOptions())
	for i, in := range inputs {
		feed(t, stopped, []Input{in})
		if i%67 == 0 {
			b, err := stopped.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if stopped, err = Restore("acme", DefaultOptions(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !reflect.DeepEqual(picture(straight), picture(stopped)) {
		t.Error("a restored world went another way")
	}
	b, _ := straight.MarshalBinary()
	if _, err := Restore("other", DefaultOptions(), b); err == nil {
		t.Error("a snapshot of another workspace is taken")
	}
	if _, err := Restore("acme", DefaultOptions(), b[:len(b)/2]); err == nil {
		t.Error("half a snapshot is taken")
	}
}

func TestRevisionKeepsWhatItKeepsAndDropsWhatItDrops(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	inputs := stream(50)
	feed(t, w, inputs)
	first := inputs[0].Classified
	before, _ := w.Signal(first.Signals[0].ID)
	r := rand.New(rand.NewPCG(9, 9))
	edit := *first
	edit.ItemSequence = 51
	head := *first.Item
	head.Revision = 2
	edit.Item = &head
	added := first.Signals[0]
	added.ID, added.Quote, added.Vector = "sig_added", "please add dark mode too", vector(r, 2)
	edit.Signals = append([]feedback.Signal{}, first.Signals[0], added)
	feed(t, w, []Input{{Sequence: 51, Classified: &edit}})
	if after, _ := w.Signal(first.Signals[0].ID); after.Cluster != before.Cluster || !after.At.Equal(before.At) {
		t.Error("a signal that stayed was moved")
	}
	if _, ok := w.Signal("sig_added"); !ok {
		t.Error("a signal that came is not there")
	}
	gone := edit
	gone.ItemSequence, gone.Deleted, gone.Signals = 52, true, nil
	feed(t, w, []Input{{Sequence: 52, Classified: &gone}})
	for _, id := range []string{first.Signals[0].ID, "sig_added"} {
		if _, ok := w.Signal(id); ok {
			t.Errorf("%s outlives its item", id)
		}
	}
	feed(t, w, []Input{{Sequence: 53, Classified: first}})
	if _, ok := w.Signal(first.Signals[0].ID); ok {
		t.Error("an old revision brought a deleted item back")
	}
}

func TestASignalReadAsAnotherKindStaysWhereItIsAndIsCountedAsThat(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	inputs := stream(50)
	feed(t, w, inputs)
	again := *inputs[0].Classified
	again.ItemSequence = 51
	corrected := again.Signals[0]
	corrected.Kind, corrected.Severity = feedback.Question, 0.1
	again.Signals = []feedback.Signal{corrected}
	before, _ := w.Signal(corrected.ID)
	feed(t, w, []Input{{Sequence: 51, Classified: &again}})
	after, _ := w.Signal(corrected.ID)
	if after.Cluster != before.Cluster || after.Kind != feedback.Question || after.Severity != 0.1 {
		t.Errorf("read again: %s %v in %s, it was in %s", after.Kind, after.Severity, after.Cluster, before.Cluster)
	}
	if c, _ := w.Cluster(after.Cluster); c.Kinds[string(feedback.Question)] != 1 {
		t.Errorf("its cluster counts %v", c.Kinds)
	}
}

func TestAccountChangesTheWorthOfItsClusters(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	feed(t, w, stream(100))
	in := Input{Sequence: 101, Classified: &event.Classified{ItemSequence: 101, Account: &feedback.Account{ID: "c3", Domains: []string{"Company-3.example"}, Value: 50_000}}}
	out, err := w.Take(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Clusters) == 0 {
		t.Fatal("no cluster is ranked anew")
	}
	worth := 0.0
	for _, id := range out.Clusters {
		c, _ := w.Cluster(id)
		worth += c.Rank.Worth
	}
	if worth == 0 {
		t.Error("the account's value does not count")
	}
	if out, _ := w.Take(in); !w.Took(in) || len(out.Events) != 0 {
		t.Error("taking it again is not recognised")
	}
}

func TestDecisionsHoldAndCanBeUndone(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	feed(t, w, stream(200))
	untouched := picture(w)
	standing := w.space.Clusters()
	a, b := standing[0].ID, standing[1].ID
	decide := func(d feedback.Decision) Outcome {
		d.At = start.Add(time.Duration(w.Position()) * time.Hour)
		out, err := w.Take(Input{Decision: &d})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := decide(feedback.Decision{ID: "d1", Action: feedback.Merge, Cluster: b, Into: a}); out.Refused != nil || len(out.Merged) != 1 {
		t.Fatalf("%+v", out)
	}
	decide(feedback.Decision{ID: "d2", Action: feedback.Rename, Cluster: b, Name: "Our name"})
	decide(feedback.Decision{ID: "d3", Action: feedback.Ignore, Cluster: a})
	c, _ := w.Cluster(a)
	if c.Name != "Our name" || !c.NamePinned || c.Status != "ignored" {
		t.Errorf("%+v", c)
	}
	if out := decide(feedback.Decision{ID: "d4", Action: feedback.Merge, Cluster: "clu_nobody", Into: a}); out.Refused == nil {
		t.Error("a decision about nobody is applied")
	}
	for _, id := range []string{"d3", "d2", "d1"} {
		if out := decide(feedback.Decision{ID: "u" + id, Action: feedback.Undo, Undoes: id}); out.Refused != nil {
			t.Fatal(out.Refused)
		}
	}
	after := picture(w)
	for id, c := range untouched {
		if strings.HasPrefix(id, "sig_") && !reflect.DeepEqual(after[id], c) {
			t.Fatalf("undoing everything does not give the first world back:\n%+v\n%+v", c, after[id])
		}
	}
}

func TestTwoSpacesNeverMeet(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	inputs := stream(3)
	feed(t, w, inputs[:2])
	other := *inputs[2].Classified
	other.Signals = append([]feedback.Signal{}, other.Signals...)
	other.Signals[0].Space = "another/32"
	if _, err := w.Take(Input{Classified: &other}); !errors.Is(err, ErrSpace) {
		t.Errorf("got %v", err)
	}
	if w.Position() != 2 {
		t.Error("a refused input was counted")
	}
}

func TestNamesSayWhatPeopleSay(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	feed(t, w, stream(300))
	seen := map[string]bool{}
	for _, sc := range w.space.Clusters() {
		c, _ := w.Cluster(sc.ID)
		if c.Name == "" || seen[strings.ToLower(c.Name)] {
			t.Errorf("name %q is empty or used twice", c.Name)
		}
		seen[strings.ToLower(c.Name)] = true
	}
}
