package burst

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// near makes n sightings of which the first k were said in the last hours.
func near(n, k int, who func(i int) string) []Sighting {
	var out []Sighting
	for i := range n {
		s := Sighting{Signal: fmt.Sprint(i), Who: who(i), Severe: true, At: now.Add(-time.Duration(i) * 10 * time.Minute)}
		if i >= k {
			s.At = now.AddDate(0, -1, -i)
		}
		out = append(out, s)
	}
	return out
}

func share(p float64) func(time.Duration) float64 { return func(time.Duration) float64 { return p } }

func TestBurstIsWhatChanceDoesNotDo(t *testing.T) {
	t.Parallel()
	me := Sighting{Signal: "me", Who: "acme", Severe: true, At: now}
	each := func(i int) string { return fmt.Sprint("acc", i) }
	o := Default()
	a, found := o.Test(me, near(20, 5, each), share(0.01))
	if !found || a.Voices != 6 || len(a.Signals) != 6 || a.Signals[0] != "me" || a.P > o.P {
		t.Errorf("%v %+v", found, a)
	}
	for name, quiet := range map[string]bool{
		"few": func() bool { _, f := o.Test(me, near(20, 2, each), share(0.01)); return !f }(),
		"one account": func() bool {
			_, f := o.Test(me, near(20, 10, func(int) string { return "acme" }), share(0.01))
			return !f
		}(),
		"busy day": func() bool { _, f := o.Test(me, near(20, 5, each), share(0.3)); return !f }(),
	} {
		if !quiet {
			t.Errorf("%s: is a burst", name)
		}
	}
	crowd := near(20, 10, func(i int) string { // twelve of one account, and a stray
		if i == 0 {
			return "other"
		}
		return "loud"
	})
	if _, found := o.Test(me, crowd, share(0.01)); found {
		t.Error("an account that says little else makes a burst with two strays")
	}
	for i := range crowd {
		crowd[i].Share = 0.5
	}
	if _, found := o.Test(me, crowd, share(0.01)); !found {
		t.Error("an account that says half of everything does not count for half of a burst")
	}
	copies := near(20, 10, each)
	for i := range copies {
		copies[i].Copy = 7
	}
	me.Copy = 7
	if _, found := o.Test(me, copies, share(0.01)); found {
		t.Error("one text, copied, is a burst")
	}
}

func TestSpikeIsSeenWithinTheHour(t *testing.T) {
	t.Parallel()
	me := Sighting{Signal: "me", Who: "acme", Severe: true, At: now}
	each := func(i int) string { return fmt.Sprint("acc", i) }
	if a, found := Default().Spiked(me, near(20, 4, each), 0.01); !found || a.Window != time.Hour {
		t.Errorf("%v %+v", found, a)
	}
	me.Severe = false
	if _, found := Default().Spiked(me, near(20, 4, each), 0.01); found {
		t.Error("what is not severe is a spike of severity")
	}
}

// The tail is that of the binomial distribution, worked out by hand.
func TestTail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, k int
		p    float64
		want float64
	}{{3, 2, 0.5, 0.5}, {4, 4, 0.1, 1e-4}, {10, 0, 0.1, 1}, {5, 1, 0.2, 1 - math.Pow(0.8, 5)}, {5, 1, 0, 0}, {5, 1, 1, 1}} {
		if got := tail(c.n, c.k, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%d of %d at %g: %g, not %g", c.k, c.n, c.p, got, c.want)
		}
	}
}
