package embed

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed/bge"
)

func assertUnit(t testing.TB, v []float32) {
	t.Helper()
	if length := math.Sqrt(float64(Dot(v, v))); math.Abs(length-1) > 1e-5 {
		t.Fatalf("vector has length %g", length)
	}
}

// local opens the weights once for all tests of this package: an Embedder is
// safe for concurrent use.
var local = sync.OnceValues(func() (Embedder, error) { return OpenLocal(models(), LocalOptions{}) })

// each runs a test on every embedder that needs no network.
func each(t *testing.T, test func(t *testing.T, e Embedder)) {
	t.Run("lexical", func(t *testing.T) {
		t.Parallel()
		test(t, Lexical())
	})
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		e, err := local()
		if err != nil {
			t.Fatal(err)
		}
		test(t, e)
	})
}

func embed(t testing.TB, e Embedder, texts ...string) [][]float32 {
	t.Helper()
	out, err := e.Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(texts) {
		t.Fatalf("%d vectors for %d texts", len(out), len(texts))
	}
	return out
}

// odd are texts that have broken embedders before.
var odd = []string{
	"", " ", "\n\t", "\x00", "\x00\x00 a \x00", "\xff\xfe\xfd", "a\xc3", "!?!?", "…", "👍", "👍🏽👨‍👩‍👧", "é", "e\u0301",
	"アプリが起動しません", "приложение не запускается", "التطبيق لا يعمل", "🇩🇪 123", "\u200b", "\ufffd",
	"a", "I", "0", "▁", "▁▁▁", "<s></s>", strings.Repeat("a", 700), strings.Repeat("👍", 300), strings.Repeat(" ", 5000) + "x",
	strings.Repeat("the export button does nothing. ", 40),
}

func TestEveryTextHasAVectorOfLengthOne(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		for i, v := range embed(t, e, odd...) {
			if len(v) != e.Space().Dimensions {
				t.Fatalf("%.20q has %d dimensions", odd[i], len(v))
			}
			assertUnit(t, v)
		}
	})
}

func TestOneMegabyteOfText(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		for _, v := range embed(t, e, strings.Repeat("kaputt und 東京 ", 1<<16), strings.Repeat("\xff", 1<<20), strings.Repeat("&", 1<<20)) {
			assertUnit(t, v)
		}
	})
}

func TestTextThatSaysNothingIsUnlikeAnyOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		v := embed(t, e, "", "\x00 \n", "!!!", "the export button does nothing", "アプリが起動しません")
		if Dot(v[0], v[1]) != 1 || Dot(v[0], v[2]) != 1 {
			t.Error("texts that say nothing differ from each other")
		}
		if Dot(v[0], v[3]) != 0 || Dot(v[0], v[4]) != 0 {
			t.Error("text that says nothing is like text that says something")
		}
	})
}

func TestVectorDoesNotDependOnItsCompany(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		texts := slices.Concat(feedback, odd)
		together := embed(t, e, texts...)
		reversed := slices.Clone(texts)
		slices.Reverse(reversed)
		backwards := embed(t, e, reversed...)
		for i, text := range texts {
			if !slices.Equal(together[i], embed(t, e, text)[0]) || !slices.Equal(together[i], backwards[len(texts)-1-i]) {
				t.Errorf("%.20q has other bits alone or in another order", text)
			}
		}
	})
}

func TestConcurrentCallersGetTheSameBits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		want := embed(t, e, feedback...)
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for i := range feedback {
					at := (caller + i) % len(feedback)
					got, err := e.Embed(context.Background(), feedback[at:at+1])
					if err != nil || !slices.Equal(got[0], want[at]) {
						t.Errorf("caller %d got another vector for %q: %v", caller, feedback[at], err)
					}
				}
			})
		}
		callers.Wait()
	})
}

func TestEndedContextEndsTheWork(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := e.Embed(ctx, feedback); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSameMeaningIsCloserThanSameTopicWordsElsewhere(t *testing.T) {
	t.Parallel()
	e, err := local()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, alike, unlike string }{
		{"I was charged twice this month", "you billed my card two times", "please add a dark theme"},
		{"the app crashes when I open it", "it shuts down immediately on start", "my invoice shows the wrong address"},
		{"I can't log in anymore", "sign in fails with my password", "how do I export a report to excel?"},
		{"would love a dark mode", "please add a night theme", "the search results are wrong"},
		{"The page takes forever to load", "really slow since the update", "where can I change my email address?"},
	} {
		v := embed(t, e, c.text, c.alike, c.unlike)
		if alike, unlike := Dot(v[0], v[1]), Dot(v[0], v[2]); alike <= unlike {
			t.Errorf("%q: %.3f to %q, but %.3f to %q", c.text, alike, c.alike, unlike, c.unlike)
		}
	}
}

func TestSharedRareWordsAreClose(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		v := embed(t, e, "kubectl apply fails with ImagePullBackOff", "we see ImagePullBackOff on every kubectl apply", "we see the wrong price on every invoice")
		if alike, unlike := Dot(v[0], v[1]), Dot(v[0], v[2]); alike < unlike+.2 {
			t.Errorf("%.3f with the rare words shared, %.3f without", alike, unlike)
		}
		v = embed(t, e, "アプリが起動しません", "アプリが突然起動しません", "請求書の住所が間違っています")
		if alike, unlike := Dot(v[0], v[1]), Dot(v[0], v[2]); alike < unlike+.2 {
			t.Errorf("another script: %.3f with words shared, %.3f without", alike, unlike)
		}
	})
}

func TestLookOfTextDoesNotMatter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e Embedder) {
		v := embed(t, e,
			"@ann Export of https://example.com/r/1 failed on 2026-11-22 &amp; again",
			"@bob  EXPORT of http://example.org/other failed on 2025-01-03 & again\u200b")
		if !slices.Equal(v[0], v[1]) {
			t.Errorf("cosine %.3f, want the same vector", Dot(v[0], v[1]))
		}
	})
}

func TestSpacesAreToldApart(t *testing.T) {
	t.Parallel()
	e, err := local()
	if err != nil {
		t.Fatal(err)
	}
	provider, err := NewOpenAI(OpenAIOptions{Model: "m", Dimensions: 768})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, space := range []Space{e.Space(), Lexical().Space(), provider.Space()} {
		if space.Dimensions > 768 || space.Dimensions%32 != 0 {
			t.Errorf("%s has %d dimensions", space.Model, space.Dimensions)
		}
		if !regexp.MustCompile(`^[a-z-]+@[0-9a-f]{12}/\d+$`).MatchString(space.ID()) {
			t.Errorf("id %q", space.ID())
		}
		ids[space.ID()] = true
	}
	if len(ids) != 3 {
		t.Errorf("ids are not distinct: %v", ids)
	}
}

// The recorded cosines catch a change of the recipe that forgot to change the
// version: vectors stored under one id must stay comparable.
func TestSpaceKeepsItsVectors(t *testing.T) {
	t.Parallel()
	recorded := map[string][]float32{
		"lexical@7c05e6dbcf60/768":          {0.01623492, 0.010489034, -0.045976482, 0.09265576, 0.0742284, 0.020828914},
		"bge-small-hybrid@8e6eade97e82/768": {0.109128244, 0.01795678, -0.12762281, 0.13473442, 0.13731737, 0.053533968},
	}
	each(t, func(t *testing.T, e Embedder) {
		v := embed(t, e, feedback...)
		var got []float32
		for i := range v {
			for j := range i {
				got = append(got, Dot(v[i], v[j]))
			}
		}
		want, ok := recorded[e.Space().ID()]
		if !ok {
			t.Fatalf("space %s is new: record its cosines, %v", e.Space().ID(), got)
		}
		for i := range got {
			if math.Abs(float64(got[i]-want[i])) > 1e-4 {
				t.Fatalf("cosines are %v, recorded %v: the recipe changed, its name did not", got, want)
			}
		}
	})
}

func TestMissingOrAlteredWeightsNameTheRemedy(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	altered := t.TempDir()
	if err := os.WriteFile(filepath.Join(altered, "bge-small-en-v1.5-q.onnx"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, altered, filepath.Join(empty, "nowhere")} {
		_, err := OpenLocal(dir, LocalOptions{})
		if !errors.Is(err, bge.ErrWeights) || !strings.Contains(err.Error(), "make models") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLocalUsesAsManyThreadsAsAllowed(t *testing.T) {
	t.Parallel()
	one, err := OpenLocal(models(), LocalOptions{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	many, err := local()
	if err != nil {
		t.Fatal(err)
	}
	texts := slices.Repeat(feedback, 30)
	a, b := embed(t, one, texts...), embed(t, many, texts...)
	for i := range texts {
		if !slices.Equal(a[i], b[i]) {
			t.Fatalf("text %d has other bits on one thread", i)
		}
	}
}
