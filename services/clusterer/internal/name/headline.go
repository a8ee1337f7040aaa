package name

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// longest is the most words, and most the most telling words, of a headline.
	longest, most = 9, 4
	// typical is how much more a headline out of the most typical quote is worth.
	typical = 1.1
	// denied is how much more one with a negation is worth where a third of the quotes
	// that it could be cut from have one: "Can't play songs" is not "Play songs".
	denied = 1.3
	// narrow is what is left of a headline of a single telling word.
	narrow = 0.45
	// kept is how many headlines are tried before anything else.
	kept = 12
)

// headlines are the runs of words of a cluster's quotes that can be its name, the best
// first.
func headlines(c Cluster, all *Counts) []Name {
	quotes := c.Quotes
	if len(quotes) == 0 {
		quotes = []Quote{{Text: c.Quote}}
	}
	heard := voices(quotes)
	alone := len(quotes) < 3 || speakers(quotes) < 2
	negative := 0
	for _, q := range quotes {
		if slices.ContainsFunc(words(q.Text), func(w token) bool { return negating[w.folded] }) {
			negative++
		}
	}
	best := map[string]Name{}
	consider := func(text string, weight float64) {
		clauses(words(text), func(clause []token) {
			runs(clause, func(run []token) {
				n, negated, ok := headline(run, c.Counts, all)
				if !ok || !alone && slices.ContainsFunc(n.Terms, func(t string) bool { return heard[t] < 2 }) {
					return
				}
				n.Score *= weight
				if negated && 3*negative >= len(quotes) {
					n.Score *= denied
				}
				if len(n.Terms) == 1 {
					n.Score *= narrow
				}
				key := Key(n.Text)
				if old, known := best[key]; !known || better(n, old) {
					best[key] = n
				}
			})
		})
	}
	consider(c.Quote, typical)
	for _, q := range quotes {
		consider(q.Text, 1)
	}
	found := make([]Name, 0, len(best))
	for _, n := range best {
		found = append(found, n)
	}
	slices.SortFunc(found, func(a, b Name) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
	found = found[:min(kept, len(found))]
	for i := range found {
		found[i].Score = Score(c.Counts, all, found[i].Terms)
	}
	return found
}

// better orders headlines: by score, then the shorter, then by letters.
func better(a, b Name) bool {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(utf8.RuneCountInString(a.Text), utf8.RuneCountInString(b.Text)), cmp.Compare(a.Text, b.Text)) < 0
}

// voices counts, for each telling word, how many people say it.
func voices(quotes []Quote) map[string]int {
	said := map[[2]string]bool{}
	count := map[string]int{}
	for _, q := range quotes {
		for _, w := range words(q.Text) {
			key := stem(w.folded)
			if !said[[2]string{q.Voice, key}] {
				said[[2]string{q.Voice, key}] = true
				count[key]++
			}
		}
	}
	return count
}

func speakers(quotes []Quote) int {
	seen := map[string]bool{}
	for _, q := range quotes {
		seen[q.Voice] = true
	}
	return len(seen)
}

// clauses cuts a text's words where something other than space is between them, and
// around words that end a thought.
func clauses(tokens []token, each func([]token)) {
	var clause []token
	for _, t := range tokens {
		breaks := stops[t.folded] && !filler[t.folded] && !between[t.folded] && !negating[t.folded] && !particles[t.folded]
		if !t.joined || breaks || commands[t.folded] {
			if len(clause) > 0 {
				each(clause)
			}
			clause = nil
		}
		if breaks || commands[t.folded] || filler[t.folded] {
			continue
		}
		clause = append(clause, t)
	}
	if len(clause) > 0 {
		each(clause)
	}
}

// runs are the runs of a clause that a name can be made of: from a telling word or a
// negation to a telling word, or to a particle that belongs to one ("log in").
func runs(clause []token, each func([]token)) {
	for i, first := range clause {
		if !telling(first.folded) && (!negating[first.folded] || inner[first.folded]) {
			continue
		}
		telling := 0
		for j := i; j < min(i+longest, len(clause)); j++ {
			w := clause[j]
			switch {
			case tells(w):
				if telling++; telling > most {
					j = len(clause)
					continue
				}
				if trails[w.folded] || phrasal[stem(w.folded)] && j+1 < len(clause) && particles[clause[j+1].folded] {
					continue
				}
			case particles[w.folded] && j > i && phrasal[stem(clause[j-1].folded)]:
			default:
				continue
			}
			each(clause[i : j+1])
		}
	}
}

func tells(t token) bool { return telling(t.folded) }

// headline writes a run as a name. False where it would say nothing: only words that fit
// every product or praise and blame, or nothing that tells the cluster apart.
func headline(run []token, c, all *Counts) (n Name, negated, ok bool) {
	var written []string
	specific := false
	for i, w := range run {
		key := stem(w.folded)
		text := w.folded
		switch {
		case negating[w.folded]:
			negated = true
			if i == 0 && lacking[w.folded] {
				text = "no" // "there isn't a search bar"
			}
		case telling(w.folded):
			if slices.Contains(n.Terms, key) || judging[w.folded] {
				return n, false, false
			}
			n.Terms = append(n.Terms, key)
			if !generic[key] && !common(c, all, key) && !branded(c, all, key) && strength(c, all, key) > 0 {
				specific = true
			}
			text = spelled(w, all.terms[key])
		}
		written = append(written, text)
	}
	n.Text = capital(Plain(strings.Join(written, " "), 4*MaxRunes))
	if !specific || utf8.RuneCountInString(n.Text) > MaxRunes {
		return n, false, false
	}
	n.Score = Score(c, all, n.Terms)
	return n, negated, n.Score > 0
}

// spelled is how a word is mostly written, as far as capitals go.
func spelled(w token, t *term) string {
	if t == nil {
		return w.folded
	}
	best, most := w.folded, 0
	for s, count := range t.surfaces {
		if strings.EqualFold(s, w.folded) && (count > most || count == most && s > best) {
			best, most = s, count
		}
	}
	if first, size := utf8.DecodeRuneInString(best); unicode.IsUpper(first) && best[size:] == strings.ToLower(best[size:]) && !named(t) {
		return strings.ToLower(best)
	}
	return best
}
