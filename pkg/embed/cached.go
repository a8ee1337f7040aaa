package embed

import (
	"container/list"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
)

// Cached returns inner behind a cache of the capacity most recently used texts'
// vectors. People repeat themselves, and a replay repeats everything: what is in
// the cache costs a hash instead of an encoding. A text that comes twice in one
// call is embedded once. The cache holds hashes and vectors, never text; its
// memory is about capacity × (4 × dimensions + 200) bytes. A capacity below one
// caches nothing between calls.
//
// It is safe for concurrent use. Two calls that miss the same text at the same
// time both embed it, and agree.
func Cached(inner Embedder, capacity int) Embedder {
	return &cached{
		inner:    inner,
		capacity: capacity,
		entries:  map[textHash]*list.Element{},
		recent:   list.New(),
	}
}

type textHash [sha256.Size]byte

type cached struct {
	inner    Embedder
	capacity int

	mu      sync.Mutex
	entries map[textHash]*list.Element // of cacheEntry
	recent  *list.List                 // most recently used first
}

type cacheEntry struct {
	hash   textHash
	vector []float32
}

func (c *cached) Space() Space { return c.inner.Space() }

func (c *cached) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hashes := make([]textHash, len(texts))
	for i, text := range texts {
		hashes[i] = sha256.Sum256([]byte(text))
	}
	out := make([][]float32, len(texts))
	missing := map[textHash]int{} // to the place among the texts to embed
	var misses []string
	c.mu.Lock()
	for i, hash := range hashes {
		if element, ok := c.entries[hash]; ok {
			c.recent.MoveToFront(element)
			out[i] = slices.Clone(element.Value.(cacheEntry).vector)
		} else if _, seen := missing[hash]; !seen {
			missing[hash] = len(misses)
			misses = append(misses, texts[i])
		}
	}
	c.mu.Unlock()
	if len(misses) == 0 {
		return out, nil
	}

	vectors, err := c.inner.Embed(ctx, misses)
	if err != nil {
		return nil, err
	}
	if len(vectors) != len(misses) {
		return nil, fmt.Errorf("embed: %d vectors for %d texts", len(vectors), len(misses))
	}
	for i, hash := range hashes {
		if out[i] == nil {
			out[i] = slices.Clone(vectors[missing[hash]])
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for hash, at := range missing {
		c.put(hash, vectors[at])
	}
	return out, nil
}

func (c *cached) put(hash textHash, vector []float32) {
	if element, ok := c.entries[hash]; ok {
		c.recent.MoveToFront(element)
		return
	}
	c.entries[hash] = c.recent.PushFront(cacheEntry{hash, vector})
	for len(c.entries) > max(c.capacity, 0) {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(cacheEntry).hash)
	}
}
