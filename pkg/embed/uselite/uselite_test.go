package uselite_test

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

	"github.com/throughline-dev/throughline/pkg/embed/uselite"
)

// folder is where the weights are; a test that needs them fails without them.
func folder() string {
	if dir := os.Getenv("THROUGHLINE_MODELS"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", ".cache", "models")
}

func open(t testing.TB, o uselite.Options) *uselite.Encoder {
	t.Helper()
	e, err := uselite.Open(folder(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encode(t testing.TB, e *uselite.Encoder, texts ...string) []uselite.Encoding {
	t.Helper()
	out, err := e.Encode(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shared is opened once for the tests that need no options of their own.
var shared = sync.OnceValues(func() (*uselite.Encoder, error) { return uselite.Open(folder(), uselite.Options{}) })

func encoder(t testing.TB) *uselite.Encoder {
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

// references were computed by the JavaScript implementation that the weights
// are published with: see testdata/official.js.
func references(t testing.TB) []reference {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "official.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []reference
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVectorsAreThoseOfTheOfficialImplementation(t *testing.T) {
	t.Parallel()
	all := references(t)
	for name, c := range map[string]struct {
		options    uselite.Options
		references []reference
	}{
		"fastest":  {uselite.Options{}, all},
		"portable": {uselite.Options{Portable: true}, all[:4]}, // slow under the race detector
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, c.options)
			for _, want := range c.references {
				got := e.Official(encode(t, e, want.Text)[0].Hidden)
				worst := 0.0
				for i := range want.Vector {
					worst = max(worst, math.Abs(float64(got[i]-want.Vector[i])))
				}
				if worst > 1e-5 {
					t.Errorf("%q: off by %g", want.Text, worst)
				}
			}
		})
	}
}

// A text of several windows gets the mean over all its pieces: the windows'
// means, each weighing as many pieces as it has.
func TestLongTextIsTheMeanOfItsWindows(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	word := "the "
	whole := encode(t, e, strings.TrimSpace(strings.Repeat(word, uselite.WindowPieces+32)))[0]
	first := encode(t, e, strings.TrimSpace(strings.Repeat(word, uselite.WindowPieces)))[0]
	rest := encode(t, e, strings.TrimSpace(strings.Repeat(word, 32)))[0]
	for i := range whole.Hidden {
		want := (first.Hidden[i]*uselite.WindowPieces + rest.Hidden[i]*32) / (uselite.WindowPieces + 32)
		if math.Abs(float64(whole.Hidden[i]-want)) > 1e-4 {
			t.Fatalf("value %d is %g, want %g", i, whole.Hidden[i], want)
		}
	}
}

func TestOnlyTheFirstWindowsAreRead(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	text := strings.TrimSpace(strings.Repeat("the ", uselite.MaxWindows*uselite.WindowPieces))
	v := encode(t, e, text, text+" dashboard is broken")
	if !slices.Equal(v[0].Hidden, v[1].Hidden) {
		t.Error("what lies beyond the last window was read")
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	for text, want := range map[string]float32{"": 0, " ": 0, "東京": 0, "plain english": 1, "ab 東京": .5} {
		if got := encode(t, e, text)[0].Covered; got != want {
			t.Errorf("%q: %g covered, want %g", text, got, want)
		}
	}
}

func TestBatchesDoNotChangeVectors(t *testing.T) {
	t.Parallel()
	one, many := open(t, uselite.Options{Threads: 1}), open(t, uselite.Options{Threads: 4})
	var texts []string
	for i := range 16 {
		texts = append(texts, strings.TrimSpace(strings.Repeat("it does not work. ", i*i/10)))
	}
	together := encode(t, many, texts...)
	for i, text := range texts {
		if !slices.Equal(encode(t, one, text)[0].Hidden, together[i].Hidden) {
			t.Fatalf("text %d has other bits alone", i)
		}
	}
}

func TestManyCallersShareTheThreads(t *testing.T) {
	t.Parallel()
	e := open(t, uselite.Options{Threads: 2})
	want := encode(t, e, "first", "second one")
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			got, err := e.Encode(context.Background(), []string{"first", "second one"})
			if err != nil || !slices.Equal(got[0].Hidden, want[0].Hidden) || !slices.Equal(got[1].Hidden, want[1].Hidden) {
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
	source := folder()
	if _, err := os.Stat(filepath.Join(source, "model.json")); err != nil {
		source = filepath.Join(source, "node_modules", "@energetic-ai", "model-embeddings-en", "dist")
	}
	files, err := filepath.Glob(filepath.Join(source, "*"))
	if err != nil || len(files) < 9 {
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
	if _, err := uselite.Open(copied, uselite.Options{}); err != nil {
		t.Fatalf("a faithful copy was refused: %v", err)
	}
	for _, name := range []string{"group1-shard3of7", "vocab.json", "model.json"} {
		path := filepath.Join(copied, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := uselite.Open(copied, uselite.Options{}); !errors.Is(err, uselite.ErrWeights) || !strings.Contains(err.Error(), name) {
			t.Errorf("one bit of %s turned: got %v", name, err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(copied, "group1-shard7of7")); err != nil {
		t.Fatal(err)
	}
	if _, err := uselite.Open(copied, uselite.Options{}); !errors.Is(err, uselite.ErrWeights) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a shard is missing: got %v", err)
	}
}

func TestTheFetchedPackageIsThePinnedOne(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "scripts", "models", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Dependencies map[string]string }
	if err := json.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	if got := manifest.Dependencies[uselite.Package]; got != uselite.PackageVersion {
		t.Errorf("scripts/models fetches version %q, the encoder wants %q", got, uselite.PackageVersion)
	}
}
