// Package name gives clusters names without a model: the headline that sets a
// cluster apart from all others, cut out of what customers said.
//
// A name is a run of words of one quote ("Can't play songs offline"), without
// articles, possessives and filler, that begins and ends with words that carry
// meaning, scored by how well its words tell the cluster from the rest of the
// workspace. Where no quote holds such a run, the two phrases that tell it apart
// best stand side by side.
//
// It promises names of at most MaxRunes runes made of letters, digits, spaces
// and basic punctuation only, whatever is in the texts: no markup, links,
// mentions, invisible or direction-changing characters, and none of the words
// that speak to a machine. A name is never empty, never one that is taken (nor
// the same words in another order), and never made only of words that fit every
// product ("App update"). One person's words do not name what several say.
// The same counts and quotes give the same name.
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
	// reach is how many words apart two telling words may be and still be a pair.
	reach = 4
	// pairs is what a pair that customers say together adds to a name, as a part of
	// its strength.
	pairs = 0.6
	// noise is what a word that tells nothing (under idle of the best) takes from a
	// name, as a part of the best word's strength.
	noise, idle = 0.5, 0.2
	// anywhere and proper are what is left of a word's strength where it fits every
	// product, or is the name of somebody or something.
	anywhere, proper = 0.3, 0.4
	// commonShare is the share of all texts from which a word is the brand's or the
	// domain's, unless half of its uses are in the one cluster; it applies from
	// commonFrom texts on.
	commonShare, commonFrom = 0.08, 200
	// second is the share of the first phrase's score that another needs.
	second = 0.3
	// clearly is how much better a new name must be: see Rename.
	clearly = 1.3
)

// Counts are the words and pairs of words of a number of texts. The zero value
// is ready to use. Not safe for concurrent use.
type Counts struct {
	texts int
	terms map[string]*term
}

// term is one word, by its stem, or two that follow each other with nothing but
// filler between them.
type term struct {
	texts    int            // how many texts have it
	position int            // sum of the places of its first occurrence
	surfaces map[string]int // how a word was written
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
		if surface != "" {
			if t.surfaces[surface] += by; t.surfaces[surface] <= 0 {
				delete(t.surfaces, surface)
			}
		}
		if t.texts <= 0 {
			delete(c.terms, folded)
		}
	}
	before, at := "", 0 // the telling word before, in this clause
	for i, w := range words(text) {
		if !w.joined {
			before = ""
		}
		switch {
		case telling(w.folded):
			key := stem(w.folded)
			note(key, w.surface, i)
			if before != "" && before != key && i-at <= reach {
				note(before+" "+key, "", at)
			}
			before, at = key, i
		case !filler[w.folded] && !between[w.folded]:
			before = ""
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
	// Terms are the words in it that tell, by their stems, in order; none where
	// the name is a bare quote.
	Terms []string
	// Score is how well the terms tell the cluster from the others, by Counts
	// at the time: comparable between names of one cluster and over time.
	Score float64
}

// Quote is something a cluster's members said, and who said it.
type Quote struct{ Voice, Text string }

// Cluster is what a name is made from.
type Cluster struct {
	ID     string
	Counts *Counts
	// Quote is the text of the most typical signal, whose words are preferred.
	Quote string
	// Quotes are what the name may be cut out of, besides Quote; a sample of a
	// large cluster is enough.
	Quotes []Quote
}

// Key is equal for names that are alike: the same telling words, in any order and
// form. Two clusters may not have names of one key.
func Key(text string) string {
	var stems []string
	for _, w := range words(text) {
		if telling(w.folded) || negating[w.folded] || strings.ContainsFunc(w.folded, unicode.IsDigit) {
			stems = append(stems, stem(w.folded))
		}
	}
	if len(stems) == 0 {
		return strings.ToLower(text)
	}
	slices.Sort(stems)
	return strings.Join(slices.Compact(stems), " ")
}

// Choose names one cluster of a workspace. all are the counts of all texts of
// the workspace, those of the cluster included; taken says whether another
// cluster has a name of this key.
func Choose(c Cluster, all *Counts, taken func(key string) bool) Name {
	for _, h := range headlines(c, all) {
		if !taken(Key(h.Text)) {
			return h
		}
	}
	ranked := rank(c.Counts, all)
	picked := distinct(ranked)
	for most := min(phrases, len(picked)); most <= len(picked) && most > 0; most++ {
		if n := compose(c.Counts, all, picked[:most]); n.Text != "" && !taken(Key(n.Text)) {
			return n
		}
	}
	quote := Plain(sentence(c.Quote), MaxRunes)
	if quote == "" {
		quote = "Signals " + Plain(strings.ReplaceAll(c.ID, "_", " "), 24)
	}
	quote = capital(quote)
	for text, again := quote, 2; ; again++ {
		if !taken(Key(text)) {
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
	taken := func(key string) bool { return used[key] }
	var open []Cluster
	for _, c := range order { // who keeps its name comes first
		old, named := present[c.ID]
		old.Score = Score(c.Counts, all, old.Terms)
		if !named || taken(Key(old.Text)) || Rename(old, Choose(c, all, func(string) bool { return false })) {
			open = append(open, c)
			continue
		}
		given[c.ID] = old
		used[Key(old.Text)] = true
	}
	for _, c := range open {
		n := Choose(c, all, taken)
		given[c.ID] = n
		used[Key(n.Text)] = true
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

// Score is how well terms, in order, tell a cluster from the others by present
// counts: the sum of their strengths and of those of neighbours said together, less a
// part of the best for each that tells nothing. 0 without terms.
func Score(c, all *Counts, terms []string) float64 {
	sum, best := 0.0, 0.0
	weak := 0
	for i, t := range terms {
		s := worth(c, all, t)
		best = max(best, s)
		sum += s
		if i > 0 {
			sum += pairs * strength(c, all, terms[i-1]+" "+t)
		}
	}
	for _, t := range terms {
		if worth(c, all, t) < idle*best {
			weak++
		}
	}
	return max(sum-noise*float64(weak)*best, 0)
}

// worth is the strength of a word, less where it fits every product or is somebody's
// name.
func worth(c, all *Counts, key string) float64 {
	s := strength(c, all, key)
	if generic[key] {
		s *= anywhere
	}
	if branded(c, all, key) {
		s *= proper
	}
	return s
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
	return here / n * max(odds(here, n)-odds(elsewhere, others), 0)
}

// common says whether a word is the brand's or the domain's: in many texts, and not
// for the most part in this cluster.
func common(c, all *Counts, key string) bool {
	in, total := c.terms[key], all.terms[key]
	return total != nil && all.texts >= commonFrom && float64(total.texts) > commonShare*float64(all.texts) && (in == nil || 2*in.texts < total.texts)
}

// branded says whether a word is mostly written as a name is, and not mostly used in
// this cluster: "Chromecast" may be what a cluster is about.
func branded(c, all *Counts, key string) bool {
	t := all.terms[key]
	if in := c.terms[key]; t == nil || in != nil && 2*in.texts >= t.texts {
		return false
	}
	return named(t)
}

// named says whether a word is written with a capital half of the time.
func named(t *term) bool {
	upper, total := 0, 0
	for s, n := range t.surfaces {
		total += n
		if first, size := utf8.DecodeRuneInString(s); unicode.IsUpper(first) && s[size:] != strings.ToUpper(s[size:]) {
			upper += n
		}
	}
	return total >= 3 && 2*upper >= total
}

type scored struct {
	folded string
	score  float64
}

// rank orders a cluster's terms by how well they tell it apart.
func rank(c, all *Counts) []scored {
	var found []scored
	for folded, t := range c.terms {
		if (t.texts < 2 && c.texts > 2) || generic[folded] || strings.Contains(folded, " ") || common(c, all, folded) {
			continue
		}
		if score := worth(c, all, folded); score > 0 {
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

// distinct keeps, best first, the terms that are not much weaker than the best.
func distinct(ranked []scored) []scored {
	const enough = 5
	var kept []scored
	for _, t := range ranked {
		if len(kept) == enough || t.score < second*ranked[0].score {
			break
		}
		kept = append(kept, t)
	}
	return kept
}

// compose writes terms as a name: in the order in which customers say them, as
// they mostly write them.
func compose(c, all *Counts, terms []scored) Name {
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
			if pair := c.terms[ordered[i-1].folded+" "+s.folded]; pair != nil && pair.texts > 1 {
				written += " " // customers say them together
			} else {
				written += ", "
			}
		}
		written += surface(c.terms[s.folded])
		n.Terms = append(n.Terms, s.folded)
	}
	n.Score = Score(c, all, n.Terms)
	if !slices.ContainsFunc(terms, func(s scored) bool { return !judged[s.folded] }) {
		written = "General opinions (" + written + ")" // praise and blame of nothing in particular
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
