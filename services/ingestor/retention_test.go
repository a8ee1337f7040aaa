package ingestor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// What is older than the workspace keeps it loses its words everywhere, with a report; what is
// younger stays, also of the same customer, and another workspace keeps all.
func TestWhatIsTooOldIsErased(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *ingestor.Config, _ *ingestor.Deps) {
		c.Workspaces[0].RetentionDays, c.RetentionEvery = 30, 50*time.Millisecond
	})
	if a := h.api(http.MethodGet, "/v1/retention", ""); a.status != http.StatusNotFound {
		t.Errorf("before: %d %s", a.status, a.body)
	}
	old, young := now.AddDate(0, 0, -31).Format(time.RFC3339), now.AddDate(0, 0, -29).Format(time.RFC3339)
	for _, body := range []string{
		`{"id":"old","text":"the zebrafish export fails for everybody","author":{"id":"ada","email":"ada@x.example"},"created_at":"` + old + `"}`,
		`{"id":"young","text":"the quetzalcoatl import fails for everybody","author":{"id":"ada","email":"ada@x.example"},"created_at":"` + young + `"}`,
	} {
		if a := h.api(http.MethodPost, "/v1/feedback", body); a.status/100 != 2 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := h.do(http.MethodPost, "/v1/feedback", map[string]string{"Authorization": "Bearer token-other", "Content-Type": "application/json"}, []byte(`{"id":"old","text":"the zebrafish export of another workspace","created_at":"`+old+`"}`)); a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	report := ""
	h.until("the erasure", func() bool {
		report = h.api(http.MethodGet, "/v1/retention", "").body
		return strings.Contains(report, `"state":"done"`) || strings.Contains(report, `"state":"left"`)
	})
	if !strings.Contains(report, `"state":"done"`) {
		t.Errorf("words are left: %s", report)
	}
	said := strings.Join(h.said(), "\n")
	if strings.Contains(said, "export fails") || !strings.Contains(said, "quetzalcoatl") || !strings.Contains(said, "another workspace") {
		t.Errorf("%s", said)
	}
	var traces uint64
	if err := h.store.Conn().QueryRow(t.Context(), "SELECT (SELECT count() FROM deliveries WHERE workspace = 'acme' AND body LIKE '%zebrafish%') + (SELECT count() FROM items WHERE workspace = 'acme' AND text LIKE '%zebrafish%')").Scan(&traces); err != nil || traces != 0 {
		t.Errorf("%d rows hold the old words, %v", traces, err)
	}
	for _, stream := range []string{bus.Deliveries, bus.Items} {
		for _, e := range h.events(stream) {
			words := string(e.Data)
			if d, err := event.Payload[event.Delivery](e); err == nil {
				words = string(d.Body)
			}
			if e.Workspace == "acme" && strings.Contains(words, "zebrafish") {
				t.Errorf("%s holds the old words", stream)
			}
		}
	}
	// It can come back by no later delivery: what is that old expires again.
	if a := h.api(http.MethodPost, "/v1/feedback", `{"id":"late","text":"wolpertinger","author":{"id":"eve"},"created_at":"`+old+`"}`); a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.until("the second erasure", func() bool {
		return h.counted("throughline_ingestor_decoded_total", "expiry", "expired") >= 2 && !strings.Contains(strings.Join(h.said(), "\n"), "wolpertinger")
	})
}
