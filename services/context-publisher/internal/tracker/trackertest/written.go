package trackertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/throughline-dev/throughline/pkg/vendortest"
)

// written reads the page that a stand-in shows to people.
func written(t *testing.T, f *Fixture) []vendortest.Written {
	t.Helper()
	rec := httptest.NewRecorder()
	f.Server.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/_written", nil))
	var page struct {
		Tickets []vendortest.Written `json:"tickets"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	return page.Tickets
}
