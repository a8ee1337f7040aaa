// Package agreement measures how far found signals agree with labelled ones.
//
// Two spans agree where what they have in common, in bytes, is at least half of what both
// cover together (Jaccard index of 0.5), white space and marks at their ends left aside; a
// span agrees with at most one other, the best first. Precision, recall and F1 count agreeing
// spans; the stricter figures beside them count words, and spans with the same ends. It is
// pure, and a figure can be computed again.
package agreement

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Signal is a span with a kind.
type Signal struct {
	Kind feedback.Kind
	feedback.Span
}

// Enough is the Jaccard index from which two spans agree.
const Enough = 0.5

// Tally counts agreement over many items. The zero value is empty.
type Tally struct {
	items, found, labelled int
	agree, exact           int
	sameKind, sameFamily   int
	wordsFound, wordsLabelled,
	wordsBoth int
}

// Scores are what a tally comes to; each in [0, 1], but PerItem.
type Scores struct {
	Items     int     `json:"items"`
	Found     int     `json:"found"`
	Labelled  int     `json:"labelled"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"span_f1"`
	// Exact is the F1 of spans whose ends are the same, but for white space and marks.
	Exact float64 `json:"exact_span_f1"`
	// Words is the F1 of words inside any span.
	Words float64 `json:"word_f1"`
	// PerItem is found signals for each labelled one.
	PerItem float64 `json:"signals_per_item_ratio"`
	// Kind is the share of agreeing spans with the same kind; Family takes bug, usability and
	// complaint for one.
	Kind   float64 `json:"kind_accuracy"`
	Family float64 `json:"family_accuracy"`
}

// Add counts an item. Both lists are in order of their spans, which lie inside text.
func (t *Tally) Add(text string, found, labelled []Signal) {
	t.items++
	t.found += len(found)
	t.labelled += len(labelled)
	f, l := trimmed(text, found), trimmed(text, labelled)
	type pair struct {
		f, l  int
		index float64
	}
	var pairs []pair
	for i, a := range f {
		for j, b := range l {
			if x := jaccard(a.Span, b.Span); x >= Enough {
				pairs = append(pairs, pair{i, j, x})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.index, a.index), cmp.Compare(a.f, b.f), cmp.Compare(a.l, b.l))
	})
	usedF, usedL := make([]bool, len(f)), make([]bool, len(l))
	for _, p := range pairs {
		if usedF[p.f] || usedL[p.l] {
			continue
		}
		usedF[p.f], usedL[p.l] = true, true
		t.agree++
		if p.index == 1 {
			t.exact++
		}
		if f[p.f].Kind == l[p.l].Kind {
			t.sameKind++
		}
		if family(f[p.f].Kind) == family(l[p.l].Kind) {
			t.sameFamily++
		}
	}
	eachWord(text, func(s feedback.Span) {
		inF, inL := covered(f, s), covered(l, s)
		if inF {
			t.wordsFound++
		}
		if inL {
			t.wordsLabelled++
		}
		if inF && inL {
			t.wordsBoth++
		}
	})
}

// Scores sums up.
func (t *Tally) Scores() Scores {
	return Scores{
		Items: t.items, Found: t.found, Labelled: t.labelled,
		Precision: share(t.agree, t.found), Recall: share(t.agree, t.labelled),
		F1: share(2*t.agree, t.found+t.labelled), Exact: share(2*t.exact, t.found+t.labelled),
		Words: share(2*t.wordsBoth, t.wordsFound+t.wordsLabelled), PerItem: share(t.found, t.labelled),
		Kind: share(t.sameKind, t.agree), Family: share(t.sameFamily, t.agree),
	}
}

func share(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// family joins the kinds that all say that something is wrong.
func family(k feedback.Kind) feedback.Kind {
	switch k {
	case feedback.Bug, feedback.Usability, feedback.Complaint:
		return feedback.Bug
	}
	return k
}

func jaccard(a, b feedback.Span) float64 {
	both := min(a.End, b.End) - max(a.Start, b.Start)
	if both <= 0 {
		return 0
	}
	return float64(both) / float64(a.End-a.Start+b.End-b.Start-both)
}

// trimmed leaves white space and marks at the ends of spans out.
func trimmed(text string, signals []Signal) []Signal {
	out := slices.Clone(signals)
	mark := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsPunct(r) }
	for i := range out {
		s := text[out[i].Start:out[i].End]
		left := len(s) - len(strings.TrimLeftFunc(s, mark))
		right := len(s) - len(strings.TrimRightFunc(s, mark))
		if left+right < len(s) {
			out[i].Start += left
			out[i].End -= right
		}
	}
	return out
}

func covered(signals []Signal, s feedback.Span) bool {
	return slices.ContainsFunc(signals, func(g Signal) bool { return g.Start <= s.Start && s.End <= g.End })
}

func eachWord(text string, f func(feedback.Span)) {
	start := -1
	for i, r := range text {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		switch {
		case word && start < 0:
			start = i
		case !word && start >= 0:
			f(feedback.Span{Start: start, End: i})
			start = -1
		}
	}
	if start >= 0 {
		f(feedback.Span{Start: start, End: len(text)})
	}
}
