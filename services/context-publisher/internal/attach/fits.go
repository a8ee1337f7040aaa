package attach

import (
	"strings"
	"unicode"
)

// Fits lists those of tickets that a candidate matches in any mode: what Match says of each of
// them, without the terms and the reasons, at the price of reading the candidate once.
func (m Matcher) Fits(c Candidate, tickets []Ticket) []Ticket {
	theirs := m.Corpus.candidate(c)
	var out []Ticket
	for _, t := range tickets {
		bag := m.Corpus.ticket(t)
		if Refers(t, c) || max(theirs.likeness(bag), theirs.best(bag))+hintWeight*Meaning(t, c) >= SuggestedBar {
			out = append(out, t)
		}
	}
	return out
}

// Relevant is Relevance for many words of one ticket, at the price of reading it once.
func (m Matcher) Relevant(t Ticket) func(words, space string, vector []float32) float64 {
	ticket := m.Corpus.ticket(t)
	return func(words, space string, vector []float32) float64 {
		meaning := Meaning(t, Candidate{Space: space, Evidence: []Evidence{{Vector: vector}}})
		return (ticket.cosine(m.Corpus.bagOf(field{words, 1})) + hintWeight*meaning) / (1 + hintWeight)
	}
}

// Runs are the words of a text as a reference has to find them, in lower case and as often as
// they occur: runs of letters, digits, _ and -. A text that names a ticket holds the first run
// of the ticket's key, or the last of its URL, as a run of its own.
func Runs(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == unicode.ReplacementChar || !inWord(r) })
}
