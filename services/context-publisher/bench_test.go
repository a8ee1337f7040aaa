package contextpublisher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	contextpublisher "github.com/throughline-dev/throughline/services/context-publisher"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// The size of the workspace that BenchmarkTicketContext asks.
const (
	benchItems    = 100_000
	benchClusters = 2_000
	benchTickets  = 2_000
	benchQuotes   = 30 // in each brief

	benchDimensions = 256 // of vectors
	benchPeople     = 20_000
	benchAccounts   = 900
)

// BenchmarkTicketContext asks get_ticket_context over HTTP, as an agent does, of a workspace
// with 100,000 items and 2,000 tickets in the real store. Every call asks another ticket,
// half of them picked up, so that what changed is told as well. The metrics are of whole
// calls as the client sees them; tokens is the largest answer.
func BenchmarkTicketContext(b *testing.B) {
	db, events := storetest.New(b), bustest.New(b)
	fillBench(b, db)
	token := "a-token-that-is-long-enough"
	service, err := contextpublisher.New(contextpublisher.Config{Workspaces: []config.Workspace{{ID: "acme",
		APITokens: []config.Token{{Name: "agent", Token: config.NewSecret(token), Scopes: []string{"read"}}}}}},
		contextpublisher.Deps{Bus: events, Store: db, Embedder: embed.Lexical(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now, Holder: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	service.Register(mux)
	server := httptest.NewServer(mux)
	b.Cleanup(server.Close)
	session, err := mcp.NewClient(&mcp.Implementation{Name: "bench", Version: "1"}, nil).Connect(context.Background(),
		&mcp.StreamableClientTransport{Endpoint: server.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer(token)}, MaxRetries: -1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = session.Close() })
	random := rand.New(rand.NewPCG(1, 2))
	var took []time.Duration
	largest := 0
	for b.Loop() {
		key := fmt.Sprintf("PROJ-%d", 1+random.IntN(benchTickets))
		ref := []string{key, "https://acme.example/browse/" + key, "feature/" + strings.ToLower(key) + "-export"}[len(took)%3]
		from := time.Now()
		res, err := session.CallTool(context.Background(), &mcp.CallToolParams{Name: "get_ticket_context", Arguments: map[string]any{"ticket": ref}})
		took = append(took, time.Since(from))
		if err != nil || res.IsError {
			b.Fatal(err, res)
		}
		data, err := json.Marshal(res.StructuredContent)
		if err != nil {
			b.Fatal(err)
		}
		largest = max(largest, feedback.Tokens(string(data))+feedback.Tokens(res.Content[0].(*mcp.TextContent).Text))
	}
	slices.Sort(took)
	for _, p := range []int{50, 95, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(float64(largest), "tokens")
	if largest >= brief.DefaultBudget+1 {
		b.Errorf("an answer has %d tokens", largest)
	}
}

// bearer sends a token with every request.
type bearer string

func (t bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(t))
	return http.DefaultTransport.RoundTrip(r)
}

func fillBench(b *testing.B, db *store.DB) {
	b.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	insert := func(table string, columns []string, n int, row func(i int) []any) {
		const batch = 10_000
		for from := 0; from < n; from += batch {
			var rows [][]any
			for i := from; i < min(n, from+batch); i++ {
				rows = append(rows, row(i))
			}
			if err := db.Insert(context.Background(), table, columns, rows, ""); err != nil {
				b.Fatal(err)
			}
		}
	}
	item := func(i int) string { return feedback.ID("itm", fmt.Sprint(i)) }
	signal := func(i int) string { return feedback.ID("sig", fmt.Sprint(i)) }
	cluster := func(i int) string { return feedback.ID("clu", fmt.Sprint(i%benchClusters)) }
	random := rand.New(rand.NewPCG(3, 4))
	// As in life, a few clusters hold much and most hold little: the largest has 8 % of all.
	home := make([]int, benchItems)
	sizes, medoids := make([]uint32, benchClusters), make([]int, benchClusters)
	for i := range home {
		u := random.Float64()
		home[i] = int(benchClusters * u * u * u)
		if i < benchClusters {
			home[i] = i
		}
		sizes[home[i]]++
		medoids[home[i]] = i
	}
	vector := func() []float32 {
		v := make([]float32, benchDimensions)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		return v
	}
	kinds, sources := []feedback.Kind{feedback.Bug, feedback.FeatureRequest, feedback.Usability, feedback.Complaint}, []string{"zendesk", "slack", "intercom"}
	areas, segments := []string{"export", "billing", "sign-in", "search", ""}, []string{"enterprise", "startup", "public"}
	words := func(i int) string {
		return fmt.Sprintf("The export of report %d stops after %d rows on Chrome %d and nobody in our finance team notices before the month is closed, which costs us a day.", i%97, 1000+i, 100+i%30)
	}
	said := func(i int) time.Time { return now.Add(-time.Duration(i) * time.Minute) }
	insert("items", []string{"workspace", "id", "revision", "source", "connection", "conversation", "customer", "customer_name", "account_name", "text", "url", "created_at", "updated_at", "accepted_at", "deleted"}, benchItems,
		func(i int) []any {
			return []any{"acme", item(i), uint64(1), sources[i%3], "z", fmt.Sprint(i), fmt.Sprint("cus_", i%benchPeople), fmt.Sprint("Person ", i%benchPeople), fmt.Sprint("Company ", i%benchAccounts), "Hello, " + words(i), "https://z.example/" + fmt.Sprint(i), said(i), said(i), said(i), uint8(0)}
		})
	insert("signals", []string{"workspace", "id", "item", "revision", "kind", "quote", "span_start", "span_end", "severity", "confidence", "area", "space", "vector", "source", "customer", "said_at", "version", "deleted"}, benchItems,
		func(i int) []any {
			return []any{"acme", signal(i), item(i), uint64(1), string(kinds[i%4]), words(i), uint32(7), uint32(7 + len(words(i))), float32(0.6), float32(0.3 + 0.7*random.Float64()), areas[i%5], "bench", vector(), sources[i%3], fmt.Sprint("cus_", i%benchPeople), said(i), uint64(1), uint8(0)}
		})
	insert("assignments", []string{"workspace", "signal", "cluster", "item", "customer", "account", "kind", "severity", "said_at", "similarity", "decided_by", "version", "deleted"}, benchItems,
		func(i int) []any {
			return []any{"acme", signal(i), cluster(home[i]), item(i), fmt.Sprint("cus_", i%benchPeople), fmt.Sprint("acc_", i%benchAccounts), string(kinds[i%4]), float32(0.6), said(i), float32(0.8), "machine", uint64(1), uint8(0)}
		})
	insert("accounts", []string{"workspace", "id", "name", "value", "currency", "segment", "version", "deleted"}, benchAccounts,
		func(i int) []any {
			return []any{"acme", fmt.Sprint("acc_", i), fmt.Sprint("Company ", i), float64(1000 * (i + 1)), "EUR", segments[i%3], uint64(1), uint8(0)}
		})
	insert("clusters", []string{"workspace", "id", "name", "status", "kind", "sources", "medoid", "signals", "items", "voices", "reach", "worth", "as_of", "first_seen", "last_seen", "space", "centroid", "position", "version"}, benchClusters,
		func(i int) []any {
			return []any{"acme", cluster(i), fmt.Sprintf("Export of report %d stops", i), "open", string(kinds[i%4]), map[string]uint32{sources[i%3]: sizes[i]}, signal(medoids[i]), sizes[i], sizes[i], sizes[i],
				float64(sizes[i]), 1000 * float64(sizes[i]), now, now, now, "bench", vector(), uint64(1), uint64(1)}
		})
	insert("watermarks", []string{"workspace", "position", "as_of", "version"}, 1, func(int) []any { return []any{"acme", uint64(benchItems), now, uint64(1)} })
	insert("tickets", []string{"workspace", "tracker", "key", "title", "body", "status", "category", "url", "created_at", "updated_at", "version", "deleted"}, benchTickets,
		func(i int) []any {
			return []any{"acme", "jira", fmt.Sprintf("PROJ-%d", i+1), "Export stops half way", strings.Repeat("Customers say so. ", 40), "In Progress", "in_progress", fmt.Sprintf("https://acme.example/browse/PROJ-%d", i+1), now, now, uint64(2), uint8(0)}
		})
	insert("ticket_moves", []string{"workspace", "tracker", "key", "version", "status", "category", "revision", "at"}, benchTickets,
		func(i int) []any {
			return []any{"acme", "jira", fmt.Sprintf("PROJ-%d", i+1), uint64(2), "In Progress", "in_progress", uint64(1 + i%2), now}
		})
	insert("attachments", []string{"workspace", "tracker", "ticket", "cluster", "mode", "score", "reasons", "at", "version", "deleted"}, 2*benchTickets,
		func(i int) []any {
			return []any{"acme", "jira", fmt.Sprintf("PROJ-%d", i/2+1), cluster(i), []string{"automatic", "suggested"}[i%2], 0.9, []string{words(i)}, now, uint64(1), uint8(0)}
		})
	insert("briefs", []string{"workspace", "tracker", "ticket", "revision", "hash", "material", "changes", "body", "position", "created_at"}, 2*benchTickets,
		func(i int) []any {
			ticket, revision := i/2, uint64(1+i%2)
			body := brief.Brief{Workspace: "acme", Tracker: feedback.Jira, Ticket: fmt.Sprintf("PROJ-%d", ticket+1), Title: "Export stops half way", Status: "In Progress", Category: feedback.InProgress,
				Revision: revision, AsOf: now, Position: benchItems, Asking: brief.Asking{Voices: 40, Accounts: 12, Worth: []brief.Money{{Amount: 480000, Currency: "EUR"}}},
				Severity: brief.Severity{Level: "high"}, Trend: brief.Trend{Word: "rising"}, FirstSeen: now, LastSeen: now,
				Clusters: []brief.Cluster{{ID: cluster(ticket), Name: "Export of report stops", Rank: 3, Of: benchClusters, Voices: 40, Mode: feedback.Automatic}}}
			for q := range benchQuotes - 4*int(2-revision) {
				n := (ticket*benchQuotes + q*benchClusters + ticket) % benchItems
				quote := brief.Quote{Signal: signal(n), Item: item(n), Cluster: cluster(ticket), Kind: feedback.Bug, Text: words(n), Start: 7, End: 7 + len(words(n)), Source: feedback.Zendesk,
					URL: "https://z.example/" + fmt.Sprint(n), Customer: fmt.Sprint("cus_", n%20000), Name: fmt.Sprint("Person ", n%20000), Account: fmt.Sprint("Company ", n%900), SaidAt: said(n)}
				body.VoiceIDs = append(body.VoiceIDs, quote.Customer)
				switch {
				case q < 3:
					body.Need = append(body.Need, quote)
				case q < 22:
					body.Quotes = append(body.Quotes, quote)
				default:
					body.EdgeCases = append(body.EdgeCases, brief.EdgeCase{Facet: "platform", Value: fmt.Sprint("Chrome ", 100+n%30), Voices: 2, Quote: quote})
				}
			}
			raw, err := json.Marshal(body)
			if err != nil {
				b.Fatal(err)
			}
			return []any{"acme", "jira", body.Ticket, revision, fmt.Sprint(i), uint8(1), []string{"2 new voices"}, string(raw), uint64(benchItems), now}
		})
}
