package read_test

import (
	"errors"
	"math"
	"testing"

	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// What is explained is what is ranked, and the counterfactuals are about this cluster.
func TestExplanationAddsUp(t *testing.T) {
	t.Parallel()
	w, r := world(t)
	page, err := r.Clusters(t.Context(), "acme", read.ClusterQuery{})
	if err != nil || len(page.Items) < 3 {
		t.Fatalf("%d clusters, %v", len(page.Items), err)
	}
	for i, c := range page.Items {
		e, err := r.Explain(t.Context(), "acme", c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if e.Rank != int(c.Rank) || e.Of != len(page.Items) || math.Abs(e.Terms.Score-c.Score) > 1e-9 || e.Version != rank.Version {
			t.Errorf("place %d: explained as %+v", c.Rank, e)
		}
		if first := i == 0; first != (len(e.Next) == 0) {
			t.Errorf("place %d needs %+v", c.Rank, e.Next)
		}
		for _, m := range e.More {
			if m.Place >= e.Rank {
				t.Errorf("%+v is no way up from place %d", m, e.Rank)
			}
		}
		for _, l := range e.Without {
			if l.Place < e.Rank {
				t.Errorf("place %d would be %d without an account", e.Rank, l.Place)
			}
		}
	}
	if _, err := r.Explain(t.Context(), "acme", "clu_nobody"); !errors.Is(err, read.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	w.Merge(t, page.Items[1].ID, page.Items[0].ID)
	if e, err := r.Explain(t.Context(), "acme", page.Items[1].ID); err != nil || e.Cluster != page.Items[0].ID {
		t.Errorf("a merged cluster is explained as %q, %v", e.Cluster, err)
	}
	if days, err := r.RankDays(t.Context(), "acme", page.Items[0].ID); err != nil || days == nil {
		t.Errorf("%v %v", days, err)
	}
}
