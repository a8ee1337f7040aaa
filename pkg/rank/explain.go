package rank

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// Need says what one term alone would have to become for a score to reach a goal.
type Need struct {
	Term     string  `json:"term"`     // reach, worth, severity, momentum or churn
	Now      float64 `json:"now"`      // the term's input now: √people summed, yearly worth, severity, momentum, share
	Needed   float64 `json:"needed"`   // what it would have to be, 0 where nothing is enough
	Possible bool    `json:"possible"` // false where no value of this term is enough
}

// Explain answers "what would move it to a score of goal": for each term, the value that
// would do it alone. A score that is there already needs nothing.
func Explain(in Inputs, w Weights, goal float64) []Need {
	t := Score(in, w)
	missing := goal - t.Score
	if missing <= 0 {
		return nil
	}
	need := func(term string, now, needed, most float64) Need {
		if !(needed <= most) { // nor where a weight of 0 makes it no number
			return Need{Term: term, Now: now}
		}
		return Need{Term: term, Now: now, Needed: needed, Possible: true}
	}
	return []Need{
		need("reach", in.Reach, math.Expm1((t.Reach+missing)/w.Reach), 1e9),
		need("worth", in.Worth, WorthUnit*math.Expm1((t.Worth+missing)/w.Worth), 1e12),
		need("severity", in.Severity(), (t.Severity+missing)/w.Severity, 1),
		need("momentum", in.Momentum(), (t.Momentum+missing)/(w.Momentum*in.Confidence()), MomentumMax),
		need("churn", in.Churn(), (t.Churn+missing)/w.Churn, 1),
	}
}

// Place is where a score stands among others: 1 + how many are greater, or equal with a
// smaller id, as the view ranked_clusters orders them.
func Place(id string, score float64, others map[string]float64) int {
	place := 1
	for other, s := range others {
		if other != id && (s > score || s == score && other < id) {
			place++
		}
	}
	return place
}

// More says how many more accounts would do it.
type More struct {
	Place    int     `json:"place"`    // the place that is reached
	Accounts int     `json:"accounts"` // how many more
	Size     float64 `json:"size"`     // of this yearly value each
}

// maxMore is the most accounts that are worth telling.
const maxMore = 1000

// MoreAccounts answers "how many more accounts of this size, one person each and speaking
// now, would make it first, third, or one better?". Places that a thousand accounts do not
// reach are left out; none for the first cluster.
func MoreAccounts(id string, in Inputs, w Weights, size float64, others map[string]float64) []More {
	now := Place(id, Score(in, w).Score, others)
	var out []More
	for _, goal := range slices.Compact(slices.Sorted(slices.Values([]int{1, min(3, max(now-1, 1)), max(now-1, 1)}))) {
		if goal >= now {
			continue
		}
		place := func(n int) int {
			with := in
			with.Reach += float64(n)
			with.Worth += float64(n) * size
			mean := in.Severity()
			with.People += n
			with.SeveritySum += float64(n) * mean // as bad for them as for the others
			return Place(id, Score(with, w).Score, others)
		}
		n := sort.Search(maxMore, func(n int) bool { return place(n) <= goal })
		if n < maxMore {
			out = append(out, More{Place: place(n), Accounts: n, Size: size})
		}
	}
	return out
}

// Less says where a cluster would stand without an account.
type Less struct {
	Account string `json:"account"`
	Place   int    `json:"place"`
}

// Without answers "where would it stand without this account?" for the accounts that carry
// the most, at most n, those first whose loss costs the most places. without gives the
// inputs as if the account had said nothing, as of the same time.
func Without(id string, accounts []string, n int, w Weights, others map[string]float64, without func(account string) Inputs) []Less {
	out := make([]Less, 0, len(accounts))
	scores := map[string]float64{}
	for _, a := range accounts {
		scores[a] = Score(without(a), w).Score
		out = append(out, Less{Account: a, Place: Place(id, scores[a], others)})
	}
	slices.SortFunc(out, func(a, b Less) int {
		return cmp.Or(cmp.Compare(scores[a.Account], scores[b.Account]), cmp.Compare(a.Account, b.Account))
	})
	return out[:min(n, len(out))]
}
