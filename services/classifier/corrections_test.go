package classifier_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier"
)

// caller asks the routes of a classifier.
type caller struct {
	t   *testing.T
	mux *http.ServeMux
}

func (c *caller) do(method, path, token, body string) (int, map[string]any) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	c.mux.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		c.t.Fatalf("%s %s answers %d without JSON", method, path, w.Code)
	}
	return w.Code, out
}

// keys are tokens: alice decides in acme, bob reads there, gail decides in globex.
func keys() *access.Keyring {
	token := func(name string, scope access.Scope) config.Token {
		return config.Token{Name: name, Token: config.NewSecret(name), Scopes: []string{string(scope)}}
	}
	return access.NewKeyring([]config.Workspace{
		{ID: workspace, APITokens: []config.Token{token("alice", access.Decide), token("bob", access.Read)}},
		{ID: "globex", APITokens: []config.Token{token("gail", access.Administer)}},
	})
}

func TestCorrectionsMakeAWorkspacesOwnHeadWhereItWins(t *testing.T) {
	t.Parallel()
	c := &caller{t: t, mux: http.NewServeMux()}
	w := start(t, func(_ *classifier.Config, d *classifier.Deps) { d.Keyring = keys() })
	w.service.Register(c.mux)

	// In this workspace, what is said of the beaker is an ask, whatever it sounds like.
	text := func(i int) string { return fmt.Sprintf("The beaker calibration fails on bench %d.", i) }
	var signals []string
	for i := range 20 {
		w.sendItem(item(feedback.ID("itm", fmt.Sprint(i)), 1, text(i)))
		got := w.await()
		if len(got.Signals) != 1 || got.Signals[0].Kind != feedback.Bug {
			t.Fatalf("signals %+v", got.Signals)
		}
		signals = append(signals, got.Signals[0].ID)
	}
	for i, id := range signals {
		status, report := c.do("POST", "/v1/signals/"+id+"/correction", "alice", `{"kind":"feature_request"}`)
		if status != http.StatusOK || report["corrections"] != float64(i+1) {
			t.Fatalf("correction %d: %d %v", i, status, report)
		}
	}
	if _, report := c.do("GET", "/v1/corrections", "bob", ""); report["used"] != true {
		t.Fatalf("the head does not win: %v", report)
	}
	if _, report := c.do("GET", "/v1/corrections", "gail", ""); report["corrections"] != float64(0) {
		t.Errorf("another workspace sees %v", report)
	}

	w.sendItem(item(feedback.ID("itm", "like"), 1, text(99)))
	if got := w.await(); len(got.Signals) != 1 || got.Signals[0].Kind != feedback.FeatureRequest {
		t.Errorf("a signal like the corrected ones: %+v", got.Signals)
	}
	w.sendItem(item(feedback.ID("itm", "unlike"), 1, "The CSV export crashes every time I click save."))
	if got := w.await(); len(got.Signals) != 1 || got.Signals[0].Kind != feedback.Bug {
		t.Errorf("a signal unlike any corrected one: %+v", got.Signals)
	}

	// What is taken back, or of an erased customer, teaches nothing.
	if status, report := c.do("DELETE", "/v1/signals/"+signals[0]+"/correction", "alice", ""); status != http.StatusOK || report["corrections"] != float64(19) {
		t.Errorf("taken back: %d %v", status, report)
	}
	var items []string
	for i := range 20 {
		items = append(items, feedback.ID("itm", fmt.Sprint(i)))
	}
	w.send(event.CustomerErased, event.Erasure{Origin: origin(), Customer: "cus_1", Items: items})
	w.await()
	if _, report := c.do("GET", "/v1/corrections", "bob", ""); report["corrections"] != float64(0) {
		t.Errorf("after the erasure: %v", report)
	}
}

func TestCorrectionsRefuse(t *testing.T) {
	t.Parallel()
	c := &caller{t: t, mux: http.NewServeMux()}
	w := start(t, func(_ *classifier.Config, d *classifier.Deps) { d.Keyring = keys() })
	w.service.Register(c.mux)
	w.sendItem(item(itemID, 1, "The CSV export crashes every time."))
	path := "/v1/signals/" + w.await().Signals[0].ID + "/correction"
	for _, x := range []struct {
		name, token, path, body string
		status                  int
	}{
		{"nobody", "mallory", path, `{"kind":"bug"}`, 401},
		{"who may only read", "bob", path, `{"kind":"bug"}`, 403},
		{"another workspace", "gail", path, `{"kind":"bug"}`, 404},
		{"no such signal", "alice", "/v1/signals/sig_x/correction", `{"kind":"bug"}`, 404},
		{"no such kind", "alice", path, `{"kind":"incident"}`, 422},
		{"no JSON", "alice", path, `bug`, 422},
		{"too long", "alice", path, strings.Repeat("x", 5000), 413},
	} {
		if status, _ := c.do("POST", x.path, x.token, x.body); status != x.status {
			t.Errorf("%s: %d, want %d", x.name, status, x.status)
		}
	}
}
