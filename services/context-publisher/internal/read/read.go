// Package read is the read model of one publisher: what ClickHouse and the ledger hold
// about a workspace, as values that can be shown. Every method takes the workspace
// first, every query is bound to it, and what another workspace has is ErrNotFound.
//
// It promises that quotes are what is stored, stripped of hidden characters, and that an
// older revision of a brief no longer shows words that were withdrawn since. It refuses
// to write.
package read

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
)

// Reader answers what a workspace has. It is safe for concurrent use.
type Reader struct {
	db     *store.DB
	ledger keyed.Records[keyed.Write]
}

// New makes a Reader over a store and the ledger.
func New(ctx context.Context, db *store.DB, b *bus.Bus) (*Reader, error) {
	ledger, err := keyed.Open[keyed.Write](ctx, b, bus.BucketLedger)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, ledger: ledger}, nil
}

// failed is query.Failed, and ErrNotFound for a row that is not there.
func failed(doing string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return query.Failed(doing, err)
}

func limited(limit int) int {
	if limit <= 0 {
		return DefaultLimit
	}
	return min(limit, MaxLimit)
}

// cursor writes the place after which a list goes on; place reads it.
func cursor(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("read: a cursor of plain values cannot be encoded: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func place(cursor string, parts ...any) error {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return ErrCursor
	}
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil || len(raw) != len(parts) {
		return ErrCursor
	}
	for i, p := range parts {
		if json.Unmarshal(raw[i], p) != nil {
			return ErrCursor
		}
	}
	return nil
}

// Watermark is how far a workspace's clusters have come: the newest input taken and the
// time of the newest signal among them. A workspace without clusters is at 0.
func (r *Reader) Watermark(ctx context.Context, ws string) (position uint64, asOf time.Time, err error) {
	err = r.db.Conn().QueryRow(ctx, `SELECT position, as_of FROM watermarks FINAL WHERE workspace = ?`, ws).Scan(&position, &asOf)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, failed("read watermark", err)
	}
	return position, asOf.UTC(), nil
}

// Rows from before statuses moved say active for open.
const clusterColumns = `id, name, name_pinned, if(status = 'active', 'open', status), status_since, people_since, kind, kinds, sources, medoid, signals, items, voices, accounts, worth,
	first_seen, last_seen, position`

type clusterRow struct {
	Cluster
	medoid string
	pinned uint8
	kind   string
}

func (c *clusterRow) into() []any {
	return []any{&c.ID, &c.Name, &c.pinned, &c.Status, &c.StatusSince, &c.PeopleSince, &c.kind, &c.Kinds, &c.Sources, &c.medoid, &c.Signals, &c.Items,
		&c.Voices, &c.Accounts, &c.Worth, &c.FirstSeen, &c.LastSeen, &c.Position}
}

func (c *clusterRow) done() Cluster {
	c.NamePinned, c.Kind = c.pinned == 1, feedback.Kind(c.kind)
	c.Name = brief.Clean(c.Name)
	if c.StatusSince = c.StatusSince.UTC(); c.StatusSince.Unix() <= 0 {
		c.StatusSince = time.Time{}
	}
	c.Regressed = c.PeopleSince > 0
	c.FirstSeen, c.LastSeen = c.FirstSeen.UTC(), c.LastSeen.UTC()
	c.Quotes, c.Tickets = []Signal{}, []TicketRef{}
	return c.Cluster
}

// Clusters lists the ranking, best first, each with its terms, up to three typical quotes
// and its tickets.
func (r *Reader) Clusters(ctx context.Context, ws string, q ClusterQuery) (Page[Cluster], error) {
	limit := limited(q.Limit)
	where, args := []string{"workspace = ?"}, []any{ws}
	add := func(cond string, values ...any) { where, args = append(where, cond), append(args, values...) }
	if q.Cursor != "" {
		var last uint32
		if err := place(q.Cursor, &last); err != nil {
			return Page[Cluster]{}, err
		}
		add("rank > ?", last)
	}
	if q.Kind != "" {
		add("kind = ?", q.Kind)
	}
	if q.Status != "" {
		add("status = ?", q.Status)
	} else {
		add("status != 'ignored'")
	}
	if q.Q != "" {
		add(`(positionCaseInsensitiveUTF8(name, ?) > 0 OR id IN (
			SELECT cluster FROM assignments FINAL WHERE workspace = ? AND signal IN (
				SELECT id FROM signals FINAL WHERE workspace = ? AND positionCaseInsensitiveUTF8(quote, ?) > 0)))`, q.Q, ws, ws, q.Q)
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT `+clusterColumns+`,
		term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, score, toUInt32(rank), watermark
		FROM ranked_clusters WHERE `+strings.Join(where, " AND ")+
		fmt.Sprintf(` ORDER BY rank LIMIT %d`, limit+1), args...)
	if err != nil {
		return Page[Cluster]{}, failed("list clusters", err)
	}
	defer rows.Close()
	page := Page[Cluster]{Items: []Cluster{}}
	medoids := map[string]string{}
	var places []uint32
	for rows.Next() {
		var c clusterRow
		if err := rows.Scan(append(c.into(), &c.Terms.Reach, &c.Terms.Worth, &c.Terms.Severity, &c.Terms.Momentum, &c.Terms.Churn, &c.Terms.Boost, &c.Score, &c.Rank, &c.Watermark)...); err != nil {
			return Page[Cluster]{}, failed("read cluster", err)
		}
		places = append(places, c.Rank)
		if c.Status == "ignored" {
			c.Rank = 0
		}
		medoids[c.ID] = c.medoid
		page.Items = append(page.Items, c.done())
	}
	if err := rows.Err(); err != nil {
		return Page[Cluster]{}, failed("list clusters", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.NextCursor = cursor(places[limit-1])
	}
	return page, r.dress(ctx, ws, page.Items, medoids)
}

// dress adds typical quotes and tickets to clusters.
func (r *Reader) dress(ctx context.Context, ws string, clusters []Cluster, medoids map[string]string) error {
	if len(clusters) == 0 {
		return nil
	}
	at := map[string]int{}
	var ids []string
	for i, c := range clusters {
		at[c.ID] = i
		ids = append(ids, c.ID)
	}
	signals, err := r.signals(ctx, ws, `signal IN (
		SELECT arrayJoin(typical) FROM (
			SELECT arrayResize(arrayMap(x -> x.2, arraySort(x -> (-x.1, x.2), groupArray((similarity, signal)))), least(3, count())) AS typical
			FROM assignments FINAL WHERE workspace = ? AND cluster IN ? GROUP BY cluster))`, []any{ws, ids}, `similarity DESC, id`, MaxLimit*3)
	if err != nil {
		return err
	}
	for _, s := range signals {
		i, ok := at[s.Cluster]
		if !ok {
			continue
		}
		c := &clusters[i]
		if s.ID == medoids[c.ID] {
			c.Quotes = append([]Signal{s}, c.Quotes...)
		} else {
			c.Quotes = append(c.Quotes, s)
		}
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT a.cluster, a.tracker, a.ticket, a.mode, t.title, t.url
		FROM (SELECT cluster, tracker, ticket, mode FROM attachments FINAL WHERE workspace = ? AND cluster IN ? AND mode != 'rejected') AS a
		INNER JOIN (SELECT tracker, key, title, url FROM tickets FINAL WHERE workspace = ? AND restricted = 0) AS t ON t.tracker = a.tracker AND t.key = a.ticket
		ORDER BY a.tracker, a.ticket`, ws, ids, ws)
	if err != nil {
		return failed("list tickets of clusters", err)
	}
	defer rows.Close()
	for rows.Next() {
		var cluster, tracker, mode string
		var ref TicketRef
		if err := rows.Scan(&cluster, &tracker, &ref.Key, &mode, &ref.Title, &ref.URL); err != nil {
			return failed("read ticket of cluster", err)
		}
		ref.Tracker, ref.Mode, ref.Title = feedback.Tracker(tracker), feedback.Mode(mode), brief.Clean(ref.Title)
		clusters[at[cluster]].Tickets = append(clusters[at[cluster]].Tickets, ref)
	}
	if err := rows.Err(); err != nil {
		return failed("list tickets of clusters", err)
	}
	return nil
}

// Cluster reads one cluster. An id that was merged away leads to what it became.
func (r *Reader) Cluster(ctx context.Context, ws, id string) (Cluster, error) {
	id, err := r.follow(ctx, ws, id)
	if err != nil {
		return Cluster{}, err
	}
	var c clusterRow
	var retired uint8
	err = r.db.Conn().QueryRow(ctx, `SELECT `+clusterColumns+`, retired, merged_into FROM clusters FINAL WHERE workspace = ? AND id = ?`, ws, id).
		Scan(append(c.into(), &retired, &c.MergedInto)...)
	if err != nil {
		return Cluster{}, failed("read cluster", err)
	}
	c.Retired = retired == 1
	err = r.db.Conn().QueryRow(ctx, `SELECT term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, score, toUInt32(rank), watermark
		FROM ranked_clusters WHERE workspace = ? AND id = ? AND status != 'ignored'`, ws, id).
		Scan(&c.Terms.Reach, &c.Terms.Worth, &c.Terms.Severity, &c.Terms.Momentum, &c.Terms.Churn, &c.Terms.Boost, &c.Score, &c.Rank, &c.Watermark)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Cluster{}, failed("read rank", err)
	}
	one := []Cluster{c.done()}
	if err := r.dress(ctx, ws, one, map[string]string{id: c.medoid}); err != nil {
		return Cluster{}, err
	}
	return one[0], nil
}

// follow leads from a merged cluster to the one it is in now.
func (r *Reader) follow(ctx context.Context, ws, id string) (string, error) {
	for range 64 {
		var into string
		err := r.db.Conn().QueryRow(ctx, `SELECT merged_into FROM clusters FINAL WHERE workspace = ? AND id = ?`, ws, id).Scan(&into)
		if err != nil {
			return "", failed("read cluster", err)
		}
		if into == "" || into == id {
			return id, nil
		}
		id = into
	}
	return "", fmt.Errorf("follow merges of cluster: more than 64 steps")
}

// Signals lists a cluster's signals, newest first.
func (r *Reader) Signals(ctx context.Context, ws, id string, limit int, after string) (Page[Signal], error) {
	id, err := r.follow(ctx, ws, id)
	if err != nil {
		return Page[Signal]{}, err
	}
	limit = limited(limit)
	where, args := "cluster = ?", []any{id}
	if after != "" {
		var at int64
		var last string
		if err := place(after, &at, &last); err != nil {
			return Page[Signal]{}, err
		}
		where += ` AND (toUnixTimestamp64Micro(said_at), signal) < (?, ?)`
		args = append(args, at, last)
	}
	signals, err := r.signals(ctx, ws, where, args, `said_at DESC, id DESC`, limit+1)
	if err != nil {
		return Page[Signal]{}, err
	}
	page := Page[Signal]{Items: signals}
	if len(signals) > limit {
		page.Items = signals[:limit]
		last := page.Items[limit-1]
		page.NextCursor = cursor(last.SaidAt.UnixMicro(), last.ID)
	}
	return page, nil
}

// signals reads signals through their assignments. where is about the assignments.
func (r *Reader) signals(ctx context.Context, ws, where string, args []any, order string, limit int) ([]Signal, error) {
	text := `SELECT s.id AS id, a.cluster, s.item, s.kind, s.quote, s.span_start, s.span_end, s.sentiment, s.severity, s.confidence, s.area,
			s.source, s.customer, i.customer_name, i.customer_email, a.account, i.account_id, i.account_name, i.url, s.said_at AS said_at,
			a.similarity AS similarity, a.reason, a.decided_by
		FROM (SELECT signal, cluster, account, similarity, reason, decided_by FROM assignments FINAL WHERE workspace = ? AND ` + where + `) AS a
		INNER JOIN (SELECT * EXCEPT (vector, workspace) FROM signals FINAL WHERE workspace = ?
			AND id IN (SELECT signal FROM assignments FINAL WHERE workspace = ? AND ` + where + `)) AS s ON s.id = a.signal
		INNER JOIN (SELECT id, customer_name, customer_email, account_id, account_name, url FROM items FINAL WHERE workspace = ?
			AND id IN (SELECT item FROM assignments FINAL WHERE workspace = ? AND ` + where + `)) AS i ON i.id = s.item
		ORDER BY ` + order + fmt.Sprintf(` LIMIT %d`, limit)
	all := append([]any{ws}, args...)
	all = append(append(append(all, ws, ws), args...), ws, ws)
	all = append(all, args...)
	rows, err := r.db.Conn().Query(ctx, text, all...)
	if err != nil {
		return nil, failed("list signals", err)
	}
	defer rows.Close()
	out := []Signal{}
	for rows.Next() {
		var s Signal
		var kind, source, account string
		var start, end uint32
		if err := rows.Scan(&s.ID, &s.Cluster, &s.Item, &kind, &s.Quote, &start, &end, &s.Sentiment, &s.Severity, &s.Confidence, &s.Area,
			&source, &s.Customer.ID, &s.Customer.Name, &s.Customer.Email, &account, &s.Account.ID, &s.Account.Name, &s.URL, &s.SaidAt,
			&s.Similarity, &s.Reason, &s.DecidedBy); err != nil {
			return nil, failed("read signal", err)
		}
		if account != "" {
			s.Account.ID = account
		}
		s.Kind, s.Source, s.Span = feedback.Kind(kind), feedback.Source(source), feedback.Span{Start: int(start), End: int(end)}
		s.Quote, s.Customer.Name, s.Account.Name = brief.Clean(s.Quote), brief.Clean(s.Customer.Name), brief.Clean(s.Account.Name)
		s.SaidAt = s.SaidAt.UTC()
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list signals", err)
	}
	return out, nil
}

// History tells what became of a cluster, oldest first, with who decided and why.
func (r *Reader) History(ctx context.Context, ws, id string) ([]Event, error) {
	rows, err := r.db.Conn().Query(ctx, `SELECT e.cluster, e.position, e.kind, e.other, e.detail, e.decision, d.decided_by, d.reason, e.at
		FROM (SELECT * FROM cluster_events FINAL WHERE workspace = ? AND cluster = ?) AS e
		LEFT JOIN (SELECT id, decided_by, reason FROM decisions FINAL WHERE workspace = ?) AS d ON d.id = e.decision
		ORDER BY e.position, e.ordinal`, ws, id, ws)
	if err != nil {
		return nil, failed("list history", err)
	}
	defer rows.Close()
	out := []Event{}
	for rows.Next() {
		var e Event
		if err := rows.Scan(&e.Cluster, &e.Position, &e.Kind, &e.Other, &e.Detail, &e.Decision, &e.By, &e.Reason, &e.At); err != nil {
			return nil, failed("read history", err)
		}
		e.Detail, e.At = brief.Clean(e.Detail), e.At.UTC()
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list history", err)
	}
	if len(out) == 0 {
		if _, err := r.follow(ctx, ws, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}
