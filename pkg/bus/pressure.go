package bus

import (
	"sync"
	"time"
)

// pressureSpan is how long a moment is when it is asked how many came in it.
const pressureSpan = 500 * time.Millisecond

// pressure remembers how many callers came in the last moments, and how many of them waited
// at once. A single look would see nobody right after a group was answered.
type pressure struct {
	mu       sync.Mutex
	began    time.Time // of the current moment
	now, was moment
}

type moment struct {
	came int
	most int // that waited at once
}

// note counts one caller that is one of so many waiting.
func (p *pressure) note(at time.Time, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(at)
	p.now.came++
	p.now.most = max(p.now.most, waiting)
}

// over reports whether, in the last moments, at least so many waited at once and came per
// second.
func (p *pressure) over(at time.Time, waiting int, rate float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(at)
	seconds := (pressureSpan + at.Sub(p.began)).Seconds()
	return max(p.now.most, p.was.most) >= waiting && float64(p.now.came+p.was.came)/seconds >= rate
}

func (p *pressure) turn(at time.Time) {
	switch passed := at.Sub(p.began); {
	case passed >= 2*pressureSpan:
		p.was, p.now, p.began = moment{}, moment{}, at
	case passed >= pressureSpan:
		p.was, p.now, p.began = p.now, moment{}, p.began.Add(pressureSpan)
	}
}
