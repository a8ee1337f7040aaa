package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// texts is how much of the bundled feedback the tests play: all of it.
const texts = 640

// webhooksOfTheStory is how many the demo's story sends: all feedback twice, and the tickets.
const webhooksOfTheStory = 2*texts + 12

// The same story, told to every shape, comes to the same world, with one block in each ticket
// however often the webhooks come, and whoever is killed meanwhile.
func TestEveryShapeDoesTheSame(t *testing.T) {
	t.Parallel()
	var want demo.Result
	for _, shape := range []struct {
		name  string
		start func(*testing.T) *shape
		then  func(*testing.T, *shape)
	}{
		{"all-in-one", func(t *testing.T) *shape { return allInOne(t) }, func(*testing.T, *shape) {}},
		{"four services", func(t *testing.T) *shape { return fourServices(t) }, func(t *testing.T, s *shape) {
			s.sqlAgreesWithTheAPI(t)
			s.rebuildsFromTheLog(t)
		}},
		{"replicas", func(t *testing.T) *shape { return replicas(t, webhooksOfTheStory) }, func(t *testing.T, s *shape) {
			s.sqlAgreesWithTheAPI(t)
			s.eachOnce(t)
		}},
	} {
		t.Run(shape.name, func(t *testing.T) {
			s := shape.start(t)
			got, err := s.play(texts).Run(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Check(); err != nil {
				t.Error(err)
			}
			if got.Items == 0 {
				t.Error("no feedback items")
			}
			s.askOverMCP(t)
			if want.Items == 0 {
				want = got
			}
			same(t, want, got)
			shape.then(t, s)
		})
	}
}

// A kill -9 half way, and everything sent again, changes nothing.
func TestKillHalfWayChangesNothing(t *testing.T) {
	t.Parallel()
	clean := allInOne(t)
	want, err := clean.play(texts).Run(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	clean.programs["throughline"].stop(t)

	killed := allInOne(t)
	p := killed.play(texts)
	if err := p.Sender.Put(deadline(t), "/v1/accounts", demo.Accounts()); err != nil {
		t.Fatal(err)
	}
	deliveries, err := p.Deliveries()
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, cut := range []int{texts / 4, texts / 2} {
		if err := p.Sender.SendAll(deadline(t), deliveries[sent:cut], func() { sent++ }); err != nil {
			t.Fatal(err)
		}
		killed.programs["throughline"].kill()
		killed.restart(t, "throughline")
	}
	got, err := killed.play(texts).Run(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	same(t, want, got)
}

// same compares what two runs came to: every cluster with its id, name, rank and score, and
// the number of items.
func same(t *testing.T, want, got demo.Result) {
	t.Helper()
	if want.Items != got.Items {
		t.Errorf("%d feedback items and %d", want.Items, got.Items)
	}
	if len(want.Clusters) != len(got.Clusters) {
		t.Fatalf("%d clusters and %d", len(want.Clusters), len(got.Clusters))
	}
	for i, w := range want.Clusters {
		g := got.Clusters[i]
		if w.ID != g.ID || w.Name != g.Name || w.Signals != g.Signals || w.Voices != g.Voices || math.Abs(w.Score-g.Score) > 1e-9 {
			t.Errorf("rank %d: %s %q %d signals %.4f, and %s %q %d signals %.4f", i+1, w.ID, w.Name, w.Signals, w.Score, g.ID, g.Name, g.Signals, g.Score)
		}
	}
}

type place struct {
	ID    string
	Terms map[string]float64
}

// apiOrder reads the ranking from the API.
func (s *shape) apiOrder(t *testing.T) []place {
	t.Helper()
	var page struct {
		Items []struct {
			ID    string             `json:"id"`
			Score float64            `json:"score"`
			Terms map[string]float64 `json:"terms"`
		} `json:"items"`
	}
	if err := s.play(0).Sender.Get(t.Context(), "/v1/clusters?limit=200", &page); err != nil {
		t.Fatal(err)
	}
	var out []place
	for _, c := range page.Items {
		out = append(out, place{c.ID, map[string]float64{"score": c.Score, "reach": c.Terms["reach"], "worth": c.Terms["worth"], "severity": c.Terms["severity"], "momentum": c.Terms["momentum"]}})
	}
	return out
}

// documented is the query that schemas/README.md shows.
func documented(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "schemas", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(b), "```sql\n")
	query, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatal("schemas/README.md shows no query of the ranking")
	}
	return query
}

// watermark is the input that the ranking is as of.
func (s *shape) watermark(t *testing.T) uint64 {
	t.Helper()
	clusters := struct {
		Items []struct {
			Watermark uint64 `json:"watermark"`
		} `json:"items"`
	}{}
	if err := s.play(0).Sender.Get(t.Context(), "/v1/clusters?limit=1", &clusters); err != nil || len(clusters.Items) == 0 {
		t.Fatalf("no cluster is ranked: %v", err)
	}
	return clusters.Items[0].Watermark
}

// sqlAgreesWithTheAPI compares the documented query with the API, at the same watermark.
func (s *shape) sqlAgreesWithTheAPI(t *testing.T) {
	t.Helper()
	for ctx := deadline(t); ; {
		before := s.watermark(t)
		differences := s.compare(t)
		if s.watermark(t) == before || ctx.Err() != nil {
			for _, d := range differences {
				t.Error(d)
			}
			return
		}
	}
}

// store opens the engine from outside.
func (s *shape) store(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Addr: []string{s.sql.addr}, Database: "throughline", Username: "throughline", Password: s.sql.password})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// compare lists where the documented query and the API differ just now.
func (s *shape) compare(t *testing.T) (differences []string) {
	t.Helper()
	db := s.store(t)
	defer db.Close()
	rows, err := db.Conn().Query(t.Context(), documented(t))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	api := s.apiOrder(t)
	n := 0
	for ; rows.Next(); n++ {
		var rank uint64
		var id string
		terms := make([]float64, 5)
		if err := rows.Scan(&rank, &id, &terms[0], &terms[1], &terms[2], &terms[3], &terms[4]); err != nil {
			t.Fatal(err)
		}
		if n >= len(api) || api[n].ID != id {
			return append(differences, fmt.Sprintf("place %d differs between SQL and the API", n+1))
		}
		for i, term := range []string{"score", "reach", "worth", "severity", "momentum"} {
			if math.Abs(api[n].Terms[term]-terms[i]) > 1e-9 {
				differences = append(differences, fmt.Sprintf("%s of place %d is %g in SQL and %g in the API", term, n+1, terms[i], api[n].Terms[term]))
			}
		}
	}
	if n != len(api) || n == 0 {
		differences = append(differences, fmt.Sprintf("%d clusters in SQL and %d in the API", n, len(api)))
	}
	return differences
}

// rebuildsFromTheLog deletes the clusterer's snapshot and lets it start again.
func (s *shape) rebuildsFromTheLog(t *testing.T) {
	t.Helper()
	before := s.apiOrder(t)
	s.programs["clusterer"].stop(t)
	nc, err := nats.Connect(s.sql.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bus.BucketSnapshots)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(t.Context(), "demo"); err != nil {
		t.Fatalf("the clusterer saved no snapshot when it stopped: %v", err)
	}
	if err := kv.Purge(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	s.restart(t, "clusterer")
	if got := s.apiOrder(t); !reflect.DeepEqual(got, before) {
		t.Errorf("the ranking changed when the world was rebuilt:\n%v\n%v", before, got)
	}
	s.sqlAgreesWithTheAPI(t)
	// One more word from a customer shows that the rebuilt world is the one that goes on.
	d := demo.Feedback(1, demo.Text{ID: "after-rebuild", Text: "The shuffle button plays the same ten songs again and again"}, at, demo.Accounts())
	if err := s.play(0).Sender.Send(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.play(0).Settle(deadline(t)); err != nil {
		t.Fatal(err)
	}
	after := map[string]bool{}
	for _, p := range s.apiOrder(t) {
		after[p.ID] = true
	}
	kept := 0
	for _, p := range before {
		if after[p.ID] {
			kept++
		}
	}
	// The newcomer may merge two clusters; it cannot rename them all.
	if kept < len(before)-2 {
		t.Errorf("%d of %d clusters kept their id", kept, len(before))
	}
	s.sqlAgreesWithTheAPI(t)
}

// askOverMCP lets the real client from npm list the tools and read a ticket's brief, over HTTP
// and over standard input and output.
func (s *shape) askOverMCP(t *testing.T) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", ".cache", "mcpclient"))
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range [][]string{
		{"http", s.url + "/mcp", demo.Secrets["DEMO_TOKEN"], "PLAY-101"},
		{"stdio", "PLAY-101", binary(t, "throughline"), "mcp", "--url", s.url, "--token", demo.Secrets["DEMO_TOKEN"]},
	} {
		cmd := exec.CommandContext(deadline(t), "node", append([]string{filepath.Join(dir, "client.mjs")}, transport...)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("the MCP client over %s: %v (run `make mcp-client` if it is missing)\n%s", transport[0], err, errs.String())
		}
		var answer struct {
			Tools []string `json:"tools"`
			Brief string   `json:"brief"`
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("the MCP client over %s printed no JSON: %v", transport[0], err)
		}
		if len(answer.Tools) == 0 || !strings.Contains(answer.Brief, "PLAY-101") {
			t.Errorf("over %s: tools %v, brief of %d bytes", transport[0], answer.Tools, len(answer.Brief))
		}
	}
}

// What is not a vendor's signed delivery is answered with a 4xx problem document and stores
// nothing.
func TestBadInputIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := allInOne(t)
	secret := demo.Feedback(0, demo.Text{ID: "x", Text: "words"}, at, demo.Accounts())
	deep := bytes.Repeat([]byte(`{"a":`), 200)
	deep = append(append(deep, '1'), bytes.Repeat([]byte("}"), 200)...)
	for name, c := range map[string]struct {
		path   string
		body   []byte
		signed bool
		want   []int
	}{
		"no signature":       {"/webhooks/demo-slack", secret.Body, false, []int{401}},
		"unknown connection": {"/webhooks/nobody", secret.Body, false, []int{404}},
		"not JSON":           {"/webhooks/demo-slack", []byte("hello"), true, []int{400, 415, 422}},
		"another vendor's":   {"/webhooks/demo-slack", demo.Feedback(1, demo.Text{ID: "x", Text: "words"}, at, demo.Accounts()).Body, true, []int{400, 422}},
		"ten megabytes":      {"/webhooks/demo-slack", bytes.Repeat([]byte("a"), 10<<20), true, []int{413}},
		"NUL bytes":          {"/webhooks/demo-slack", []byte("{\"type\":\"event_callback\x00\"}"), true, []int{400, 422}},
		"broken UTF-8":       {"/webhooks/demo-slack", []byte("{\"type\":\"\xff\xfe\"}"), true, []int{400, 422}},
		"deep nesting":       {"/webhooks/demo-slack", deep, true, []int{400, 422}},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+c.path, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if c.signed {
			s.play(0).Sender.Sign(r, demo.Request{Vendor: "slack"}, c.body)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		ok := false
		for _, w := range c.want {
			ok = ok || res.StatusCode == w
		}
		if !ok || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %s", name, res.StatusCode, res.Header.Get("Content-Type"), b)
		}
	}
	var page struct{ Items []any }
	if err := s.play(0).Sender.Get(t.Context(), "/v1/feedback", &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 0 {
		t.Errorf("%d items were stored", len(page.Items))
	}
	res, err := http.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "throughline_ingestor_refused_total{") {
		t.Error("what was refused is not counted")
	}
}
