// Package attempts limits how often somebody may be wrong about who they are.
//
// It promises that whoever was wrong Most times within Window waits until the oldest of those
// is out of it, whatever they try meanwhile, and that what it remembers is bounded. It refuses
// to tell a right secret from a wrong one while they wait, since that is what guessing needs,
// and to forget failures because of a success: whoever has one secret could else guess on.
package attempts

import (
	"sync"
	"time"
)

// Limit is how often one may be wrong: Most times within Window.
type Limit struct {
	Most   int
	Window time.Duration
}

// remembered is how many keys are kept: 200 bytes each for usual limits. Beyond, those that were
// wrong the longest time ago are forgotten first.
const remembered = 50_000

// Failures remembers who was wrong. It is safe for concurrent use. The zero value is none; make
// one with New.
type Failures struct {
	now func() time.Time

	mu    sync.Mutex
	times map[string][]time.Time // oldest first
}

// New makes Failures that nobody has made yet.
func New(now func() time.Time) *Failures {
	return &Failures{now: now, times: map[string][]time.Time{}}
}

// Wait is how long a key has to wait before its next attempt; 0 means that it may try.
func (f *Failures) Wait(key string, l Limit) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	times := since(f.times[key], now.Add(-l.Window))
	if len(times) < l.Most {
		return 0
	}
	return times[len(times)-l.Most].Add(l.Window).Sub(now)
}

// Add notes that a key was wrong. What is older than the limit's window is forgotten.
func (f *Failures) Add(key string, l Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if _, known := f.times[key]; !known && len(f.times) >= remembered {
		f.forget(now.Add(-l.Window))
	}
	times := append(since(f.times[key], now.Add(-l.Window)), now)
	f.times[key] = times[max(0, len(times)-l.Most):]
}

// forget makes room: every key whose last failure is out of the window goes, and where that is
// none, the one that was wrong the longest time ago.
func (f *Failures) forget(before time.Time) {
	oldest, at := "", f.now()
	for key, times := range f.times {
		last := times[len(times)-1]
		if !last.After(before) {
			delete(f.times, key)
		} else if !last.After(at) {
			oldest, at = key, last
		}
	}
	if len(f.times) >= remembered {
		delete(f.times, oldest)
	}
}

func since(times []time.Time, after time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(after) {
		times = times[1:]
	}
	return times
}
