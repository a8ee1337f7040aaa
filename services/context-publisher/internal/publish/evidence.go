package publish

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
)

// What is looked at to attach and to build a brief. Counts of people are of all signals.
const (
	nearClusters    = 40   // candidates by meaning
	evidencePer     = 12   // signals of a candidate, the most typical
	nearSignals     = 60   // evidence by meaning, whatever cluster it is in
	newestSignals   = 5000 // among which it is looked for
	sampledPer      = 120  // signals of an attached cluster, the most typical
	sampledNewest   = 120  // and the newest of all attached ones
	maxVoices       = 20000
	maxNamingItems  = 200
	maxForeignItems = 2000
)

// insert writes keyed rows. What the store cannot take now is retried for as long as that
// takes; a row that it can never take makes the event a dead letter.
func insert(ctx context.Context, db *store.DB, table string, columns []string, rows [][]any) error {
	err := db.Insert(ctx, table, columns, rows, "")
	if err == nil {
		return nil
	}
	if err = query.Failed("write "+table, err); bus.IsUnavailable(err) {
		return err
	}
	return bus.Permanent(err)
}

// query runs a query and hands each row to scan.
func (s *shard) query(ctx context.Context, doing, text string, args []any, scan func(scan func(...any) error) error) error {
	rows, err := s.Store.Conn().Query(ctx, text, args...)
	if err != nil {
		return query.Failed(doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return query.Failed(doing, err)
		}
	}
	if err := rows.Err(); err != nil {
		return query.Failed(doing, err)
	}
	return nil
}

// near lists the clusters nearest to a ticket by meaning.
func (s *shard) near(ctx context.Context, ws string, t attach.Ticket) (ids []string, err error) {
	if len(t.Vector) == 0 {
		return nil, nil
	}
	err = s.query(ctx, "find near clusters", fmt.Sprintf(`SELECT id FROM clusters FINAL
		WHERE workspace = ? AND retired = 0 AND status != 'ignored' AND space = ? AND length(centroid) = %d
		ORDER BY cosineDistance(centroid, ?), id LIMIT %d`, len(t.Vector), nearClusters), []any{ws, t.Space, t.Vector},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// signals lists the signals nearest to a ticket by meaning among the newest of a workspace:
// a large cluster's typical quotes need not be those that are about the ticket.
func (s *shard) signals(ctx context.Context, ws string, t attach.Ticket) (ids []string, err error) {
	if len(t.Vector) == 0 {
		return nil, nil
	}
	err = s.query(ctx, "find near signals", fmt.Sprintf(`SELECT id FROM signals FINAL WHERE workspace = ? AND id IN (
			SELECT id FROM signals FINAL WHERE workspace = ? AND space = ? ORDER BY said_at DESC, id LIMIT %d) AND length(vector) = %d
		ORDER BY cosineDistance(vector, ?), id LIMIT %d`, newestSignals, len(t.Vector), nearSignals), []any{ws, ws, t.Space, t.Vector},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// holding lists the clusters that signals are in.
func (s *shard) holding(ctx context.Context, ws string, signals []string) (ids []string, err error) {
	if len(signals) == 0 {
		return nil, nil
	}
	err = s.query(ctx, "find clusters of signals", `SELECT DISTINCT cluster FROM assignments FINAL WHERE workspace = ? AND signal IN ? ORDER BY cluster`, []any{ws, signals},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// naming lists the clusters with a signal of an item that names the ticket.
func (s *shard) naming(ctx context.Context, t feedback.Ticket) (ids []string, err error) {
	if len(t.Key) < 4 {
		return nil, nil
	}
	url := t.URL
	if url == "" {
		url = t.Key
	}
	err = s.query(ctx, "find feedback that names the ticket", fmt.Sprintf(`SELECT DISTINCT cluster FROM assignments FINAL WHERE workspace = ? AND item IN (
		SELECT id FROM items FINAL WHERE workspace = ? AND (positionCaseInsensitiveUTF8(text, ?) > 0 OR positionCaseInsensitiveUTF8(text, ?) > 0)
		ORDER BY updated_at DESC LIMIT %d) ORDER BY cluster`, maxNamingItems), []any{t.Workspace, t.Workspace, t.Key, url},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// candidates loads clusters that may be attached, with evidence: their most typical signals
// and those of near that they hold. Retired and ignored ones are left out.
func (s *shard) candidates(ctx context.Context, ws string, ids, near []string) ([]attach.Candidate, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var out []attach.Candidate
	at := map[string]int{}
	err := s.query(ctx, "load candidate clusters", `SELECT id, name, space, centroid FROM clusters FINAL
		WHERE workspace = ? AND id IN ? AND retired = 0 AND status != 'ignored' ORDER BY id`, []any{ws, ids},
		func(scan func(...any) error) error {
			var c attach.Candidate
			err := scan(&c.Cluster, &c.Name, &c.Space, &c.Centroid)
			at[c.Cluster] = len(out)
			out = append(out, c)
			return err
		})
	if err != nil {
		return nil, err
	}
	err = s.query(ctx, "load evidence", fmt.Sprintf(`WITH picked AS (
			SELECT signal, cluster, item, similarity, typical > %d AS near FROM (
				SELECT signal, cluster, item, similarity, row_number() OVER (PARTITION BY cluster ORDER BY similarity DESC, signal) AS typical
				FROM assignments FINAL WHERE workspace = ? AND cluster IN ?)
			WHERE typical <= %d OR signal IN ?)
		SELECT picked.cluster, picked.near, s.id, s.quote, s.vector, i.text FROM picked
		INNER JOIN (SELECT id, quote, vector FROM signals FINAL WHERE workspace = ? AND id IN (SELECT signal FROM picked)) AS s ON s.id = picked.signal
		INNER JOIN (SELECT id, text FROM items FINAL WHERE workspace = ? AND id IN (SELECT item FROM picked)) AS i ON i.id = picked.item
		ORDER BY picked.cluster, picked.similarity DESC, s.id`, evidencePer, evidencePer), []any{ws, ids, append([]string{""}, near...), ws, ws},
		func(scan func(...any) error) error {
			var cluster string
			var e attach.Evidence
			var near uint8
			err := scan(&cluster, &near, &e.Signal, &e.Quote, &e.Vector, &e.Text)
			e.Near = near != 0
			if i, ok := at[cluster]; ok {
				out[i].Evidence = append(out[i].Evidence, e)
			}
			return err
		})
	return out, err
}

// load reads a ticket's newest row.
func (s *shard) load(ctx context.Context, a address) (t feedback.Ticket, at attach.Ticket, err error) {
	found := false
	err = s.query(ctx, "load ticket", `SELECT title, body, status, category, url, space, vector FROM tickets FINAL
		WHERE workspace = ? AND tracker = ? AND key = ? AND restricted = 0`, []any{a.workspace, string(a.tracker), a.key},
		func(scan func(...any) error) error {
			var category string
			err := scan(&t.Title, &t.Body, &t.Status, &category, &t.URL, &at.Space, &at.Vector)
			t.Category, found = feedback.StatusCategory(category), true
			return err
		})
	if err == nil && !found {
		err = errNoTicket
	}
	t.Workspace, t.Tracker, t.Key = a.workspace, a.tracker, a.key
	at.Tracker, at.Key, at.URL, at.Title, at.Body = t.Tracker, t.Key, t.URL, t.Title, t.Body
	return t, at, err
}

// errNoTicket means that the ticket's row is gone: nothing is to be published about it.
var errNoTicket = errors.New("the ticket has no row")

// stored is a revision of a ticket's brief as it was written.
func (s *shard) stored(ctx context.Context, a address, revision uint64) (b brief.Brief, found bool, err error) {
	var body string
	err = s.Store.Conn().QueryRow(ctx, `SELECT body FROM briefs FINAL WHERE workspace = ? AND tracker = ? AND ticket = ? AND revision = ?`,
		a.workspace, string(a.tracker), a.key, revision).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return b, false, nil
	}
	if err != nil {
		return b, false, query.Failed("load brief", err)
	}
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		return b, false, fmt.Errorf("load brief: %w", err)
	}
	return b, true, nil
}

// watermark is how far the clusters have come.
func (s *shard) watermark(ctx context.Context, ws string) (position uint64, asOf time.Time, err error) {
	err = s.query(ctx, "load watermark", `SELECT position, as_of FROM watermarks FINAL WHERE workspace = ?`, []any{ws},
		func(scan func(...any) error) error { return scan(&position, &asOf) })
	return position, asOf.UTC(), err
}

// input collects what a ticket's brief is built from.
func (s *shard) input(ctx context.Context, t feedback.Ticket, matches []attach.Match, position uint64, asOf time.Time) (brief.Input, error) {
	in := brief.Input{Ticket: t, Position: position, AsOf: asOf, Now: s.Now(), Budget: s.Budget,
		Items: map[string]brief.Item{}, Accounts: map[string]feedback.Account{}}
	var shown, attached []string
	for _, m := range matches {
		switch m.Mode {
		case feedback.Automatic, feedback.Pinned:
			attached = append(attached, m.Cluster)
			shown = append(shown, m.Cluster)
		case feedback.Suggested:
			shown = append(shown, m.Cluster)
		}
		if m.Decision != "" {
			in.Decisions = append(in.Decisions, m.Decision)
		}
	}
	if len(shown) == 0 {
		return in, nil
	}
	ws := t.Workspace
	ranked, err := s.ranked(ctx, ws, shown)
	if err != nil {
		return in, err
	}
	for _, m := range matches {
		c, ok := ranked[m.Cluster]
		if !ok {
			continue
		}
		c.Mode, c.Match = m.Mode, m.Score
		switch m.Mode {
		case feedback.Automatic, feedback.Pinned:
			in.Attached = append(in.Attached, c)
		case feedback.Suggested:
			in.Suggested = append(in.Suggested, c)
		}
	}
	if len(attached) == 0 {
		return in, nil
	}
	if err := s.voices(ctx, ws, attached, asOf, &in); err != nil {
		return in, err
	}
	return in, s.words(ctx, ws, attached, &in)
}

// ranked reads clusters with their rank and its terms; one that is not ranked has none.
func (s *shard) ranked(ctx context.Context, ws string, ids []string) (map[string]brief.Cluster, error) {
	out := map[string]brief.Cluster{}
	err := s.query(ctx, "load ranks", `SELECT id, name, kind, voices, accounts, if(status = 'ignored', 0, toUInt32(rank)) AS place,
			toUInt32(total), score, term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost
		FROM (SELECT *, countIf(status != 'ignored') OVER () AS total FROM ranked_clusters WHERE workspace = ?) WHERE id IN ?`, []any{ws, ids},
		func(scan func(...any) error) error {
			var c brief.Cluster
			var kind string
			err := scan(&c.ID, &c.Name, &kind, &c.Voices, &c.Accounts, &c.Rank, &c.Of, &c.Score,
				&c.Terms.Reach, &c.Terms.Worth, &c.Terms.Severity, &c.Terms.Momentum, &c.Terms.Churn, &c.Terms.Boost)
			c.Kind, c.Name = feedback.Kind(kind), brief.Clean(c.Name)
			out[c.ID] = c
			return err
		})
	return out, err
}

// voices counts who was heard in clusters, when, and loads their accounts.
func (s *shard) voices(ctx context.Context, ws string, clusters []string, asOf time.Time, in *brief.Input) error {
	err := s.query(ctx, "count voices", `SELECT uniqExactIf(customer, said_at > fromUnixTimestamp64Micro(?) - INTERVAL 7 DAY),
			uniqExactIf(customer, said_at <= fromUnixTimestamp64Micro(?) - INTERVAL 7 DAY AND said_at > fromUnixTimestamp64Micro(?) - INTERVAL 14 DAY),
			min(said_at), max(said_at)
		FROM assignments FINAL WHERE workspace = ? AND cluster IN ?`,
		[]any{asOf.UnixMicro(), asOf.UnixMicro(), asOf.UnixMicro(), ws, clusters},
		func(scan func(...any) error) error {
			var last, before uint64
			err := scan(&last, &before, &in.FirstSeen, &in.LastSeen)
			in.LastWeek, in.WeekBefore = int(last), int(before)
			return err
		})
	if err != nil {
		return err
	}
	accounts := map[string]bool{}
	err = s.query(ctx, "load voices", fmt.Sprintf(`WITH heard AS (
			SELECT customer, argMax(account, (account != '', said_at)) AS account, argMax(item, said_at) AS item, min(said_at) AS first, max(said_at) AS said
			FROM assignments FINAL WHERE workspace = ? AND cluster IN ? GROUP BY customer ORDER BY said DESC, customer LIMIT %d)
		SELECT heard.customer, heard.account, heard.first, heard.said, heard.item, i.customer_name, i.account_name, i.source, i.url FROM heard
		LEFT JOIN (SELECT id, customer_name, account_name, source, url FROM items FINAL WHERE workspace = ? AND id IN (SELECT item FROM heard)) AS i ON i.id = heard.item
		ORDER BY heard.customer`, maxVoices), []any{ws, clusters, ws},
		func(scan func(...any) error) error {
			var v brief.Voice
			var source string
			err := scan(&v.Customer, &v.Account, &v.FirstSaid, &v.LastSaid, &v.Item, &v.Name, &v.AccountName, &source, &v.URL)
			v.Source = feedback.Source(source)
			in.Voices = append(in.Voices, v)
			accounts[v.Account] = true
			return err
		})
	if err != nil || len(accounts) == 0 {
		return err
	}
	ids := make([]string, 0, len(accounts))
	for id := range accounts {
		ids = append(ids, id)
	}
	return s.query(ctx, "load accounts", `SELECT id, name, value, currency, plan, segment FROM accounts FINAL WHERE workspace = ? AND id IN ?`, []any{ws, ids},
		func(scan func(...any) error) error {
			var a feedback.Account
			err := scan(&a.ID, &a.Name, &a.Value, &a.Currency, &a.Plan, &a.Segment)
			in.Accounts[a.ID] = a
			return err
		})
}

// words loads a sample of the attached clusters' signals, their items, and which parts of
// those items are about something else.
func (s *shard) words(ctx context.Context, ws string, clusters []string, in *brief.Input) error {
	items := map[string]bool{}
	err := s.query(ctx, "load signals", fmt.Sprintf(`WITH sampled AS (
			SELECT signal, cluster, similarity FROM (
				SELECT signal, cluster, similarity,
					row_number() OVER (PARTITION BY cluster ORDER BY similarity DESC, signal) AS typical,
					row_number() OVER (ORDER BY said_at DESC, signal) AS newest
				FROM assignments FINAL WHERE workspace = ? AND cluster IN ?)
			WHERE typical <= %d OR newest <= %d)
		SELECT s.id, s.item, sampled.cluster, s.kind, s.span_start, s.span_end, s.quote, s.severity, sampled.similarity, s.customer, s.said_at, s.vector
		FROM sampled INNER JOIN (SELECT * FROM signals FINAL WHERE workspace = ? AND id IN (SELECT signal FROM sampled)) AS s ON s.id = sampled.signal
		ORDER BY s.id`, sampledPer, sampledNewest), []any{ws, clusters, ws},
		func(scan func(...any) error) error {
			var g brief.Signal
			var kind string
			var start, end uint32
			var severity, similarity float32
			err := scan(&g.ID, &g.Item, &g.Cluster, &kind, &start, &end, &g.Quote, &severity, &similarity, &g.Customer, &g.SaidAt, &g.Vector)
			g.Kind, g.Span = feedback.Kind(kind), feedback.Span{Start: int(start), End: int(end)}
			g.Severity, g.Similarity = float64(severity), float64(similarity)
			in.Signals = append(in.Signals, g)
			items[g.Item] = true
			return err
		})
	if err != nil || len(items) == 0 {
		return err
	}
	ids := make([]string, 0, len(items))
	for id := range items {
		ids = append(ids, id)
	}
	err = s.query(ctx, "load items", `SELECT id, text, url, source, customer_name, account_id, account_name FROM items FINAL WHERE workspace = ? AND id IN ?`, []any{ws, ids},
		func(scan func(...any) error) error {
			var i brief.Item
			var source, account string
			err := scan(&i.ID, &i.Text, &i.URL, &source, &i.Name, &account, &i.Account)
			i.Source = feedback.Source(source)
			in.Items[i.ID] = i
			return err
		})
	if err != nil {
		return err
	}
	named := map[string]string{}
	for _, v := range in.Voices {
		if account, ok := in.Accounts[v.Account]; ok {
			named[v.Customer] = account.Name
		}
	}
	for _, g := range in.Signals {
		if i, ok := in.Items[g.Item]; ok && named[g.Customer] != "" {
			i.Account = named[g.Customer]
			in.Items[g.Item] = i
		}
	}
	return s.query(ctx, "load what else the items say", fmt.Sprintf(`SELECT s.item, s.span_start, s.span_end
		FROM (SELECT id, item, span_start, span_end FROM signals FINAL WHERE workspace = ? AND item IN ?) AS s
		INNER JOIN (SELECT signal FROM assignments FINAL WHERE workspace = ? AND item IN ? AND cluster NOT IN ?) AS a ON a.signal = s.id
		ORDER BY s.item, s.span_start LIMIT %d`, maxForeignItems), []any{ws, ids, ws, ids, clusters},
		func(scan func(...any) error) error {
			var item string
			var start, end uint32
			err := scan(&item, &start, &end)
			i := in.Items[item]
			i.Foreign = append(i.Foreign, feedback.Span{Start: int(start), End: int(end)})
			in.Items[item] = i
			return err
		})
}
