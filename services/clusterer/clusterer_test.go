package clusterer_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/clusterer"
)

func TestMain(m *testing.M) {
	if servers := os.Getenv(childVariable); servers != "" {
		if err := child(servers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	storetest.Main(m)
}

const workspace = "acme"

var start = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)

// fixture is a clusterer's surroundings: the streams before and after it and the store.
type fixture struct {
	bus    *bus.Bus
	db     *store.DB
	worlds <-chan bus.Message
	r      *rand.Rand
}

func setup(t *testing.T) *fixture {
	t.Helper()
	b := bustest.New(t)
	return &fixture{b, storetest.New(t), bustest.Collect(t, b, bus.Worlds, "worlds.>"), rand.New(rand.NewPCG(1, 1))}
}

// run starts a clusterer and returns how to stop it.
func (f *fixture) run(t *testing.T, holder string) (stop func()) {
	t.Helper()
	s, err := clusterer.New(clusterer.Config{Workspaces: []string{workspace}, GapWait: 2 * time.Second, SnapshotEvery: 10}, clusterer.Deps{
		Bus: f.bus, Store: f.db, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Holder: holder,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// item publishes an item event, as the ingestor does, and returns its sequence.
func (f *fixture) item(t testing.TB, n int) uint64 {
	t.Helper()
	e, err := event.New(event.ItemReceived, "ingestor", workspace, fmt.Sprint(n), fmt.Sprintf("item:%d:1", n), start, event.Item{Item: feedback.Item{ID: fmt.Sprintf("itm_%d", n), Workspace: workspace, Revision: 1}})
	if err != nil {
		t.Fatal(err)
	}
	sequence, err := f.bus.Publish(t.Context(), bus.Subject("items", workspace), e)
	if err != nil {
		t.Fatal(err)
	}
	return sequence
}

// result publishes the classifier's answer to an item.
func (f *fixture) result(t testing.TB, n int, sequence uint64) {
	t.Helper()
	v := make(feedback.Vector, 16)
	v[n%3] = 1
	for i := range v {
		v[i] += float32(f.r.NormFloat64() * 0.05)
	}
	at := start.Add(time.Duration(n) * time.Hour)
	item := fmt.Sprintf("itm_%d", n)
	e, err := event.New(event.ItemClassified, "classifier", workspace, item, fmt.Sprintf("classified:%d", sequence), at, event.Classified{
		Origin: event.Origin{AcceptedAt: at}, ItemSequence: sequence,
		Item: &event.ItemHead{ID: item, Revision: 1, Source: feedback.Zendesk, CreatedAt: at, UpdatedAt: at,
			Customer: feedback.Customer{ID: fmt.Sprintf("cus_%d", n%20)}, Account: feedback.AccountRef{ID: fmt.Sprintf("acc_%d", n%5)}},
		Signals: []feedback.Signal{{ID: "sig_" + item, Item: item, Revision: 1, Kind: feedback.Bug, Quote: fmt.Sprintf("words %d of topic%d", n, n%3),
			Severity: float64(n%4) / 4, Space: "test/16", Vector: v}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bus.Publish(t.Context(), bus.Subject("signals", workspace), e); err != nil {
		t.Fatal(err)
	}
}

// await reads world events until a position was told, checking that none is missing.
func (f *fixture) await(t testing.TB, from, to uint64) {
	t.Helper()
	for p := from; p <= to; p++ {
		w, err := event.Payload[event.World](bustest.Await(t, f.worlds).Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if w.Position != p {
			t.Fatalf("position %d was told where %d was due", w.Position, p)
		}
	}
}

// clusters reads which cluster each signal is in.
func (f *fixture) clusters(t *testing.T) map[string]string {
	t.Helper()
	rows, err := f.db.Conn().Query(t.Context(), "SELECT signal, cluster FROM assignments FINAL WHERE workspace = ?", workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var signal, cluster string
		if err := rows.Scan(&signal, &cluster); err != nil {
			t.Fatal(err)
		}
		out[signal] = cluster
	}
	return out
}

func TestResultsAreTakenInTheOrderOfTheItems(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	var sequences []uint64
	for n := range 20 {
		sequences = append(sequences, f.item(t, n))
	}
	for n := len(sequences) - 1; n >= 0; n-- { // the classifiers raced
		f.result(t, n, sequences[n])
	}
	f.await(t, 1, 20)
	rows, err := f.db.Conn().Query(t.Context(), "SELECT id FROM inputs FINAL WHERE workspace = ? ORDER BY position", workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("itm_%d", n); id != want {
			t.Errorf("place %d was taken by %s", n, id)
		}
	}
}

func TestGapIsPassedOverAndItsLateResultStillTaken(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	missing := f.item(t, 0)
	f.result(t, 1, f.item(t, 1))
	f.await(t, 1, 1)
	f.result(t, 0, missing)
	f.result(t, 2, f.item(t, 2))
	f.await(t, 2, 3)
	if got := f.clusters(t); len(got) != 3 {
		t.Errorf("%d signals have a cluster", len(got))
	}
}

func TestRestartAndRebuildKeepEveryIdAndRank(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stop := f.run(t, "one")
	for n := range 45 {
		f.result(t, n, f.item(t, n))
	}
	f.await(t, 1, 45)
	before, ranks := f.clusters(t), f.ranking(t)
	stop()
	stop = f.run(t, "two") // from the snapshot
	f.result(t, 45, f.item(t, 45))
	f.await(t, 46, 46)
	stop()
	kv, err := f.bus.Bucket(t.Context(), bus.BucketSnapshots)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(t.Context(), workspace); err != nil {
		t.Fatal(err)
	}
	f.run(t, "three") // from the log alone
	f.result(t, 46, f.item(t, 46))
	f.await(t, 47, 47)
	after := f.clusters(t)
	for signal, cluster := range before {
		if after[signal] != cluster {
			t.Errorf("%s went from %s to %s", signal, cluster, after[signal])
		}
	}
	if len(after) != 47 {
		t.Errorf("%d signals have a cluster", len(after))
	}
	if again := f.ranking(t); len(again) < len(ranks) {
		t.Errorf("%d clusters are ranked, %d were", len(again), len(ranks))
	}
}

type ranked struct {
	id    string
	terms rank.Terms
}

// ranking reads the documented query.
func (f *fixture) ranking(t *testing.T) []ranked {
	t.Helper()
	rows, err := f.db.Conn().Query(t.Context(), `
		SELECT id, term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, score, rank
		FROM ranked_clusters WHERE workspace = ? ORDER BY rank`, workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []ranked
	for rows.Next() {
		var r ranked
		var place uint64
		if err := rows.Scan(&r.id, &r.terms.Reach, &r.terms.Worth, &r.terms.Severity, &r.terms.Momentum, &r.terms.Churn, &r.terms.Boost, &r.terms.Score, &place); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
		if int(place) != len(out) {
			t.Errorf("%s is in place %d of the order and has rank %d", r.id, len(out), place)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// The view does in SQL what package rank does in Go.
func TestSQLAgreesWithTheFormula(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	e, err := event.New(event.ItemClassified, "classifier", workspace, "acc_1", "classified:account", start, event.Classified{
		ItemSequence: f.item(t, 1000), Account: &feedback.Account{ID: "acc_1", Value: 42_000},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bus.Publish(t.Context(), bus.Subject("signals", workspace), e); err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		f.result(t, n, f.item(t, n))
	}
	f.await(t, 1, 61)
	var now time.Time
	var since time.Time
	if err := f.db.Conn().QueryRow(t.Context(), "SELECT as_of, since FROM watermarks FINAL WHERE workspace = ?", workspace).Scan(&now, &since); err != nil {
		t.Fatal(err)
	}
	order := f.ranking(t)
	if len(order) < 3 {
		t.Fatalf("%d clusters", len(order))
	}
	for i, r := range order {
		var in rank.Inputs
		var people, churning uint32
		err := f.db.Conn().QueryRow(t.Context(), "SELECT reach, worth, severity_sum, people, churning, fast, slow, boost, as_of FROM clusters FINAL WHERE workspace = ? AND id = ?", workspace, r.id).
			Scan(&in.Reach, &in.Worth, &in.SeveritySum, &people, &churning, &in.Fast, &in.Slow, &in.Boost, &in.AsOf)
		if err != nil {
			t.Fatal(err)
		}
		in.People, in.Churning, in.Since = int(people), int(churning), since
		want := rank.Score(in.At(now), rank.DefaultWeights)
		for _, d := range []float64{want.Reach - r.terms.Reach, want.Worth - r.terms.Worth, want.Severity - r.terms.Severity, want.Momentum - r.terms.Momentum, want.Churn - r.terms.Churn, want.Boost - r.terms.Boost, want.Score - r.terms.Score} {
			if math.Abs(d) > 1e-9 {
				t.Fatalf("%s: SQL %+v, Go %+v", r.id, r.terms, want)
			}
		}
		if i > 0 && order[i-1].terms.Score < r.terms.Score {
			t.Errorf("place %d scores more than place %d", i+1, i)
		}
	}
}

// A spreadsheet gets the same table from the rows of rank_days alone: the cells as they are
// printed, and the formula as decision 0005 has it.
func TestSpreadsheetReproducesTheRankTable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	for n := range 80 {
		f.result(t, n, f.item(t, n))
	}
	f.await(t, 1, 80)
	rows, err := f.db.Conn().Query(t.Context(), `SELECT toString(day), toString(place), toString(score), toString(reach), toString(worth), toString(severity_sum), toString(people),
		toString(churning), toString(fast), toString(slow), toString(term_boost), arrayStringConcat(arrayMap(x -> toString(x), weights), ' '),
		toString(greatest(1, dateDiff('second', (SELECT since FROM watermarks FINAL WHERE workspace = ?), toDateTime(day + 1, 'UTC')) / 86400))
		FROM rank_days FINAL WHERE workspace = ? ORDER BY day, place`, workspace, workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	lastDay, lastScore, place, days := "", 0.0, 0, 0
	for rows.Next() {
		cells := make([]string, 13)
		into := make([]any, len(cells))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		cell := func(i int) float64 {
			x, err := strconv.ParseFloat(cells[i], 64)
			if err != nil {
				t.Fatalf("cell %d is %q", i, cells[i])
			}
			return x
		}
		var w [5]float64
		if n, err := fmt.Sscan(cells[11], &w[0], &w[1], &w[2], &w[3], &w[4]); n != 5 || err != nil {
			t.Fatalf("weights are %q", cells[11])
		}
		people, seen := cell(6), cell(12)
		fast, slow := cell(8)*math.Ln2/3/(1-math.Exp2(-seen/3)), cell(9)*math.Ln2/28/(1-math.Exp2(-seen/28))
		score := w[0]*math.Log(1+cell(3)) + w[1]*math.Log(1+cell(4)/10000) + w[2]*(cell(5)+5*0.3)/(people+5) +
			w[3]*people/(people+5)*min(2, max(-1, math.Log((fast+0.5)/(slow+0.5)))) + w[4]*(cell(7)+5*0.05)/(people+5) + cell(10)
		if math.Abs(score-cell(2)) > 1e-9 {
			t.Errorf("%s, place %s: the sheet says %.9f, the table %s", cells[0], cells[1], score, cells[2])
		}
		if cells[0] != lastDay {
			lastDay, lastScore, place, days = cells[0], math.Inf(1), 0, days+1
		}
		if place++; place != int(cell(1)) || cell(2) > lastScore {
			t.Errorf("%s: place %s follows %d", cells[0], cells[1], place-1)
		}
		lastScore = cell(2)
	}
	if err := rows.Err(); err != nil || days < 3 {
		t.Errorf("%d days, %v", days, err)
	}
}

func TestDecisionIsTakenAndKept(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	for n := range 30 {
		f.result(t, n, f.item(t, n))
	}
	f.await(t, 1, 30)
	order := f.ranking(t)
	d := feedback.Decision{ID: "dec_1", Workspace: workspace, Action: feedback.Merge, Cluster: order[1].id, Into: order[0].id, By: "ada", At: start}
	e, err := event.New(event.DecisionMade, "context-publisher", workspace, d.ID, "decision:dec_1", start, event.Decision{Decision: d})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bus.Publish(t.Context(), bus.Subject("decisions", workspace), e); err != nil {
		t.Fatal(err)
	}
	w, err := event.Payload[event.World](bustest.Await(t, f.worlds).Envelope)
	if err != nil || w.Decision != "dec_1" || len(w.Merged) != 1 {
		t.Fatalf("%+v %v", w, err)
	}
	if after := f.ranking(t); len(after) != len(order)-1 {
		t.Errorf("%d clusters after merging two of %d", len(after), len(order))
	}
	var into string
	if err := f.db.Conn().QueryRow(t.Context(), "SELECT merged_into FROM clusters FINAL WHERE workspace = ? AND id = ?", workspace, order[1].id).Scan(&into); err != nil || into != order[0].id {
		t.Errorf("merged into %q, %v", into, err)
	}
}

// What a ticket says of a cluster comes by the bus, and stands in the store and the event; a
// second world of the log, in another space, obeys it, and nothing is written for it.
func TestATicketMovesTheStatusAndAShadowObeysIt(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.run(t, "one")
	for n := range 30 {
		f.result(t, n, f.item(t, n))
	}
	f.await(t, 1, 30)
	first := f.ranking(t)[0].id
	done := start.Add(100 * time.Hour)
	e, err := event.New(event.TicketAttached, "context-publisher", workspace, "PROJ-1", "attached:1", done, event.Attached{
		Tracker: feedback.Jira, Ticket: "PROJ-1", Category: feedback.Done, At: done, Clusters: []string{first}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bus.Publish(t.Context(), bus.Subject("attached", workspace), e); err != nil {
		t.Fatal(err)
	}
	w, err := event.Payload[event.World](bustest.Await(t, f.worlds).Envelope)
	if err != nil || len(w.Statuses) != 1 || w.Statuses[0] != (event.Status{Cluster: first, Status: feedback.StatusShipped, Previous: feedback.StatusOpen}) {
		t.Fatalf("told %+v, %v", w, err)
	}
	var status string
	var since time.Time
	if err := f.db.Conn().QueryRow(t.Context(), "SELECT status, status_since FROM ranked_clusters WHERE workspace = ? AND id = ?", workspace, first).Scan(&status, &since); err != nil {
		t.Fatal(err)
	}
	if status != "shipped" || !since.Equal(done) {
		t.Errorf("the store says %s since %s", status, since)
	}
	before := f.clusters(t)
	taken := uint64(0)
	d, err := clusterer.Shadow(t.Context(), f.db, workspace, config.Rank{}, config.Rank{Weights: map[string]float64{"reach": 0}}, embed.Lexical(), func(now, of uint64) {
		if taken = now; of != 31 {
			t.Errorf("of %d inputs", of)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if taken != 31 || d.Inputs != 31 || d.Signals != 30 || d.Before != 3 || d.After == 0 {
		t.Errorf("after %d inputs the difference is %+v", taken, d)
	}
	if !reflect.DeepEqual(before, f.clusters(t)) {
		t.Error("a shadow changed the store")
	}
}
