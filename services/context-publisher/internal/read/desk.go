package read

import (
	"context"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// Suggestion is an attachment that waits for a person: the machine was not sure enough to
// act. Worth is what the cluster's accounts are worth a year; of a single signal it is not
// known, and its cluster is left empty.
type Suggestion struct {
	Ticket     TicketHead
	Attachment Attachment
	Quote      string // the cluster's most typical quote
	Voices     uint32
	Worth      float64
}

// Suggestions lists what waits for a person, in the order of what a decision is worth:
// tickets in progress first, then by how many people are behind the cluster and how good
// the match is. Tickets that are done ask for nothing.
func (r *Reader) Suggestions(ctx context.Context, ws string, limit int) ([]Suggestion, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT t.tracker, t.key, t.title, t.status, t.category, t.url, t.updated_at,
			if(a.signal = '', a.cluster, ''), a.signal, c.item, c.name, a.score, a.terms, a.reasons, a.at, c.voices, c.worth, if(a.signal = '', s.quote, c.name)
		FROM (SELECT * FROM attachments FINAL WHERE workspace = ? AND mode = 'suggested') AS a
		INNER JOIN (SELECT * FROM tickets FINAL WHERE workspace = ? AND restricted = 0 AND category != 'done') AS t ON t.tracker = a.tracker AND t.key = a.ticket
		INNER JOIN (SELECT id, name, voices, worth, medoid, '' AS item FROM clusters FINAL WHERE workspace = ? AND retired = 0 AND status != 'ignored'
			UNION ALL SELECT id, quote, toUInt32(1), toFloat64(0), '', item FROM signals FINAL WHERE workspace = ? AND id IN (
				SELECT signal FROM attachments FINAL WHERE workspace = ? AND mode = 'suggested')) AS c ON c.id = a.cluster
		LEFT JOIN (SELECT id, quote FROM signals FINAL WHERE workspace = ? AND id IN (SELECT medoid FROM clusters FINAL WHERE workspace = ?)) AS s ON s.id = c.medoid
		ORDER BY t.category = 'in_progress' DESC, log1p(c.voices) * a.score DESC, t.tracker, t.key, a.cluster LIMIT %d`, limited(limit)), ws, ws, ws, ws, ws, ws, ws)
	if err != nil {
		return nil, failed("list suggestions", err)
	}
	defer rows.Close()
	out := []Suggestion{}
	for rows.Next() {
		var s Suggestion
		var tracker, category string
		if err := rows.Scan(&tracker, &s.Ticket.Key, &s.Ticket.Title, &s.Ticket.Status, &category, &s.Ticket.URL, &s.Ticket.UpdatedAt,
			&s.Attachment.Cluster, &s.Attachment.Signal, &s.Attachment.Item, &s.Attachment.Name, &s.Attachment.Score, &s.Attachment.Terms, &s.Attachment.Reasons, &s.Attachment.At,
			&s.Voices, &s.Worth, &s.Quote); err != nil {
			return nil, failed("read suggestion", err)
		}
		s.Ticket.Tracker, s.Ticket.Category = feedback.Tracker(tracker), feedback.StatusCategory(category)
		s.Ticket.Title, s.Attachment.Name, s.Quote = brief.Clean(s.Ticket.Title), brief.Clean(s.Attachment.Name), brief.Clean(s.Quote)
		s.Attachment.Mode = feedback.Suggested
		for i := range s.Attachment.Reasons {
			s.Attachment.Reasons[i] = brief.Clean(s.Attachment.Reasons[i])
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list suggestions", err)
	}
	return out, nil
}

// End is one of the two clusters of a pair, with its most typical quote.
type End struct {
	ID, Name, Quote string
	Voices          uint32
}

// Pair is two clusters that may mean the same need. Similarity is the cosine of their
// centroids, in [-1, 1].
type Pair struct {
	One, Other End
	Similarity float64
}

// comparedClusters is how many of the most voiced clusters are compared with each other,
// minAlike the least similarity at which a person is asked: below it, pairs of the bundled
// feedback are about different things.
const (
	comparedClusters = 200
	minAlike         = 0.7
)

// Alike lists pairs of clusters that may be one, most similar first. Pairs that a person
// kept apart before (a merge that was taken back, a split) are left out.
func (r *Reader) Alike(ctx context.Context, ws string, limit int) ([]Pair, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`WITH big AS (SELECT id, name, voices, medoid, space, centroid FROM clusters FINAL
			WHERE workspace = ? AND retired = 0 AND status != 'ignored' AND length(centroid) > 0 ORDER BY voices DESC, id LIMIT %d),
		said AS (SELECT id, quote FROM signals FINAL WHERE workspace = ? AND id IN (SELECT medoid FROM big)),
		apart AS (SELECT DISTINCT cluster, other FROM cluster_events FINAL WHERE workspace = ? AND decision != '' AND other != '')
		SELECT a.id, a.name, a.voices, sa.quote, b.id, b.name, b.voices, sb.quote, 1 - cosineDistance(a.centroid, b.centroid) AS alike
		FROM big AS a INNER JOIN big AS b ON a.space = b.space
		LEFT JOIN said AS sa ON sa.id = a.medoid LEFT JOIN said AS sb ON sb.id = b.medoid
		WHERE a.id < b.id AND length(a.centroid) = length(b.centroid) AND alike >= %g
			AND (a.id, b.id) NOT IN apart AND (b.id, a.id) NOT IN apart
		ORDER BY alike DESC, a.id, b.id LIMIT %d`, comparedClusters, minAlike, limited(limit)), ws, ws, ws)
	if err != nil {
		return nil, failed("compare clusters", err)
	}
	defer rows.Close()
	out := []Pair{}
	for rows.Next() {
		var p Pair
		if err := rows.Scan(&p.One.ID, &p.One.Name, &p.One.Voices, &p.One.Quote, &p.Other.ID, &p.Other.Name, &p.Other.Voices, &p.Other.Quote, &p.Similarity); err != nil {
			return nil, failed("read pair of clusters", err)
		}
		for _, e := range []*End{&p.One, &p.Other} {
			e.Name, e.Quote = brief.Clean(e.Name), brief.Clean(e.Quote)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("compare clusters", err)
	}
	return out, nil
}

// Decision is what a person decided, as the audit log shows it. Undone says who took it
// back, "" for a decision that stands.
type Decision struct {
	ID, Action, Cluster, Name, Into, NewName string
	Signals                                  int
	Tracker                                  feedback.Tracker
	Ticket                                   string
	By, Reason, Undone                       string
	At                                       time.Time
}

// Decisions lists what people decided, newest first.
func (r *Reader) Decisions(ctx context.Context, ws string, limit int, after string) (Page[Decision], error) {
	limit = limited(limit)
	further, args, err := older("at", "id", after)
	if err != nil {
		return Page[Decision]{}, err
	}
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT d.id, d.action, d.cluster, c.name, d.into, d.name, length(d.signals), d.tracker, d.ticket,
			d.decided_by, d.reason, d.undone_by, d.at
		FROM (SELECT * FROM decisions FINAL WHERE workspace = ?%s) AS d
		LEFT JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ?) AS c ON c.id = d.cluster
		ORDER BY d.at DESC, d.id DESC LIMIT %d`, further, limit+1), append(append([]any{ws}, args...), ws)...)
	if err != nil {
		return Page[Decision]{}, failed("list decisions", err)
	}
	defer rows.Close()
	decisions := []Decision{}
	for rows.Next() {
		var d Decision
		var tracker string
		var signals uint64
		if err := rows.Scan(&d.ID, &d.Action, &d.Cluster, &d.Name, &d.Into, &d.NewName, &signals, &tracker, &d.Ticket, &d.By, &d.Reason, &d.Undone, &d.At); err != nil {
			return Page[Decision]{}, failed("read decision", err)
		}
		d.Signals, d.Tracker, d.At = int(signals), feedback.Tracker(tracker), d.At.UTC()
		d.Name, d.NewName = brief.Clean(d.Name), brief.Clean(d.NewName)
		decisions = append(decisions, d)
	}
	if err := rows.Err(); err != nil {
		return Page[Decision]{}, failed("list decisions", err)
	}
	return page(decisions, limit, func(d Decision) (time.Time, string) { return d.At, d.ID }), nil
}
