package rank

import "time"

// Rhythm learns how busy a workspace's weekdays are (in UTC). The zero value knows nothing
// and takes all days to be alike.
type Rhythm struct{ Counts [7]float64 }

// steady is how many signals a weekday's imagined ones count for, so that the first busy
// Monday is not yet a habit.
const steady = 20

// Observe counts a signal.
func (r *Rhythm) Observe(at time.Time) { r.Counts[at.UTC().Weekday()]++ }

// Busy is how much busier a time's weekday is than the mean one, in [1/4, 4].
func (r *Rhythm) Busy(at time.Time) float64 {
	total := 0.0
	for _, n := range r.Counts {
		total += n
	}
	return min(max((r.Counts[at.UTC().Weekday()]+steady)/(total/7+steady), 0.25), 4)
}

// Weight is what a voice on that day counts for momentum: less on a day that is always
// busy.
func (r *Rhythm) Weight(at time.Time) float64 { return 1 / r.Busy(at) }
