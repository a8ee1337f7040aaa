// Package order gives the clusterer the classifier's results in the order of the items
// stream, however the classifiers raced. Results are read ahead into a bounded window;
// Await hands them out by the sequence of the item event they answer. An item that became
// a dead letter has no result and is passed over at once; a gap that nothing explains is
// waited for up to a bound.
package order

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrDead is returned by Await for an item whose event became a dead letter.
var ErrDead = errors.New("the item became a dead letter")

// ErrGap is returned by Await when no result came within the bound.
var ErrGap = errors.New("no result came in time")

// Window holds results that wait for their turn. T is what a result is.
type Window[T any] struct {
	limit int

	mu      sync.Mutex
	results map[uint64]T
	dead    map[uint64]bool
	floor   uint64 // everything up to here was handed out or passed over
	late    []T    // came after they had been passed over
	change  chan struct{}
}

// NewWindow makes a window that holds at most limit results; Offer then blocks.
func NewWindow[T any](limit int) *Window[T] {
	return &Window[T]{limit: limit, results: map[uint64]T{}, dead: map[uint64]bool{}, change: make(chan struct{})}
}

// Offer puts a result in. It blocks while the window is full and the result is not the
// next to be handed out, until ctx ends. A second result for one sequence replaces the
// first; one at or below the floor is kept for Late.
func (w *Window[T]) Offer(ctx context.Context, sequence uint64, result T) error {
	for {
		w.mu.Lock()
		if sequence <= w.floor {
			w.late = append(w.late, result)
			w.broadcast()
			w.mu.Unlock()
			return nil
		}
		if len(w.results) < w.limit || sequence < w.lowest() {
			w.results[sequence] = result
			w.broadcast()
			w.mu.Unlock()
			return nil
		}
		change := w.change
		w.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Window[T]) lowest() uint64 {
	lowest := ^uint64(0)
	for s := range w.results {
		lowest = min(lowest, s)
	}
	return lowest
}

// Bury says that an item has no result and never will.
func (w *Window[T]) Bury(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sequence > w.floor {
		w.dead[sequence] = true
		w.broadcast()
	}
}

// Await returns the result for a sequence, which must be greater than any asked for
// before. It fails with ErrDead, with ErrGap after `bound`, or with ctx's error; the
// sequence is passed over in the first two cases.
func (w *Window[T]) Await(ctx context.Context, sequence uint64, bound time.Duration) (T, error) {
	var none T
	var timeout <-chan time.Time
	for {
		w.mu.Lock()
		result, ok := w.results[sequence]
		switch {
		case ok:
			w.pass(sequence)
			w.mu.Unlock()
			return result, nil
		case w.dead[sequence]:
			w.pass(sequence)
			w.mu.Unlock()
			return none, ErrDead
		}
		change := w.change
		w.mu.Unlock()
		if timeout == nil {
			t := time.NewTimer(bound)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-change:
		case <-timeout:
			w.mu.Lock()
			w.pass(sequence)
			w.mu.Unlock()
			return none, ErrGap
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// Ready reports whether Await for a sequence would return at once.
func (w *Window[T]) Ready(sequence uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.results[sequence]
	return ok || w.dead[sequence]
}

// Pass moves the floor to a sequence whose result is not needed: it was taken before a
// restart.
func (w *Window[T]) Pass(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sequence > w.floor {
		w.pass(sequence)
	}
}

func (w *Window[T]) pass(sequence uint64) {
	delete(w.results, sequence)
	delete(w.dead, sequence)
	w.floor = sequence
	w.broadcast()
}

// Late takes the results that came after they had been passed over.
func (w *Window[T]) Late() []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := w.late
	w.late = nil
	return late
}

// broadcast wakes everyone who waits. The lock is held.
func (w *Window[T]) broadcast() {
	close(w.change)
	w.change = make(chan struct{})
}
