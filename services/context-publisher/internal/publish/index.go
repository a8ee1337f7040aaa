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
	corpus *attach.Corpus
	words  uint64 // position at which the corpus was counted
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
	c := &corner{open: map[address]attach.Ticket{}, states: map[address]pace{}, corpus: &attach.Corpus{}}
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
		c.open[address{ws, feedback.Tracker(tracker), t.Key}] = t
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
	if t == nil {
		delete(i.workspaces[a.workspace].open, a)
		return
	}
	i.workspaces[a.workspace].open[a] = *t
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
		if by := (attach.Matcher{}).Meaning(t, c); by > 0 {
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

// corpusTexts is how many of the newest quotes the words are weighed by.
const corpusTexts = 5000

// matcher weighs words by the workspace's newest quotes and its open tickets. They are
// counted again whenever a tenth more inputs were taken.
func (s *shard) matcher(ctx context.Context, ws string, position uint64) (attach.Matcher, error) {
	s.index.mu.Lock()
	c := s.index.workspaces[ws]
	corpus, counted := c.corpus, c.words
	s.index.mu.Unlock()
	if corpus.Texts() > 0 && 10*position <= 11*counted+10 {
		return attach.Matcher{Corpus: corpus}, nil
	}
	next := &attach.Corpus{}
	rows, err := s.Store.Conn().Query(ctx, fmt.Sprintf(`SELECT quote FROM signals FINAL WHERE workspace = ? ORDER BY said_at DESC, id LIMIT %d`, corpusTexts), ws)
	if err != nil {
		return attach.Matcher{}, query.Failed("count words", err)
	}
	defer rows.Close()
	for rows.Next() {
		var quote string
		if err := rows.Scan(&quote); err != nil {
			return attach.Matcher{}, query.Failed("count words", err)
		}
		next.Add(quote)
	}
	if err := rows.Err(); err != nil {
		return attach.Matcher{}, query.Failed("count words", err)
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, t := range c.open {
		next.Add(t.Title + "\n" + t.Body)
	}
	c.corpus, c.words = next, position
	return attach.Matcher{Corpus: next}, nil
}
