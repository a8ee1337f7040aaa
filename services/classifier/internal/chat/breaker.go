package chat

import (
	"sync"
	"time"
)

// breaker leaves an endpoint alone that failed several times running.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time
}

// An endpoint that failed breakAfter times running is asked again after breakFor, by one
// call, and left alone for as long again where that fails too.
const (
	breakAfter = 5
	breakFor   = 30 * time.Second
)

// allow reports whether a call may be made. The one call that tries a broken endpoint again
// keeps others away meanwhile.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if now := b.now(); !now.Before(b.until) {
		b.until = now.Add(breakFor)
		return true
	}
	return false
}

// closed reports whether the endpoint is not left alone, or not any more.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures < breakAfter || !b.now().Before(b.until)
}

// failed counts a failure; one of the endpoint, not of a single text, if it counts.
func (b *breaker) failed(counts bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !counts {
		return
	}
	b.failures++
	b.until = b.now().Add(breakFor)
}

func (b *breaker) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}
