package digest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// How much a digest holds.
const (
	topClusters = 5
	perList     = 5
	maxRanks    = 500
)

// builder reads one workspace's tables.
type builder struct {
	db *store.DB
	ws string
}

// Build makes the digest of a day from what the tables hold now: counts of the day are
// exact whenever it is built, ranks are those of now. failed wraps what the store answers.
func Build(ctx context.Context, db *store.DB, ws string, day Day, now time.Time) (Digest, error) {
	b := builder{db, ws}
	d := Digest{Workspace: ws, Date: day.Date, Since: day.Since.UTC(), Until: day.Until.UTC(), GeneratedAt: now.UTC(),
		Top: []Entry{}, New: []Entry{}, Rising: []Entry{}, Cooling: []Entry{}, Tickets: []Ticket{}, Undecided: []Pending{}, Shipped: []Shipped{}, AtRisk: []Risk{}, Ranks: map[string]uint32{}}
	was, err := b.ranksBefore(ctx, day.Date)
	if err != nil {
		return d, err
	}
	for _, step := range []func(context.Context, *Digest, map[string]uint32) error{b.counts, b.clusters, b.tickets, b.undecided, b.shipped, b.atRisk} {
		if err := step(ctx, &d, was); err != nil {
			return d, err
		}
	}
	return d, nil
}

// Stored reads the digest that was kept for a date.
func Stored(ctx context.Context, db *store.DB, ws, date string) (d Digest, found bool, err error) {
	return builder{db, ws}.kept(ctx, `date = toDate(?)`, date)
}

func (b builder) kept(ctx context.Context, where, date string) (d Digest, found bool, err error) {
	var body string
	err = b.db.Conn().QueryRow(ctx, `SELECT body FROM digests FINAL WHERE workspace = ? AND `+where+` ORDER BY date DESC LIMIT 1`, b.ws, date).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	if err != nil {
		return d, false, failed("read digest", err)
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		return d, false, fmt.Errorf("read digest: %w", err)
	}
	return d, true, nil
}

// Keep writes a digest, so that every destination and every reader gets the same.
func Keep(ctx context.Context, db *store.DB, d Digest) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("keep digest: %w", err)
	}
	date, err := time.Parse(time.DateOnly, d.Date)
	if err != nil {
		return fmt.Errorf("keep digest: %w", err)
	}
	err = db.Insert(ctx, "digests", []string{"workspace", "date", "body", "position", "created_at", "version"},
		[][]any{{d.Workspace, date, string(body), d.Position, d.GeneratedAt, uint64(d.GeneratedAt.UnixMicro())}}, "")
	if err != nil {
		return failed("keep digest", err)
	}
	return nil
}

// ranksBefore are the places in the newest digest before a date.
func (b builder) ranksBefore(ctx context.Context, date string) (map[string]uint32, error) {
	d, _, err := b.kept(ctx, `date < toDate(?)`, date)
	return d.Ranks, err
}

func (b builder) counts(ctx context.Context, d *Digest, _ map[string]uint32) error {
	since, until := d.Since.UnixMicro(), d.Until.UnixMicro()
	err := b.db.Conn().QueryRow(ctx, `SELECT uniqExact(item), uniqExact(customer) FROM assignments FINAL
		WHERE workspace = ? AND said_at >= fromUnixTimestamp64Micro(?) AND said_at < fromUnixTimestamp64Micro(?)`, b.ws, since, until).Scan(&d.Items, &d.Voices)
	if err != nil {
		return failed("count the day", err)
	}
	err = b.db.Conn().QueryRow(ctx, `SELECT position FROM watermarks FINAL WHERE workspace = ?`, b.ws).Scan(&d.Position)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return failed("read watermark", err)
	}
	return nil
}

// clusters reads the ranking with how many spoke in the day and in the day before, and
// sorts the clusters into the digest's lists, each in the order of rank.
func (b builder) clusters(ctx context.Context, d *Digest, was map[string]uint32) error {
	since, until := d.Since.UnixMicro(), d.Until.UnixMicro()
	prior := d.Since.Add(-d.Until.Sub(d.Since)).UnixMicro()
	rows, err := b.db.Conn().Query(ctx, `SELECT c.id, c.name, c.kind, toUInt32(c.rank), c.score, c.term_reach, c.term_worth, c.term_severity, c.term_momentum, c.term_churn, c.term_boost,
			c.voices, c.accounts, c.first_seen, a.today, a.prior, s.quote, s.item
		FROM (SELECT id, name, kind, rank, score, term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost, voices, accounts, first_seen, medoid
			FROM ranked_clusters WHERE workspace = ? AND status != 'ignored') AS c
		LEFT JOIN (SELECT cluster,
				uniqExactIf(customer, said_at >= fromUnixTimestamp64Micro(?) AND said_at < fromUnixTimestamp64Micro(?)) AS today,
				uniqExactIf(customer, said_at >= fromUnixTimestamp64Micro(?) AND said_at < fromUnixTimestamp64Micro(?)) AS prior
			FROM assignments FINAL WHERE workspace = ? GROUP BY cluster) AS a ON a.cluster = c.id
		LEFT JOIN (SELECT id, quote, item FROM signals FINAL WHERE workspace = ?) AS s ON s.id = c.medoid
		ORDER BY c.rank`, b.ws, since, until, prior, since, b.ws, b.ws)
	if err != nil {
		return failed("rank clusters", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		var kind string
		var first time.Time
		if err := rows.Scan(&e.Cluster, &e.Name, &kind, &e.Rank, &e.Score, &e.Terms.Reach, &e.Terms.Worth, &e.Terms.Severity, &e.Terms.Momentum, &e.Terms.Churn, &e.Terms.Boost,
			&e.Voices, &e.Accounts, &first, &e.Today, &e.DayPrior, &e.Quote, &e.Item); err != nil {
			return failed("rank clusters", err)
		}
		e.Kind, e.Was = feedback.Kind(kind), was[e.Cluster]
		e.Name, e.Quote, e.Worth = brief.Clean(e.Name), brief.Clean(e.Quote), []brief.Money{}
		e.Why = why(e)
		if len(d.Ranks) < maxRanks {
			d.Ranks[e.Cluster] = e.Rank
		}
		put := func(list *[]Entry, is bool, most int) {
			if is && len(*list) < most {
				*list = append(*list, e)
			}
		}
		isNew := !first.Before(d.Since) && first.Before(d.Until)
		put(&d.Top, true, topClusters)
		put(&d.New, isNew, perList)
		put(&d.Rising, !isNew && e.Today >= e.DayPrior+2 && 2*e.Today >= 3*e.DayPrior, perList)
		put(&d.Cooling, e.DayPrior >= 4 && 2*e.Today <= e.DayPrior, perList)
	}
	if err := rows.Err(); err != nil {
		return failed("rank clusters", err)
	}
	return b.worth(ctx, d)
}

// why says in our own words what stands behind a place.
func why(e Entry) string {
	largest, by := "reach", e.Terms.Reach
	for _, t := range []struct {
		name string
		by   float64
	}{{"worth", e.Terms.Worth}, {"severity", e.Terms.Severity}, {"momentum", e.Terms.Momentum}, {"churn", e.Terms.Churn}} {
		if t.by > by {
			largest, by = t.name, t.by
		}
	}
	return fmt.Sprintf("rank %d, %s; %s in the day, %s the day before; mostly %s (%.2f of %.2f)",
		e.Rank, move(e), people(e.Today), people(e.DayPrior), largest, by, e.Score)
}

// move says how a place compares with the one in the last digest.
func move(e Entry) string {
	switch {
	case e.Was == 0:
		return "not in the last digest"
	case e.Was == e.Rank:
		return "as before"
	case e.Was > e.Rank:
		return fmt.Sprintf("up from %d", e.Was)
	}
	return fmt.Sprintf("down from %d", e.Was)
}

func people(n uint64) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// worth adds what the accounts behind the clusters in the digest are worth a year.
func (b builder) worth(ctx context.Context, d *Digest) error {
	lists := []*[]Entry{&d.Top, &d.New, &d.Rising, &d.Cooling}
	var ids []string
	for _, l := range lists {
		for _, e := range *l {
			ids = append(ids, e.Cluster)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := b.db.Conn().Query(ctx, `SELECT a.cluster, c.currency, sum(c.value) AS total
		FROM (SELECT DISTINCT cluster, account FROM assignments FINAL WHERE workspace = ? AND cluster IN ? AND account != '') AS a
		INNER JOIN (SELECT id, value, currency FROM accounts FINAL WHERE workspace = ? AND value > 0) AS c ON c.id = a.account
		GROUP BY a.cluster, c.currency ORDER BY a.cluster, total DESC, c.currency`, b.ws, ids, b.ws)
	if err != nil {
		return failed("add up worth", err)
	}
	defer rows.Close()
	worth := map[string][]brief.Money{}
	for rows.Next() {
		var cluster string
		var m brief.Money
		if err := rows.Scan(&cluster, &m.Currency, &m.Amount); err != nil {
			return failed("add up worth", err)
		}
		worth[cluster] = append(worth[cluster], m)
	}
	for _, l := range lists {
		for i := range *l {
			if w := worth[(*l)[i].Cluster]; w != nil {
				(*l)[i].Worth = w
			}
		}
	}
	if err := rows.Err(); err != nil {
		return failed("add up worth", err)
	}
	return nil
}

// tickets lists those in progress whose context changed materially in the day.
func (b builder) tickets(ctx context.Context, d *Digest, _ map[string]uint32) error {
	rows, err := b.db.Conn().Query(ctx, `SELECT t.tracker, t.key, t.title, t.url, b.newest, b.lines
		FROM (SELECT tracker, key, title, url FROM tickets FINAL WHERE workspace = ? AND restricted = 0 AND category = 'in_progress') AS t
		INNER JOIN (SELECT tracker, ticket, max(revision) AS newest, arraySlice(arrayDistinct(arrayFlatten(groupArray(changes))), 1, 6) AS lines
			FROM briefs FINAL WHERE workspace = ? AND material = 1 AND revision > 1
				AND created_at >= fromUnixTimestamp64Micro(?) AND created_at < fromUnixTimestamp64Micro(?)
			GROUP BY tracker, ticket) AS b ON b.tracker = t.tracker AND b.ticket = t.key
		ORDER BY t.tracker, t.key LIMIT 10`, b.ws, b.ws, d.Since.UnixMicro(), d.Until.UnixMicro())
	if err != nil {
		return failed("list changed tickets", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t Ticket
		var tracker string
		if err := rows.Scan(&tracker, &t.Key, &t.Title, &t.URL, &t.Revision, &t.Changes); err != nil {
			return failed("list changed tickets", err)
		}
		t.Tracker, t.Title = feedback.Tracker(tracker), brief.Clean(t.Title)
		d.Tickets = append(d.Tickets, t)
	}
	if err := rows.Err(); err != nil {
		return failed("list changed tickets", err)
	}
	return nil
}

// undecided lists the suggestions that wait for a person, the most likely first.
func (b builder) undecided(ctx context.Context, d *Digest, _ map[string]uint32) error {
	rows, err := b.db.Conn().Query(ctx, `SELECT a.tracker, a.ticket, a.cluster, c.name, a.score
		FROM (SELECT tracker, ticket, cluster, score FROM attachments FINAL WHERE workspace = ? AND mode = 'suggested') AS a
		INNER JOIN (SELECT tracker, key FROM tickets FINAL WHERE workspace = ? AND restricted = 0 AND category != 'done') AS t ON t.tracker = a.tracker AND t.key = a.ticket
		INNER JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ? AND retired = 0) AS c ON c.id = a.cluster
		ORDER BY a.score DESC, a.tracker, a.ticket, a.cluster LIMIT 5`, b.ws, b.ws, b.ws)
	if err != nil {
		return failed("list suggestions", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p Pending
		var tracker string
		if err := rows.Scan(&tracker, &p.Key, &p.Cluster, &p.Name, &p.Score); err != nil {
			return failed("list suggestions", err)
		}
		p.Tracker, p.Name = feedback.Tracker(tracker), brief.Clean(p.Name)
		d.Undecided = append(d.Undecided, p)
	}
	if err := rows.Err(); err != nil {
		return failed("list suggestions", err)
	}
	return nil
}

// shipped lists the tickets that were done in the day and are done now, with how many had
// asked for what is attached to them.
func (b builder) shipped(ctx context.Context, d *Digest, _ map[string]uint32) error {
	rows, err := b.db.Conn().Query(ctx, `SELECT t.tracker, t.key, t.title, t.url, uniqExactIf(s.customer, s.customer != '') AS voices, uniqExactIf(s.account, s.account != '')
		FROM (SELECT tracker, key, title, url FROM tickets FINAL WHERE workspace = ? AND restricted = 0 AND category = 'done'
			AND (tracker, key) IN (SELECT tracker, key FROM ticket_moves FINAL WHERE workspace = ? AND category = 'done'
				AND at >= fromUnixTimestamp64Micro(?) AND at < fromUnixTimestamp64Micro(?))) AS t
		LEFT JOIN (SELECT tracker, ticket, cluster FROM attachments FINAL WHERE workspace = ? AND mode IN ('automatic', 'pinned')) AS a
			ON a.tracker = t.tracker AND a.ticket = t.key
		LEFT JOIN (SELECT cluster AS id, customer, account FROM assignments FINAL WHERE workspace = ?
			UNION ALL SELECT signal, customer, account FROM assignments FINAL WHERE workspace = ? AND signal IN (
				SELECT signal FROM attachments FINAL WHERE workspace = ? AND signal != '')) AS s ON s.id = a.cluster
		GROUP BY t.tracker, t.key, t.title, t.url ORDER BY voices DESC, t.tracker, t.key LIMIT ?`,
		b.ws, b.ws, d.Since.UnixMicro(), d.Until.UnixMicro(), b.ws, b.ws, b.ws, b.ws, perList)
	if err != nil {
		return failed("list shipped tickets", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Shipped
		var tracker string
		if err := rows.Scan(&tracker, &s.Key, &s.Title, &s.URL, &s.Voices, &s.Accounts); err != nil {
			return failed("list shipped tickets", err)
		}
		s.Tracker, s.Title = feedback.Tracker(tracker), brief.Clean(s.Title)
		d.Shipped = append(d.Shipped, s)
	}
	if err := rows.Err(); err != nil {
		return failed("list shipped tickets", err)
	}
	return nil
}

// atRisk lists accounts by what they are worth, each with the severest that was said there
// in the day.
func (b builder) atRisk(ctx context.Context, d *Digest, _ map[string]uint32) error {
	rows, err := b.db.Conn().Query(ctx, `SELECT w.id, w.name, w.value, w.currency, r.voices, r.about, c.name, r.worst, s.quote, s.item
		FROM (SELECT account, uniqExact(customer) AS voices, argMax(cluster, (severity, signal)) AS about, argMax(signal, (severity, signal)) AS said,
				toFloat64(max(severity)) AS worst
			FROM assignments FINAL WHERE workspace = ? AND account != '' AND kind NOT IN ('praise', 'question') AND severity >= ?
				AND said_at >= fromUnixTimestamp64Micro(?) AND said_at < fromUnixTimestamp64Micro(?) GROUP BY account) AS r
		INNER JOIN (SELECT id, name, value, currency FROM accounts FINAL WHERE workspace = ? AND value > 0) AS w ON w.id = r.account
		LEFT JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ?) AS c ON c.id = r.about
		LEFT JOIN (SELECT id, quote, item FROM signals FINAL WHERE workspace = ?) AS s ON s.id = r.said
		ORDER BY w.value DESC, w.id LIMIT ?`, b.ws, Severe, d.Since.UnixMicro(), d.Until.UnixMicro(), b.ws, b.ws, b.ws, perList)
	if err != nil {
		return failed("list accounts at risk", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Risk
		if err := rows.Scan(&r.Account, &r.Name, &r.Worth.Amount, &r.Worth.Currency, &r.Voices, &r.Cluster, &r.Need, &r.Severity, &r.Quote, &r.Item); err != nil {
			return failed("list accounts at risk", err)
		}
		r.Name, r.Need, r.Quote = brief.Clean(r.Name), brief.Clean(r.Need), brief.Clean(r.Quote)
		d.AtRisk = append(d.AtRisk, r)
	}
	if err := rows.Err(); err != nil {
		return failed("list accounts at risk", err)
	}
	return nil
}
