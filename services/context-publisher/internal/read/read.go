// Package read is the read model of one publisher: what ClickHouse and the ledger hold
// about a workspace, as values that can be shown. Every method takes the workspace
// first, every query is bound to it, and what another workspace has is ErrNotFound.
//
// It promises that quotes are what is stored, stripped of hidden characters, and that an
// older revision of a brief no longer shows words that were withdrawn since. It refuses
// to write.
package read

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
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

	mu    sync.Mutex
	parts map[string]map[string]parting // by workspace and cluster
}

// New makes a Reader over a store and the ledger.
func New(ctx context.Context, db *store.DB, b *bus.Bus) (*Reader, error) {
	ledger, err := keyed.Open[keyed.Write](ctx, b, bus.BucketLedger)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, ledger: ledger, parts: map[string]map[string]parting{}}, nil
}

// failed is query.Failed, ErrNotFound for a row that is not there, and nil for nil.
func failed(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
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

// older is the condition for what a list that is newest first by a time and an id has after a
// cursor of page, with its arguments; it is empty for no cursor.
func older(at, id, after string) (cond string, args []any, err error) {
	if after == "" {
		return "", nil, nil
	}
	var micros int64
	var last string
	if err := place(after, &micros, &last); err != nil {
		return "", nil, err
	}
	return fmt.Sprintf(" AND (toUnixTimestamp64Micro(%s), %s) < (?, ?)", at, id), []any{micros, last}, nil
}

// page is of rows that were asked for with one more than the limit, newest first; of says by
// which time and id.
func page[T any](rows []T, limit int, of func(T) (time.Time, string)) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Items: rows}
	}
	at, id := of(rows[limit-1])
	return Page[T]{Items: rows[:limit], NextCursor: cursor(at.UnixMicro(), id)}
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

// open is the status of a cluster that nobody works on yet; active is how the store calls
// it in older rows.
const (
	open   = "open"
	active = "active"
)

func stored(status string) []string {
	if status == open {
		return []string{open, active}
	}
	return []string{status}
}

const clusterColumns = `id, name, name_pinned, status, status_since, people_since, kind, kinds, sources, medoid, signals, items, voices, accounts, worth,
	first_seen, last_seen, position`

// rankColumns are a rank, and what a reader compares it with.
const rankColumns = `term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, score, toUInt32(rank), watermark,
	signals, voices, accounts, worth, position`

// ranked is where rankColumns go.
func (c *Cluster) ranked() []any {
	return []any{&c.Terms.Reach, &c.Terms.Worth, &c.Terms.Severity, &c.Terms.Momentum, &c.Terms.Churn, &c.Terms.Boost, &c.Score, &c.Rank, &c.Watermark,
		&c.Signals, &c.Voices, &c.Accounts, &c.Worth, &c.Position}
}

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
	if c.Status == active {
		c.Status = open
	}
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
// and its tickets. It asks in narrow steps (which clusters, their rows, their quotes), since
// a wide question would read every column of every row to show fifty.
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
		add("status IN ?", stored(q.Status))
	} else {
		add("status != 'ignored'")
	}
	matching, from := "toUInt64(0)", ""
	if heard, of := q.heard(ws); heard != "" {
		matching, from = "matching", ` INNER JOIN (`+heard+`) AS heard ON heard.cluster = id`
		args = append(of, args...)
		if q.Q != "" {
			add("(matching > 0 OR positionCaseInsensitiveUTF8(name, ?) > 0)", q.Q)
		}
	}
	rows, err := r.db.Conn().Query(ctx, `SELECT id, `+matching+`, `+rankColumns+`
		FROM ranked_clusters`+from+` WHERE `+strings.Join(where, " AND ")+
		fmt.Sprintf(` ORDER BY rank LIMIT %d`, limit+1), args...)
	if err != nil {
		return Page[Cluster]{}, failed("list clusters", err)
	}
	defer rows.Close()
	var ranked []Cluster
	for rows.Next() {
		var c Cluster
		if err := rows.Scan(append([]any{&c.ID, &c.Matching}, c.ranked()...)...); err != nil {
			return Page[Cluster]{}, failed("read cluster", err)
		}
		ranked = append(ranked, c)
	}
	if err := rows.Err(); err != nil {
		return Page[Cluster]{}, failed("list clusters", err)
	}
	page := Page[Cluster]{Items: []Cluster{}}
	if len(ranked) > limit {
		ranked = ranked[:limit]
		page.NextCursor = cursor(ranked[limit-1].Rank)
	}
	page.Items, err = r.dress(ctx, ws, ranked)
	return page, err
}

// heard counts, for each cluster, the voices whose own words and circumstances are asked
// for: every condition is about one and the same signal. Where a search is all that is
// asked, a cluster none of whose signals match counts 0; other conditions leave it out. "" is
// a query without such conditions.
func (q ClusterQuery) heard(ws string) (query string, args []any) {
	words := "1"
	// Without FINAL: the id of a signal is made of its quote, and one that is gone has no
	// assignment.
	if q.Q != "" {
		words, args = "signal IN (SELECT id FROM signals WHERE workspace = ? AND positionCaseInsensitiveUTF8(quote, ?) > 0)", append(args, ws, q.Q)
	}
	args = append(args, ws)
	where := ""
	if !q.Since.IsZero() {
		where, args = where+" AND said_at >= fromUnixTimestamp64Micro(?)", append(args, q.Since.UnixMicro())
	}
	if q.Segment != "" {
		where, args = where+" AND account IN (SELECT id FROM accounts FINAL WHERE workspace = ? AND segment = ?)", append(args, ws, q.Segment)
	}
	if q.Source != "" || q.Area != "" {
		of := "workspace = ?"
		args = append(args, ws)
		if q.Source != "" {
			of, args = of+" AND source = ?", append(args, q.Source)
		}
		if q.Area != "" {
			of, args = of+" AND area = ?", append(args, q.Area)
		}
		where += " AND signal IN (SELECT id FROM signals FINAL WHERE " + of + ")"
	}
	if q.Q == "" && where == "" {
		return "", nil
	}
	return "SELECT cluster, uniqExactIf(customer, " + words + ") AS matching FROM assignments FINAL WHERE workspace = ?" + where + " GROUP BY cluster", args
}

// Facets are what a workspace's ranking can be filtered by besides kind, status and source:
// the areas that signals name and the segments of accounts, in the order of the alphabet.
type Facets struct{ Areas, Segments []string }

// Facets lists them.
func (r *Reader) Facets(ctx context.Context, ws string) (Facets, error) {
	var f Facets
	if err := r.db.Conn().QueryRow(ctx, `SELECT
		(SELECT arraySort(groupUniqArray(500)(toString(area))) FROM signals WHERE workspace = ? AND deleted = 0 AND area != ''),
		(SELECT arraySort(groupUniqArray(500)(toString(segment))) FROM accounts FINAL WHERE workspace = ? AND segment != '')`, ws, ws).Scan(&f.Areas, &f.Segments); err != nil {
		return Facets{}, failed("list facets", err)
	}
	return f, nil
}

// dress reads the rest of clusters whose place is known.
func (r *Reader) dress(ctx context.Context, ws string, ranked []Cluster) ([]Cluster, error) {
	out := make([]Cluster, len(ranked))
	if len(ranked) == 0 {
		return out, nil
	}
	at := map[string]int{}
	ids := make([]string, len(ranked))
	for i, c := range ranked {
		at[c.ID], ids[i] = i, c.ID
	}
	medoids := map[string]string{}
	read := func(ctx context.Context) error {
		rows, err := r.db.Conn().Query(ctx, `SELECT `+clusterColumns+` FROM clusters FINAL WHERE workspace = ? AND id IN ?`, ws, ids)
		if err != nil {
			return failed("read clusters", err)
		}
		defer rows.Close()
		for rows.Next() {
			var c clusterRow
			if err := rows.Scan(c.into()...); err != nil {
				return failed("read clusters", err)
			}
			medoids[c.ID] = c.medoid
			i := at[c.ID]
			known := ranked[i]
			if known.Position > 0 {
				// What the rank was computed from: the row may have changed since.
				c.Signals, c.Voices, c.Accounts, c.Worth, c.Position = known.Signals, known.Voices, known.Accounts, known.Worth, known.Position
			}
			c.Rank, c.Score, c.Terms, c.Watermark, c.Matching, c.Retired, c.MergedInto = known.Rank, known.Score, known.Terms, known.Watermark, known.Matching, known.Retired, known.MergedInto
			if c.Status == "ignored" {
				c.Rank = 0
			}
			out[i] = c.done()
		}
		return failed("read clusters", rows.Err())
	}
	if err := read(ctx); err != nil {
		return nil, err
	}
	var quotes []Signal
	err := pair(ctx, func(ctx context.Context) (err error) {
		quotes, err = r.typical(ctx, ws, ids)
		return err
	}, func(ctx context.Context) error {
		return r.ticketsOf(ctx, ws, ids, func(cluster string) *Cluster { return &out[at[cluster]] })
	})
	if err != nil {
		return nil, err
	}
	for _, s := range quotes {
		c := &out[at[s.Cluster]]
		if s.ID == medoids[c.ID] {
			c.Quotes = append([]Signal{s}, c.Quotes...)
		} else {
			c.Quotes = append(c.Quotes, s)
		}
	}
	return out, nil
}

// typicalQuotes is how many quotes show what a cluster is about.
const typicalQuotes = 3

// typical gives the signals that are closest to the middle of each cluster, closest first.
func (r *Reader) typical(ctx context.Context, ws string, clusters []string) ([]Signal, error) {
	places, err := r.assigned(ctx, ws, "cluster IN ?", []any{clusters}, fmt.Sprintf("similarity DESC, signal LIMIT %d BY cluster", typicalQuotes))
	if err != nil {
		return nil, err
	}
	return r.signals(ctx, ws, places)
}

func (r *Reader) ticketsOf(ctx context.Context, ws string, clusters []string, of func(cluster string) *Cluster) error {
	rows, err := r.db.Conn().Query(ctx, `SELECT a.cluster, a.tracker, a.ticket, a.mode, t.title, t.url
		FROM (SELECT cluster, tracker, ticket, mode FROM attachments FINAL WHERE workspace = ? AND cluster IN ? AND mode != 'rejected') AS a
		INNER JOIN (SELECT tracker, key, title, url FROM tickets FINAL WHERE workspace = ? AND restricted = 0) AS t ON t.tracker = a.tracker AND t.key = a.ticket
		ORDER BY a.tracker, a.ticket`, ws, clusters, ws)
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
		c := of(cluster)
		c.Tickets = append(c.Tickets, ref)
	}
	return failed("list tickets of clusters", rows.Err())
}

// Cluster reads one cluster. An id that was merged away leads to what it became.
func (r *Reader) Cluster(ctx context.Context, ws, id string) (Cluster, error) {
	id, err := r.follow(ctx, ws, id)
	if err != nil {
		return Cluster{}, err
	}
	c := Cluster{ID: id}
	var retired uint8
	err = r.db.Conn().QueryRow(ctx, `SELECT retired, merged_into FROM clusters FINAL WHERE workspace = ? AND id = ?`, ws, id).Scan(&retired, &c.MergedInto)
	if err != nil {
		return Cluster{}, failed("read cluster", err)
	}
	c.Retired = retired == 1
	err = r.db.Conn().QueryRow(ctx, `SELECT `+rankColumns+`
		FROM ranked_clusters WHERE workspace = ? AND id = ? AND status != 'ignored'`, ws, id).Scan(c.ranked()...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Cluster{}, failed("read rank", err)
	}
	one, err := r.dress(ctx, ws, []Cluster{c})
	if err != nil {
		return Cluster{}, err
	}
	one[0].Contradictions, err = r.Contradictions(ctx, ws, id, 0)
	return one[0], err
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
	further, args, err := older("said_at", "signal", after)
	if err != nil {
		return Page[Signal]{}, err
	}
	places, err := r.assigned(ctx, ws, "cluster = ?"+further, append([]any{id}, args...), fmt.Sprintf(`said_at DESC, signal DESC LIMIT %d`, limit+1))
	if err != nil {
		return Page[Signal]{}, err
	}
	out := page(places, limit, func(s Signal) (time.Time, string) { return s.SaidAt, s.ID })
	out.Items, err = r.signals(ctx, ws, out.Items)
	return out, err
}

// assigned reads where signals are, and what is known from that alone. where is about the
// assignments, order is their order with its limit.
func (r *Reader) assigned(ctx context.Context, ws, where string, args []any, order string) ([]Signal, error) {
	rows, err := r.db.Conn().Query(ctx, `SELECT signal, cluster, item, account, said_at, similarity, reason, decided_by
		FROM assignments FINAL WHERE workspace = ? AND `+where+` ORDER BY `+order, append([]any{ws}, args...)...)
	if err != nil {
		return nil, failed("list assignments", err)
	}
	defer rows.Close()
	out := []Signal{}
	for rows.Next() {
		var s Signal
		if err := rows.Scan(&s.ID, &s.Cluster, &s.Item, &s.Account.ID, &s.SaidAt, &s.Similarity, &s.Reason, &s.DecidedBy); err != nil {
			return nil, failed("read assignment", err)
		}
		s.SaidAt = s.SaidAt.UTC()
		out = append(out, s)
	}
	return out, failed("list assignments", rows.Err())
}

// signals reads the rest of assigned signals, in their order. Those whose words or whose
// item are gone are left out.
func (r *Reader) signals(ctx context.Context, ws string, places []Signal) ([]Signal, error) {
	if len(places) == 0 {
		return places, nil
	}
	ids, items := make([]string, len(places)), make([]string, len(places))
	for i, s := range places {
		ids[i], items[i] = s.ID, s.Item
	}
	said, from := map[string]Signal{}, map[string]Item{}
	err := pair(ctx, func(ctx context.Context) error {
		rows, err := r.db.Conn().Query(ctx, newest("signals", "version", `id, kind, quote, span_start, span_end, sentiment, severity, confidence, area, source, customer`), ws, ids)
		if err != nil {
			return failed("list signals", err)
		}
		defer rows.Close()
		for rows.Next() {
			var s Signal
			var kind, source string
			var start, end uint32
			if err := rows.Scan(&s.ID, &kind, &s.Quote, &start, &end, &s.Sentiment, &s.Severity, &s.Confidence, &s.Area, &source, &s.Customer.ID); err != nil {
				return failed("read signal", err)
			}
			s.Kind, s.Source, s.Span, s.Quote = feedback.Kind(kind), feedback.Source(source), feedback.Span{Start: int(start), End: int(end)}, brief.Clean(s.Quote)
			said[s.ID] = s
		}
		return failed("list signals", rows.Err())
	}, func(ctx context.Context) error {
		rows, err := r.db.Conn().Query(ctx, newest("items", "revision", `id, customer_name, customer_email, account_id, account_name, url`), ws, items)
		if err != nil {
			return failed("list items of signals", err)
		}
		defer rows.Close()
		for rows.Next() {
			var i Item
			if err := rows.Scan(&i.ID, &i.Customer.Name, &i.Customer.Email, &i.Account.ID, &i.Account.Name, &i.URL); err != nil {
				return failed("read item of signal", err)
			}
			from[i.ID] = i
		}
		return failed("list items of signals", rows.Err())
	})
	if err != nil {
		return nil, err
	}
	out := make([]Signal, 0, len(places))
	for _, p := range places {
		s, heard := said[p.ID]
		i, stored := from[p.Item]
		if !heard || !stored {
			continue
		}
		s.Cluster, s.Item, s.SaidAt, s.Similarity, s.Reason, s.DecidedBy = p.Cluster, p.Item, p.SaidAt, p.Similarity, p.Reason, p.DecidedBy
		s.Customer.Name, s.Customer.Email, s.URL = brief.Clean(i.Customer.Name), i.Customer.Email, i.URL
		s.Account = feedback.AccountRef{ID: cmp.Or(p.Account.ID, i.Account.ID), Name: brief.Clean(i.Account.Name)}
		out = append(out, s)
	}
	return out, nil
}

// newest selects the newest version of rows by their ids, but those that are deleted. It
// does by hand what FINAL does, which would merge all columns of every row that it looks at.
// It takes the workspace and the ids.
func newest(table, version, columns string) string {
	return `SELECT ` + columns + ` FROM (SELECT ` + columns + `, deleted FROM ` + table + `
		PREWHERE workspace = ? AND id IN ? ORDER BY ` + version + ` DESC LIMIT 1 BY id) WHERE deleted = 0`
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
