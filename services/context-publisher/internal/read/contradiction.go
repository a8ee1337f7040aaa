package read

import (
	"context"
	"fmt"
	"time"
)

// Contradiction is two decisions in force that say the opposite of each other about some
// signals, or about a name. The later one stands until a person takes one of them back.
type Contradiction struct {
	Cluster string    `json:"cluster"`
	Later   Contender `json:"later"`
	Earlier Contender `json:"earlier"`
}

// Contender is one of the two. Name is what a rename gave.
type Contender struct {
	Decision string    `json:"decision"`
	Action   string    `json:"action"`
	Name     string    `json:"name,omitempty"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
}

// Contradictions lists them, the newest first: those about one cluster, or all for "".
func (r *Reader) Contradictions(ctx context.Context, ws, cluster string, limit int) ([]Contradiction, error) {
	where, args := "", []any{ws}
	if cluster != "" {
		where, args = " AND cluster = ?", append(args, cluster)
	}
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT e.cluster, a.id, a.action, a.name, a.decided_by, a.reason, a.at, b.id, b.action, b.name, b.decided_by, b.reason, b.at
		FROM (SELECT * FROM cluster_events FINAL WHERE workspace = ? AND kind = 'contradicted'%s) AS e
		INNER JOIN (SELECT * FROM decisions FINAL WHERE workspace = ? AND undone_by = '') AS a ON a.id = e.decision
		INNER JOIN (SELECT * FROM decisions FINAL WHERE workspace = ? AND undone_by = '') AS b ON b.id = e.other
		ORDER BY a.at DESC, a.id, b.id LIMIT %d`, where, limited(limit)), append(args, ws, ws)...)
	if err != nil {
		return nil, failed("list contradictions", err)
	}
	defer rows.Close()
	out := []Contradiction{}
	for rows.Next() {
		var c Contradiction
		if err := rows.Scan(&c.Cluster, &c.Later.Decision, &c.Later.Action, &c.Later.Name, &c.Later.By, &c.Later.Reason, &c.Later.At,
			&c.Earlier.Decision, &c.Earlier.Action, &c.Earlier.Name, &c.Earlier.By, &c.Earlier.Reason, &c.Earlier.At); err != nil {
			return nil, failed("read contradiction", err)
		}
		c.Later.At, c.Earlier.At = c.Later.At.UTC(), c.Earlier.At.UTC()
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list contradictions", err)
	}
	return out, nil
}
