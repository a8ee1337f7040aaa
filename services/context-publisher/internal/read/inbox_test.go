package read_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

var decisionColumns = []string{"workspace", "id", "action", "cluster", "into", "signals", "name", "status", "tracker", "ticket", "undone_by", "decided_by", "reason", "at", "version"}

func TestAClusterOfTwoNeedsIsProposedToBeSplit(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	var all []worldtest.Saying
	for i := range 10 {
		text := fmt.Sprintf("The export to PDF stops after page %d", i)
		if i < 4 {
			text = fmt.Sprintf("Please add a dark theme for night shift %d", i)
		}
		all = append(all, worldtest.Saying{Cluster: "clu_two", Customer: fmt.Sprint("c", i), Text: text, At: said.Add(time.Duration(i) * time.Minute)})
	}
	w.Say(t, all...)
	parts, err := r.Parts(t.Context(), "acme", 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) == 0 || parts[0].Cluster.ID != "clu_two" || len(parts[0].Signals) != 4 || parts[0].Out[0][:10] != "Please add" || parts[0].Staying[0][:10] != "The export" {
		t.Fatalf("%+v", parts)
	}
	for i, p := range parts {
		if i > 0 && p.Apart > parts[i-1].Apart {
			t.Errorf("%s is proposed too late", p.Cluster.ID)
		}
	}
	insert(t, w, "decisions", decisionColumns, []any{"acme", "dec_s", "split", "clu_two", "", []string{"x"}, "", "", "", "", "dec_u", "maya", "", said, uint64(2)})
	again, err := r.Parts(t.Context(), "acme", 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range again {
		if p.Cluster.ID == "clu_two" {
			t.Error("what a person took back is asked again")
		}
	}
	if other, err := r.Parts(t.Context(), "globex", 5); err != nil || len(other) != 0 {
		t.Errorf("another workspace: %v, %v", other, err)
	}
}

func TestWhatTheClassifierIsNotSureOfIsAsked(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	insert(t, w, "accounts", []string{"workspace", "id", "name", "value", "version", "deleted"}, []any{"acme", "a2", "Two", 90000.0, uint64(1), uint8(0)})
	for n, confidence := range map[int]float32{21: 0.5, 22: 0.3, 23: 0.55, 24: 0.59} { // of accounts a0 to a3
		insert(t, w, "signals", []string{"workspace", "id", "item", "kind", "quote", "confidence", "source", "customer", "said_at", "version", "deleted"},
			[]any{"acme", w.SignalID(n), w.ItemID(n), "question", "Is it?", confidence, "zendesk", "c", said, uint64(1 << 20), uint8(0)})
	}
	insert(t, w, "decisions", decisionColumns, []any{"acme", "dec_c", "correct", "", "", []string{w.SignalID(24)}, "", "", "", "", "", "maya", "", said, uint64(1)})
	got, err := r.Unsure(t.Context(), "acme", 10)
	if err != nil || len(got) != 3 || got[0].ID != w.SignalID(23) || got[1].ID != w.SignalID(22) || got[2].ID != w.SignalID(21) || got[0].Quote != "Is it?" || got[0].Cluster != "clu_6" {
		t.Errorf("%+v, %v", got, err)
	}
	if other, err := r.Unsure(t.Context(), "globex", 10); err != nil || len(other) != 0 {
		t.Errorf("another workspace: %v, %v", other, err)
	}
}

func TestPeopleWhoContradictEachOtherAreTold(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	row := func(id, action, cluster, into, name, status, ticket, by, undone string, minute int) {
		insert(t, w, "decisions", decisionColumns, []any{"acme", id, action, cluster, into, []string{}, name, status, map[bool]string{true: "jira"}[ticket != ""], ticket, undone, by, "why", said.Add(time.Duration(minute) * time.Minute), uint64(1)})
	}
	row("dec_1", "pin", "clu_1", "", "", "", "P-1", "maya", "", 1)
	row("dec_2", "reject", "clu_1", "", "", "", "P-1", "ben", "", 2) // against dec_1
	row("dec_3", "reject", "clu_1", "", "", "", "P-2", "ben", "", 3) // elsewhere
	row("dec_4", "ignore", "clu_2", "", "", "", "", "maya", "", 4)   // and by herself
	row("dec_5", "reopen", "clu_2", "", "", "", "", "maya", "", 5)
	row("dec_6", "rename", "clu_3", "", "Exports", "", "", "maya", "", 6)
	row("dec_7", "rename", "clu_3", "", "PDF", "", "", "ben", "", 7) // against dec_6
	row("dec_8", "rename", "clu_4", "", "One", "", "", "maya", "dec_x", 8)
	row("dec_9", "rename", "clu_4", "", "Two", "", "", "ben", "", 9) // the other was taken back
	row("dec_a", "merge", "clu_0", "clu_5", "", "", "", "maya", "", 10)
	row("dec_b", "split", "clu_5", "", "", "", "", "ben", "", 11) // against dec_a
	row("dec_c", "mark", "clu_6", "", "", "planned", "", "ben", "", 12)
	row("dec_d", "mark", "clu_6", "", "", "shipped", "", "maya", "", 13) // against dec_c
	got, err := r.Quarrels(t.Context(), "acme", 10)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, q := range got {
		pairs = append(pairs, q.Earlier.ID+" "+q.Later.ID)
		if q.Name == "" || q.Later.Reason != "why" || !q.Later.At.After(q.Earlier.At) {
			t.Errorf("%+v", q)
		}
	}
	if want := "[dec_c dec_d dec_a dec_b dec_6 dec_7 dec_1 dec_2]"; fmt.Sprint(pairs) != want {
		t.Errorf("got %v, want %s", pairs, want)
	}
	if got[0].Later.To != "shipped" || got[2].Earlier.To != "Exports" || got[3].Ticket != "P-1" {
		t.Errorf("%+v", got)
	}
	if other, err := r.Quarrels(t.Context(), "globex", 10); err != nil || len(other) != 0 {
		t.Errorf("another workspace: %v, %v", other, err)
	}
}
