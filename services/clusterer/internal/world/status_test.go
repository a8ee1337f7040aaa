package world

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// bench is a world that people and tickets move, input by input.
type bench struct {
	*World
	sequence uint64
	log      []Input
}

func settled(t *testing.T, n int) *bench {
	t.Helper()
	b := &bench{World: New("acme", DefaultOptions()), log: stream(n)}
	feed(t, b.World, b.log)
	b.sequence = uint64(n)
	return b
}

func (b *bench) take(t *testing.T, in Input) Outcome {
	t.Helper()
	b.sequence++
	in.Sequence = b.sequence
	b.log = append(b.log, in)
	if b.Took(in) {
		return Outcome{}
	}
	out, err := b.Take(in)
	if err != nil {
		t.Fatal(err)
	}
	if out.Refused != nil {
		t.Fatal(out.Refused)
	}
	return out
}

func (b *bench) ticket(t *testing.T, key string, category feedback.StatusCategory, at time.Time, clusters ...string) Outcome {
	t.Helper()
	return b.take(t, Input{Attached: &event.Attached{Tracker: feedback.Jira, Ticket: key, Category: category, At: at, Clusters: clusters}})
}

func (b *bench) decide(t *testing.T, d feedback.Decision) Outcome {
	t.Helper()
	d.Workspace, d.By = "acme", "ada"
	return b.take(t, Input{Decision: &d})
}

// again says what a signal said, by somebody else and later.
func (b *bench) again(t *testing.T, id string, at time.Time) Outcome {
	t.Helper()
	in := b.log[0]
	c := *in.Classified
	head, signal := *c.Item, c.Signals[0]
	head.ID, head.CreatedAt, head.UpdatedAt = "itm_"+id, at, at
	head.Customer = feedback.Customer{ID: "cus_" + id}
	signal.ID, signal.Item = "sig_"+id, head.ID
	b.sequence++
	c.ItemSequence, c.Item, c.Signals = b.sequence, &head, []feedback.Signal{signal}
	b.sequence--
	return b.take(t, Input{Classified: &c})
}

func (b *bench) status(t *testing.T, id string) Cluster {
	t.Helper()
	c, ok := b.Cluster(id)
	if !ok {
		t.Fatalf("no cluster %s", id)
	}
	return c
}

func TestTicketsMoveTheStatus(t *testing.T) {
	t.Parallel()
	b := settled(t, 120)
	id := b.signals["sig_itm_0000"].Cluster
	now := b.AsOf()
	if got := b.status(t, id); got.Status != "open" {
		t.Fatalf("a cluster without a ticket is %s", got.Status)
	}
	b.ticket(t, "PROJ-1", feedback.Open, now, id)
	if got := b.status(t, id); got.Status != "planned" || !got.StatusSince.Equal(now) {
		t.Errorf("with an open ticket it is %s since %s", got.Status, got.StatusSince)
	}
	if out := b.ticket(t, "PROJ-1", feedback.Open, now, id); out.Position != 0 {
		t.Error("the same told again is taken again")
	}
	out := b.ticket(t, "PROJ-1", feedback.InProgress, now.Add(time.Hour), id)
	if got := b.status(t, id).Status; got != "in_progress" {
		t.Errorf("with a ticket in progress it is %s", got)
	}
	if want := []event.Status{{Cluster: id, Status: "in_progress", Previous: "planned"}}; !slices.Equal(out.Statuses, want) {
		t.Errorf("told %+v, want %+v", out.Statuses, want)
	}
	if len(out.Events) != 1 || out.Events[0].Kind != "status" || out.Events[0].Other != "planned" || out.Events[0].Detail != "in_progress" {
		t.Errorf("the history says %+v", out.Events)
	}
	b.ticket(t, "PROJ-2", feedback.Open, now.Add(time.Hour), id)
	b.ticket(t, "PROJ-1", feedback.Done, now.Add(2*time.Hour), id)
	if got := b.status(t, id).Status; got != "planned" {
		t.Errorf("with one ticket done and one to do it is %s", got)
	}
	b.ticket(t, "PROJ-2", "", now.Add(3*time.Hour))
	if got := b.status(t, id); got.Status != "shipped" || !got.StatusSince.Equal(now.Add(2*time.Hour)) || got.PeopleSince != 0 {
		t.Errorf("with all its tickets done it is %s since %s, %d people", got.Status, got.StatusSince, got.PeopleSince)
	}
}

func TestAShippedClusterThatIsHeardOfAgainIsAPossibleRegression(t *testing.T) {
	t.Parallel()
	b := settled(t, 120)
	id := b.signals["sig_itm_0000"].Cluster
	shipped := b.AsOf().Add(time.Hour)
	b.ticket(t, "PROJ-1", feedback.Done, shipped, id)
	out := b.again(t, "first", shipped.Add(48*time.Hour))
	if b.signals["sig_first"].Cluster != id {
		t.Fatal("what was said again is elsewhere")
	}
	if got := b.status(t, id); got.Status != "shipped" || got.PeopleSince != 1 {
		t.Errorf("it is %s, %d people since", got.Status, got.PeopleSince)
	}
	if want := []event.Status{{Cluster: id, Status: "shipped", Previous: "shipped", Regressed: true}}; !slices.Equal(out.Statuses, want) {
		t.Errorf("told %+v, want %+v", out.Statuses, want)
	}
	alerts := func(o Outcome) (n int) {
		for _, a := range o.Alerts {
			if a.Kind == "regression" {
				n++
			}
		}
		return n
	}
	if alerts(out) != 1 {
		t.Errorf("%d alerts of a regression, want 1", alerts(out))
	}
	if out := b.again(t, "second", shipped.Add(200*time.Hour)); alerts(out) != 0 || b.status(t, id).PeopleSince != 2 {
		t.Error("one shipping is alarmed about twice, or the second voice is not counted")
	}
	b.ticket(t, "PROJ-2", feedback.InProgress, shipped.Add(300*time.Hour), id)
	if got := b.status(t, id); got.Status != "in_progress" || got.PeopleSince != 0 {
		t.Errorf("while it is repaired it is %s, %d people since", got.Status, got.PeopleSince)
	}
}

func TestPeopleOverruleTicketsUntilTheyTakeItBack(t *testing.T) {
	t.Parallel()
	b := settled(t, 120)
	id := b.signals["sig_itm_0000"].Cluster
	at := b.AsOf()
	b.ticket(t, "PROJ-1", feedback.Done, at, id)
	before := picture(b.World)
	delete(before, "position")
	b.decide(t, feedback.Decision{ID: "dec_1", Action: feedback.Mark, Status: feedback.StatusPlanned, Cluster: id, At: at.Add(time.Hour)})
	b.ticket(t, "PROJ-2", feedback.InProgress, at.Add(2*time.Hour), id)
	if got := b.status(t, id).Status; got != "planned" {
		t.Errorf("a person said planned and it is %s", got)
	}
	b.ticket(t, "PROJ-2", "", at.Add(2*time.Hour))
	b.decide(t, feedback.Decision{ID: "dec_2", Action: feedback.Ignore, Cluster: id, At: at.Add(3 * time.Hour)})
	b.decide(t, feedback.Decision{ID: "dec_3", Action: feedback.Reopen, Cluster: id, At: at.Add(4 * time.Hour)})
	if got := b.status(t, id).Status; got != "open" {
		t.Errorf("reopened, with a ticket that was done before, it is %s", got)
	}
	for i, undone := range []string{"dec_3", "dec_2", "dec_1"} {
		b.decide(t, feedback.Decision{ID: "dec_u" + undone, Action: feedback.Undo, Undoes: undone, At: at.Add(time.Duration(5+i) * time.Hour)})
	}
	after := picture(b.World)
	delete(after, "position")
	if !reflect.DeepEqual(before, after) {
		t.Error("undoing what people said of the status does not give the first world back")
	}
}

func TestAMergeTakesTheTicketsAlongAndItsUndoGivesThemBack(t *testing.T) {
	t.Parallel()
	b := settled(t, 120)
	one := b.signals["sig_itm_0000"].Cluster
	other := ""
	for _, id := range []string{"sig_itm_0001", "sig_itm_0002", "sig_itm_0003", "sig_itm_0004", "sig_itm_0005", "sig_itm_0006"} {
		if b.signals[id].Cluster != one {
			other = b.signals[id].Cluster
		}
	}
	b.ticket(t, "PROJ-1", feedback.InProgress, b.AsOf(), other)
	b.decide(t, feedback.Decision{ID: "dec_1", Action: feedback.Merge, Cluster: other, Into: one, At: b.AsOf()})
	if got := b.status(t, one).Status; got != "in_progress" {
		t.Errorf("after the merge it is %s", got)
	}
	snapshot, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore("acme", DefaultOptions(), snapshot)
	if err != nil {
		t.Fatal(err)
	}
	again := New("acme", DefaultOptions())
	feed(t, again, b.log)
	if !reflect.DeepEqual(picture(restored), picture(b.World)) || !reflect.DeepEqual(picture(again), picture(b.World)) {
		t.Error("a restart or a replay gives other statuses")
	}
	b.decide(t, feedback.Decision{ID: "dec_2", Action: feedback.Undo, Undoes: "dec_1", At: b.AsOf()})
	if b.status(t, one).Status != "open" || b.status(t, other).Status != "in_progress" {
		t.Errorf("after the undo they are %s and %s", b.status(t, one).Status, b.status(t, other).Status)
	}
}

func TestContradictoryDecisionsAreShown(t *testing.T) {
	t.Parallel()
	b := settled(t, 120)
	one := b.signals["sig_itm_0000"].Cluster
	other := ""
	for id := range b.signals {
		if c := b.signals[id].Cluster; c != one && (other == "" || c < other) {
			other = c
		}
	}
	shown := func(o Outcome) (earlier []string) {
		for _, e := range o.Events {
			if e.Kind == "contradicted" {
				earlier = append(earlier, e.Other)
			}
		}
		return earlier
	}
	of := b.Members(other)
	if got := shown(b.decide(t, feedback.Decision{ID: "dec_1", Action: feedback.Merge, Cluster: other, Into: one, At: start})); len(got) != 0 {
		t.Errorf("the first decision contradicts %v", got)
	}
	if got := shown(b.decide(t, feedback.Decision{ID: "dec_2", Action: feedback.Split, Cluster: one, Signals: of, At: start})); !slices.Equal(got, []string{"dec_1"}) {
		t.Errorf("parting what was put together contradicts %v", got)
	}
	apart := b.signals[of[0]].Cluster
	if apart == b.signals["sig_itm_0000"].Cluster {
		t.Error("the later decision does not stand")
	}
	if got := shown(b.decide(t, feedback.Decision{ID: "dec_3", Action: feedback.Merge, Cluster: apart, Into: one, At: start})); !slices.Equal(got, []string{"dec_2"}) {
		t.Errorf("putting together what was parted contradicts %v", got)
	}
	b.decide(t, feedback.Decision{ID: "dec_4", Action: feedback.Undo, Undoes: "dec_3", At: start})
	b.decide(t, feedback.Decision{ID: "dec_5", Action: feedback.Undo, Undoes: "dec_2", At: start})
	if got := shown(b.decide(t, feedback.Decision{ID: "dec_6", Action: feedback.Split, Cluster: one, Signals: of[:1], At: start})); !slices.Equal(got, []string{"dec_1"}) {
		t.Errorf("what was taken back is contradicted, too: %v", got)
	}
	b.decide(t, feedback.Decision{ID: "dec_7", Action: feedback.Rename, Name: "Exports", Cluster: one, At: start})
	rename := feedback.Decision{ID: "dec_8", Action: feedback.Rename, Name: "Reports", Cluster: one, Workspace: "acme", By: "bob", At: start}
	if got := shown(b.take(t, Input{Decision: &rename})); !slices.Equal(got, []string{"dec_7"}) {
		t.Errorf("another name by another person contradicts %v", got)
	}
}
