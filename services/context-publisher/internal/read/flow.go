package read

import (
	"context"
	"fmt"
	"time"
)

// Stage is what passed one stage of the pipeline, as its table shows. Newest is zero where
// nothing ever passed.
type Stage struct {
	Name              string
	Hour, Day, Stored uint64
	Newest            time.Time
}

// stages are the tables that show what passed, in the order of the pipeline, with the column
// that says when.
var stages = []struct{ name, table, at, where string }{
	{"deliveries", "deliveries", "received_at", "1"},
	{"feedback items", "items", "accepted_at", "deleted = 0"},
	{"signals", "signals", "said_at", "deleted = 0"},
	{"assignments", "assignments", "said_at", "deleted = 0"},
	{"briefs", "briefs", "created_at", "1"},
	{"decisions", "decisions", "at", "1"},
}

// Flow counts what passed each stage in the hour and the day before now, in the order of
// the pipeline. Signals and assignments are counted by when the customer spoke.
func (r *Reader) Flow(ctx context.Context, ws string, now time.Time) ([]Stage, error) {
	out := make([]Stage, len(stages))
	for i, s := range stages {
		out[i].Name = s.name
		err := r.db.Conn().QueryRow(ctx, fmt.Sprintf(`SELECT countIf(%[1]s > ?), countIf(%[1]s > ?), count(), max(%[1]s) FROM %[2]s WHERE workspace = ? AND %[3]s`,
			s.at, s.table, s.where), now.Add(-time.Hour), now.Add(-24*time.Hour), ws).Scan(&out[i].Hour, &out[i].Day, &out[i].Stored, &out[i].Newest)
		if err != nil {
			return nil, failed("count "+s.name, err)
		}
		if out[i].Stored == 0 {
			out[i].Newest = time.Time{}
		}
		out[i].Newest = out[i].Newest.UTC()
	}
	return out, nil
}

// Days counts the voices (people) of each cluster by day of the UTC calendar, oldest
// first, for the last days before and including now's.
func (r *Reader) Days(ctx context.Context, ws string, clusters []string, now time.Time, days int) (map[string][]int, error) {
	out := map[string][]int{}
	if len(clusters) == 0 {
		return out, nil
	}
	last := now.UTC().Truncate(24 * time.Hour)
	first := last.AddDate(0, 0, 1-days)
	rows, err := r.db.Conn().Query(ctx, `SELECT cluster, toDate(said_at) AS day, uniqExact(customer) FROM assignments FINAL
		WHERE workspace = ? AND cluster IN ? AND said_at >= ? GROUP BY cluster, day`, ws, clusters, first)
	if err != nil {
		return nil, failed("count voices by day", err)
	}
	defer rows.Close()
	for rows.Next() {
		var cluster string
		var day time.Time
		var voices uint64
		if err := rows.Scan(&cluster, &day, &voices); err != nil {
			return nil, failed("count voices by day", err)
		}
		if out[cluster] == nil {
			out[cluster] = make([]int, days)
		}
		if i := int(day.Sub(first).Hours() / 24); i >= 0 && i < days {
			out[cluster][i] = int(voices)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, failed("count voices by day", err)
	}
	return out, nil
}

// Point is a signal with its vector, to be drawn.
type Point struct {
	Signal, Quote string
	Vector        []float32
}

// mapped is how many of a cluster's newest signals are drawn.
const mapped = 400

// Points gives the newest signals of a cluster with their vectors, all of one space.
func (r *Reader) Points(ctx context.Context, ws, cluster string) ([]Point, error) {
	cluster, err := r.follow(ctx, ws, cluster)
	if err != nil {
		return nil, err
	}
	places, err := r.assigned(ctx, ws, "cluster = ?", []any{cluster}, fmt.Sprintf("said_at DESC, signal LIMIT %d", mapped))
	if err != nil || len(places) == 0 {
		return nil, err
	}
	ids := make([]string, len(places))
	for i, s := range places {
		ids[i] = s.ID
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT id, quote, vector FROM (`+newest("signals", "version", "id, quote, vector, space, said_at")+`)
		WHERE space = (SELECT space FROM clusters FINAL WHERE workspace = ? AND id = ?) ORDER BY said_at DESC, id`, ws, ids, ws, cluster)
	if err != nil {
		return nil, failed("load signals to draw", err)
	}
	defer rows.Close()
	var out []Point
	for rows.Next() {
		var p Point
		if err := rows.Scan(&p.Signal, &p.Quote, &p.Vector); err != nil {
			return nil, failed("load signals to draw", err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("load signals to draw", err)
	}
	return out, nil
}
