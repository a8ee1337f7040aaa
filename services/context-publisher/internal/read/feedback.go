package read

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

const itemColumns = `id, revision, source, connection, conversation, customer, customer_name, customer_email,
	account_id, account_name, text, url, created_at, updated_at`

func scanItem(scan func(...any) error) (Item, error) {
	var i Item
	var source string
	err := scan(&i.ID, &i.Revision, &source, &i.Connection, &i.Conversation, &i.Customer.ID, &i.Customer.Name, &i.Customer.Email,
		&i.Account.ID, &i.Account.Name, &i.Text, &i.URL, &i.CreatedAt, &i.UpdatedAt)
	i.Source = feedback.Source(source)
	i.Text, i.Customer.Name, i.Account.Name = brief.Clean(i.Text), brief.Clean(i.Customer.Name), brief.Clean(i.Account.Name)
	i.CreatedAt, i.UpdatedAt = i.CreatedAt.UTC(), i.UpdatedAt.UTC()
	return i, err
}

// Feedback lists feedback items, newest first by when something was last said in them.
func (r *Reader) Feedback(ctx context.Context, ws string, q FeedbackQuery) (Page[Item], error) {
	limit := limited(q.Limit)
	where, args := []string{"workspace = ?"}, []any{ws}
	add := func(cond string, values ...any) { where, args = append(where, cond), append(args, values...) }
	if q.Q != "" {
		add("positionCaseInsensitiveUTF8(text, ?) > 0", q.Q)
	}
	if q.Source != "" {
		add("source = ?", q.Source)
	}
	if q.Customer != "" {
		add("customer = ?", q.Customer)
	}
	if !q.Since.IsZero() {
		add("updated_at >= fromUnixTimestamp64Micro(?)", q.Since.UnixMicro())
	}
	further, place, err := older("updated_at", "id", q.Cursor)
	if err != nil {
		return Page[Item]{}, err
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT `+itemColumns+` FROM items FINAL WHERE `+strings.Join(where, " AND ")+further+
		fmt.Sprintf(` ORDER BY updated_at DESC, id DESC LIMIT %d`, limit+1), append(args, place...)...)
	if err != nil {
		return Page[Item]{}, failed("list feedback", err)
	}
	defer rows.Close()
	items := []Item{}
	for rows.Next() {
		i, err := scanItem(rows.Scan)
		if err != nil {
			return Page[Item]{}, failed("read feedback", err)
		}
		items = append(items, i)
	}
	if err := rows.Err(); err != nil {
		return Page[Item]{}, failed("list feedback", err)
	}
	return page(items, limit, func(i Item) (time.Time, string) { return i.UpdatedAt, i.ID }), nil
}

// FeedbackItem reads one item with its signals, in the order of the text.
func (r *Reader) FeedbackItem(ctx context.Context, ws, id string) (Item, error) {
	i, err := scanItem(r.db.Conn().QueryRow(ctx, `SELECT `+itemColumns+` FROM items FINAL WHERE workspace = ? AND id = ?`, ws, id).Scan)
	if err != nil {
		return Item{}, failed("read feedback item", err)
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT s.id, a.cluster, s.item, s.kind, s.quote, s.span_start, s.span_end, s.sentiment, s.severity,
			s.confidence, s.area, s.said_at, a.similarity, a.reason, a.decided_by
		FROM (SELECT * EXCEPT vector FROM signals FINAL WHERE workspace = ? AND item = ?) AS s
		LEFT JOIN (SELECT signal, cluster, similarity, reason, decided_by FROM assignments FINAL WHERE workspace = ? AND item = ?) AS a ON a.signal = s.id
		ORDER BY s.span_start, s.ordinal`, ws, id, ws, id)
	if err != nil {
		return Item{}, failed("list signals of item", err)
	}
	defer rows.Close()
	i.Signals = []Signal{}
	for rows.Next() {
		s := Signal{Source: i.Source, Customer: i.Customer, Account: i.Account, URL: i.URL}
		var kind string
		var start, end uint32
		if err := rows.Scan(&s.ID, &s.Cluster, &s.Item, &kind, &s.Quote, &start, &end, &s.Sentiment, &s.Severity,
			&s.Confidence, &s.Area, &s.SaidAt, &s.Similarity, &s.Reason, &s.DecidedBy); err != nil {
			return Item{}, failed("read signal of item", err)
		}
		s.Kind, s.Span, s.Quote, s.SaidAt = feedback.Kind(kind), feedback.Span{Start: int(start), End: int(end)}, brief.Clean(s.Quote), s.SaidAt.UTC()
		i.Signals = append(i.Signals, s)
	}
	if err := rows.Err(); err != nil {
		return Item{}, failed("list signals of item", err)
	}
	return i, nil
}
