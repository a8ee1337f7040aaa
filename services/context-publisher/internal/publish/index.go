package publish

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
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

// stripes are locks shared by tickets, so that two loops never work on one ticket.
type stripes [64]sync.Mutex

func (s *stripes) lock(a address) (unlock func()) {
	h := fnv.New32a()
	fmt.Fprint(h, a.workspace, "/", a.tracker, "/", a.key)
	m := &s[h.Sum32()%uint32(len(s))]
	m.Lock()
	return m.Unlock
}

// index holds what a shard needs of its tickets to answer "whose context does this
// cluster change?" without asking the store: vectors of the tickets that are not done,
// when each was written last and when gathered changes are due. It is rebuilt at start
// from the tickets table and the tickets' states.
type index struct {
	mu         sync.Mutex
	workspaces map[string]*corner
}

// corner is one workspace's part of the index.
type corner struct {
	open   map[address]attach.Ticket // tickets that are not done
	states map[address]pace

	words    *attach.Corpus // the counted quotes
	corpus   *attach.Corpus // and the open tickets, where quotes are few
	board    *attach.Board  // nil until it is asked for
	quotes   uint64         // how many of the oldest quotes were counted
	position uint64         // the last one that was asked for
}

// pace is when a ticket was written last and when it is to be written next (zero: not).
type pace struct{ wrote, due time.Time }

func newIndex() *index { return &index{workspaces: map[string]*corner{}} }

func (i *index) knows(ws string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.workspaces[ws] != nil
}

// open loads a workspace's tickets.
func (s *shard) open(ctx context.Context, ws string) error {
	c := &corner{open: map[address]attach.Ticket{}, states: map[address]pace{}}
	states, err := s.tickets.Of(ctx, ws)
	if err != nil {
		return err
	}
	for _, t := range states {
		c.states[address{ws, t.Tracker, t.Key}] = pace{t.WroteAt, t.Due}
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
		c.open[address{ws, t.Tracker, t.Key}] = t
	}
	if err := rows.Err(); err != nil {
		return query.Failed("load tickets", err)
	}
	s.index.mu.Lock()
	s.index.workspaces[ws] = c
	s.index.mu.Unlock()
	return nil
}

// put keeps an open ticket, or forgets one that is done or closed.
func (i *index) put(a address, t *attach.Ticket) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.workspaces[a.workspace]
	was, known := c.open[a]
	if t == nil {
		delete(c.open, a)
	} else {
		c.open[a] = *t
	}
	switch {
	case c.board == nil:
	case c.words.Texts() < fewTexts && (t == nil) == known:
		c.weigh()
	case t == nil:
		c.board.Remove(a.tracker, a.key)
	case c.words.Texts() < fewTexts && (was.Title != t.Title || was.Body != t.Body):
		c.weigh()
	default:
		c.board.Put(*t)
	}
}

// note keeps a ticket's pace.
func (i *index) note(a address, st keyed.Ticket) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workspaces[a.workspace].states[a] = pace{st.WroteAt, st.Due}
}

// due lists the tickets whose gathered changes are to be written by now.
func (i *index) due(now time.Time) []address {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []address
	for _, c := range i.workspaces {
		for a, p := range c.states {
			if !p.due.IsZero() && !now.Before(p.due) {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b address) int {
		return cmp.Or(cmp.Compare(a.workspace, b.workspace), cmp.Compare(a.tracker, b.tracker), cmp.Compare(a.key, b.key))
	})
	return out
}

// nearest lists the open tickets nearest to a cluster by meaning, at most most.
func (i *index) nearest(ws string, c attach.Candidate, most int) []address {
	type near struct {
		address
		by float64
	}
	i.mu.Lock()
	var all []near
	for a, t := range i.workspaces[ws].open {
		if by := attach.Meaning(t, c); by > 0 {
			all = append(all, near{a, by})
		}
	}
	i.mu.Unlock()
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(a.tracker, b.tracker), cmp.Compare(a.key, b.key))
	})
	out := make([]address, 0, most)
	for _, n := range all[:min(len(all), most)] {
		out = append(out, n.address)
	}
	return out
}

// referring lists the open tickets that a cluster's words name, or that name it.
func (i *index) referring(ws string, c attach.Candidate) []address {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []address
	for a, t := range i.workspaces[ws].open {
		if attach.Refers(t, c) {
			out = append(out, a)
		}
	}
	return out
}

func (i *index) ticket(a address) (attach.Ticket, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t, ok := i.workspaces[a.workspace].open[a]
	return t, ok
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
	c.corpus = c.words
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
