package read_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/audit"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func insert(t *testing.T, w *worldtest.World, table string, columns []string, rows ...[]any) {
	t.Helper()
	for _, row := range rows {
		w.Row(t, table, columns, row...)
	}
}

func TestSuggestionsComeInOrderOfWhatADecisionIsWorth(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	tickets := []string{"workspace", "tracker", "key", "title", "status", "category", "updated_at", "created_at", "version", "deleted"}
	insert(t, w, "tickets", tickets,
		[]any{"acme", "jira", "P-1", "Open", "To do", "open", said, said, uint64(1), uint8(0)},
		[]any{"acme", "jira", "P-2", "Going", "Doing", "in_progress", said, said, uint64(1), uint8(0)},
		[]any{"acme", "jira", "P-3", "Over", "Done", "done", said, said, uint64(1), uint8(0)},
		[]any{"globex", "jira", "P-1", "Theirs", "To do", "open", said, said, uint64(1), uint8(0)})
	attachments := []string{"workspace", "tracker", "ticket", "cluster", "mode", "score", "terms", "reasons", "decided_by", "at", "version", "deleted"}
	row := func(ws, ticket, cluster, mode string, score float64) []any {
		return []any{ws, "jira", ticket, cluster, mode, score, map[string]float64{"words": score}, []string{"because"}, "machine", said, uint64(1), uint8(0)}
	}
	insert(t, w, "attachments", attachments, row("acme", "P-1", "clu_1", "suggested", 0.4), row("acme", "P-1", "clu_6", "suggested", 0.4),
		row("acme", "P-2", "clu_0", "suggested", 0.3), row("acme", "P-2", "clu_5", "automatic", 0.9), row("acme", "P-3", "clu_4", "suggested", 0.5),
		row("globex", "P-1", "clu_6", "suggested", 0.9))
	got, err := r.Suggestions(t.Context(), "acme", 10)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range got {
		order = append(order, s.Ticket.Key+" "+s.Attachment.Cluster)
		if s.Quote == "" || s.Voices == 0 || s.Attachment.Mode != feedback.Suggested || s.Attachment.Reasons[0] != "because" {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{"P-2 clu_0", "P-1 clu_6", "P-1 clu_1"}; !reflect.DeepEqual(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	if got, err := r.Suggestions(t.Context(), "initech", 10); err != nil || len(got) != 0 {
		t.Errorf("another workspace: %v, %v", got, err)
	}
}

func TestAlikeLeavesOutWhatAPersonKeptApart(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	pairs := func() map[[2]string]bool {
		t.Helper()
		all, err := r.Alike(t.Context(), "acme", 100)
		if err != nil {
			t.Fatal(err)
		}
		out := map[[2]string]bool{}
		for i, p := range all {
			if p.One.ID >= p.Other.ID || p.One.Quote == "" || i > 0 && p.Similarity > all[i-1].Similarity {
				t.Errorf("%+v", p)
			}
			out[[2]string{p.One.ID, p.Other.ID}] = true
		}
		return out
	}
	if !pairs()[[2]string{"clu_1", "clu_2"}] {
		t.Fatal("two clusters of nearly the same words are no pair")
	}
	insert(t, w, "cluster_events", []string{"workspace", "cluster", "position", "ordinal", "kind", "other", "decision", "at", "version"},
		[]any{"acme", "clu_2", uint64(9), uint32(0), "split", "clu_1", "dec_1", said, uint64(1)})
	if pairs()[[2]string{"clu_1", "clu_2"}] {
		t.Error("a pair that a person kept apart is asked about again")
	}
}

func TestDecisionsArePaged(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	columns := []string{"workspace", "id", "action", "cluster", "into", "signals", "name", "tracker", "ticket", "undone_by", "decided_by", "reason", "at", "version"}
	for i, id := range []string{"dec_a", "dec_b", "dec_c"} {
		insert(t, w, "decisions", columns, []any{"acme", id, "rename", "clu_1", "", []string{}, "New", "", "", "", "maya", "why", said.Add(time.Duration(i/2) * time.Minute), uint64(1)})
	}
	insert(t, w, "decisions", columns, []any{"globex", "dec_x", "ignore", "clu_1", "", []string{}, "", "", "", "", "eve", "", said, uint64(1)})
	var ids []string
	for _, d := range pages(t, func(c string) (read.Page[read.Decision], error) { return r.Decisions(t.Context(), "acme", 1, c) }) {
		ids = append(ids, d.ID)
		if d.By != "maya" || d.NewName != "New" || d.Name == "" {
			t.Errorf("%+v", d)
		}
	}
	if want := []string{"dec_c", "dec_b", "dec_a"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}

func TestFlowDaysAndPointsAreOfOneWorkspace(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	now := said.Add(2 * time.Hour)
	flow, err := r.Flow(t.Context(), "acme", now)
	if err != nil {
		t.Fatal(err)
	}
	if items := flow[1]; items.Name != "feedback items" || items.Stored != 28 || items.Day != 28 || items.Hour >= 28 || items.Newest.Before(said) {
		t.Errorf("%+v", items)
	}
	if flow[0].Stored != 0 || !flow[0].Newest.IsZero() {
		t.Errorf("%+v", flow[0])
	}
	days, err := r.Days(t.Context(), "acme", []string{"clu_3", "clu_6"}, now, 7)
	if err != nil || !reflect.DeepEqual(days, map[string][]int{"clu_3": {0, 0, 0, 0, 0, 0, 4}, "clu_6": {0, 0, 0, 0, 0, 0, 7}}) {
		t.Errorf("%v, %v", days, err)
	}
	points, err := r.Points(t.Context(), "acme", "clu_6")
	if err != nil || len(points) != 7 || len(points[0].Vector) == 0 {
		t.Errorf("%d points, %v", len(points), err)
	}
	if flow, err := r.Flow(t.Context(), "globex", now); err != nil || flow[1].Stored != 0 {
		t.Errorf("another workspace: %+v, %v", flow, err)
	}
	if days, err := r.Days(t.Context(), "globex", []string{"clu_6"}, now, 7); err != nil || len(days) != 0 {
		t.Errorf("another workspace: %v, %v", days, err)
	}
	if _, err := r.Points(t.Context(), "globex", "clu_6"); err == nil {
		t.Error("another workspace sees the points")
	}
}

func TestTheHistoryOfABriefIsOfATicketThatIsOpenToAll(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	tickets := []string{"workspace", "tracker", "key", "restricted", "updated_at", "created_at", "version", "deleted"}
	insert(t, w, "tickets", tickets, []any{"acme", "jira", "P-1", uint8(0), said, said, uint64(1), uint8(0)}, []any{"acme", "jira", "P-2", uint8(1), said, said, uint64(1), uint8(0)})
	for _, key := range []string{"P-1", "P-2"} {
		for revision := range uint64(3) {
			insert(t, w, "briefs", []string{"workspace", "tracker", "ticket", "revision", "hash", "material", "changes", "body", "position", "created_at"},
				[]any{"acme", "jira", key, revision + 1, "h", uint8(revision % 2), []string{"1 new voice"}, "{}", uint64(1), said})
		}
	}
	got, err := r.Revisions(t.Context(), "acme", feedback.Jira, "P-1")
	if err != nil || len(got) != 3 || got[0].Revision != 3 || got[0].Material || !got[1].Material || got[2].Lines[0] != "1 new voice" || !got[0].At.Equal(said) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, of := range [][2]string{{"acme", "P-2"}, {"globex", "P-1"}} {
		if got, err := r.Revisions(t.Context(), of[0], feedback.Jira, of[1]); err != nil || len(got) != 0 {
			t.Errorf("%v: %+v, %v", of, got, err)
		}
	}
}

func TestTheAuditLogIsPagedAndOfOneWorkspace(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	log := audit.New(w.DB, slog.New(slog.DiscardHandler), func() time.Time { return said })
	for i, ws := range []string{"acme", "acme", "globex", "acme"} {
		req := httptest.NewRequest("POST", fmt.Sprint("/clusters/", i), nil)
		req.Pattern = "POST /clusters/{id}"
		log.Record(t.Context(), access.Principal{Workspace: ws, Name: "maya", Via: access.BySession}, req, 303)
	}
	all := pages(t, func(c string) (read.Page[read.Deed], error) { return r.Audit(t.Context(), "acme", 1, c) })
	if len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	for i, d := range all {
		if d.Who != "maya" || d.Via != "page" || d.Route != "POST /clusters/{id}" || d.Status != 303 || !d.At.Equal(said) || d.Target == "/clusters/2" || d.Address != "192.0.2.1" || i > 0 && d.ID >= all[i-1].ID {
			t.Errorf("%+v", d)
		}
	}
}
