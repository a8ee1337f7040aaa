package read

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
)

// heads selects tickets with their briefs, pick-ups and attachments. A restricted ticket
// has none of ours and is left out. It takes the workspace five times, and the condition
// on the ticket stands in for where.
func heads(where string) string {
	return `SELECT t.tracker, t.key, t.title, t.status, t.category, t.url, t.assignee, t.updated_at,
			b.newest, m.picked, a.attached, a.suggested, t.category = 'in_progress' AND m.picked > 0 AND b.last_material > m.picked,
			t.project, t.body, t.labels
		FROM (SELECT * FROM tickets FINAL WHERE workspace = ? AND restricted = 0 AND ` + where + `) AS t
		LEFT JOIN (SELECT tracker, ticket, max(revision) AS newest, maxIf(revision, material = 1) AS last_material
			FROM briefs WHERE workspace = ? GROUP BY tracker, ticket) AS b ON b.tracker = t.tracker AND b.ticket = t.key
		LEFT JOIN (SELECT tracker, key, argMaxIf(revision, version, category = 'in_progress') AS picked
			FROM ticket_moves WHERE workspace = ? GROUP BY tracker, key) AS m ON m.tracker = t.tracker AND m.key = t.key
		LEFT JOIN (SELECT tracker, ticket, countIf(mode IN ('automatic', 'pinned')) AS attached, countIf(mode = 'suggested') AS suggested
			FROM attachments FINAL WHERE workspace = ? GROUP BY tracker, ticket) AS a ON a.tracker = t.tracker AND a.ticket = t.key`
}

func scanHead(scan func(...any) error) (TicketDetail, error) {
	var t TicketDetail
	var tracker, category string
	var attached, suggested uint64
	var changed uint8
	err := scan(&tracker, &t.Key, &t.Title, &t.Status, &category, &t.URL, &t.Assignee, &t.UpdatedAt,
		&t.Revision, &t.PickedUp, &attached, &suggested, &changed, &t.Project, &t.Body, &t.Labels)
	t.Tracker, t.Category = feedback.Tracker(tracker), feedback.StatusCategory(category)
	t.Attached, t.Suggested, t.Changed = int(attached), int(suggested), changed == 1
	t.Title, t.Body, t.UpdatedAt = brief.Clean(t.Title), brief.Clean(t.Body), t.UpdatedAt.UTC()
	return t, err
}

// Tickets lists the workspace's tickets, the one that its tracker changed last first.
func (r *Reader) Tickets(ctx context.Context, ws string, limit int, after string) (Page[TicketHead], error) {
	limit = limited(limit)
	where, args := "1", []any{ws}
	if after != "" {
		var at int64
		var tracker, key string
		if err := place(after, &at, &tracker, &key); err != nil {
			return Page[TicketHead]{}, err
		}
		where = "(toUnixTimestamp64Micro(updated_at), tracker, key) < (?, ?, ?)"
		args = append(args, at, tracker, key)
	}
	rows, err := r.db.Conn().Query(ctx, heads(where)+fmt.Sprintf(` ORDER BY t.updated_at DESC, t.tracker DESC, t.key DESC LIMIT %d`, limit+1),
		append(args, ws, ws, ws)...)
	if err != nil {
		return Page[TicketHead]{}, failed("list tickets", err)
	}
	defer rows.Close()
	page := Page[TicketHead]{Items: []TicketHead{}}
	for rows.Next() {
		t, err := scanHead(rows.Scan)
		if err != nil {
			return Page[TicketHead]{}, failed("read ticket", err)
		}
		page.Items = append(page.Items, t.TicketHead)
	}
	if err := rows.Err(); err != nil {
		return Page[TicketHead]{}, failed("list tickets", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.NextCursor = cursor(last.UpdatedAt.UnixMicro(), last.Tracker, last.Key)
	}
	return page, nil
}

// Ticket reads one ticket with its attachments (best first), its moves (newest first)
// and what was written to its tracker.
func (r *Reader) Ticket(ctx context.Context, ws string, tracker feedback.Tracker, key string) (TicketDetail, error) {
	t, err := scanHead(r.db.Conn().QueryRow(ctx, heads("tracker = ? AND key = ?"), ws, string(tracker), key, ws, ws, ws).Scan)
	if err != nil {
		return TicketDetail{}, failed("read ticket", err)
	}
	if t.Attachments, err = r.attachments(ctx, ws, tracker, key); err != nil {
		return TicketDetail{}, err
	}
	if t.Moves, err = r.moves(ctx, ws, tracker, key); err != nil {
		return TicketDetail{}, err
	}
	w, revision, err := r.ledger.Get(ctx, keyed.TicketKey(ws, tracker, key))
	if err != nil {
		return TicketDetail{}, err
	}
	if revision > 0 {
		t.Block = &Block{State: w.State, Revision: w.Revision, At: w.At, Problem: w.Problem}
		if w.Ref != nil {
			t.Block.URL = w.Ref.URL
		}
	}
	return t, nil
}

func (r *Reader) attachments(ctx context.Context, ws string, tracker feedback.Tracker, key string) ([]Attachment, error) {
	rows, err := r.db.Conn().Query(ctx, `SELECT a.cluster, c.name, a.mode, a.score, a.terms, a.reasons, a.decided_by, a.decision, a.at
		FROM (SELECT * FROM attachments FINAL WHERE workspace = ? AND tracker = ? AND ticket = ?) AS a
		LEFT JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ?) AS c ON c.id = a.cluster
		ORDER BY a.score DESC, a.cluster`, ws, string(tracker), key, ws)
	if err != nil {
		return nil, failed("list attachments", err)
	}
	defer rows.Close()
	out := []Attachment{}
	for rows.Next() {
		var a Attachment
		var mode string
		if err := rows.Scan(&a.Cluster, &a.Name, &mode, &a.Score, &a.Terms, &a.Reasons, &a.DecidedBy, &a.Decision, &a.At); err != nil {
			return nil, failed("read attachment", err)
		}
		a.Mode, a.Name, a.At = feedback.Mode(mode), brief.Clean(a.Name), a.At.UTC()
		for i, s := range a.Reasons {
			a.Reasons[i] = brief.Clean(s)
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list attachments", err)
	}
	return out, nil
}

func (r *Reader) moves(ctx context.Context, ws string, tracker feedback.Tracker, key string) ([]Move, error) {
	rows, err := r.db.Conn().Query(ctx, `SELECT status, category, previous, revision, at FROM ticket_moves FINAL
		WHERE workspace = ? AND tracker = ? AND key = ? ORDER BY version DESC LIMIT 200`, ws, string(tracker), key)
	if err != nil {
		return nil, failed("list moves", err)
	}
	defer rows.Close()
	out := []Move{}
	for rows.Next() {
		var m Move
		var category string
		if err := rows.Scan(&m.Status, &category, &m.Previous, &m.Revision, &m.At); err != nil {
			return nil, failed("read move", err)
		}
		m.Category, m.At = feedback.StatusCategory(category), m.At.UTC()
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list moves", err)
	}
	return out, nil
}

// Brief reads a revision of a ticket's brief, the newest for 0. Quotes whose signal no
// longer exists are taken out: withdrawn words are not shown by an old revision either.
func (r *Reader) Brief(ctx context.Context, ws string, tracker feedback.Tracker, key string, revision uint64) (brief.Brief, error) {
	var open uint64
	if err := r.db.Conn().QueryRow(ctx, `SELECT count() FROM tickets FINAL WHERE workspace = ? AND tracker = ? AND key = ? AND restricted = 0`,
		ws, string(tracker), key).Scan(&open); err != nil {
		return brief.Brief{}, failed("read ticket", err)
	}
	if open == 0 {
		return brief.Brief{}, ErrNotFound
	}
	b, err := r.stored(ctx, ws, tracker, key, revision)
	if err != nil {
		return brief.Brief{}, err
	}
	gone, err := Withdrawn(ctx, r.db, ws, b)
	if err != nil {
		return brief.Brief{}, err
	}
	return brief.Without(b, gone), nil
}

func (r *Reader) stored(ctx context.Context, ws string, tracker feedback.Tracker, key string, revision uint64) (brief.Brief, error) {
	where, args := "", []any{ws, string(tracker), key}
	if revision > 0 {
		where, args = " AND revision = ?", append(args, revision)
	}
	var body string
	err := r.db.Conn().QueryRow(ctx, `SELECT body FROM briefs FINAL WHERE workspace = ? AND tracker = ? AND ticket = ?`+where+
		` ORDER BY revision DESC LIMIT 1`, args...).Scan(&body)
	if err != nil {
		return brief.Brief{}, failed("read brief", err)
	}
	var b brief.Brief
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		return brief.Brief{}, fmt.Errorf("read brief: %w", err)
	}
	return b, nil
}

// Withdrawn tells which of some briefs' quotes no longer exist. An item that was edited keeps
// its other signals, so both items and signals are asked for.
func Withdrawn(ctx context.Context, db *store.DB, ws string, briefs ...brief.Brief) (func(brief.Quote) bool, error) {
	var items, signals []string
	for _, b := range briefs {
		i, s := brief.Sources(b)
		items, signals = append(items, i...), append(signals, s...)
	}
	var live, said map[string]bool
	err := pair(ctx, func(ctx context.Context) (err error) {
		live, err = existing(ctx, db, "items", ws, items)
		return err
	}, func(ctx context.Context) (err error) {
		said, err = existing(ctx, db, "signals", ws, signals)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(q brief.Quote) bool { return !live[q.Item] || q.Signal != "" && !said[q.Signal] }, nil
}

func existing(ctx context.Context, db *store.DB, table, ws string, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(ids) == 0 {
		return out, nil
	}
	var there []string
	// By hand what FINAL does: it would merge all columns of every row that it looks at.
	version := map[string]string{"items": "revision", "signals": "version"}[table]
	if err := db.Conn().QueryRow(ctx, `SELECT groupArray(id) FROM (SELECT id FROM `+table+` WHERE workspace = ? AND id IN ?
		GROUP BY id HAVING argMax(deleted, `+version+`) = 0)`, ws, ids).Scan(&there); err != nil {
		return nil, failed("look for "+table, err)
	}
	for _, id := range there {
		out[id] = true
	}
	return out, nil
}

// Changes tells what the newest brief says that an earlier one did not: since a revision,
// or since the ticket was picked up (ErrNotFound where it never was).
func (r *Reader) Changes(ctx context.Context, ws string, tracker feedback.Tracker, key string, since Since) (Changes, error) {
	now, err := r.Brief(ctx, ws, tracker, key, 0)
	if err != nil {
		return Changes{}, err
	}
	from := since.Revision
	if since.PickUp {
		err := r.db.Conn().QueryRow(ctx, `SELECT revision FROM ticket_moves FINAL WHERE workspace = ? AND tracker = ? AND key = ?
			AND category = 'in_progress' ORDER BY version DESC LIMIT 1`, ws, string(tracker), key).Scan(&from)
		if err != nil {
			return Changes{}, failed("read pick-up", err)
		}
	}
	var old brief.Brief
	if from > 0 {
		if old, err = r.stored(ctx, ws, tracker, key, from); err != nil {
			return Changes{}, err
		}
	}
	gone, err := Withdrawn(ctx, r.db, ws, old)
	if err != nil {
		return Changes{}, err
	}
	return Changes{Tracker: tracker, Ticket: key, Changes: brief.Diff(old, now, gone)}, nil
}

// Revision is one entry of a brief's history: what it told of beyond the one before, in our
// words. Material is false where no engineer would want to be told.
type Revision struct {
	Revision uint64
	Material bool
	Lines    []string
	At       time.Time
}

// Revisions lists the history of a ticket's brief, newest first, at most 500 of them.
func (r *Reader) Revisions(ctx context.Context, ws string, tracker feedback.Tracker, key string) ([]Revision, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT revision, material = 1, changes, created_at FROM briefs FINAL
		WHERE workspace = ? AND tracker = ? AND ticket = ?
			AND (tracker, ticket) IN (SELECT tracker, key FROM tickets FINAL WHERE workspace = ? AND tracker = ? AND key = ? AND restricted = 0)
		ORDER BY revision DESC LIMIT %d`, MaxLimit), ws, string(tracker), key, ws, string(tracker), key)
	if err != nil {
		return nil, failed("list revisions", err)
	}
	defer rows.Close()
	out := []Revision{}
	for rows.Next() {
		var v Revision
		var material uint8
		if err := rows.Scan(&v.Revision, &material, &v.Lines, &v.At); err != nil {
			return nil, failed("read revision", err)
		}
		v.Material, v.At = material == 1, v.At.UTC()
		out = append(out, v)
	}
	return out, failed("list revisions", rows.Err())
}

// Decision reads a decision's row: who, when, why, and which decision took it back.
func (r *Reader) Decision(ctx context.Context, ws, id string) (feedback.Decision, string, error) {
	var d feedback.Decision
	var action, tracker, undone string
	err := r.db.Conn().QueryRow(ctx, `SELECT id, action, cluster, into, signals, name, tracker, ticket, undone_by, decided_by, reason, at
		FROM decisions FINAL WHERE workspace = ? AND id = ?`, ws, id).
		Scan(&d.ID, &action, &d.Cluster, &d.Into, &d.Signals, &d.Name, &tracker, &d.Ticket, &undone, &d.By, &d.Reason, &d.At)
	if errors.Is(err, sql.ErrNoRows) {
		return feedback.Decision{}, "", ErrNotFound
	}
	if err != nil {
		return feedback.Decision{}, "", failed("read decision", err)
	}
	d.Workspace, d.Action, d.Tracker, d.At = ws, feedback.Action(action), feedback.Tracker(tracker), d.At.UTC()
	d.Signals = slices.Clone(d.Signals)
	return d, undone, nil
}
