package lexical

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func same(uint64) float32 { return 1 }

func vector(text string) []float32 {
	v := make([]float32, 511)
	new(Extractor).Add(v, text, same)
	return v
}

func cosine(a, b string) float64 {
	sum := 0.0
	x, y := vector(a), vector(b)
	for i := range x {
		sum += float64(x[i]) * float64(y[i])
	}
	return sum
}

func TestFeaturesOfAText(t *testing.T) {
	t.Parallel()
	var x Extractor
	count := func(text string) (n [3]int) {
		for _, f := range x.Features(text) {
			n[f.kind] += int(f.count)
		}
		return n
	}
	for text, want := range map[string][3]int{
		"":          {},
		"  ?! ":     {},
		"a":         {1, 0, 1},  // <a>
		"ab":        {1, 0, 3},  // <ab ab> <ab>
		"can't":     {1, 0, 12}, // one word of five letters: 5 + 4 + 3
		"it' s":     {2, 1, 4},
		"to be to":  {3, 2, 9},
		"👍👍":        {2, 1, 2},
		"東京で":       {1, 0, 6},
		"a-b_c.d/e": {5, 4, 5},
	} {
		if got := count(text); got != want {
			t.Errorf("%q has %v words, pairs and pieces, want %v", text, got, want)
		}
	}
}

func TestFeaturesAreCountedNotRepeated(t *testing.T) {
	t.Parallel()
	seen := map[uint64]bool{}
	total := 0
	for _, f := range new(Extractor).Features(strings.Repeat("the quick brown fox ", 200)) {
		if seen[f.Key] {
			t.Fatal("a feature is listed twice")
		}
		seen[f.Key] = true
		if f.kind == word {
			total += int(f.count)
		}
	}
	if total != 800 {
		t.Errorf("%d words counted, want 800", total)
	}
}

func TestExtractorForgetsTheTextBefore(t *testing.T) {
	t.Parallel()
	var x Extractor
	want := slices.Clone(x.Features("short text"))
	x.Features(strings.Repeat("some much longer text 123 ", 1) + strings.Repeat("abcdefghijklmnopqrstuvwxyz", 400))
	if got := x.Features("short text"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFeaturesAreBounded(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for range 1 << 16 {
		long.WriteRune(rune(0x4e00 + random.IntN(20000)))
	}
	if n := len(new(Extractor).Features(long.String())); n < MaxFeatures || n > MaxFeatures+3*longestPiece {
		t.Errorf("%d features", n)
	}
}

func TestSimilarTextsAreClose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, near, far string }{
		{"export fails", "the export failed", "import works"},
		{"dark mode please", "please, dark mode", "refund my order"},
		{"notifications", "notification", "calendar"},
	} {
		if near, far := cosine(c.text, c.near), cosine(c.text, c.far); near < far+.1 {
			t.Errorf("%q: %.2f to %q, %.2f to %q", c.text, near, c.near, far, c.far)
		}
	}
	if c := cosine("same text", "same text"); math.Abs(c-1) > 1e-6 {
		t.Errorf("a text is %g like itself", c)
	}
}

func TestNothingIsLeftAlone(t *testing.T) {
	t.Parallel()
	v := []float32{1, 2, 3}
	if new(Extractor).Add(v, "...", same) || !slices.Equal(v, []float32{1, 2, 3}) {
		t.Errorf("got %v", v)
	}
	for _, v := range [][]float32{nil, {0, 0}, {float32(math.NaN())}, {float32(math.Inf(1)), 1}} {
		if Unit(v) {
			t.Errorf("%v has a direction", v)
		}
	}
}
