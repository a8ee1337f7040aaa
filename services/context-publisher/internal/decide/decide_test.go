package decide_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var at = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func setUp(t *testing.T) (*worldtest.World, *bus.Bus, *decide.Decider) {
	t.Helper()
	b, db := bustest.New(t), storetest.New(t)
	w := worldtest.New("acme", db, nil)
	w.Say(t, worldtest.Saying{Cluster: "clu_a", Customer: "Ann", Text: "The export stops.", At: at}, worldtest.Saying{Cluster: "clu_b", Customer: "Ben", Text: "Codes are late.", At: at},
		worldtest.Saying{Cluster: "clu_old", Customer: "Cem", Text: "Codes are slow.", At: at})
	w.Merge(t, "clu_old", "clu_b")
	d, err := decide.New(t.Context(), b, db, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	tickets, err := keyed.Open[keyed.Ticket](t.Context(), b, bus.BucketTickets)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tickets.Put(t.Context(), keyed.TicketKey("acme", feedback.Jira, "PROJ-1"), keyed.Ticket{Workspace: "acme", Tracker: feedback.Jira, Key: "PROJ-1"}, 0); err != nil {
		t.Fatal(err)
	}
	return w, b, d
}

func TestWhatCannotBeDecidedIsRefusedAndTellsNobody(t *testing.T) {
	t.Parallel()
	w, b, d := setUp(t)
	for name, in := range map[string]feedback.Decision{
		"nobody":                  {Action: feedback.Ignore, Cluster: "clu_a"},
		"no action":               {By: "pm", Cluster: "clu_a"},
		"unknown cluster":         {By: "pm", Action: feedback.Ignore, Cluster: "clu_x"},
		"merged cluster":          {By: "pm", Action: feedback.Rename, Cluster: "clu_old", Name: "n"},
		"into itself":             {By: "pm", Action: feedback.Merge, Cluster: "clu_a", Into: "clu_a"},
		"into nothing":            {By: "pm", Action: feedback.Merge, Cluster: "clu_a"},
		"split without signals":   {By: "pm", Action: feedback.Split, Cluster: "clu_a"},
		"split of another's":      {By: "pm", Action: feedback.Split, Cluster: "clu_a", Signals: []string{w.SignalID(1)}},
		"move of unknown":         {By: "pm", Action: feedback.Move, Into: "clu_a", Signals: []string{"sig_x"}},
		"rename to nothing":       {By: "pm", Action: feedback.Rename, Cluster: "clu_a", Name: "  "},
		"rename to much":          {By: "pm", Action: feedback.Rename, Cluster: "clu_a", Name: strings.Repeat("n", 201)},
		"unknown ticket":          {By: "pm", Action: feedback.Pin, Cluster: "clu_a", Tracker: feedback.Jira, Ticket: "PROJ-9"},
		"correction of unknown":   {By: "pm", Action: feedback.Correct, Kind: feedback.Bug, Signals: []string{"sig_x"}},
		"correction to no kind":   {By: "pm", Action: feedback.Correct, Kind: "incident", Signals: []string{w.SignalID(1)}},
		"correction of two":       {By: "pm", Action: feedback.Correct, Kind: feedback.Bug, Signals: []string{w.SignalID(1), w.SignalID(2)}},
		"another workspace's":     {Workspace: "other", By: "pm", Action: feedback.Ignore, Cluster: "clu_a"},
		"an id that is a pattern": {ID: "dec_>", By: "pm", Action: feedback.Ignore, Cluster: "clu_a"},
	} {
		if in.Workspace == "" {
			in.Workspace = "acme"
		}
		if _, err := d.Decide(t.Context(), in); !errors.Is(err, decide.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if last, err := b.LastSequence(t.Context(), bus.Signals, bus.Subject("decisions", "acme")); err != nil || last != 0 {
		t.Errorf("something was told: %d (%v)", last, err)
	}
}

func TestTakingACorrectionBackSaysOfWhichSignal(t *testing.T) {
	t.Parallel()
	w, b, d := setUp(t)
	told := bustest.Collect(t, b, bus.Signals, "decisions.*.acme")
	taken, err := d.Decide(t.Context(), feedback.Decision{Workspace: "acme", Action: feedback.Correct, Signals: []string{w.SignalID(1)}, Kind: feedback.Question, By: "pm"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Undo(t.Context(), "acme", taken.ID, "pm", ""); err != nil {
		t.Fatal(err)
	}
	for _, action := range []feedback.Action{feedback.Correct, feedback.Undo} {
		p, err := event.Payload[event.Decision](bustest.Await(t, told).Envelope)
		if err != nil || p.Decision.Action != action || !slices.Equal(p.Decision.Signals, []string{w.SignalID(1)}) {
			t.Errorf("told %+v (%v)", p, err)
		}
	}
}

func TestADecisionTakenTwiceOrByTwoIsTakenOnce(t *testing.T) {
	t.Parallel()
	w, b, d := setUp(t)
	told := bustest.Collect(t, b, bus.Signals, "decisions.*.acme")
	in := feedback.Decision{ID: "dec_once", Workspace: "acme", Action: feedback.Merge, Cluster: "clu_a", Into: "clu_b", By: "pm", Reason: "same"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, err := d.Decide(t.Context(), in); err != nil || got.ID != "dec_once" || !got.At.Equal(at) {
				t.Errorf("%+v (%v)", got, err)
			}
		})
	}
	wg.Wait()
	p, err := event.Payload[event.Decision](bustest.Await(t, told).Envelope)
	if err != nil || p.Decision.Into != "clu_b" {
		t.Errorf("told %+v (%v)", p, err)
	}
	undo, err := d.Undo(t.Context(), "acme", "dec_once", "lead", "no")
	if err != nil || undo.Undoes != "dec_once" {
		t.Fatalf("%+v (%v)", undo, err)
	}
	if p, err = event.Payload[event.Decision](bustest.Await(t, told).Envelope); err != nil || p.Decision.Action != feedback.Undo {
		t.Errorf("told %+v (%v)", p, err)
	}
	if _, err := d.Undo(t.Context(), "acme", undo.ID, "lead", "no"); !errors.Is(err, decide.ErrRefused) {
		t.Errorf("an undo was undone: %v", err)
	}
	var rows, undone uint64
	if err := w.DB.Conn().QueryRow(t.Context(), `SELECT count(), countIf(undone_by != '') FROM decisions FINAL WHERE workspace = 'acme'`).Scan(&rows, &undone); err != nil || rows != 2 || undone != 1 {
		t.Errorf("%d rows, %d undone (%v)", rows, undone, err)
	}
}
