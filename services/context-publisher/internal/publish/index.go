package publish

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
)

// address names a ticket.
type address struct {
	workspace string
	tracker   feedback.Tracker
	key       string
}

func addressOf(t feedback.Ticket) address { return address{t.Workspace, t.Tracker, t.Key} }

// index holds what a shard needs of its tickets to answer "whose context does this
// cluster change?" without asking the store: vectors of the tickets that are not done,
// and every ticket's state as this process wrote it last. It is rebuilt at start from the
// tickets table and the tickets' states.
type index struct {
	mu         sync.Mutex
	workspaces map[string]*corner
}

// corner is one workspace's part of the index.
type corner struct {
	open    map[address]attach.Ticket // tickets that are not done
	mention map[string][]address      // of those, by a word that their key, their URL or a cluster's id in their text ends or begins with
	states  map[address]state
	near    map[address]surroundings

	words    *attach.Corpus // the counted quotes
	corpus   *attach.Corpus // and the open tickets, where quotes are few
	board    *attach.Board  // nil until it is asked for
	stale    bool           // the open tickets are counted, and are others now
	quotes   uint64         // how many of the oldest quotes were counted
	position uint64         // the last one that was asked for
}

// state is a ticket's state with the revision of its record, 0 where that is not known.
type state struct {
	keyed.Ticket
	revision uint64
}

// surroundings are the clusters and signals near to a ticket by meaning, as of a time.
type surroundings struct {
	clusters, signals []string
	at                time.Time
}

// surroundingsFor is how long they count: new clusters and signals find tickets by themselves,
// and what is near only suggests.
const surroundingsFor = 15 * time.Minute

func newIndex() *index { return &index{workspaces: map[string]*corner{}} }

func (i *index) knows(ws string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.workspaces[ws] != nil
}

// open loads a workspace's tickets.
func (s *shard) open(ctx context.Context, ws string) error {
	c := &corner{open: map[address]attach.Ticket{}, mention: map[string][]address{}, states: map[address]state{}, near: map[address]surroundings{}}
	states, err := s.tickets.Of(ctx, ws)
	if err != nil {
		return err
	}
	for _, t := range states {
		c.states[address{ws, t.Tracker, t.Key}] = state{Ticket: t}
	}
	rows, err := s.Store.Conn().Query(ctx, `SELECT tracker, key, title, body, url, space, vector FROM tickets FINAL
		WHERE workspace = ? AND restricted = 0 AND category != 'done'`, ws)
	if err != nil {
		return query.Failed("load tickets", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t attach.Ticket
		var tracker string
		if err := rows.Scan(&tracker, &t.Key, &t.Title, &t.Body, &t.URL, &t.Space, &t.Vector); err != nil {
			return query.Failed("load tickets", err)
		}
		t.Tracker = feedback.Tracker(tracker)
		c.put(address{ws, t.Tracker, t.Key}, &t)
	}
	if err := rows.Err(); err != nil {
		return query.Failed("load tickets", err)
	}
	s.index.mu.Lock()
	s.index.workspaces[ws] = c
	s.index.mu.Unlock()
	return nil
}

// put keeps an open ticket, or forgets one that is done or closed. It reports whether the
// ticket says something else than before.
func (i *index) put(a address, t *attach.Ticket) (new bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.workspaces[a.workspace]
	was, known := c.open[a]
	c.put(a, t)
	switch {
	case c.board == nil:
	case c.words.Texts() < fewTexts && (t == nil) == known:
		c.stale = true
	case t == nil:
		c.board.Remove(a.tracker, a.key)
	case c.words.Texts() < fewTexts && (was.Title != t.Title || was.Body != t.Body):
		c.stale = true
	default:
		c.board.Put(*t)
	}
	return t != nil && (!known || was.Title != t.Title || was.Body != t.Body)
}

func (c *corner) put(a address, t *attach.Ticket) {
	if was, known := c.open[a]; known {
		for _, w := range marks(was) {
			c.mention[w] = slices.DeleteFunc(c.mention[w], func(x address) bool { return x == a })
			if len(c.mention[w]) == 0 {
				delete(c.mention, w)
			}
		}
		delete(c.open, a)
	}
	if t == nil {
		delete(c.near, a)
		return
	}
	c.open[a] = *t
	for _, w := range marks(*t) {
		c.mention[w] = append(c.mention[w], a)
	}
}

// marks are words that a text must hold to name the ticket, by its key or by its URL, and the
// ids of clusters that the ticket holds.
func marks(t attach.Ticket) []string {
	var out []string
	if words := attach.Runs(t.Key); len(words) > 0 {
		out = append(out, words[0])
	}
	if words := attach.Runs(t.URL); len(words) > 0 {
		out = append(out, words[len(words)-1])
	}
	for _, w := range attach.Runs(t.Title + "\n" + t.Body) {
		if strings.HasPrefix(w, clusterPrefix) {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

const clusterPrefix = "clu_"

// named lists the open tickets that texts name.
func (i *index) named(ws string, texts ...string) []address {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.workspaces[ws]
	var out []address
	for _, text := range texts {
		for _, w := range attach.Runs(text) {
			for _, a := range c.mention[w] {
				if !slices.Contains(out, a) && attach.Refers(c.open[a], attach.Candidate{Evidence: []attach.Evidence{{Quote: text}}}) {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// holding lists the open tickets that hold a cluster's id.
func (i *index) holding(ws, cluster string) []attach.Ticket {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.workspaces[ws]
	var out []attach.Ticket
	for _, a := range c.mention[strings.ToLower(cluster)] {
		out = append(out, c.open[a])
	}
	return out
}

// note keeps a ticket's state.
func (i *index) note(a address, st state) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workspaces[a.workspace].states[a] = st
}

// state is a ticket's state as it was noted last; ok is false where its record has to be read.
func (i *index) state(a address) (st state, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	st = i.workspaces[a.workspace].states[a]
	return st, st.revision > 0
}

// surround keeps what is near a ticket.
func (i *index) surround(a address, near surroundings) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workspaces[a.workspace].near[a] = near
}

// surroundings are those kept of a ticket; ok is false where they are too old to count.
func (i *index) surroundings(a address, now time.Time) (near surroundings, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	near, known := i.workspaces[a.workspace].near[a]
	return near, known && now.Sub(near.at) < surroundingsFor
}

// due lists the tickets whose gathered changes are to be written by now, by workspace, those
// that are due longest first.
func (i *index) due(now time.Time) map[string][]*task {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := map[string][]*task{}
	for ws, c := range i.workspaces {
		var due []address
		for a, st := range c.states {
			if !st.Due.IsZero() && !now.Before(st.Due) {
				due = append(due, a)
			}
		}
		slices.SortFunc(due, func(a, b address) int {
			return cmp.Or(c.states[a].Due.Compare(c.states[b].Due), cmp.Compare(a.name(), b.name()))
		})
		for _, a := range due {
			out[ws] = append(out[ws], &task{address: a})
		}
	}
	return out
}

// nearest lists the open tickets nearest to a cluster by meaning, at most most.
func (i *index) nearest(ws string, c attach.Candidate, most int) []attach.Ticket {
	type near struct {
		attach.Ticket
		by float64
	}
	i.mu.Lock()
	open := slices.Collect(maps.Values(i.workspaces[ws].open))
	i.mu.Unlock()
	var all []near
	for _, t := range open {
		if by := attach.Meaning(t, c); by > 0 {
			all = append(all, near{t, by})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(a.Tracker, b.Tracker), cmp.Compare(a.Key, b.Key))
	})
	out := make([]attach.Ticket, 0, most)
	for _, n := range all[:min(len(all), most)] {
		out = append(out, n.Ticket)
	}
	return out
}

// corpusTexts is how many quotes the words are weighed by at most; where there are fewer
// than fewTexts, the open tickets are counted too.
const (
	corpusTexts = 5000
	fewTexts    = 200
)

// counted is how many of a workspace's oldest quotes are counted: a number that grows by
// tenths, so that the same quotes give the same weights whenever it was asked.
func counted(quotes uint64) uint64 {
	if quotes < 10 {
		return quotes
	}
	step := 10.0
	for next := step * 1.1; next <= float64(quotes); next *= 1.1 {
		step = next
	}
	return uint64(step)
}

// matcher weighs words by a workspace's quotes: the newest of the counted ones. The
// weights follow from the quotes and the open tickets as they are now, not from when they
// were counted before.
func (s *shard) matcher(ctx context.Context, ws string, position uint64) (attach.Matcher, error) {
	s.index.mu.Lock()
	c := s.index.workspaces[ws]
	if c.board != nil && c.stale {
		c.weigh()
	}
	board, corpus, at, had := c.board, c.corpus, c.position, c.quotes
	s.index.mu.Unlock()
	if board != nil && at == position {
		return attach.Matcher{Corpus: corpus, Board: board}, nil
	}
	var quotes uint64
	err := s.query(ctx, "count quotes", `SELECT count() FROM signals FINAL WHERE workspace = ?`, []any{ws},
		func(scan func(...any) error) error { return scan(&quotes) })
	if err != nil {
		return attach.Matcher{}, err
	}
	upTo := counted(quotes)
	if board == nil || upTo != had {
		next := &attach.Corpus{}
		err := s.query(ctx, "count words", fmt.Sprintf(`SELECT quote FROM (SELECT quote, said_at, id FROM signals FINAL WHERE workspace = ?
			ORDER BY said_at, id LIMIT %d) ORDER BY said_at DESC, id DESC LIMIT %d`, upTo, corpusTexts), []any{ws},
			func(scan func(...any) error) error {
				var quote string
				err := scan(&quote)
				next.Add(quote)
				return err
			})
		if err != nil {
			return attach.Matcher{}, err
		}
		corpus, board = next, nil
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	c.words, c.quotes, c.position = corpus, upTo, position
	if board == nil {
		c.weigh()
	}
	return attach.Matcher{Corpus: c.corpus, Board: c.board}, nil
}

// weigh makes the board from the counted words and the open tickets. The index is locked.
func (c *corner) weigh() {
	c.corpus, c.stale = c.words, false
	if c.words.Texts() < fewTexts {
		c.corpus = c.words.Clone()
		for _, t := range c.open {
			c.corpus.Add(t.Title + "\n" + t.Body)
		}
	}
	c.board = attach.NewBoard(c.corpus)
	for _, t := range c.open {
		c.board.Put(t)
	}
}
