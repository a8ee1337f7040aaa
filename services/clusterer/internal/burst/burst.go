// Package burst tells a burst from chance: whether more of what resembles a signal was said
// in the last hours than its share of everything says it should be.
//
// The question is asked of a signal's neighbourhood and not of its cluster: among the m
// signals that are nearest to it, k were said in the last hours; were those hours as likely
// to be among the nearest as among everything, k would follow a binomial distribution. So
// it needs no rate that has to be learned first, a cluster that is too coarse or in pieces
// hides nothing, and a busy hour, weekday or season of the whole workspace is no burst of
// anything.
//
// It promises that one person, one account or one copied text is never a burst. A person and
// a copied text count for one in a burst of others, and an account for at most twice what it
// says of everything: half of a burst may come from who says half of everything anyway. It is pure: the same sightings give the same answer.
package burst

import (
	"math"
	"slices"
	"time"
)

// Sighting is a signal near the one in question.
type Sighting struct {
	Signal string
	Person string  // who said it
	Who    string  // its account, or its customer where no account is known
	Share  float64 // which part of all signals that one says
	Copy   uint64  // as rank.Copy
	Severe bool
	At     time.Time
}

// Options say how much is needed. How the defaults were chosen is in decision 0005:
// on simulated streams and the years of `throughline eval alerts`.
type Options struct {
	// P is how improbable it has to be by chance, for a signal.
	P float64
	// Voices is how many different accounts, that of the signal included, have to speak.
	Voices int
	// Signals is how many signals, it included.
	Signals int
}

// Default are the options of the service.
func Default() Options { return Options{P: 1e-4, Voices: 2, Signals: 4} }

// Windows are how far back is looked.
var Windows = []time.Duration{3 * time.Hour, 6 * time.Hour}

// Severe is the severity from which a signal counts for a spike, and Spike the window in
// which severe ones make one.
const (
	Severe = 0.75
	Spike  = time.Hour
)

// nearest are the neighbourhoods that are tried, the largest last.
var nearest = []int{3, 5, 8, 12, 16, 20, 28}

// Alarm is a burst.
type Alarm struct {
	P       float64
	Window  time.Duration
	Signals []string // of the burst, the newest first
	Voices  int
}

// Test asks whether a signal is part of a burst. near are the signals around it, nearest
// first; share gives which part of all other signals was said in the window that ends with
// it. Sightings after it do not count.
func (o Options) Test(signal Sighting, near []Sighting, share func(window time.Duration) float64) (Alarm, bool) {
	best := Alarm{P: 1}
	for _, window := range Windows {
		all := share(window)
		since := signal.At.Add(-window)
		inside := []Sighting{signal}
		asked := 0
		for _, s := range near {
			if s.At.After(since) && !s.At.After(signal.At) {
				if repeated(inside, s) {
					continue
				}
				inside = append(inside, s)
			}
			if asked++; !tried(asked) {
				continue
			}
			heard := counted(inside)
			if p := tail(asked, heard-1, all); p < best.P && p < o.P && heard >= o.Signals && voices(inside) >= o.Voices {
				best = Alarm{P: p, Window: window, Signals: ids(inside), Voices: voices(inside)}
			}
			if asked == nearest[len(nearest)-1] {
				break // what is further away decides nothing
			}
		}
	}
	return best, best.P < 1
}

// Spiked asks whether a severe signal is part of a spike: at least Voices accounts with
// severe signals near it within the hour, more than their share of the hours says.
func (o Options) Spiked(signal Sighting, near []Sighting, share float64) (Alarm, bool) {
	if !signal.Severe {
		return Alarm{}, false
	}
	inside := []Sighting{signal}
	asked := 0
	for _, s := range near {
		if s.Severe && s.At.After(signal.At.Add(-Spike)) && !s.At.After(signal.At) {
			if repeated(inside, s) {
				continue
			}
			inside = append(inside, s)
		}
		asked++
		if p := tail(asked, counted(inside)-1, share); p < 1e-3 && voices(inside) >= o.Voices {
			return Alarm{P: p, Window: Spike, Signals: ids(inside), Voices: voices(inside)}, true
		}
	}
	return Alarm{}, false
}

func tried(m int) bool {
	for _, n := range nearest {
		if n == m {
			return true
		}
	}
	return false
}

// repeated says whether a sighting adds nothing to others: the same person said one of them,
// or somebody the same words.
func repeated(others []Sighting, s Sighting) bool {
	return slices.ContainsFunc(others, func(o Sighting) bool {
		return s.Person != "" && o.Person == s.Person || s.Copy != 0 && o.Copy == s.Copy
	})
}

// counted is how many of some sightings count: of each account at least one, and no more than
// twice its share of everything.
func counted(s []Sighting) int {
	said, share := map[string]int{}, map[string]float64{}
	for _, x := range s {
		said[x.Who]++
		share[x.Who] = x.Share
	}
	n := 0
	for who, k := range said {
		n += min(k, max(1, int(math.Round(2*share[who]*float64(len(s))))))
	}
	return n
}

// voices counts accounts.
func voices(s []Sighting) int {
	who := map[string]bool{}
	for _, x := range s {
		who[x.Who] = true
	}
	return len(who)
}

func ids(s []Sighting) []string {
	var out []string
	for _, x := range s {
		out = append(out, x.Signal)
	}
	return out
}

// tail is the probability of k or more of n, each with probability p.
func tail(n, k int, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(choose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}
