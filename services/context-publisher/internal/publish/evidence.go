package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
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

// of is a condition on tracker and a ticket's column for some tickets, with its arguments.
func of(column string, tickets []address) (cond string, args []any) {
	keys, names := make([]string, len(tickets)), make([]string, len(tickets))
	for n, a := range tickets {
		keys[n], names[n] = a.key, a.name()
	}
	return fmt.Sprintf("%s IN ? AND concat(tracker, '/', %s) IN ?", column, column), []any{keys, names}
}

// name tells a ticket from the others of its workspace.
func (a address) name() string { return string(a.tracker) + "/" + a.key }

// ticketRow is a ticket as it is stored.
type ticketRow struct {
	feedback.Ticket
	at attach.Ticket
}

// tickets reads tickets' newest rows. One without a row has none to be published about.
func (r *reading) tickets(ctx context.Context, these []address) (map[address]ticketRow, error) {
	out := map[address]ticketRow{}
	cond, args := of("key", these)
	err := r.query(ctx, "load tickets", `SELECT tracker, key, title, body, status, category, url, space, vector FROM tickets FINAL
		WHERE workspace = ? AND restricted = 0 AND `+cond, append([]any{r.workspace}, args...),
		func(scan func(...any) error) error {
			var t ticketRow
			var tracker, category string
			err := scan(&tracker, &t.Key, &t.Title, &t.Body, &t.Status, &category, &t.URL, &t.at.Space, &t.at.Vector)
			t.Workspace, t.Tracker, t.Category = r.workspace, feedback.Tracker(tracker), feedback.StatusCategory(category)
			t.at.Tracker, t.at.Key, t.at.URL, t.at.Title, t.at.Body = t.Tracker, t.Key, t.URL, t.Title, t.Body
			out[addressOf(t.Ticket)] = t
			return err
		})
	return out, err
}

// attached is an attachment as its row has it.
type attached struct {
	mode     feedback.Mode
	score    float64
	decision string
}

// attachments reads tickets' attachments, by ticket and cluster.
func (r *reading) attachments(ctx context.Context, these []address) (map[address]map[string]attached, error) {
	out := map[address]map[string]attached{}
	cond, args := of("ticket", these)
	err := r.query(ctx, "load attachments", `SELECT tracker, ticket, cluster, mode, score, decision FROM attachments FINAL WHERE workspace = ? AND `+cond,
		append([]any{r.workspace}, args...), func(scan func(...any) error) error {
			var tracker, ticket, cluster, mode string
			var at attached
			err := scan(&tracker, &ticket, &cluster, &mode, &at.score, &at.decision)
			at.mode = feedback.Mode(mode)
			a := address{r.workspace, feedback.Tracker(tracker), ticket}
			if out[a] == nil {
				out[a] = map[string]attached{}
			}
			out[a][cluster] = at
			return err
		})
	return out, err
}

// into tells where clusters were merged into, for those that were: the last of a chain.
func (r *reading) into(ctx context.Context, clusters []string) (map[string]string, error) {
	next := map[string]string{}
	for looked := unseen(clusters, next); len(looked) > 0; {
		found := map[string]string{}
		err := r.query(ctx, "follow merges", `SELECT id, merged_into FROM clusters FINAL WHERE workspace = ? AND id IN ? AND merged_into NOT IN ('', id)`,
			[]any{r.workspace, looked}, func(scan func(...any) error) error {
				var from, to string
				err := scan(&from, &to)
				found[from] = to
				return err
			})
		if err != nil {
			return nil, err
		}
		maps.Copy(next, found)
		looked = unseen(slices.Collect(maps.Values(found)), next)
	}
	out := map[string]string{}
	for _, id := range clusters {
		now := id
		for hops := 0; next[now] != "" && hops < len(next); hops++ {
			now = next[now]
		}
		if now != id {
			out[id] = now
		}
	}
	return out, nil
}

// revision names a brief.
type revision struct {
	address
	number uint64
}

// stored reads revisions of briefs as they were written; those that were not are left out.
func (s *shard) stored(ctx context.Context, ws string, these []revision) (map[revision]brief.Brief, error) {
	out := map[revision]brief.Brief{}
	keys, names := make([]string, len(these)), make([]string, len(these))
	for n, r := range these {
		keys[n], names[n] = r.key, fmt.Sprintf("%s@%d", r.name(), r.number)
	}
	if len(these) == 0 {
		return out, nil
	}
	err := s.query(ctx, "load briefs", `SELECT tracker, ticket, revision, body FROM briefs FINAL
		WHERE workspace = ? AND ticket IN ? AND concat(tracker, '/', ticket, '@', toString(revision)) IN ?`, []any{ws, keys, names},
		func(scan func(...any) error) error {
			var tracker, body string
			r := revision{address: address{workspace: ws}}
			if err := scan(&tracker, &r.key, &r.number, &body); err != nil {
				return err
			}
			r.tracker = feedback.Tracker(tracker)
			var b brief.Brief
			if err := json.Unmarshal([]byte(body), &b); err != nil {
				return fmt.Errorf("decode brief: %w", err)
			}
			out[r] = b
			return nil
		})
	return out, err
}

// member is a signal of a cluster that answers to a ticket.
type member struct {
	place
	customer, account string
	saidAt            time.Time
}

// company is what the attached clusters of a round's tickets hold: every signal's place, who
// said it, and how each cluster ranks.
type company struct {
	members map[string][]member // by cluster
	ranked  map[string]brief.Cluster
	heads   map[string]head         // by item, of those that voices spoke in last
	beside  map[string][]placedSpan // by item, of a sample's items: its other signals
}

type head struct {
	name, account string
	source        feedback.Source
	url           string
}

type placedSpan struct {
	cluster string
	span    feedback.Span
}

// company reads what tickets with these clusters are told. shown are the clusters of their
// briefs; attached are, for each ticket, those that it is the answer to.
func (r *reading) company(ctx context.Context, shown []string, attached [][]string) (*company, error) {
	c := &company{members: map[string][]member{}, ranked: map[string]brief.Cluster{}, heads: map[string]head{}, beside: map[string][]placedSpan{}}
	none := map[string]bool{}
	if shown = unseen(shown, none); len(shown) == 0 {
		return c, nil
	}
	if err := r.ranks(ctx, c, shown); err != nil {
		return nil, err
	}
	all := unseen(slices.Concat(attached...), none)
	if len(all) == 0 {
		return c, nil
	}
	err := r.query(ctx, "load voices", `SELECT cluster, signal, item, similarity, position, customer, account, said_at FROM assignments FINAL
		WHERE workspace = ? AND cluster IN ?`, []any{r.workspace, all}, func(scan func(...any) error) error {
		var m member
		err := scan(&m.cluster, &m.signal, &m.item, &m.similarity, &m.position, &m.customer, &m.account, &m.saidAt)
		c.members[m.cluster] = append(c.members[m.cluster], m)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, of := range c.members {
		slices.SortFunc(of, func(a, b member) int { return moreTypical(a.place, b.place) })
	}
	items, accounts, sampled := map[string]bool{}, map[string]bool{}, map[string]place{}
	for _, clusters := range attached {
		for _, v := range c.voices(clusters) {
			items[v.Item], accounts[v.Account] = true, true
		}
		for _, m := range c.sample(clusters) {
			sampled[m.signal] = m.place
		}
	}
	if err := r.heads(ctx, c, unseen(slices.Collect(maps.Keys(items)), none)); err != nil {
		return nil, err
	}
	if err := r.worth(ctx, unseen(slices.Collect(maps.Keys(accounts)), r.accounts)); err != nil {
		return nil, err
	}
	if err := r.words(ctx, slices.Collect(maps.Values(sampled))); err != nil {
		return nil, err
	}
	return c, r.others(ctx, c, sampled)
}

// ranks reads clusters with their rank and its terms; one that is not ranked has none.
func (r *reading) ranks(ctx context.Context, c *company, ids []string) error {
	return r.query(ctx, "load ranks", `SELECT id, name, kind, voices, accounts, if(status = 'ignored', 0, toUInt32(rank)) AS place,
			toUInt32(total), score, term_reach, term_worth, term_severity, term_momentum, term_churn, term_boost
		FROM (SELECT *, countIf(status != 'ignored') OVER () AS total FROM ranked_clusters WHERE workspace = ?) WHERE id IN ?`, []any{r.workspace, ids},
		func(scan func(...any) error) error {
			var of brief.Cluster
			var kind string
			err := scan(&of.ID, &of.Name, &kind, &of.Voices, &of.Accounts, &of.Rank, &of.Of, &of.Score,
				&of.Terms.Reach, &of.Terms.Worth, &of.Terms.Severity, &of.Terms.Momentum, &of.Terms.Churn, &of.Terms.Boost)
			of.Kind, of.Name = feedback.Kind(kind), brief.Clean(of.Name)
			c.ranked[of.ID] = of
			return err
		})
}

func (r *reading) heads(ctx context.Context, c *company, items []string) error {
	if len(items) == 0 {
		return nil
	}
	return r.query(ctx, "load who spoke", `SELECT id, customer_name, account_name, source, url FROM items FINAL WHERE workspace = ? AND id IN ?`, []any{r.workspace, items},
		func(scan func(...any) error) error {
			var id, source string
			var h head
			err := scan(&id, &h.name, &h.account, &source, &h.url)
			h.source = feedback.Source(source)
			c.heads[id] = h
			return err
		})
}

func (r *reading) worth(ctx context.Context, accounts []string) error {
	if len(accounts) == 0 {
		return nil
	}
	return r.query(ctx, "load accounts", `SELECT id, name, value, currency, plan, segment FROM accounts FINAL WHERE workspace = ? AND id IN ?`, []any{r.workspace, accounts},
		func(scan func(...any) error) error {
			var a feedback.Account
			err := scan(&a.ID, &a.Name, &a.Value, &a.Currency, &a.Plan, &a.Segment)
			r.accounts[a.ID] = a
			return err
		})
}

// others reads what else the sampled signals' items say, and which clusters that is in.
func (r *reading) others(ctx context.Context, c *company, sampled map[string]place) error {
	if len(sampled) == 0 {
		return nil
	}
	items := map[string]bool{}
	for _, p := range sampled {
		items[p.item] = true
	}
	var all []place
	err := r.query(ctx, "load what else the items say", `SELECT cluster, signal, item FROM assignments FINAL WHERE workspace = ? AND item IN ?`,
		[]any{r.workspace, slices.Sorted(maps.Keys(items))}, func(scan func(...any) error) error {
			var p place
			err := scan(&p.cluster, &p.signal, &p.item)
			all = append(all, p)
			return err
		})
	if err != nil {
		return err
	}
	if err := r.words(ctx, all); err != nil {
		return err
	}
	for _, p := range all {
		if g, ok := r.signals[p.signal]; ok {
			c.beside[p.item] = append(c.beside[p.item], placedSpan{p.cluster, g.Span})
		}
	}
	for _, of := range c.beside {
		slices.SortFunc(of, func(a, b placedSpan) int {
			return cmp.Or(cmp.Compare(a.span.Start, b.span.Start), cmp.Compare(a.cluster, b.cluster))
		})
	}
	return nil
}

// voices are who was heard in clusters, with the account that they named last and the item
// they spoke in last, by customer.
func (c *company) voices(clusters []string) []brief.Voice {
	heard := map[string]*brief.Voice{}
	named := map[string]time.Time{}
	for _, id := range clusters {
		for _, m := range c.members[id] {
			v := heard[m.customer]
			if v == nil {
				v = &brief.Voice{Customer: m.customer, FirstSaid: m.saidAt}
				heard[m.customer] = v
			}
			if m.saidAt.Before(v.FirstSaid) {
				v.FirstSaid = m.saidAt
			}
			if v.Item == "" || m.saidAt.After(v.LastSaid) || m.saidAt.Equal(v.LastSaid) && m.item > v.Item {
				v.LastSaid, v.Item = m.saidAt, m.item
			}
			if at := named[m.customer]; m.account != "" && (v.Account == "" || m.saidAt.After(at) || m.saidAt.Equal(at) && m.account > v.Account) {
				v.Account, named[m.customer] = m.account, m.saidAt
			}
		}
	}
	out := make([]brief.Voice, 0, len(heard))
	for _, v := range heard {
		h := c.heads[v.Item]
		v.Name, v.AccountName, v.Source, v.URL = h.name, h.account, h.source, h.url
		out = append(out, *v)
	}
	if len(out) > maxVoices {
		slices.SortFunc(out, func(a, b brief.Voice) int {
			return cmp.Or(b.LastSaid.Compare(a.LastSaid), cmp.Compare(a.Customer, b.Customer))
		})
		out = out[:maxVoices]
	}
	slices.SortFunc(out, func(a, b brief.Voice) int { return cmp.Compare(a.Customer, b.Customer) })
	return out
}

// sample are the signals of clusters that a brief is chosen from: the most typical of each,
// and the newest of all.
func (c *company) sample(clusters []string) []member {
	var all, out []member
	taken := map[string]bool{}
	for _, id := range clusters {
		all = append(all, c.members[id]...)
		for _, m := range c.members[id][:min(len(c.members[id]), sampledPer)] {
			taken[m.signal] = true
			out = append(out, m)
		}
	}
	if len(out) == len(all) {
		return out
	}
	slices.SortFunc(all, func(a, b member) int {
		return cmp.Or(b.saidAt.Compare(a.saidAt), cmp.Compare(a.signal, b.signal))
	})
	for _, m := range all[:min(len(all), sampledNewest)] {
		if !taken[m.signal] {
			out = append(out, m)
		}
	}
	return out
}

// input is what a ticket's brief is built from.
func (r *reading) input(t ticketRow, matches []attach.Match, c *company) brief.Input {
	in := brief.Input{Ticket: t.Ticket, Position: r.position, AsOf: r.asOf, Now: r.Now(), Budget: r.Budget,
		Items: map[string]brief.Item{}, Accounts: map[string]feedback.Account{}, Relevance: map[string]float64{}}
	for _, m := range matches {
		if m.Decision != "" {
			in.Decisions = append(in.Decisions, m.Decision)
		}
		of, ok := c.ranked[m.Cluster]
		if !ok {
			continue
		}
		of.Mode, of.Match = m.Mode, m.Score
		switch m.Mode {
		case feedback.Automatic, feedback.Pinned:
			in.Attached = append(in.Attached, of)
		case feedback.Suggested:
			in.Suggested = append(in.Suggested, of)
		}
	}
	clusters := answering(matches)
	if len(clusters) == 0 {
		return in
	}
	in.Voices = c.voices(clusters)
	r.when(clusters, c, &in)
	named := map[string]string{} // the accounts' names by customer
	for _, v := range in.Voices {
		if a, ok := r.accounts[v.Account]; ok {
			in.Accounts[a.ID], named[v.Customer] = a, a.Name
		}
	}
	relevance := r.matcher.Relevant(t.at)
	for _, m := range c.sample(clusters) {
		g, ok := r.signals[m.signal]
		if !ok {
			continue
		}
		g.Cluster, g.Similarity = m.cluster, float64(m.similarity)
		in.Signals = append(in.Signals, g.Signal)
		in.Relevance[g.ID] = relevance(g.Quote, t.at.Space, g.Vector)
		i, ok := r.items[g.Item]
		if !ok {
			continue
		}
		if _, had := in.Items[g.Item]; had && named[g.Customer] == "" {
			continue
		}
		if named[g.Customer] != "" {
			i.Account = named[g.Customer]
		}
		i.Foreign = nil
		for _, o := range c.beside[g.Item] {
			if !slices.Contains(clusters, o.cluster) {
				i.Foreign = append(i.Foreign, o.span)
			}
		}
		in.Items[g.Item] = i
	}
	slices.SortFunc(in.Signals, func(a, b brief.Signal) int { return cmp.Compare(a.ID, b.ID) })
	return in
}

// when tells since when and until when clusters were spoken of, and by how many people in
// each of the last two weeks.
func (r *reading) when(clusters []string, c *company, in *brief.Input) {
	week := 7 * 24 * time.Hour
	last, before := map[string]bool{}, map[string]bool{}
	for _, id := range clusters {
		for _, m := range c.members[id] {
			switch ago := r.asOf.Sub(m.saidAt); {
			case ago < week:
				last[m.customer] = true
			case ago < 2*week:
				before[m.customer] = true
			}
			if in.FirstSeen.IsZero() || m.saidAt.Before(in.FirstSeen) {
				in.FirstSeen = m.saidAt
			}
			if m.saidAt.After(in.LastSeen) {
				in.LastSeen = m.saidAt
			}
		}
	}
	in.LastWeek, in.WeekBefore = len(last), len(before)
}
