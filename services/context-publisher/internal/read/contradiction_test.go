package read_test

import "testing"

// A contradiction is shown with who said what, until one of the two is taken back.
func TestContradictionsAreShownUntilOneIsTakenBack(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	columns := []string{"workspace", "id", "action", "cluster", "into", "decided_by", "reason", "undone_by", "at", "version"}
	insert(t, w, "decisions", columns, []any{"acme", "dec_1", "merge", "clu_2", "clu_1", "ada", "the same", "", said, uint64(1)})
	insert(t, w, "decisions", columns, []any{"acme", "dec_2", "split", "clu_1", "", "bob", "not the same", "", said, uint64(1)})
	insert(t, w, "cluster_events", []string{"workspace", "cluster", "position", "ordinal", "kind", "other", "decision", "at", "version"},
		[]any{"acme", "clu_1", uint64(9), uint32(0), "contradicted", "dec_1", "dec_2", said, uint64(1)})
	c, err := r.Cluster(t.Context(), "acme", "clu_1")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Contradictions) != 1 || c.Contradictions[0].Later.By != "bob" || c.Contradictions[0].Earlier.By != "ada" || c.Contradictions[0].Earlier.Action != "merge" {
		t.Fatalf("shown: %+v", c.Contradictions)
	}
	if all, err := r.Contradictions(t.Context(), "globex", "", 0); err != nil || len(all) != 0 {
		t.Errorf("another workspace reads %+v, %v", all, err)
	}
	insert(t, w, "decisions", columns, []any{"acme", "dec_1", "merge", "clu_2", "clu_1", "ada", "the same", "dec_3", said, uint64(2)})
	if all, err := r.Contradictions(t.Context(), "acme", "", 0); err != nil || len(all) != 0 {
		t.Errorf("after one was taken back: %+v, %v", all, err)
	}
}
