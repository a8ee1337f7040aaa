// Package name gives clusters names without a model: the phrases that set a
// cluster apart from all others, in the words customers used.
//
// It promises names of at most MaxRunes runes made of letters, digits, spaces
// and basic punctuation only, whatever is in the texts: no markup, links,
// mentions, invisible or direction-changing characters, and none of the words
// that speak to a machine. A name is never empty, and never one that is taken.
// The same counts give the same name.
//
// It keeps no state: the caller keeps Counts, one per cluster and one for the
// whole workspace, adding and removing texts as signals come, move and go.
package name

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxRunes is the length of the longest name.
	MaxRunes = 60
	// phrases is how many phrases make a name; more only to tell two apart.
	phrases = 2
	// prior is how many texts' worth of the workspace's own frequencies a
	// cluster's are mixed with, so that a word seen twice is not a subject.
	prior = 4.0
	// pairBonus is how much a pair of words may be rarer than its best word
	// and still be the better phrase.
	pairBonus = 1.6
	// common is the share of all texts from which a word is the brand's or the
	// domain's, unless half of its uses are in the one cluster; it applies from
	// commonFrom texts on.
	common, commonFrom = 0.08, 200
	// second is the share of the first phrase's score that another needs.
	second = 0.3
	// beside is that share where the first phrase is a single word, which by
	// itself says too little.
	beside = 0.08
	// clearly is how much better a new name must be: see Rename.
	clearly = 1.3
)

// Counts are the words and pairs of words of a number of texts. The zero value
// is ready to use. Not safe for concurrent use.
type Counts struct {
	texts int
	terms map[string]*term
}

// term is one word or pair of words.
type term struct {
	texts    int            // how many texts have it
	position int            // sum of the places of its first occurrence
	surfaces map[string]int // how it was written
}

// Add counts a text.
func (c *Counts) Add(text string) { c.count(text, 1) }

// Remove takes back a text that was added: the counts are then as if it never
// had been. A text that was not added is the caller's mistake and may leave
// counts of other texts too small, never negative.
func (c *Counts) Remove(text string) { c.count(text, -1) }

// Texts is how many texts are counted.
func (c *Counts) Texts() int { return c.texts }

func (c *Counts) count(text string, by int) {
	c.texts = max(c.texts+by, 0)
	if c.terms == nil {
		c.terms = map[string]*term{}
	}
	seen := map[string]bool{}
	note := func(folded, surface string, at int) {
		if seen[folded] {
			return
		}
		seen[folded] = true
		t := c.terms[folded]
		if t == nil {
			if by < 0 {
				return
			}
			t = &term{surfaces: map[string]int{}}
			c.terms[folded] = t
		}
		t.texts += by
		t.position += by * at
		if t.surfaces[surface] += by; t.surfaces[surface] <= 0 {
			delete(t.surfaces, surface)
		}
		if t.texts <= 0 {
			delete(c.terms, folded)
		}
	}
	tokens := words(text)
	for i, w := range tokens {
		if telling(w.folded) {
			note(w.folded, w.surface, i)
		}
		if i > 0 && w.joined && telling(w.folded) && telling(tokens[i-1].folded) && w.folded != tokens[i-1].folded {
			note(tokens[i-1].folded+" "+w.folded, tokens[i-1].surface+" "+w.surface, i-1)
		}
	}
}

// telling says whether a word can be part of a name.
func telling(word string) bool {
	if stops[word] || commands[word] || !strings.ContainsFunc(word, unicode.IsLetter) {
		return false
	}
	first, _ := utf8.DecodeRuneInString(word)
	return utf8.RuneCountInString(word) >= 3 || !unicode.Is(unicode.Latin, first)
}

// Name is a name and what it is made of.
type Name struct {
	Text string
	// Terms are the phrases in it, folded; none where the name is a quote.
	Terms []string
	// Score is how well the best term tells the cluster from the others, by
	// Counts at the time: comparable between clusters and over time.
	Score float64
}

// Cluster is what a name is made from.
type Cluster struct {
	ID     string
	Counts *Counts
	// Quote is the text of the most typical signal, the name where no phrase
	// stands out.
	Quote string
}

// Choose names one cluster of a workspace. all are the counts of all texts of
// the workspace, those of the cluster included; taken says whether another
// cluster has a name (ask case-insensitively).
func Choose(c Cluster, all *Counts, taken func(text string) bool) Name {
	ranked := rank(c.Counts, all)
	picked := distinct(ranked)
	most := min(phrases, len(picked))
	for ; most <= len(picked) && most > 0; most++ {
		n := compose(c.Counts, picked[:most])
		if n.Text != "" && !taken(n.Text) {
			return n
		}
	}
	quote := Plain(c.Quote, MaxRunes)
	if quote == "" {
		quote = "Signals " + Plain(strings.ReplaceAll(c.ID, "_", " "), 24)
	}
	quote = capital(quote)
	for text, again := quote, 2; ; again++ {
		if !taken(text) {
			return Name{Text: text}
		}
		ending := " (" + strconv.Itoa(again) + ")"
		text = cut(quote, MaxRunes-len(ending)) + ending
	}
}

// ChooseAll names all clusters of a workspace, in order of id, no two alike.
// Present names that are still the best or nearly so are kept: see Rename.
func ChooseAll(clusters []Cluster, all *Counts, present map[string]Name) map[string]Name {
	order := slices.Clone(clusters)
	slices.SortFunc(order, func(a, b Cluster) int { return cmp.Compare(a.ID, b.ID) })
	given := map[string]Name{}
	used := map[string]bool{}
	taken := func(text string) bool { return used[strings.ToLower(text)] }
	var open []Cluster
	for _, c := range order { // who keeps its name comes first
		old, named := present[c.ID]
		old.Score = Score(c.Counts, all, old.Terms)
		if !named || taken(old.Text) || Rename(old, Choose(c, all, func(string) bool { return false })) {
			open = append(open, c)
			continue
		}
		given[c.ID] = old
		used[strings.ToLower(old.Text)] = true
	}
	for _, c := range open {
		n := Choose(c, all, taken)
		given[c.ID] = n
		used[strings.ToLower(n.Text)] = true
	}
	return given
}

// Rename says whether a proposed name is clearly better than the present one,
// both scored by the same counts (Score): a third better, or a name of phrases
// where there was none. Equal names are never a renaming.
func Rename(present, proposed Name) bool {
	if present.Text == "" {
		return true
	}
	return proposed.Text != present.Text && proposed.Score > clearly*present.Score
}

// Score is how well the best of terms tells a cluster from the others by
// present counts: share × log-odds, where share is the part of the
// cluster's texts that have the term, pairs of words counting 1.6 times. 0
// without terms.
func Score(c, all *Counts, terms []string) float64 {
	best := 0.0
	for _, t := range terms {
		best = max(best, strength(c, all, t))
	}
	return best
}

// strength is share × log-odds of one term, with the workspace's frequency as
// an informative prior (Monroe, Colaresi and Quinn 2008), never below 0.
func strength(c, all *Counts, folded string) float64 {
	in, total := c.terms[folded], all.terms[folded]
	if in == nil || total == nil || c.texts == 0 {
		return 0
	}
	n, others := float64(c.texts), float64(max(all.texts-c.texts, 0))
	here, elsewhere := float64(in.texts), float64(max(total.texts-in.texts, 0))
	expected := prior * float64(total.texts) / float64(max(all.texts, 1))
	odds := func(count, of float64) float64 {
		return math.Log((count + expected) / (of + prior - count - expected + 0.5))
	}
	score := here / n * max(odds(here, n)-odds(elsewhere, others), 0)
	if strings.Contains(folded, " ") {
		score *= pairBonus
	}
	return score
}

type scored struct {
	folded string
	score  float64
}

// rank orders a cluster's terms by how well they tell it apart.
func rank(c, all *Counts) []scored {
	var found []scored
	for folded, t := range c.terms {
		if t.texts < 2 && c.texts > 2 {
			continue
		}
		total := all.terms[folded]
		if total == nil {
			continue
		}
		frequent := all.texts >= commonFrom && float64(total.texts) > common*float64(all.texts)
		if frequent && 2*t.texts < total.texts {
			continue
		}
		if score := strength(c, all, folded); score > 0 {
			found = append(found, scored{folded, score})
		}
	}
	slices.SortFunc(found, func(a, b scored) int {
		if a.score != b.score {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.folded, b.folded)
	})
	return found
}

// distinct keeps, best first, the terms that say something the ones before do
// not: none that shares a word, by its stem, with a better one, and none much
// weaker than the best.
func distinct(ranked []scored) []scored {
	const enough = 5
	said := map[string]bool{}
	var kept []scored
	for _, t := range ranked {
		least := second
		if len(kept) == 1 && !strings.Contains(kept[0].folded, " ") {
			least = beside
		}
		if len(kept) == enough || t.score < least*ranked[0].score {
			break
		}
		parts := strings.Fields(t.folded)
		if slices.ContainsFunc(parts, func(w string) bool { return said[stem(w)] }) {
			continue
		}
		for _, w := range parts {
			said[stem(w)] = true
		}
		kept = append(kept, t)
	}
	return kept
}

// compose writes terms as a name: in the order in which customers say them, as
// they mostly write them.
func compose(c *Counts, terms []scored) Name {
	ordered := slices.Clone(terms)
	place := func(s scored) float64 {
		t := c.terms[s.folded]
		return float64(t.position) / float64(t.texts)
	}
	slices.SortStableFunc(ordered, func(a, b scored) int { return cmp.Compare(place(a), place(b)) })
	var n Name
	written := ""
	for i, s := range ordered {
		if i > 0 {
			before := ordered[i-1].folded
			if pair := c.terms[before+" "+s.folded]; pair != nil && pair.texts > 1 {
				written += " " // customers say them together
			} else {
				written += ", "
			}
		}
		written += surface(c.terms[s.folded])
		n.Terms = append(n.Terms, s.folded)
		n.Score = max(n.Score, s.score)
	}
	n.Text = capital(Plain(written, MaxRunes))
	return n
}

// surface is how a term is mostly written; the smallest where equal.
func surface(t *term) string {
	best, most := "", 0
	for s, count := range t.surfaces {
		if count > most || (count == most && s < best) {
			best, most = s, count
		}
	}
	return best
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToTitle(first)) + text[size:]
}
