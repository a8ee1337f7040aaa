package read_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var said = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// world has seven clusters with one to seven voices each.
func world(t *testing.T) (*worldtest.World, *read.Reader) {
	t.Helper()
	w := worldtest.New("acme", storetest.New(t), nil)
	var all []worldtest.Saying
	for c := range 7 {
		for v := range c + 1 {
			kind := feedback.Bug
			if c%2 == 1 {
				kind = feedback.FeatureRequest
			}
			all = append(all, worldtest.Saying{Cluster: fmt.Sprintf("clu_%d", c), Customer: fmt.Sprintf("Customer %d of %d", v, c), Account: fmt.Sprint("a", v), Kind: kind,
				Text: fmt.Sprintf("Need number %d is not met, says voice %d. Zażółć.", c, v), At: said.Add(time.Duration(10*c+v) * time.Minute), Severity: 0.5})
		}
	}
	w.Say(t, all...)
	r, err := read.New(t.Context(), w.DB, bustest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	return w, r
}

// pages walks a list to its end and returns what it gave.
func pages[T any](t *testing.T, page func(cursor string) (read.Page[T], error)) []T {
	t.Helper()
	var out []T
	for cursor := ""; ; {
		p, err := page(cursor)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Items...)
		if cursor = p.NextCursor; cursor == "" {
			return out
		}
	}
}

func TestClustersAreRankedFilteredAndPaged(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	all := pages(t, func(c string) (read.Page[read.Cluster], error) {
		return r.Clusters(t.Context(), "acme", read.ClusterQuery{Limit: 3, Cursor: c})
	})
	if len(all) != 7 {
		t.Fatalf("%d clusters", len(all))
	}
	for i, c := range all {
		sum := c.Terms.Reach + c.Terms.Worth + c.Terms.Severity + c.Terms.Momentum + c.Terms.Churn + c.Terms.Boost
		if c.Rank != uint32(i+1) || i > 0 && c.Score > all[i-1].Score || sum-c.Score > 1e-9 || c.Score-sum > 1e-9 || c.Watermark != 1 {
			t.Errorf("place %d: rank %d, score %f, terms %+v, watermark %d", i+1, c.Rank, c.Score, c.Terms, c.Watermark)
		}
		if len(c.Quotes) == 0 || len(c.Quotes) > 3 || c.Quotes[0].Cluster != c.ID || c.Quotes[0].Customer.Name == "" {
			t.Errorf("%s has quotes %+v", c.ID, c.Quotes)
		}
	}
	if first := all[0]; first.ID != "clu_6" || first.Voices != 7 || first.Accounts != 7 {
		t.Errorf("first is %+v", first)
	}
	requests, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{Kind: "feature_request"})
	if err != nil || len(requests.Items) != 3 {
		t.Errorf("%d requests (%v)", len(requests.Items), err)
	}
	found, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{Q: "NEED NUMBER 4"})
	if err != nil || len(found.Items) != 1 || found.Items[0].ID != "clu_4" || found.Items[0].Rank != 3 {
		t.Errorf("searching found %+v (%v)", found.Items, err)
	}
	if none, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{Q: `x' OR 1=1 --`}); err != nil || len(none.Items) != 0 {
		t.Errorf("a quote in the search: %d clusters (%v)", len(none.Items), err)
	}
	if ignored, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{Status: "ignored"}); err != nil || len(ignored.Items) != 0 {
		t.Errorf("ignored: %d (%v)", len(ignored.Items), err)
	}
	for _, cursor := range []string{"x", "bm90IGpzb24", "WyJhIl0", "W10"} {
		if _, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{Cursor: cursor}); err != read.ErrCursor {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func TestClustersAreFilteredByWhatOneSignalMeets(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	accounts := []string{"workspace", "id", "name", "segment", "version", "deleted"}
	insert(t, w, "accounts", accounts, []any{"acme", "a3", "Three", "enterprise", uint64(1), uint8(0)}, []any{"acme", "a6", "Six", "enterprise", uint64(1), uint8(0)},
		[]any{"acme", "a0", "None", "", uint64(1), uint8(0)}, []any{"other", "x", "Theirs", "public", uint64(1), uint8(0)})
	// The first signal of clu_6 is judged again: it is about exports.
	insert(t, w, "signals", []string{"workspace", "id", "item", "kind", "quote", "area", "source", "customer", "said_at", "version", "deleted"},
		[]any{"acme", w.SignalID(21), w.ItemID(21), "bug", "Need number 6 is not met, says voice 0. Zażółć.", "export", "zendesk", "c", said, uint64(1 << 20), uint8(0)})
	for _, c := range []struct {
		about string
		query read.ClusterQuery
		want  string
	}{
		{"a segment", read.ClusterQuery{Segment: "enterprise"}, "clu_6 2, clu_5 1, clu_4 1, clu_3 1"},
		{"a segment and words", read.ClusterQuery{Segment: "enterprise", Q: "says VOICE 6"}, "clu_6 1"},
		{"a segment, and words of somebody else", read.ClusterQuery{Segment: "enterprise", Q: "number 2"}, ""},
		{"words", read.ClusterQuery{Q: "voice 5"}, "clu_6 1, clu_5 1"},
		{"an area", read.ClusterQuery{Area: "export"}, "clu_6 1"},
		{"an area of another segment", read.ClusterQuery{Area: "export", Segment: "enterprise"}, ""},
		{"a source", read.ClusterQuery{Source: "zendesk", Limit: 1}, "clu_6 7"},
		{"another source", read.ClusterQuery{Source: "slack"}, ""},
		{"a time", read.ClusterQuery{Since: said.Add(64 * time.Minute)}, "clu_6 3"},
		{"a time and a kind", read.ClusterQuery{Since: said.Add(54 * time.Minute), Kind: "feature_request"}, "clu_5 2"},
		{"open ones", read.ClusterQuery{Status: "open", Limit: 1}, "clu_6 0"},
	} {
		page, err := r.Clusters(t.Context(), "acme", c.query)
		if err != nil {
			t.Fatal(c.about, err)
		}
		var got []string
		for _, x := range page.Items {
			got = append(got, fmt.Sprint(x.ID, " ", x.Matching))
			if x.Status != "open" {
				t.Errorf("%s has the status %s", x.ID, x.Status)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %q, want %q", c.about, s, c.want)
		}
	}
	f, err := r.Facets(t.Context(), "acme")
	if err != nil || fmt.Sprint(f) != "{[export] [enterprise]}" {
		t.Errorf("%v, %v", f, err)
	}
	if f, err := r.Facets(t.Context(), "globex"); err != nil || len(f.Areas)+len(f.Segments) != 0 {
		t.Errorf("another workspace: %v, %v", f, err)
	}
}

func TestWhatIsNearACluster(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	similar, err := r.Similar(t.Context(), "acme", "clu_2", 3)
	if err != nil || len(similar) != 3 || similar[0].ID == "clu_2" || similar[0].Similarity < similar[2].Similarity || similar[0].Similarity < 0.5 {
		t.Errorf("%+v, %v", similar, err)
	}
	insert(t, w, "signals", []string{"workspace", "id", "item", "kind", "quote", "platform", "app_version", "customer", "said_at", "version", "deleted"},
		[]any{"acme", w.SignalID(21), w.ItemID(21), "bug", "q", "android", "2.1", "c1", said, uint64(1 << 20), uint8(0)},
		[]any{"acme", w.SignalID(22), w.ItemID(22), "bug", "q", "android", "", "c2", said, uint64(1 << 20), uint8(0)})
	facts, err := r.Facts(t.Context(), "acme", "clu_6")
	if err != nil || len(facts) != 2 || facts[0].Facet != "platform" || facts[0].Voices != 2 || facts[1].Value != "2.1" || facts[1].Item != w.ItemID(21) {
		t.Errorf("%+v, %v", facts, err)
	}
	if near, err := r.Similar(t.Context(), "globex", "clu_2", 3); err != nil || len(near) != 0 {
		t.Errorf("another workspace: %v, %v", near, err)
	}
	if _, err := r.Facts(t.Context(), "globex", "clu_6"); err != read.ErrNotFound {
		t.Errorf("another workspace: %v", err)
	}
}

func TestSignalsAndFeedbackArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	signals := pages(t, func(c string) (read.Page[read.Signal], error) { return r.Signals(t.Context(), "acme", "clu_6", 3, c) })
	if len(signals) != 7 {
		t.Fatalf("%d signals", len(signals))
	}
	for i, s := range signals {
		if i > 0 && s.SaidAt.After(signals[i-1].SaidAt) || !strings.Contains(s.Quote, "Need number 6") || s.Source != feedback.Zendesk {
			t.Errorf("signal %d is %+v", i, s)
		}
	}
	items := pages(t, func(c string) (read.Page[read.Item], error) {
		return r.Feedback(t.Context(), "acme", read.FeedbackQuery{Limit: 5, Cursor: c})
	})
	if len(items) != 28 {
		t.Fatalf("%d items", len(items))
	}
	some, err := r.Feedback(t.Context(), "acme", read.FeedbackQuery{Q: "ZAŻÓŁĆ", Source: "zendesk", Since: said.Add(time.Hour)})
	if err != nil || len(some.Items) != 7 {
		t.Errorf("%d items since (%v)", len(some.Items), err)
	}
	if one, err := r.Feedback(t.Context(), "acme", read.FeedbackQuery{Customer: items[0].Customer.ID}); err != nil || len(one.Items) != 1 {
		t.Errorf("%d items of one customer (%v)", len(one.Items), err)
	}
	item, err := r.FeedbackItem(t.Context(), "acme", w.ItemID(0))
	if err != nil || len(item.Signals) != 1 || item.Signals[0].Cluster != "clu_0" || item.Text[item.Signals[0].Span.Start:item.Signals[0].Span.End] != item.Signals[0].Quote {
		t.Errorf("item %+v (%v)", item, err)
	}
}

func TestAMergedClusterLeadsToWhatItBecame(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	w.Merge(t, "clu_1", "clu_2")
	w.Merge(t, "clu_2", "clu_3")
	c, err := r.Cluster(t.Context(), "acme", "clu_1")
	if err != nil || c.ID != "clu_3" || c.Voices != 9 || c.Rank == 0 {
		t.Errorf("cluster %+v (%v)", c, err)
	}
	if page, err := r.Signals(t.Context(), "acme", "clu_1", 0, ""); err != nil || len(page.Items) != 9 {
		t.Errorf("%d signals (%v)", len(page.Items), err)
	}
}

func TestNothingOfAnotherWorkspaceIsReadable(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	ctx, other := t.Context(), "other"
	for what, ask := range map[string]func(context.Context) error{
		"cluster":  func(ctx context.Context) error { _, err := r.Cluster(ctx, other, "clu_6"); return err },
		"signals":  func(ctx context.Context) error { _, err := r.Signals(ctx, other, "clu_6", 0, ""); return err },
		"history":  func(ctx context.Context) error { _, err := r.History(ctx, other, "clu_6"); return err },
		"item":     func(ctx context.Context) error { _, err := r.FeedbackItem(ctx, other, w.ItemID(0)); return err },
		"ticket":   func(ctx context.Context) error { _, err := r.Ticket(ctx, other, feedback.Jira, "PROJ-1"); return err },
		"brief":    func(ctx context.Context) error { _, err := r.Brief(ctx, other, feedback.Jira, "PROJ-1", 0); return err },
		"decision": func(ctx context.Context) error { _, _, err := r.Decision(ctx, other, "dec_1"); return err },
	} {
		if err := ask(ctx); err != read.ErrNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	clusters, err := r.Clusters(ctx, other, read.ClusterQuery{})
	if err != nil || len(clusters.Items) != 0 {
		t.Errorf("%d clusters (%v)", len(clusters.Items), err)
	}
	items, err := r.Feedback(ctx, other, read.FeedbackQuery{Q: "need"})
	if err != nil || len(items.Items) != 0 {
		t.Errorf("%d items (%v)", len(items.Items), err)
	}
	if position, _, err := r.Watermark(ctx, other); err != nil || position != 0 {
		t.Errorf("watermark %d (%v)", position, err)
	}
}
