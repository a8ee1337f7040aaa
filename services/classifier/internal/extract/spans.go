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

// Spans cuts text into clauses, takes from the words of each, and from a judge where words
// are of two minds, what it does, and joins neighbours that go on about the same thing.
// Clauses that only tell circumstances join the signal that they continue or lie inside of,
// and are dropped otherwise; but a text in which no clause does anything is one candidate, of
// kind other where the judge does not know better, for the caller to keep or not. A text
// without clauses has no candidates.
func Spans(text string, judge Judge) []Candidate {
	clauses := Clauses(text)
	if len(clauses) == 0 {
		return nil
	}
	stances := make([]stance, len(clauses))
	kinds := make([]feedback.Kind, len(clauses))
	for i, c := range clauses {
		words := text[c.Start:c.End]
		kinds[i] = judge(words)
		stances[i] = take(words, kinds[i])
	}
	var out []Candidate
	var current stance
	last := -1 // the clause that out's last candidate ends with
	for i, c := range clauses {
		if last >= 0 && goesOn(text, clauses, stances, last, i, current, out[len(out)-1].Span) {
			out[len(out)-1].End = c.End
			last = i
			continue
		}
		if stances[i] == neutral {
			continue
		}
		span := c.Span
		// Circumstances told first in the same sentence, or before praise, belong to what follows.
		if i > 0 && i-1 > last && stances[i-1] == neutral && (c.Inside || stances[i] == praise) && clauses[i-1].Block == c.Block {
			span.Start = clauses[i-1].Start
		}
		kind := kinds[i]
		if family(kind) == neutral {
			kind = plainly[stances[i]]
		}
		out = append(out, Candidate{span, kind})
		current, last = stances[i], i
	}
	if len(out) > 0 {
		return out
	}
	whole := Candidate{clauses[0].Span, kinds[0]}
	for i, c := range clauses {
		if c.Block == clauses[0].Block && c.End-whole.Start <= MaxClause {
			whole.End = c.End
			if whole.Kind == feedback.Other {
				whole.Kind = kinds[i]
			}
		}
	}
	return []Candidate{whole}
}

// maxSignal is the length in bytes beyond which a signal takes in no more.
const maxSignal = 700

var (
	continues = regexp.MustCompile(`(?i)^(?:(?:and|so|but|then|even|still)\s+)?(?:it|it's|its|this|that|that's|they|these|those|them|because|which|when|whenever|after|since|even|every ?time|each time|i(?:'ve| have)? (?:have )?(?:tried|checked|restarted|reinstalled|uninstalled|deleted|cleared|already|did|keep|get|even)|tried|same|still|also tried|happens?|nothing|steps|for example|e\.g|like|especially|instead|otherwise|currently|right now|as a result|so|at least|only|not?|and still|yet)\b`)
	// vents tells how a thing feels and of no thing.
	vents  = regexp.MustCompile(`(?i)^(?:(?:this|the) (?:app|thing|tool|product|program)|it|this|that|so|very|really|totally|just|i)?(?:['’]s| is| am)?(?: (?:so|very|really|totally|just|completely))* ?(?:useless|frustrat\w+|annoy\w+|terrible|unacceptable|ridiculous|awful|horrible|a joke|disappoint\w+|sucks|fed up(?: with (?:it|that|this))?|hate (?:it|this)|crap|garbage|rubbish|absurd|a shame|sad|still no luck|no luck)\W*$|^(?:what (?:is this|a) )|^(?:i (?:really )?hate (?:this|it)|get your )`)
	repair = regexp.MustCompile(`(?i)\b(?:please|pls|plz|kindly|can (?:you|u|someone)|could (?:you|someone))\b.{0,24}\b(?:fix|help|solve|resolve|look into|check|sort|repair|correct|investigate|advise|assist)\b|^(?:please )?(?:fix|help|solve|resolve)\b|\bfix (?:it|this|that|the (?:bug|issue|problem))|need(?:s)? (?:to be )?fix`)
)

// goesOn reports whether clause i continues the signal of the stance given that lies at span
// and ended with clause last.
func goesOn(text string, clauses []Clause, stances []stance, last, i int, current stance, span feedback.Span) bool {
	c, s := clauses[i], stances[i]
	words := text[c.Start:c.End]
	if c.Apart && s != praise || c.End-span.Start > maxSignal {
		return false
	}
	// A plea to mend belongs to what is broken, a paragraph later too.
	if current == trouble && repair.MatchString(words) && c.Block-clauses[last].Block <= 1 {
		return true
	}
	if c.Block != clauses[last].Block || i-last > 3 {
		return false
	}
	follows := continues.MatchString(words) || current == trouble && vents.MatchString(words)
	switch {
	case s == neutral:
		// One sentence of circumstances belongs to what it follows; with praise all do.
		return current == praise || c.Inside || follows || !hasWords(words, 4) || current != question && stances[last] != neutral
	case (s == question || s == ask) && helps.MatchString(words):
		return true
	case s != current:
		return false
	case s == praise || c.Inside && !c.Joined:
		return true
	default:
		return follows || !hasWords(words, 4) || related(text[span.Start:span.End], words)
	}
}

// helps matches a call for help that names nothing.
var helps = regexp.MustCompile(`(?i)^(?:please |pl[sz] )?(?:can|could|would) (?:you|u|someone|anyone) (?:please )?(?:help|help me|help with (?:that|this)|assist|do (?:that|this|it))(?: out)?(?: please)?\W*$`)

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
