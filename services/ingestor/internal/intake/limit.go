package intake

import (
	"sync"
	"time"
)

// limit lets so many deliveries a minute pass. A minute's worth may come at once.
type limit struct {
	every time.Duration // between two of them; 0 is no limit
	burst time.Duration

	mu   sync.Mutex
	full time.Time // when everything that was taken will have been made up for
}

func perMinute(n int) *limit {
	if n <= 0 {
		return &limit{}
	}
	return &limit{every: time.Minute / time.Duration(n), burst: time.Minute}
}

// take takes one, or tells how long to wait for it.
func (l *limit) take(now time.Time) (wait time.Duration) {
	if l.every == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.full
	if from.Before(now) {
		from = now
	}
	if wait := from.Add(l.every).Sub(now) - l.burst; wait > 0 {
		return wait
	}
	l.full = from.Add(l.every)
	return 0
}
