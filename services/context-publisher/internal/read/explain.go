package read

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// Explanation is why a cluster stands where it does, and what would move it. Weights and
// Inputs give the terms by the formula; the counterfactuals move nothing else.
type Explanation struct {
	Cluster string       `json:"cluster"`
	Rank    int          `json:"rank"`
	Of      int          `json:"of"`
	Formula string       `json:"formula"`
	Version int          `json:"version"`
	Weights rank.Weights `json:"weights"`
	Inputs  rank.Inputs  `json:"inputs"`
	Terms   rank.Terms   `json:"terms"`
	// Confidence is how much of it is evidence, in [0, 1).
	Confidence float64 `json:"confidence"`
	// Next says, per term, what it alone would have to become for the next better place.
	Next []rank.Need `json:"next"`
	// More says how many more accounts, of the size that the cluster's accounts have in
	// the middle, would move it up.
	More []rank.More `json:"more"`
	// Without says where it would stand without the accounts that carry the most.
	Without []WithoutAccount `json:"without"`
}

// WithoutAccount is a place without an account.
type WithoutAccount struct {
	rank.Less
	Name string `json:"name"`
}

// carriers is how many accounts are taken away, one at a time.
const carriers = 3

// Explain reads a ranked cluster's arithmetic. ErrNotFound for one that has no rank.
func (r *Reader) Explain(ctx context.Context, ws, id string) (Explanation, error) {
	id, err := r.follow(ctx, ws, id)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Cluster: id, Formula: rank.Formula, Next: []rank.Need{}, More: []rank.More{}, Without: []WithoutAccount{}}
	scores := map[string]float64{}
	rows, err := r.db.Conn().Query(ctx, `SELECT id, score, reach, worth, severity_sum, people, churning, at_risk, fast, slow, boost, as_of, now, since, formula, weights
		FROM ranked_clusters WHERE workspace = ? AND status != 'ignored'`, ws)
	if err != nil {
		return Explanation{}, failed("explain rank", err)
	}
	defer rows.Close()
	var now time.Time
	for rows.Next() {
		var other string
		var score float64
		var in rank.Inputs
		var people, churning uint32
		var version uint8
		var weights []float64
		if err := rows.Scan(&other, &score, &in.Reach, &in.Worth, &in.SeveritySum, &people, &churning, &in.AtRisk, &in.Fast, &in.Slow, &in.Boost,
			&in.AsOf, &now, &in.Since, &version, &weights); err != nil {
			return Explanation{}, failed("explain rank", err)
		}
		scores[other] = score
		if other == id {
			in.People, in.Churning, in.AsOf, in.Since = int(people), int(churning), in.AsOf.UTC(), in.Since.UTC()
			e.Inputs, e.Version = in, int(version)
			e.Weights = rank.Weights{Reach: weights[0], Worth: weights[1], Severity: weights[2], Momentum: weights[3], Churn: weights[4]}
		}
	}
	if err := rows.Err(); err != nil {
		return Explanation{}, failed("explain rank", err)
	}
	if _, ranked := scores[id]; !ranked {
		return Explanation{}, ErrNotFound
	}
	e.Inputs = e.Inputs.At(now.UTC())
	e.Terms, e.Confidence = rank.Score(e.Inputs, e.Weights), e.Inputs.Confidence()
	e.Rank, e.Of = rank.Place(id, scores[id], scores), len(scores)
	if above := next(scores, id); above > scores[id] {
		e.Next = append(e.Next, rank.Explain(e.Inputs, e.Weights, math.Nextafter(above, math.Inf(1)))...)
	}
	return e, r.counterfactuals(ctx, ws, id, scores, now.UTC(), &e)
}

// next is the score of the place above a cluster's, its own where it is the first.
func next(scores map[string]float64, id string) float64 {
	above := math.Inf(1)
	for other, s := range scores {
		if other != id && s >= scores[id] {
			above = min(above, s)
		}
	}
	if math.IsInf(above, 1) {
		return scores[id]
	}
	return above
}

// counterfactuals adds up the cluster again from its signals, as the clusterer did, with
// and without single accounts.
func (r *Reader) counterfactuals(ctx context.Context, ws, id string, scores map[string]float64, now time.Time, e *Explanation) error {
	type said struct {
		rank.Utterance
		account string
	}
	var all []said
	names, values := map[string]string{}, map[string]float64{}
	rows, err := r.db.Conn().Query(ctx, `SELECT a.signal, a.customer, a.account, a.severity, a.said_at, a.leaving, a.copy, a.weight, c.name, c.value
		FROM (SELECT * FROM assignments FINAL WHERE workspace = ? AND cluster = ?) AS a
		LEFT JOIN (SELECT id, name, value FROM accounts FINAL WHERE workspace = ?) AS c ON c.id = a.account`, ws, id, ws)
	if err != nil {
		return failed("read utterances", err)
	}
	defer rows.Close()
	for rows.Next() {
		var u said
		var severity float32
		var leaving uint8
		var name string
		var value float64
		if err := rows.Scan(&u.Signal, &u.Voice, &u.account, &severity, &u.At, &leaving, &u.Copy, &u.Weight, &name, &value); err != nil {
			return failed("read utterances", err)
		}
		u.Severity, u.Leaving = float64(severity), leaving == 1
		if u.account != "" {
			names[u.account], values[u.account] = brief.Clean(name), value
		}
		all = append(all, u)
	}
	if err := rows.Err(); err != nil {
		return failed("read utterances", err)
	}
	accounts := slices.Sorted(maps.Keys(names))
	if len(accounts) == 0 {
		return nil
	}
	sizes := slices.Sorted(maps.Values(values))
	e.More = append(e.More, rank.MoreAccounts(id, e.Inputs, e.Weights, sizes[len(sizes)/2], scores)...)
	without := func(account string) rank.Inputs {
		var v rank.Voices
		of := map[string]string{}
		for _, u := range all {
			if u.account != account {
				v.Observe(u.Utterance)
				of[u.Voice] = u.account
			}
		}
		in := v.Inputs(func(voice string) string { return of[voice] }, func(a string) float64 { return values[a] })
		in.Since, in.Boost = e.Inputs.Since, e.Inputs.Boost
		return in.At(now)
	}
	// Who is worth the most comes into question, not everybody: large clusters have many.
	slices.SortStableFunc(accounts, func(a, b string) int { return cmp.Compare(values[b], values[a]) })
	for _, l := range rank.Without(id, accounts[:min(4*carriers, len(accounts))], carriers, e.Weights, scores, without) {
		e.Without = append(e.Without, WithoutAccount{Less: l, Name: names[l.Account]})
	}
	return nil
}

// RankDay is a cluster's rank at the end of a day, with what it was computed from.
type RankDay struct {
	Day     string       `json:"day"`
	Rank    uint32       `json:"rank"`
	Of      uint32       `json:"of"`
	Version uint8        `json:"version"`
	Terms   rank.Terms   `json:"terms"`
	Weights rank.Weights `json:"weights"`
}

// RankDays tells a cluster's rank day by day, the newest first, at most a year of them.
func (r *Reader) RankDays(ctx context.Context, ws, id string) ([]RankDay, error) {
	id, err := r.follow(ctx, ws, id)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT toString(day), place, of, formula, term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, score, weights
		FROM rank_days FINAL WHERE workspace = ? AND cluster = ? ORDER BY day DESC LIMIT 366`, ws, id)
	if err != nil {
		return nil, failed("list ranks by day", err)
	}
	defer rows.Close()
	out := []RankDay{}
	for rows.Next() {
		var d RankDay
		var w []float64
		if err := rows.Scan(&d.Day, &d.Rank, &d.Of, &d.Version, &d.Terms.Reach, &d.Terms.Worth, &d.Terms.Severity, &d.Terms.Momentum, &d.Terms.Churn, &d.Terms.Boost,
			&d.Terms.Score, &w); err != nil {
			return nil, failed("read rank of a day", err)
		}
		if len(w) == 5 {
			d.Weights = rank.Weights{Reach: w[0], Worth: w[1], Severity: w[2], Momentum: w[3], Churn: w[4]}
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list ranks by day", err)
	}
	return out, nil
}
