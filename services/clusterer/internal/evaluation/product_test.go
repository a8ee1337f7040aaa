package evaluation

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed"
)

// TestReviewsOfOneProductFallIntoManySubjects holds what a small world of one
// product looks like: its subjects run into one another, and must neither end
// up in a few giants nor in crumbs.
func TestReviewsOfOneProductFallIntoManySubjects(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..", "..")
	input, err := os.Open(filepath.Join(root, "services", "standalone", "internal", "demo", "feedback.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	models := os.Getenv("THROUGHLINE_MODELS")
	if models == "" {
		models = filepath.Join(root, ".cache", "models")
	}
	embedder, err := embed.OpenLocal(models, embed.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	report, err := Cluster(context.Background(), input, embedder, &out, options())
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{}
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var r result
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		sizes[r.Cluster]++
	}
	biggest := 0
	for _, size := range sizes {
		biggest = max(biggest, size)
	}
	if len(sizes) < 12 || len(sizes) > 60 || biggest > report.Items*15/100 {
		t.Errorf("%d reviews fell into %d clusters, the biggest of %d", report.Items, len(sizes), biggest)
	}
}
