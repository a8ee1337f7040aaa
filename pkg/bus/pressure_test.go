package bus

import (
	"testing"
	"time"
)

// A crowd is pressure, also between two of its groups; a slow disk under few callers and a
// fast one under many is not.
func TestPressure(t *testing.T) {
	t.Parallel()
	const waiting, rate = 16, 250
	start := time.Unix(1_790_000_000, 0)
	for name, c := range map[string]struct {
		perSecond, waiting int
		lasting            time.Duration
		after              time.Duration // since the last of them
		want               bool
	}{
		"nobody":                             {perSecond: 1, waiting: 0, lasting: time.Second},
		"a crowd":                            {perSecond: 6000, waiting: 64, lasting: time.Second, want: true},
		"a crowd, a moment later":            {perSecond: 6000, waiting: 64, lasting: time.Second, after: 300 * time.Millisecond, want: true},
		"a crowd that is gone":               {perSecond: 6000, waiting: 64, lasting: time.Second, after: 2 * time.Second},
		"a slow disk, which many wait for":   {perSecond: 100, waiting: 64, lasting: time.Second},
		"a fast disk, which few wait for":    {perSecond: 6000, waiting: 4, lasting: time.Second},
		"a burst that does not last":         {perSecond: 6000, waiting: 64, lasting: 20 * time.Millisecond},
		"as many as the pipeline may follow": {perSecond: 240, waiting: 16, lasting: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p pressure
			at := start
			for step := time.Second / time.Duration(c.perSecond); at.Before(start.Add(c.lasting)); at = at.Add(step) {
				p.note(at, c.waiting)
			}
			if got := p.over(at.Add(c.after), waiting, rate); got != c.want {
				t.Errorf("%t, want %t", got, c.want)
			}
		})
	}
}
