package attach

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Board is the open tickets of a workspace, by the words they hold: what a match has to
// stand out among. It is safe for concurrent use.
type Board struct {
	corpus  *Corpus
	mu      sync.RWMutex
	entries map[name]*entry
	holding map[string][]*entry // the tickets that hold a word
}

type entry struct {
	Ticket
	bag bag
}

type name struct {
	tracker feedback.Tracker
	key     string
}

// NewBoard makes a board without tickets that weighs words by a corpus, which must not
// change after.
func NewBoard(corpus *Corpus) *Board {
	return &Board{corpus: corpus, entries: map[name]*entry{}, holding: map[string][]*entry{}}
}

// Put keeps the ticket, in place of what it said before.
func (b *Board) Put(t Ticket) {
	e := &entry{t, b.corpus.ticket(t)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(t.Tracker, t.Key)
	b.entries[name{t.Tracker, t.Key}] = e
	for w := range e.bag {
		b.holding[w] = append(b.holding[w], e)
	}
}

// Remove forgets a ticket.
func (b *Board) Remove(tracker feedback.Tracker, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(tracker, key)
}

func (b *Board) remove(tracker feedback.Tracker, key string) {
	e := b.entries[name{tracker, key}]
	if e == nil {
		return
	}
	delete(b.entries, name{tracker, key})
	for w := range e.bag {
		b.holding[w] = slices.DeleteFunc(b.holding[w], func(x *entry) bool { return x == e })
	}
}

// Ranked is a ticket with how well a candidate fits it.
type Ranked struct {
	Ticket Ticket
	Score  float64
}

// Rank lists the tickets that share words with a candidate, best first, at most most.
func (b *Board) Rank(c Candidate, most int) []Ranked {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.rank(c, b.corpus.candidate(c), most)
}

func (b *Board) rank(c Candidate, theirs weighed, most int) []Ranked {
	type placed struct {
		*entry
		words float64
	}
	var order []placed
	for e, words := range b.words(theirs) {
		order = append(order, placed{e, words})
	}
	slices.SortFunc(order, func(x, y placed) int {
		return cmp.Or(cmp.Compare(y.words, x.words), cmp.Compare(x.Key, y.Key), cmp.Compare(x.Tracker, y.Tracker))
	})
	var out []Ranked
	for n, p := range order {
		// Meaning moves a score by at most its weight: what is behind by more cannot get in.
		if n >= most && p.words+meaningWeight < order[most-1].words {
			break
		}
		reference := 0.0
		if Refers(p.Ticket, c) {
			reference = 1
		}
		out = append(out, Ranked{p.Ticket, Score(Meaning(p.Ticket, c), p.words, reference)})
	}
	slices.SortStableFunc(out, func(x, y Ranked) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(x.Ticket.Key, y.Ticket.Key))
	})
	return out[:min(len(out), most)]
}

// words is the term of that name for every ticket that shares a word with the candidate.
func (b *Board) words(theirs weighed) map[*entry]float64 {
	whole := b.cosines(theirs.whole)
	parts := make([]map[*entry]float64, len(theirs.parts))
	for i, p := range theirs.parts {
		parts[i] = b.cosines(p)
	}
	out := make(map[*entry]float64, len(whole))
	for e, w := range whole {
		each := make([]float64, len(parts))
		for n, p := range parts {
			each[n] = p[e]
		}
		out[e] = max(w, upperHalf(each))
	}
	return out
}

func (b *Board) cosines(of bag) map[*entry]float64 {
	out := map[*entry]float64{}
	for _, w := range of.words() {
		for _, e := range b.holding[w] {
			out[e] += of[w] * e.bag[w]
		}
	}
	for e, x := range out {
		out[e] = min(x, 1)
	}
	return out
}

// standing is how a ticket stands among the others for one candidate: the best score of
// another, and the likeness in words of the ticket to its nearest other.
func (b *Board) standing(t Ticket, ticket bag, c Candidate, theirs weighed) (next, neighbour float64) {
	if b == nil {
		return runnerUp(0), 0
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	same := func(o Ticket) bool { return o.Tracker == t.Tracker && o.Key == t.Key }
	others := len(b.entries)
	if b.entries[name{t.Tracker, t.Key}] != nil {
		others--
	}
	next = runnerUp(others)
	for _, r := range b.rank(c, theirs, 2) {
		if !same(r.Ticket) {
			next = max(next, r.Score)
			break
		}
	}
	for e, x := range b.cosines(ticket) {
		if !same(e.Ticket) {
			neighbour = max(neighbour, x)
		}
	}
	return next, neighbour
}

// numbers finds versions, years, error codes and keys such as CVE-2022-42003: two titles
// that both hold some and share none are about different things.
var numbers = regexp.MustCompile(`(?i)\b[a-z]+-\d+(?:-\d+)*\b|\b\d+(?:\.\d+)+\b|\b\d{2,}\b`)

func conflicting(title string, heads []string) bool {
	ours := numbers.FindAllString(strings.ToLower(title), -1)
	theirs := numbers.FindAllString(strings.ToLower(strings.Join(heads, "\n")), -1)
	if len(ours) == 0 || len(theirs) == 0 {
		return false
	}
	return !slices.ContainsFunc(ours, func(n string) bool { return slices.Contains(theirs, n) })
}

// head is the first line of a text: the title, where it has one.
func head(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}

// upperHalf is the mean of the better half of values: what most of a cluster says, not
// what its luckiest quote says. It is 0 for none.
func upperHalf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	values = values[:(len(values)+1)/2]
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
