package embed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// counting counts what reaches the embedder behind a cache.
type counting struct {
	Embedder
	mu    sync.Mutex
	texts []string
	err   error
}

func (c *counting) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	c.mu.Lock()
	c.texts = append(c.texts, texts...)
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.Embedder.Embed(ctx, texts)
}

func TestCacheEmbedsATextOnce(t *testing.T) {
	t.Parallel()
	inner := &counting{Embedder: Lexical()}
	e := Cached(inner, 10)
	if e.Space() != inner.Space() {
		t.Error("the cache has another space")
	}
	first := embed(t, e, "a b", "c d", "a b")
	again := embed(t, e, "c d", "a b", "e f")
	if want := []string{"a b", "c d", "e f"}; !slices.Equal(inner.texts, want) {
		t.Errorf("embedded %q, want %q", inner.texts, want)
	}
	want := embed(t, Lexical(), "a b", "c d", "e f")
	for i, got := range [][]float32{first[0], first[1], first[2], again[0], again[1], again[2]} {
		if !slices.Equal(got, want[[]int{0, 1, 0, 1, 0, 2}[i]]) {
			t.Errorf("vector %d is of another text", i)
		}
	}
}

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	inner := &counting{Embedder: Lexical()}
	e := Cached(inner, 2)
	for _, text := range []string{"a", "b", "a", "c", "a", "b"} {
		embed(t, e, text)
	}
	if want := []string{"a", "b", "c", "b"}; !slices.Equal(inner.texts, want) {
		t.Errorf("embedded %q, want %q", inner.texts, want)
	}
	nothing := &counting{Embedder: Lexical()}
	off := Cached(nothing, 0)
	embed(t, off, "a", "a")
	embed(t, off, "a")
	if want := []string{"a", "a"}; !slices.Equal(nothing.texts, want) {
		t.Errorf("without capacity embedded %q, want %q", nothing.texts, want)
	}
}

func TestCachedVectorsAreTheCallersToChange(t *testing.T) {
	t.Parallel()
	e := Cached(Lexical(), 10)
	for range 2 {
		rows := embed(t, e, "a b", "a b")
		clear(rows[0])
		assertUnit(t, rows[1])
	}
	assertUnit(t, embed(t, e, "a b")[0])
}

func TestCacheKeepsNoFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	inner := &counting{Embedder: Lexical(), err: broken}
	e := Cached(inner, 10)
	if _, err := e.Embed(context.Background(), []string{"a"}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	inner.err = nil
	assertUnit(t, embed(t, e, "a")[0])
}

func TestCacheServesManyCallers(t *testing.T) {
	t.Parallel()
	e := Cached(Lexical(), 20)
	texts := make([]string, 50)
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	want := embed(t, Lexical(), texts...)
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 200 {
				at := (caller*7 + i) % len(texts)
				got, err := e.Embed(context.Background(), []string{texts[at], feedback[0]})
				if err != nil || !slices.Equal(got[0], want[at]) {
					t.Errorf("%q: wrong vector, error %v", texts[at], err)
					return
				}
			}
		})
	}
	callers.Wait()
}
