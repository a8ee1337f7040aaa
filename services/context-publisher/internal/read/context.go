package read

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// TicketContext is a ticket with its newest brief and, where work on it began at an older
// revision, what changed since.
type TicketContext struct {
	TicketHead
	Brief brief.Brief    `json:"brief"`
	Since *brief.Changes `json:"since,omitempty"`
}

// Head reads a ticket as lists show it. Each part is asked for by the ticket's own key, so
// that it costs the same however many tickets there are.
func (r *Reader) Head(ctx context.Context, ws string, tracker feedback.Tracker, key string) (TicketHead, error) {
	of := []any{ws, string(tracker), key}
	row := r.db.Conn().QueryRow(ctx, `SELECT tracker, key, title, status, category, url, assignee, updated_at, newest, picked, attached, suggested,
			category = 'in_progress' AND picked > 0 AND last_material > picked, project, body, labels
		FROM (SELECT * FROM tickets FINAL WHERE workspace = ? AND tracker = ? AND key = ? AND restricted = 0) AS t
		CROSS JOIN (SELECT max(revision) AS newest, maxIf(revision, material = 1) AS last_material FROM briefs WHERE workspace = ? AND tracker = ? AND ticket = ?) AS b
		CROSS JOIN (SELECT argMaxIf(revision, version, category = 'in_progress') AS picked FROM ticket_moves WHERE workspace = ? AND tracker = ? AND key = ?) AS m
		CROSS JOIN (SELECT countIf(mode IN ('automatic', 'pinned')) AS attached, countIf(mode = 'suggested') AS suggested
			FROM attachments FINAL WHERE workspace = ? AND tracker = ? AND ticket = ?) AS a`, append(append(append(append([]any{}, of...), of...), of...), of...)...)
	t, err := scanHead(row.Scan)
	if err != nil {
		return TicketHead{}, failed("read ticket", err)
	}
	return t.TicketHead, nil
}

// Context reads what an agent asks first, in three rounds of questions to the store. A
// ticket without a brief is ErrNotFound, as Brief has it.
func (r *Reader) Context(ctx context.Context, ws string, tracker feedback.Tracker, key string) (TicketContext, error) {
	head, err := r.Head(ctx, ws, tracker, key)
	if err != nil {
		return TicketContext{}, err
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT body FROM briefs FINAL WHERE workspace = ? AND tracker = ? AND ticket = ? AND revision IN (?, ?) ORDER BY revision DESC`,
		ws, string(tracker), key, head.Revision, head.PickedUp)
	if err != nil {
		return TicketContext{}, failed("read brief", err)
	}
	defer rows.Close()
	var briefs []brief.Brief
	for rows.Next() {
		var body string
		var b brief.Brief
		if err := rows.Scan(&body); err != nil {
			return TicketContext{}, failed("read brief", err)
		}
		if err := json.Unmarshal([]byte(body), &b); err != nil {
			return TicketContext{}, fmt.Errorf("read brief: %w", err)
		}
		briefs = append(briefs, b)
	}
	if err := rows.Err(); err != nil {
		return TicketContext{}, failed("read brief", err)
	}
	if len(briefs) == 0 || briefs[0].Revision != head.Revision {
		return TicketContext{}, ErrNotFound
	}
	gone, err := Withdrawn(ctx, r.db, ws, briefs...)
	if err != nil {
		return TicketContext{}, err
	}
	out := TicketContext{TicketHead: head, Brief: brief.Without(briefs[0], gone)}
	if len(briefs) == 2 {
		since := brief.Diff(briefs[1], out.Brief, gone)
		out.Since = &since
	}
	return out, nil
}

// NewestSaid is when the newest stored item of a workspace was last said something in, zero
// where there is none. An item that was deleted since may count until the store forgets its
// older revisions: asking for that would cost reading them all.
func (r *Reader) NewestSaid(ctx context.Context, ws string) (time.Time, error) {
	var at time.Time
	var n uint64
	if err := r.db.Conn().QueryRow(ctx, `SELECT max(updated_at), count() FROM items WHERE workspace = ? AND deleted = 0`, ws).Scan(&at, &n); err != nil {
		return time.Time{}, failed("read newest item", err)
	}
	if n == 0 {
		return time.Time{}, nil
	}
	return at.UTC(), nil
}

// pair runs two questions side by side.
func pair(ctx context.Context, a, b func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a(ctx) })
	g.Go(func() error { return b(ctx) })
	return g.Wait()
}
