// Package attach decides which clusters, and which signals by themselves, answer to which
// ticket: by meaning (vectors),
// by words (rare ones first, the body counting too), by explicit references in either
// direction, and by people's pins and rejections, which are final.
//
// It promises one of three outcomes for each (automatic, suggested, none) with the
// terms of the score and the sentences that matched, and the same answer for the same
// inputs. Precision comes first: between the two bars it suggests and does not act.
//
// It is pure and refuses to fetch, to store and to overrule a person.
package attach

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Ticket is what a ticket says. Vector embeds title and body in the space that Space
// names; it may be empty, then words alone decide.
type Ticket struct {
	Tracker feedback.Tracker
	Key     string
	URL     string
	Title   string
	Body    string
	Space   string
	Vector  []float32
}

// Candidate is a cluster that may answer to the ticket, with evidence of what it means:
// its centroid and its most typical signals.
type Candidate struct {
	Cluster  string
	Name     string
	Space    string
	Centroid []float32
	Evidence []Evidence
}

// Evidence is one signal of a candidate: its quote, its vector, and the text of the item
// around it (which may hold a reference to the ticket that the quote does not).
type Evidence struct {
	Signal string
	Quote  string
	Text   string
	Vector []float32
	Near   bool // taken for being near to the ticket, not for being typical: it can suggest, and decides nothing
}

// Ruling is a person's pin or rejection of one cluster.
type Ruling struct {
	Mode     feedback.Mode // Pinned or Rejected
	Decision string
	By       string
}

// Match is the outcome for one cluster, or for one signal by itself. Score is in [0, 1]. Terms holds meaning, words
// and reference and, from the lower bar on, what the decision looked at besides: likeness
// to the ticket's title, the score of the runner-up among the open tickets, and the
// ticket's likeness to its nearest neighbour; each in [0, 1]. Reasons holds the sentences that matched, at most
// three, the ticket's and the customers' words as they wrote them.
type Match struct {
	Cluster   string // empty for a signal
	Signal    string // empty for a cluster
	Mode      feedback.Mode
	Score     float64
	Terms     map[string]float64
	Reasons   []string
	DecidedBy string // "machine", or who ruled
	Decision  string
}

// ID is that of the cluster, or of the signal: what rulings go by.
func (m Match) ID() string { return cmp.Or(m.Cluster, m.Signal) }

// Matcher scores tickets against clusters with the word weights of a workspace. Board
// holds the workspace's open tickets; without one, a match is judged alone.
type Matcher struct {
	Corpus *Corpus
	Board  *Board
}

// Match returns the matches that are automatic, suggested, pinned or rejected, best
// first; clusters below the lower bar are left out. A ruling on a cluster that is not
// among the candidates is kept too, with no score.
func (m Matcher) Match(t Ticket, candidates []Candidate, rulings map[string]Ruling) []Match {
	bag := m.Corpus.ticket(t)
	var out []Match
	seen := map[string]bool{}
	for _, c := range candidates {
		seen[c.Cluster] = true
		match := m.score(t, bag, c)
		if r, ok := rulings[c.Cluster]; ok {
			match.Mode, match.DecidedBy, match.Decision = r.Mode, r.By, r.Decision
		}
		if match.Mode != "" {
			match.Reasons = m.reasons(t, bag, c)
			out = append(out, match)
		}
	}
	for cluster, r := range rulings {
		if !seen[cluster] {
			out = append(out, Match{Cluster: cluster, Mode: r.Mode, Terms: map[string]float64{}, DecidedBy: r.By, Decision: r.Decision})
		}
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Cluster, b.Cluster))
	})
	return out
}

// Best lists the tickets of the board that a candidate fits, best first and at most most,
// and the outcome for the first of them: Automatic, Suggested or empty.
func (m Matcher) Best(c Candidate, most int) ([]Ranked, feedback.Mode) {
	ranked := m.Board.Rank(c, most)
	if len(ranked) == 0 {
		return nil, ""
	}
	first := ranked[0].Ticket
	return ranked, m.score(first, m.Corpus.ticket(first), c).Mode
}

// Relevance is how near a customer's words are to a ticket, in [0, 1]: what a quote is
// worth in the ticket's brief.
func (m Matcher) Relevance(t Ticket, words string, space string, vector []float32) float64 {
	meaning := Meaning(t, Candidate{Space: space, Evidence: []Evidence{{Vector: vector}}})
	return (m.Corpus.ticket(t).cosine(m.Corpus.bagOf(field{words, 1})) + hintWeight*meaning) / (1 + hintWeight)
}

// score weighs the terms and decides. Below the lower bar Mode stays empty.
func (m Matcher) score(t Ticket, ticket bag, c Candidate) Match {
	theirs := m.Corpus.candidate(c)
	meaning, words := Meaning(t, c), theirs.likeness(ticket)
	reference := 0.0
	if Refers(t, c) {
		reference = 1
	}
	match := Match{
		Cluster:   c.Cluster,
		Score:     Score(meaning, words, reference),
		Terms:     map[string]float64{"meaning": meaning, "words": words, "reference": reference},
		DecidedBy: "machine",
	}
	switch {
	case reference == 1:
		match.Mode = feedback.Automatic
	case max(words, theirs.best(ticket))+hintWeight*meaning >= SuggestedBar:
		match.Mode = feedback.Suggested
		next, neighbour := m.Board.standing(t, ticket, c, theirs)
		title := theirs.heads(m.Corpus).likeness(m.Corpus.bagOf(field{t.Title, 1}))
		match.Terms["title"], match.Terms["runner_up"], match.Terms["neighbour"] = title, next, neighbour
		if match.Score-next >= Ahead && title >= TitleBar && words >= neighbour-NearerBy && !conflicting(t.Title, theirs.lines) {
			match.Mode = feedback.Automatic
		}
	}
	return match
}

// Meaning is the cosine between the ticket and what the cluster means: the better of
// its centroid and the mean of its three nearest signals. It is 0 across spaces, and
// never negative.
func Meaning(t Ticket, c Candidate) float64 {
	if t.Space != c.Space || len(t.Vector) == 0 {
		return 0
	}
	best := 0.0
	if len(c.Centroid) == len(t.Vector) {
		if length := math.Sqrt(float64(embed.Dot(c.Centroid, c.Centroid))); length > 0 {
			best = float64(embed.Dot(t.Vector, c.Centroid)) / length
		}
	}
	var near []float64
	for _, e := range c.Evidence {
		if len(e.Vector) == len(t.Vector) {
			near = append(near, float64(embed.Dot(t.Vector, e.Vector)))
		}
	}
	slices.SortFunc(near, func(a, b float64) int { return cmp.Compare(b, a) })
	near = near[:min(len(near), 3)]
	var sum float64
	for _, n := range near {
		sum += n
	}
	if len(near) > 0 {
		best = max(best, sum/float64(len(near)))
	}
	return min(max(best, 0), 1)
}

// weighed is a candidate as bags of words: all of it, and each of its quotes; a quote's
// first line counts like a title where more lines follow.
type weighed struct {
	whole bag
	parts []bag
	near  []bag // of quotes that are not typical
	lines []string
}

func (c *Corpus) candidate(of Candidate) weighed {
	fields := []field{{of.Name, 1}}
	var out weighed
	for _, e := range of.Evidence {
		first := head(e.Quote)
		parts := []field{{first, titleTimes}, {strings.TrimPrefix(strings.TrimSpace(e.Quote), first), 1}}
		if e.Near {
			out.near = append(out.near, c.bagOf(parts...))
			continue
		}
		fields = append(fields, parts...)
		out.parts = append(out.parts, c.bagOf(parts...))
		out.lines = append(out.lines, first)
	}
	out.whole = c.bagOf(fields...)
	return out
}

// heads is the candidate by its quotes' first lines alone.
func (w weighed) heads(c *Corpus) weighed {
	var fields []field
	var out weighed
	for _, l := range w.lines {
		fields = append(fields, field{l, 1})
		out.parts = append(out.parts, c.bagOf(field{l, 1}))
	}
	out.whole = c.bagOf(fields...)
	return out
}

// likeness is how much of their rare words a ticket and the candidate share, in [0, 1].
func (w weighed) likeness(ticket bag) float64 {
	each := make([]float64, len(w.parts))
	for i, p := range w.parts {
		each[i] = ticket.cosine(p)
	}
	return max(ticket.cosine(w.whole), upperHalf(each))
}

// best is the likeness of the luckiest quote: enough for a suggestion.
func (w weighed) best(ticket bag) float64 {
	best := 0.0
	for _, p := range slices.Concat(w.parts, w.near) {
		best = max(best, ticket.cosine(p))
	}
	return best
}

func (c *Corpus) ticket(t Ticket) bag {
	return c.bagOf(field{t.Title, titleTimes}, field{t.Body, 1})
}

// Refers reports whether one names the other: a customer's words hold the ticket's key
// or URL, or the ticket holds the cluster's id (its URL ends in it).
func Refers(t Ticket, c Candidate) bool {
	if c.Cluster != "" && (mentions(t.Title, c.Cluster) || mentions(t.Body, c.Cluster)) {
		return true
	}
	return slices.ContainsFunc(c.Evidence, func(e Evidence) bool {
		for _, text := range []string{e.Quote, e.Text} {
			if mentions(text, t.Key) || t.URL != "" && mentions(text, t.URL) {
				return true
			}
		}
		return false
	})
}

// mentions reports whether text holds name as a whole word, whatever the case:
// "PROJ-12" is not in "PROJ-123" nor in "XPROJ-12". A name shorter than 4 bytes is too
// likely to be an accident and is never found.
func mentions(text, name string) bool {
	if len(name) < 4 {
		return false
	}
	text, name = strings.ToLower(text), strings.ToLower(name)
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(name):])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = i + 1
	}
}

func inWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-')
}

// reasons picks the customers' sentences nearest to the ticket's words, at most two, and
// the sentence of the ticket that they are nearest to.
func (m Matcher) reasons(t Ticket, ticket bag, c Candidate) []string {
	type scored struct {
		text string
		by   float64
	}
	var theirs []scored
	for _, e := range c.Evidence {
		theirs = append(theirs, scored{e.Quote, ticket.cosine(m.Corpus.bagOf(field{e.Quote, 1}))})
	}
	slices.SortStableFunc(theirs, func(a, b scored) int { return cmp.Compare(b.by, a.by) })
	var out []string
	for _, s := range theirs {
		if len(out) < 2 && !slices.Contains(out, s.text) {
			out = append(out, s.text)
		}
	}
	if len(out) == 0 {
		return []string{}
	}
	nearest := m.Corpus.bagOf(field{out[0], 1})
	best := scored{t.Title, nearest.cosine(m.Corpus.bagOf(field{t.Title, 1}))}
	for _, s := range strings.FieldsFunc(t.Body, func(r rune) bool { return r == '\n' || r == '.' || r == '?' || r == '!' }) {
		if s = strings.TrimSpace(s); s != "" {
			if by := nearest.cosine(m.Corpus.bagOf(field{s, 1})); by > best.by {
				best = scored{s, by}
			}
		}
	}
	return append([]string{best.text}, out...)
}
