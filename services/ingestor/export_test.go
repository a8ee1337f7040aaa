package ingestor_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What customers said comes out whole and in one order, and never as a formula of a
// spreadsheet; nothing of another workspace does.
func TestExport(t *testing.T) {
	t.Parallel()
	h := start(t)
	words := []string{"=HYPERLINK(\"x\") is what I see", "two\nlines, \"quoted\" & <tags>", "plain words"}
	for i, w := range words {
		a := h.api(http.MethodPost, "/v1/feedback", fmt.Sprintf(`{"id":"f%d","text":%s,"author":{"id":"ada","name":"+Ada"},"created_at":"2026-11-0%dT08:00:00Z"}`, i, quoted(w), i+1))
		if a.status/100 != 2 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := h.do(http.MethodPost, "/v1/feedback", map[string]string{"Authorization": "Bearer token-other", "Content-Type": "application/json"}, []byte(`{"id":"f9","text":"of another workspace"}`)); a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.settle()
	at := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	insert := func(table string, columns []string, row ...any) {
		t.Helper()
		if err := h.store.Insert(t.Context(), table, columns, [][]any{row}, ""); err != nil {
			t.Fatal(err)
		}
	}
	insert("signals", []string{"workspace", "id", "item", "kind", "quote", "said_at", "version"}, "acme", "sig_1", "itm_1", "bug", "it fails", at, uint64(1))
	insert("signals", []string{"workspace", "id", "item", "kind", "quote", "said_at", "version"}, "acme", "sig_2", "itm_1", "bug", "alone", at, uint64(1))
	insert("signals", []string{"workspace", "id", "item", "kind", "quote", "said_at", "version"}, "other", "sig_3", "itm_2", "bug", "of another workspace", at, uint64(1))
	insert("assignments", []string{"workspace", "signal", "cluster", "said_at", "version"}, "acme", "sig_1", "clu_1", at, uint64(1))
	insert("clusters", []string{"workspace", "id", "name", "status", "people", "last_seen", "version"}, "acme", "clu_1", "@Exports", "active", uint32(1), at, uint64(1))
	insert("watermarks", []string{"workspace", "as_of", "since"}, "acme", at, at)

	var got []map[string]any
	export := func(path string) answer {
		t.Helper()
		a := h.api(http.MethodGet, "/v1/export/"+path, "")
		if a.status != http.StatusOK || strings.Contains(a.body, "another workspace") {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		return a
	}
	lines := func(path string) []map[string]any {
		t.Helper()
		a := export(path)
		got = nil
		for line := range strings.Lines(a.body) {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			got = append(got, row)
		}
		if a.header.Get("Throughline-Total") != fmt.Sprint(len(got)) {
			t.Errorf("%s: %d rows, told were %s", path, len(got), a.header.Get("Throughline-Total"))
		}
		return got
	}
	said := map[any]bool{}
	for _, row := range lines("items") {
		said[row["text"]] = true
	}
	for _, w := range words {
		if !said[w] {
			t.Errorf("%q is missing in %v", w, said)
		}
	}
	if rows := lines("items?since=2026-11-02T00:00:00Z"); len(rows) != 2 || rows[0]["created_at"] == "" || !strings.HasSuffix(rows[0]["created_at"].(string), "Z") {
		t.Errorf("since the second day: %v", rows)
	}
	if rows := lines("signals"); len(rows) != 2 || rows[0]["cluster"] != "clu_1" || rows[1]["cluster"] != "" {
		t.Errorf("%v", rows)
	}
	if rows := lines("clusters"); len(rows) != 1 || rows[0]["rank"] != 1.0 || rows[0]["name"] != "@Exports" {
		t.Errorf("%v", rows)
	}

	table, err := csv.NewReader(strings.NewReader(export("items?format=csv").body)).ReadAll()
	if err != nil || len(table) != 4 || table[0][10] != "text" {
		t.Fatalf("%v %q", err, table)
	}
	for _, row := range table[1:] {
		if row[6] != "'+Ada" || strings.HasPrefix(row[10], "=") || !said[strings.TrimPrefix(row[10], "'")] {
			t.Errorf("%q", row)
		}
	}
	for path, want := range map[string]int{"secrets": 404, "items?format=xml": 422, "items?since=monday": 422} {
		if a := h.api(http.MethodGet, "/v1/export/"+path, ""); a.status != want {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}
