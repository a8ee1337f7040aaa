package bge_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed/bge"
)

// folder is where the weights are; a test that needs them fails without them.
func folder() string {
	if dir := os.Getenv("THROUGHLINE_MODELS"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", ".cache", "models")
}

func open(t testing.TB, o bge.Options) *bge.Encoder {
	t.Helper()
	e, err := bge.Open(folder(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encode(t testing.TB, e *bge.Encoder, texts ...string) []bge.Encoding {
	t.Helper()
	out, err := e.Encode(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shared is opened once for the tests that need no options of their own.
var shared = sync.OnceValues(func() (*bge.Encoder, error) { return bge.Open(folder(), bge.Options{}) })

func encoder(t testing.TB) *bge.Encoder {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type reference struct {
	Text   string    `json:"text"`
	Pieces []int32   `json:"pieces"`
	Vector []float32 `json:"vector"`
}

// references were computed by ONNX Runtime from the weights in full precision:
// see testdata/reference.py.
func references(t testing.TB) []reference {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []reference
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

func TestVectorsAreThoseOfTheWeightsInFullPrecision(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	for _, want := range references(t) {
		if len(want.Vector) == 0 {
			continue
		}
		if got := cosine(encode(t, e, want.Text)[0].Mean, want.Vector); got < .98 {
			t.Errorf("%q: cosine %.4f", want.Text, got)
		}
	}
}

func TestEveryKernelGivesTheSameBits(t *testing.T) {
	t.Parallel()
	fast, portable := encoder(t), open(t, bge.Options{Portable: true})
	for _, text := range []string{"the export button does nothing on safari", "Café 👍🏽", ""} {
		if !slices.Equal(encode(t, fast, text)[0].Mean, encode(t, portable, text)[0].Mean) {
			t.Errorf("%q has other bits in plain Go", text)
		}
	}
}

// A text of several windows gets the mean over all its pieces.
func TestLongTextIsTheMeanOfItsWindows(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	words := func(n int) string { return strings.TrimSpace(strings.Repeat("the ", n)) }
	v := encode(t, e, words(bge.WindowPieces+32), words(bge.WindowPieces), words(32))
	for i := range v[0].Mean {
		want := (v[1].Mean[i]*(bge.WindowPieces+2) + v[2].Mean[i]*34) / (bge.WindowPieces + 36)
		if math.Abs(float64(v[0].Mean[i]-want)) > 1e-4 {
			t.Fatalf("value %d is %g, want %g", i, v[0].Mean[i], want)
		}
	}
}

func TestOnlyTheFirstWindowsAreRead(t *testing.T) {
	t.Parallel()
	text := strings.TrimSpace(strings.Repeat("the ", bge.MaxWindows*bge.WindowPieces))
	v := encode(t, encoder(t), text, text+" dashboard is broken")
	if !slices.Equal(v[0].Mean, v[1].Mean) {
		t.Error("what lies beyond the last window was read")
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	for text, want := range map[string]float32{"": 0, " ": 0, "東京": 0, "plain english": 1, "Zürich, naïve!": 1, "ab 東": .5, "не": 0} {
		if got := encode(t, e, text)[0].Covered; got != want {
			t.Errorf("%q: %g covered, want %g", text, got, want)
		}
	}
}

func TestBatchesDoNotChangeVectors(t *testing.T) {
	t.Parallel()
	one, many := open(t, bge.Options{Threads: 1}), open(t, bge.Options{Threads: 4})
	var texts []string
	for i := range 12 {
		texts = append(texts, strings.TrimSpace(strings.Repeat("it does not work. ", i*i/10)))
	}
	together := encode(t, many, texts...)
	for i, text := range texts {
		if !slices.Equal(encode(t, one, text)[0].Mean, together[i].Mean) {
			t.Fatalf("text %d has other bits alone", i)
		}
	}
}

func TestManyCallersShareTheThreads(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	want := encode(t, e, "first", "second one")
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			got, err := e.Encode(context.Background(), []string{"first", "second one"})
			if err != nil || !slices.Equal(got[0].Mean, want[0].Mean) || !slices.Equal(got[1].Mean, want[1].Mean) {
				t.Errorf("another vector, error %v", err)
			}
		})
	}
	callers.Wait()
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Encode(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	// The threads are free again.
	encode(t, e, "a", "b")
}

func TestWeightsAreRefusedUnlessPinned(t *testing.T) {
	t.Parallel()
	source := filepath.Join(folder(), "bge-small-en-v1.5-q")
	files, err := filepath.Glob(filepath.Join(source, "bge-*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("no weights in %s: run `make models`", source)
	}
	copied := t.TempDir()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(file)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bge.Open(copied, bge.Options{}); err != nil {
		t.Fatalf("a faithful copy was refused: %v", err)
	}
	for _, file := range files {
		path := filepath.Join(copied, filepath.Base(file))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bge.Open(copied, bge.Options{}); !errors.Is(err, bge.ErrWeights) || !strings.Contains(err.Error(), filepath.Base(file)) {
			t.Errorf("one bit of %s turned: got %v", filepath.Base(file), err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := bge.Open(copied, bge.Options{}); !errors.Is(err, bge.ErrWeights) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is missing: got %v", filepath.Base(file), err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheFetchedArtifactIsThePinnedOne(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "scripts", "models", "fetch.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), bge.Artifact) {
		t.Errorf("scripts/models/fetch.sh does not fetch %s", bge.Artifact)
	}
}
