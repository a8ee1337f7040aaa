package classifier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// decide sends a person's decision over the bus and returns its id.
func (w *world) decide(d feedback.Decision) string {
	w.t.Helper()
	w.sent++
	d.Workspace, d.By, d.ID = workspace, "alice", fmt.Sprintf("dec_%d", w.sent)
	d.At = when.Add(time.Duration(w.sent) * time.Second)
	e, err := event.New(event.DecisionMade, "context-publisher", workspace, d.ID, d.ID, when, event.Decision{Decision: d})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.bus.Publish(w.t.Context(), bus.Subject("decisions", workspace), e); err != nil {
		w.t.Fatal(err)
	}
	return d.ID
}

func (w *world) correct(signal string, kind feedback.Kind) string {
	return w.decide(feedback.Decision{Action: feedback.Correct, Signals: []string{signal}, Kind: kind})
}

// one awaits a result with one signal.
func (w *world) one() feedback.Signal {
	w.t.Helper()
	got := w.await()
	if len(got.Signals) != 1 {
		w.t.Fatalf("%d signals, want 1", len(got.Signals))
	}
	return got.Signals[0]
}

// keepAndSend stores an item's row, as the ingestor does before it tells of the item, and send it.
func (w *world) keepAndSend(i feedback.Item) {
	w.t.Helper()
	row := []any{workspace, i.ID, uint64(i.Revision)}
	if err := w.store.Insert(w.t.Context(), "items", []string{"workspace", "id", "revision"}, [][]any{row}, fmt.Sprint(i.ID, i.Revision)); err != nil {
		w.t.Fatal(err)
	}
	w.sendItem(i)
}

// ownHead reads how the workspace's own head does.
func (w *world) ownHead() (corrections uint32, used bool) {
	w.t.Helper()
	var u uint8
	if err := w.store.Conn().QueryRow(w.t.Context(), `SELECT corrections, used FROM own_heads FINAL WHERE workspace = ?`, workspace).Scan(&corrections, &u); err != nil {
		w.t.Fatal(err)
	}
	return corrections, u == 1
}

func TestACorrectionChangesItsSignalAndTakingItBackGivesBackWhatWasSaidBefore(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.keepAndSend(item(itemID, 1, "The CSV export crashes every time I click save."))
	was := w.one()
	if was.Kind != feedback.Bug {
		t.Fatalf("read as %s", was.Kind)
	}
	w.correct(was.ID, feedback.Usability)
	if now := w.one(); now.ID != was.ID || now.Kind != feedback.Usability || now.Confidence != 1 || now.Quote != was.Quote {
		t.Errorf("corrected: %s %s at %v", now.ID, now.Kind, now.Confidence)
	}
	second := w.correct(was.ID, feedback.Complaint)
	if now := w.one(); now.ID != was.ID || now.Kind != feedback.Complaint {
		t.Errorf("corrected again: %s %s", now.ID, now.Kind)
	}
	if row := w.rows(itemID)[was.ID]; row.Kind != string(feedback.Complaint) {
		t.Errorf("its row: %s", row.Kind)
	}
	// An edit elsewhere in the item leaves what a person said of these words.
	w.keepAndSend(item(itemID, 2, "Good morning! The CSV export crashes every time I click save."))
	if now := w.one(); now.ID != was.ID || now.Kind != feedback.Complaint {
		t.Errorf("after an edit: %s %s", now.ID, now.Kind)
	}
	w.decide(feedback.Decision{Action: feedback.Undo, Undoes: second, Signals: []string{was.ID}})
	if now := w.one(); now.Kind != feedback.Usability {
		t.Errorf("taken back: %s", now.Kind)
	}
	if n, _ := w.ownHead(); n != 1 {
		t.Errorf("%d signals are corrected, want 1", n)
	}
}

func TestCorrectionsMakeAWorkspacesOwnHeadWhereItWins(t *testing.T) {
	t.Parallel()
	w := start(t)
	// In this workspace, what is said of the beaker is an ask, whatever it sounds like.
	text := func(i int) string { return fmt.Sprintf("The beaker calibration fails on bench %d.", i) }
	var items, signals []string
	for i := range 20 {
		items = append(items, feedback.ID("itm", fmt.Sprint(i)))
		w.keepAndSend(item(items[i], 1, text(i)))
		said := w.one()
		if said.Kind != feedback.Bug {
			t.Fatalf("signal of kind %s", said.Kind)
		}
		signals = append(signals, said.ID)
	}
	for _, id := range signals {
		w.correct(id, feedback.FeatureRequest)
		if now := w.one(); now.Kind != feedback.FeatureRequest {
			t.Fatalf("corrected to %s", now.Kind)
		}
	}
	if n, used := w.ownHead(); n != 20 || !used {
		t.Fatalf("of %d corrections no head that wins", n)
	}
	w.keepAndSend(item(feedback.ID("itm", "like"), 1, text(99)))
	if now := w.one(); now.Kind != feedback.FeatureRequest || now.Confidence == 1 {
		t.Errorf("a signal like the corrected ones: %s at %v", now.Kind, now.Confidence)
	}
	w.keepAndSend(item(feedback.ID("itm", "unlike"), 1, "The CSV export crashes every time I click save."))
	if now := w.one(); now.Kind != feedback.Bug {
		t.Errorf("a signal unlike any corrected one: %s", now.Kind)
	}
	// What an erased customer said teaches nothing.
	w.send(event.CustomerErased, event.Erasure{Origin: origin(), Customer: "cus_1", Items: items})
	w.await()
	if n, used := w.ownHead(); n != 0 || used {
		t.Errorf("after the erasure: %d corrections, used %v", n, used)
	}
}

func TestACorrectionOfWhatIsNoMoreChangesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.correct("sig_gone", feedback.Bug)
	w.keepAndSend(item(itemID, 1, "The CSV export crashes every time."))
	said := w.one()
	w.correct(said.ID, feedback.Question) // its result follows that of the first, which has none
	if now := w.one(); now.ID != said.ID || now.Kind != feedback.Question {
		t.Errorf("%s %s", now.ID, now.Kind)
	}
	if n, _ := w.ownHead(); n != 1 {
		t.Errorf("%d corrections", n)
	}
}
