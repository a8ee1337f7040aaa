package extract

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Judge says what a clause is.
type Judge func(clause string) feedback.Kind

// Candidate is a span that stands for one signal, with what the judge took its clauses for.
type Candidate struct {
	feedback.Span
	Kind feedback.Kind
}

// Spans cuts text into clauses, lets judge say what each is, and joins neighbours that go on
// about the same thing. Clauses of kind other join a neighbour that they continue or lie
// between, and are dropped otherwise; but a text whose every clause is other is one candidate
// of that kind, for the caller to keep or not. A text without clauses has no candidates.
func Spans(text string, judge Judge) []Candidate {
	clauses := Clauses(text)
	kinds := make([]feedback.Kind, len(clauses))
	for i, c := range clauses {
		kinds[i] = judge(text[c.Start:c.End])
	}
	var out []Candidate
	last := -1 // the clause that out's last candidate ends with
	for i, c := range clauses {
		k := kinds[i]
		if len(out) > 0 && goesOn(text, clauses, kinds, last, i, out[len(out)-1]) {
			current := &out[len(out)-1]
			current.End = c.End
			current.Kind = joined(current.Kind, k)
			last = i
			continue
		}
		if k != feedback.Other {
			out = append(out, Candidate{c.Span, k})
			last = i
		}
	}
	if len(out) == 0 && len(clauses) > 0 {
		end := clauses[0]
		for _, c := range clauses[1:] {
			if c.Block == end.Block && c.End-clauses[0].Start <= MaxClause {
				end = c
			}
		}
		return []Candidate{{feedback.Span{Start: clauses[0].Start, End: end.End}, feedback.Other}}
	}
	return out
}

// joined is the kind of a signal that takes in a clause: what is asked for or broken
// outweighs what surrounds it.
func joined(a, b feedback.Kind) feedback.Kind {
	if a == feedback.Other {
		return b
	}
	return a
}

// maxSignal is the length in bytes beyond which a signal takes in no more.
const maxSignal = 700

var (
	continues = regexp.MustCompile(`(?i)^(?:(?:and|so|but|then|even|still)\s+)?(?:it|it's|its|this|that|that's|they|these|those|them|because|which|when|whenever|after|since|even|every ?time|each time|i(?:'ve| have)? (?:have )?(?:tried|checked|restarted|reinstalled|uninstalled|deleted|cleared|already|did|keep|get|even)|tried|same|still|also tried|happens?|nothing|steps|for example|e\.g|like|especially|instead|otherwise|currently|right now|as a result|so|at least|only)\b`)
	repair    = regexp.MustCompile(`(?i)\b(?:please|pls|plz|kindly|can (?:you|u|someone)|could (?:you|someone))\b.{0,24}\b(?:fix|help|solve|resolve|look into|check|sort|repair|correct|investigate|advise|assist)\b|^(?:please )?(?:fix|help|solve|resolve)\b|\bfix (?:it|this|that|the (?:bug|issue|problem))|need(?:s)? (?:to be )?fix`)
)

// goesOn reports whether clause i continues the candidate that ended with clause last.
func goesOn(text string, clauses []Clause, kinds []feedback.Kind, last, i int, current Candidate) bool {
	c, k := clauses[i], kinds[i]
	words := text[c.Start:c.End]
	if c.Apart || c.End-current.Start > maxSignal {
		return false
	}
	// A plea to mend belongs to what is broken, a paragraph later too.
	if current.Kind == feedback.Bug && repair.MatchString(words) && c.Block-clauses[last].Block <= 1 {
		return true
	}
	if c.Block != clauses[last].Block || i-last > 2 {
		return false
	}
	follows := continues.MatchString(words)
	switch {
	case k == feedback.Other && i == last+1:
		return follows || !hasWords(words, 4)
	case k != current.Kind:
		return false
	case k == feedback.Praise:
		return true
	case i != last+1: // what lies between is taken in as well
		return follows || related(text[current.Start:current.End], words)
	default:
		return follows || !hasWords(words, 5) || related(text[current.Start:current.End], words)
	}
}

// related reports whether two statements share a word that carries meaning.
func related(a, b string) bool {
	seen := map[string]bool{}
	eachStem(a, func(s string) { seen[s] = true })
	found := false
	eachStem(b, func(s string) { found = found || seen[s] })
	return found
}

// eachStem calls f with the first six letters of every word of four or more that is not one
// of everywhere.
func eachStem(s string, f func(string)) {
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		r := []rune(w)
		if len(r) < 4 || everywhere[w] {
			continue
		}
		f(string(r[:min(len(r), 6)]))
	}
}

var everywhere = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`about after again also always another because been before being cannot could does doesn doing
		done dont even ever every from have having here into isn just know like make makes many more most much need never only
		other over please really right same should since some still such sure take than that their them then there these they
		thing things this those time times under until using very want wants wasn week well were what when where which while
		will with without wont work working works would wouldn year years your yours today yesterday application product`) {
		m[w] = true
	}
	return m
}()
