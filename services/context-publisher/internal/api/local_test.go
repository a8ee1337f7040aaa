package api_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// TestOverTheRealStore asks the API over a real engine and broker: the answers are as
// described, a decision reaches the bus's buckets and comes back, another workspace has
// nothing.
func TestOverTheRealStore(t *testing.T) {
	t.Parallel()
	db, b := storetest.New(t), bustest.New(t)
	now := func() time.Time { return apitest.Now }
	reader, err := read.New(t.Context(), db, b)
	if err != nil {
		t.Fatal(err)
	}
	decider, err := decide.New(t.Context(), b, db, now)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := digest.NewDesk(db, []config.Workspace{{ID: "acme", Timezone: "UTC"}, {ID: "globex", Timezone: "UTC"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Options{Keyring: apitest.Keys("acme", "globex"), Open: api.Local(reader, decider, desk, now), Hub: api.NewHub(nil, watch.New(b).Watch),
		Logger: slog.New(slog.DiscardHandler), Now: now, Random: rand.Reader, KeepAlive: time.Second})
	mux := http.NewServeMux()
	a.Register(mux)
	s := site{Server: httptest.NewServer(mux), api: a}
	t.Cleanup(s.Close)

	w := worldtest.New("acme", db, b)
	w.Account(t, "a1", "Nordhaven", 186000, "Enterprise")
	w.Say(t,
		worldtest.Saying{Cluster: "clu_exports", Customer: "Mara", Account: "a1", Text: "The CSV export stops at 10,000 rows.", At: apitest.Now.Add(-time.Hour), Severity: .7},
		worldtest.Saying{Cluster: "clu_exports", Customer: "Jonas", Text: "Exports are cut off since Tuesday.", At: apitest.Now.Add(-2 * time.Hour), Severity: .6},
		worldtest.Saying{Cluster: "clu_dark", Customer: "Dele", Text: "Please add a dark mode.", Kind: feedback.FeatureRequest, At: apitest.Now.Add(-3 * time.Hour)})
	_, schemas := described(t)
	for path, schema := range map[string]string{
		"/v1/clusters": "ClusterList", "/v1/clusters?q=cut+off": "ClusterList", "/v1/clusters/clu_exports": "ClusterDetail", "/v1/clusters/clu_exports/signals?limit=1": "SignalList",
		"/v1/clusters/clu_exports/history": "HistoryEventList", "/v1/feedback?q=EXPORT": "FeedbackItemList", "/v1/feedback/" + w.ItemID(0): "FeedbackItem", "/v1/tickets": "TicketList",
	} {
		resp := s.do(t, "GET", path, apitest.Token("acme"), "")
		body := text(t, resp)
		compiled, err := schemas.Compile("openapi.json#/components/schemas/" + schema)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
		if err := compiled.Validate(v); resp.StatusCode != 200 || err != nil {
			t.Errorf("%s: %d, %v\n%.500s", path, resp.StatusCode, err, body)
		}
	}
	ranked := into[api.List[read.Cluster]](t, s.do(t, "GET", "/v1/clusters", apitest.Token("acme"), ""))
	if len(ranked.Items) != 2 || ranked.Items[0].ID != "clu_exports" || ranked.Items[0].Rank != 1 || ranked.Position == 0 || ranked.AsOf.IsZero() || ranked.LagMS != 0 {
		t.Errorf("%+v", ranked)
	}
	if c := ranked.Items[0]; c.Score < ranked.Items[1].Score || fmt.Sprintf("%.6f", c.Terms.Reach+c.Terms.Worth+c.Terms.Severity+c.Terms.Momentum+c.Terms.Churn+c.Terms.Boost) != fmt.Sprintf("%.6f", c.Score) {
		t.Errorf("the terms %+v are not the score %v", c.Terms, c.Score)
	}
	taken := s.do(t, "POST", "/v1/clusters/clu_dark/decisions", apitest.Token("acme"), `{"action":"rename","name":"Night theme"}`, "Idempotency-Key", "one")
	d := into[feedback.Decision](t, taken)
	if taken.StatusCode != 202 || d.Name != "Night theme" || d.By != "maya" {
		t.Errorf("%d %+v", taken.StatusCode, d)
	}
	for _, c := range []struct {
		token, method, path, body string
		want                      int
	}{
		{apitest.Token("globex"), "DELETE", "/v1/decisions/" + d.ID, "", 404},
		{apitest.Token("acme"), "DELETE", "/v1/decisions/" + d.ID, "", 202},
		{apitest.Token("globex"), "GET", "/v1/clusters/clu_exports", "", 404},
		{apitest.Token("globex"), "GET", "/v1/feedback/" + w.ItemID(0), "", 404},
		{apitest.Token("acme"), "GET", "/v1/clusters?cursor=%00x", "", 400},
		{apitest.Token("acme"), "POST", "/v1/clusters/clu_exports/decisions", `{"action":"split","signals":["sig_none"]}`, 422},
		{apitest.Token("acme"), "GET", "/v1/digests/2026-11-22", "", 200},
		{apitest.Token("acme"), "GET", "/v1/digests/today", "", 200},
		{apitest.Token("acme"), "GET", "/v1/digests/2026-11-21", "", 404},
		{apitest.Token("acme"), "GET", "/v1/digests/2026-11-23", "", 404},
	} {
		if resp := s.do(t, c.method, c.path, c.token, c.body); resp.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, resp.StatusCode, c.want, text(t, resp))
		}
	}
	if l := into[api.List[read.Cluster]](t, s.do(t, "GET", "/v1/clusters", apitest.Token("globex"), "")); len(l.Items) != 0 {
		t.Errorf("globex has %+v", l)
	}
}
