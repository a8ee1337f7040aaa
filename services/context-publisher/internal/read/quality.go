package read

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"
)

// Delivery is a delivery as it came. Body is its beginning, at most maxRaw bytes, where it is
// text, and "" where it is not; Bytes is how long it is. Headers are left out: they hold
// signatures.
type Delivery struct {
	Kind, Connection string
	ReceivedAt       time.Time
	Body             string
	Bytes            int
}

// maxRaw is how much of a delivery is shown.
const maxRaw = 20_000

// Delivery reads the newest delivery of a feedback item from the archive. ErrNotFound where
// the item, or its delivery, is not there any more.
func (r *Reader) Delivery(ctx context.Context, ws, item string) (Delivery, error) {
	var d Delivery
	var bytes uint64
	err := r.db.Conn().QueryRow(ctx, `SELECT kind, connection, received_at, substring(body, 1, ?), length(body) FROM deliveries FINAL
		WHERE workspace = ? AND id = (SELECT delivery FROM items FINAL WHERE workspace = ? AND id = ?) AND id != '' LIMIT 1`, maxRaw, ws, ws, item).
		Scan(&d.Kind, &d.Connection, &d.ReceivedAt, &d.Body, &bytes)
	if err != nil {
		return Delivery{}, failed("read delivery", err)
	}
	d.Bytes, d.ReceivedAt = int(bytes), d.ReceivedAt.UTC()
	if cut := strings.ToValidUTF8(d.Body, ""); utf8.ValidString(d.Body) || len(d.Body)-len(cut) < utf8.UTFMax {
		d.Body = cut
	} else {
		d.Body = ""
	}
	return d, nil
}

// Week is what was heard in the seven days that begin with From.
type Week struct {
	From    time.Time
	Signals uint64
	// Confidence is how sure the classifier was on average, Unsure the share of signals that a
	// person would be asked about, Other the share of no kind of ours, and Foreign the share
	// in languages that the models were not judged in. Loudest is the share of the tenth of
	// voices that say most.
	Confidence, Unsure, Other, Foreign, Loudest float64
	Kinds                                       map[string]uint64
}

// Quality is how the stream that models see moves: of the last weeks, the newest first.
// Drifted says in our words what is unlike the weeks before.
type Quality struct {
	Weeks   []Week
	Drifted []string
}

// weeks is how many are told.
const weeks = 8

// Quality reads the last weeks before now.
func (r *Reader) Quality(ctx context.Context, ws string, now time.Time) (Quality, error) {
	last := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	from := last.AddDate(0, 0, -7*weeks)
	rows, err := r.db.Conn().Query(ctx, `SELECT week, sum(n), sum(sure) / sum(n), sum(unsure) / sum(n), sum(other) / sum(n), sum(foreign) / sum(n),
			arraySum(arraySlice(arrayReverseSort(groupArray(n)), 1, toUInt64(ceil(count() / 10)))) / sum(n), sumMap(kinds)
		FROM (SELECT intDiv(dateDiff('day', toDate(?), toDate(said_at)), 7) AS week, customer, count() AS n, sum(confidence) AS sure, countIf(confidence < ?) AS unsure,
				countIf(kind = 'other') AS other, countIf(unsupported = 1) AS foreign, sumMap(map(toString(kind), toUInt64(1))) AS kinds
			FROM signals FINAL WHERE workspace = ? AND said_at >= ? AND said_at < ? GROUP BY week, customer)
		GROUP BY week ORDER BY week DESC`, from, unsure, ws, from, last)
	if err != nil {
		return Quality{}, failed("read quality", err)
	}
	defer rows.Close()
	q := Quality{}
	for rows.Next() {
		var w Week
		var n int64
		if err := rows.Scan(&n, &w.Signals, &w.Confidence, &w.Unsure, &w.Other, &w.Foreign, &w.Loudest, &w.Kinds); err != nil {
			return Quality{}, failed("read quality", err)
		}
		w.From = from.AddDate(0, 0, 7*int(n))
		q.Weeks = append(q.Weeks, w)
	}
	if err := rows.Err(); err != nil {
		return Quality{}, failed("read quality", err)
	}
	q.Drifted = drifted(q.Weeks)
	return q, nil
}

// A drift is told where the newest week and those before it have at least enough signals and a
// share differs by at least telling.
const (
	enough  = 30
	telling = 0.15
)

func drifted(all []Week) []string {
	if len(all) < 2 || all[0].Signals < enough {
		return nil
	}
	var before Week
	for _, w := range all[1:] {
		n := float64(w.Signals)
		before.Signals += w.Signals
		before.Confidence += n * w.Confidence
		before.Foreign += n * w.Foreign
		before.Loudest += n * w.Loudest
		for k, m := range w.Kinds {
			if before.Kinds == nil {
				before.Kinds = map[string]uint64{}
			}
			before.Kinds[k] += m
		}
	}
	if before.Signals < enough {
		return nil
	}
	var out []string
	n, now := float64(before.Signals), all[0]
	if before.Confidence/n-now.Confidence >= telling {
		out = append(out, "the classifier is less sure than in the weeks before")
	}
	if now.Foreign-before.Foreign/n >= telling {
		out = append(out, "more is said in languages that the models were not judged in")
	}
	if now.Loudest-before.Loudest/n >= telling {
		out = append(out, "few voices say more of it than before")
	}
	for _, kind := range []string{"bug", "feature_request", "usability", "question", "praise", "complaint", "other"} {
		share, was := float64(now.Kinds[kind])/float64(now.Signals), float64(before.Kinds[kind])/n
		switch {
		case share-was >= telling:
			out = append(out, "more of it is "+strings.ReplaceAll(kind, "_", " ")+" than before")
		case was-share >= telling:
			out = append(out, "less of it is "+strings.ReplaceAll(kind, "_", " ")+" than before")
		}
	}
	return out
}
