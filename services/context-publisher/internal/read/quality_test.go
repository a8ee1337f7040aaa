package read_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

func TestTheRawDeliveryOfAnItem(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	body := `{"text":"` + strings.Repeat("ż", 30_000) + `"}`
	insert(t, w, "deliveries", []string{"workspace", "sequence", "id", "connection", "kind", "received_at", "headers", "body"},
		[]any{"acme", uint64(1), "dlv_1", "acme-zendesk", "zendesk", said, map[string]string{"x-signature": "secret"}, body},
		[]any{"globex", uint64(1), "dlv_1", "theirs", "zendesk", said, map[string]string{}, "theirs"})
	d, err := r.Delivery(t.Context(), "acme", w.ItemID(0))
	if err != nil || d.Kind != "zendesk" || d.Connection != "acme-zendesk" || !d.ReceivedAt.Equal(said) || d.Bytes != len(body) || len(d.Body) < 19_990 || !strings.HasPrefix(body, d.Body) {
		t.Errorf("%s %s %v, %d of %d bytes (%v)", d.Kind, d.Connection, d.ReceivedAt, len(d.Body), d.Bytes, err)
	}
	for _, of := range [][2]string{{"globex", w.ItemID(0)}, {"acme", "itm_none"}} {
		if _, err := r.Delivery(t.Context(), of[0], of[1]); err != read.ErrNotFound {
			t.Errorf("%v: %v", of, err)
		}
	}
}

func TestDriftIsToldOfWhatMoves(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	now := said.Add(24 * time.Hour)
	var rows [][]any
	for i := range 120 { // 40 a week; in the newest, one voice asks in another language, and nobody is sure
		week := i / 40
		kind, customer, confidence, foreign := "bug", fmt.Sprint("c", i), float32(0.9), uint8(0)
		if week == 0 {
			kind, customer, confidence, foreign = "question", "c0", float32(0.5), uint8(1)
		}
		at := now.AddDate(0, 0, -7*week-1)
		rows = append(rows, []any{"acme", fmt.Sprint("sig_", i), "itm_x", kind, "q", confidence, foreign, "zendesk", customer, at, uint64(1), uint8(0)})
	}
	insert(t, w, "signals", []string{"workspace", "id", "item", "kind", "quote", "confidence", "unsupported", "source", "customer", "said_at", "version", "deleted"}, rows...)
	q, err := r.Quality(t.Context(), "acme", now)
	if err != nil || len(q.Weeks) != 3 {
		t.Fatalf("%+v, %v", q, err)
	}
	told := strings.Join(q.Drifted, "; ")
	for _, want := range []string{"less sure", "languages", "few voices", "more of it is question", "less of it is bug"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told: %s", want, told)
		}
	}
	if old := q.Weeks[1]; old.Signals != 40 || old.Kinds["bug"] != 40 || old.Unsure != 0 || old.Loudest != 0.1 || old.Confidence < 0.89 {
		t.Errorf("%+v", old)
	}
	if q.Weeks[0].Loudest < 0.5 || q.Weeks[0].Foreign < 0.5 {
		t.Errorf("%+v", q.Weeks[0])
	}
	if other, err := r.Quality(t.Context(), "globex", now); err != nil || len(other.Weeks)+len(other.Drifted) != 0 {
		t.Errorf("another workspace: %+v, %v", other, err)
	}
}
