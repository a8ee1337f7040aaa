package read

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/picture"
)

// Part is a proposal to take quotes out of a cluster, because what is said in it lies in two
// groups. Apart is their mean silhouette, in [0, 1]. Signals are those of the smaller group,
// with some of them as they were said, and some of the others beside them.
type Part struct {
	Cluster      End
	Apart        float64
	Signals      []string
	Out, Staying []string
}

// How many of the most voiced clusters are looked at for two groups, and how far apart groups
// have to be, how many signals the smaller one has at least, and how many quotes show each.
// Single clouds of sentence embeddings lie below the bar (package picture's tests).
const (
	lookedAt   = 12
	leastApart = 0.3
	leastOut   = 3
	shownOut   = 2
)

// Parts lists clusters that may be two, those apart furthest first. A cluster that a person
// split, or took a split back in, is not asked about again.
func (r *Reader) Parts(ctx context.Context, ws string, limit int) ([]Part, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT id, name, voices FROM clusters FINAL
		WHERE workspace = ? AND retired = 0 AND status != 'ignored' AND signals >= %d
			AND id NOT IN (SELECT cluster FROM decisions FINAL WHERE workspace = ? AND action = 'split')
		ORDER BY voices DESC, id LIMIT %d`, 2*leastOut, lookedAt), ws, ws)
	if err != nil {
		return nil, failed("list clusters to split", err)
	}
	defer rows.Close()
	var big []End
	for rows.Next() {
		var e End
		if err := rows.Scan(&e.ID, &e.Name, &e.Voices); err != nil {
			return nil, failed("read cluster to split", err)
		}
		e.Name = brief.Clean(e.Name)
		big = append(big, e)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list clusters to split", err)
	}
	out := []Part{}
	for _, e := range big {
		points, err := r.Points(ctx, ws, e.ID)
		if err != nil {
			return nil, err
		}
		if p, ok := parted(e, points); ok {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Part) int {
		if a.Apart > b.Apart {
			return -1
		}
		return 1
	})
	return out[:min(len(out), limit)], nil
}

func parted(e End, points []Point) (Part, bool) {
	vectors := make([][]float32, len(points))
	for i, p := range points {
		vectors[i] = p.Vector
	}
	second, apart := picture.Groups(vectors)
	in := 0
	for _, s := range second {
		if s {
			in++
		}
	}
	smaller := 2*in <= len(points) // the second group is the one to take out
	p := Part{Cluster: e, Apart: apart}
	for i, s := range second {
		quote := brief.Clean(points[i].Quote)
		if s != smaller {
			if len(p.Staying) < shownOut {
				p.Staying = append(p.Staying, quote)
			}
			continue
		}
		p.Signals = append(p.Signals, points[i].Signal)
		if len(p.Out) < shownOut {
			p.Out = append(p.Out, quote)
		}
	}
	return p, apart >= leastApart && len(p.Signals) >= leastOut
}

// unsure is the confidence below which a person is asked what a signal is.
const unsure = 0.6

// Unsure lists signals whose kind the classifier was not sure of and no person has told, those
// of accounts worth most first, then the least sure and the newest.
func (r *Reader) Unsure(ctx context.Context, ws string, limit int) ([]Signal, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT signal FROM
		(SELECT id, confidence, said_at FROM signals FINAL WHERE workspace = ? AND confidence < %g
			AND id NOT IN (SELECT arrayJoin(signals) FROM decisions FINAL WHERE workspace = ? AND action = 'correct' AND undone_by = '')) AS s
		INNER JOIN (SELECT signal, account FROM assignments FINAL WHERE workspace = ?) AS a ON a.signal = s.id
		LEFT JOIN (SELECT id, value FROM accounts FINAL WHERE workspace = ?) AS c ON c.id = a.account
		ORDER BY c.value DESC, s.confidence, s.said_at DESC, signal LIMIT %d`, unsure, limited(limit)), ws, ws, ws, ws)
	if err != nil {
		return nil, failed("list unsure signals", err)
	}
	defer rows.Close()
	order := map[string]int{}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, failed("read unsure signal", err)
		}
		order[id] = len(ids)
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return []Signal{}, failed("list unsure signals", err)
	}
	places, err := r.assigned(ctx, ws, "signal IN ?", []any{ids}, "signal")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(places, func(a, b Signal) int { return order[a.ID] - order[b.ID] })
	return r.signals(ctx, ws, places)
}

// Quarrel is two decisions of different people that stand and say opposite things. Later is
// the one that holds.
type Quarrel struct {
	About          string // in our words
	Cluster, Name  string
	Tracker        feedback.Tracker
	Ticket         string
	Earlier, Later Ruling
}

// Ruling is one side of a quarrel.
type Ruling struct {
	ID, Action, By, Reason, To string
	At                         time.Time
}

// Quarrels lists decisions that contradict each other, the newest first: a pin and a
// rejection in one place, two names, ignoring and reopening or marking, joining and splitting
// the same cluster.
func (r *Reader) Quarrels(ctx context.Context, ws string, limit int) ([]Quarrel, error) {
	const standing = `SELECT id, action, cluster, into, name, status, tracker, ticket, decided_by, reason, at, multiIf(
			action IN ('pin', 'reject'), 'attachment', action IN ('ignore', 'reopen', 'mark'), 'status', action = 'rename', 'name', 'content') AS about,
			if(action = 'merge', into, cluster) AS of
		FROM decisions FINAL WHERE workspace = ? AND undone_by = '' AND action IN ('pin', 'reject', 'ignore', 'reopen', 'mark', 'rename', 'merge', 'split')`
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT b.about, b.of, c.name, b.tracker, b.ticket,
			a.id, a.action, a.decided_by, a.reason, if(a.action = 'rename', a.name, a.status), a.at,
			b.id, b.action, b.decided_by, b.reason, if(b.action = 'rename', b.name, b.status), b.at
		FROM (%[1]s) AS a INNER JOIN (%[1]s) AS b ON b.about = a.about AND b.of = a.of AND b.tracker = a.tracker AND b.ticket = a.ticket
		LEFT JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ?) AS c ON c.id = b.of
		WHERE (a.at, a.id) < (b.at, b.id) AND a.decided_by != b.decided_by
			AND (a.action != b.action OR a.about = 'name' AND a.name != b.name OR a.action = 'mark' AND a.status != b.status)
		ORDER BY b.at DESC, a.at DESC LIMIT 1 BY b.id LIMIT %[2]d`, standing, limited(limit)), ws, ws, ws)
	if err != nil {
		return nil, failed("list contradictions", err)
	}
	defer rows.Close()
	out := []Quarrel{}
	for rows.Next() {
		var q Quarrel
		var tracker string
		a, b := &q.Earlier, &q.Later
		if err := rows.Scan(&q.About, &q.Cluster, &q.Name, &tracker, &q.Ticket, &a.ID, &a.Action, &a.By, &a.Reason, &a.To, &a.At, &b.ID, &b.Action, &b.By, &b.Reason, &b.To, &b.At); err != nil {
			return nil, failed("read contradiction", err)
		}
		q.Tracker, q.Name, a.To, b.To, a.At, b.At = feedback.Tracker(tracker), brief.Clean(q.Name), brief.Clean(a.To), brief.Clean(b.To), a.At.UTC(), b.At.UTC()
		out = append(out, q)
	}
	return out, failed("list contradictions", rows.Err())
}
