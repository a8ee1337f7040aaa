package ingestor_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/services/ingestor/internal/replay"
)

// A replay past the stream's window gives back what a decoder had missed and changes
// nothing that was right; what was erased stays away.
func TestReplayDecodesTheArchiveAgain(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.accepted("slack", slackMessage("kept as it is", ""))
	h.accepted("intercom", intercomReply("lost by a mistake", 1790000001))
	h.api("POST", "/v1/feedback", `[{"id":"a","text":"erased words","author":{"id":"u1","email":"ada@x.example"}}]`)
	h.settle()
	if a := h.api("DELETE", "/v1/customers/ada@x.example", ""); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.until("the erasure", func() bool {
		return strings.Contains(h.api("GET", "/v1/customers/ada@x.example/erasure", "").body, `"state":"done"`)
	})
	want := h.said()

	// The window has passed, and a mistake has lost the conversations that are folded.
	s, err := h.bus.JetStream().Stream(t.Context(), bus.Deliveries)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	states, err := h.bus.Bucket(t.Context(), bus.BucketItems)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := states.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := states.Purge(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.store.Conn().Exec(t.Context(), "TRUNCATE TABLE items"); err != nil {
		t.Fatal(err)
	}
	var archived uint64
	count := func() (n uint64) {
		if err := h.store.Conn().QueryRow(t.Context(), "SELECT count() FROM deliveries FINAL").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	archived = count()

	for range 2 { // the second changes nothing
		if a := h.api(http.MethodPost, "/v1/replay", `{"from":"`+now.Add(-time.Hour).Format(time.RFC3339)+`"}`); a.status != http.StatusAccepted {
			t.Fatalf("%d %s", a.status, a.body)
		}
		h.until("the replay", func() bool {
			return read[replay.Job](t, h.api(http.MethodGet, "/v1/replay", ""), http.StatusOK).State == replay.Done
		})
		h.settle()
		if got := h.said(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	}
	if n := count(); n != archived {
		t.Errorf("the archive grew from %d to %d", archived, n)
	}
	for body, want := range map[string]int{"{}": 422, "x": 422} {
		if a := h.api(http.MethodPost, "/v1/replay", body); a.status != want {
			t.Errorf("%s: %d, want %d", body, a.status, want)
		}
	}
}
