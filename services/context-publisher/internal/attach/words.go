package attach

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Corpus counts in how many texts each word occurs, so that a rare word that two texts
// share weighs more than a common one. The zero value is empty and usable: every word
// then weighs the same.
type Corpus struct {
	texts int
	in    map[string]int
}

// Add counts a text.
func (c *Corpus) Add(text string) {
	if c.in == nil {
		c.in = map[string]int{}
	}
	c.texts++
	words := Words(text)
	slices.Sort(words)
	for _, w := range slices.Compact(words) {
		c.in[w]++
	}
}

// Clone is a corpus of its own that has counted the same texts.
func (c *Corpus) Clone() *Corpus { return &Corpus{texts: c.texts, in: maps.Clone(c.in)} }

// Texts is how many texts were counted.
func (c *Corpus) Texts() int { return c.texts }

// weight is the inverse document frequency as BM25 smooths it (Robertson & Zaragoza
// 2009, §3.2), never negative.
func (c *Corpus) weight(word string) float64 {
	n := float64(c.in[word])
	return math.Log(1 + (float64(c.texts)-n+0.5)/(n+0.5))
}

// bag is a text as weighted words, of length one.
type bag map[string]float64

// field is a part of a text with how much each of its words counts.
type field struct {
	text  string
	times float64
}

// bagOf weighs each word by (1 + ln tf) · idf and scales the whole to length one.
func (c *Corpus) bagOf(fields ...field) bag {
	counts := map[string]float64{}
	for _, f := range fields {
		for _, w := range Words(f.text) {
			counts[w] += f.times
		}
	}
	b := make(bag, len(counts))
	for w, n := range counts {
		b[w] = (1 + math.Log(max(n, 1))) * c.weight(w)
	}
	// Summed in the order of the words, so that the same text has the same length to
	// the last bit.
	var square float64
	for _, w := range b.words() {
		square += b[w] * b[w]
	}
	if square > 0 {
		for w := range b {
			b[w] /= math.Sqrt(square)
		}
	}
	return b
}

func (b bag) words() []string {
	out := make([]string, 0, len(b))
	for w := range b {
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// cosine of two bags, in [0, 1].
func (b bag) cosine(other bag) float64 {
	small, large := b, other
	if len(large) < len(small) {
		small, large = large, small
	}
	var sum float64
	for _, w := range small.words() {
		sum += small[w] * large[w]
	}
	return min(sum, 1)
}

// Words splits a text into lower-case words of letters and digits without the words
// that every text has and without the frames of stack traces, and takes an English plural, past or -ing ending off, so that
// "exports", "exported" and "exporting" are one word. A version or number with dots or
// commas stays one word.
func Words(text string) []string {
	runes := []rune(strings.ToLower(frame.ReplaceAllString(text, " ")))
	var out []string
	var w strings.Builder
	end := func() {
		if s := stem(w.String()); s != "" && !stop[s] {
			out = append(out, s)
		}
		w.Reset()
	}
	for i, r := range runes {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			w.WriteRune(r)
		case (r == '.' || r == ',') && i > 0 && i+1 < len(runes) && unicode.IsDigit(runes[i-1]) && unicode.IsDigit(runes[i+1]):
			w.WriteRune(r)
		case (r == '\'' || r == '’') && w.Len() > 0:
			// "don't" is one word.
		default:
			end()
		}
	}
	end()
	return out
}

// frame is a line of a stack trace: two failures of one test runner share hundreds of them
// and nothing else.
var frame = regexp.MustCompile(`\bat [\w.$<>]+\([^)\n]*\)`)

func stem(w string) string {
	if len(w) < 2 {
		return ""
	}
	for _, ending := range []string{"ing", "ed", "es", "s"} {
		if root, ok := strings.CutSuffix(w, ending); ok && len(root) >= 4 && !strings.HasSuffix(root, "s") {
			return strings.TrimSuffix(root, "e")
		}
	}
	return strings.TrimSuffix(w, "e")
}

// stop holds words that say nothing about what a text is about, as stem leaves them.
var stop = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a about after again all also am an and any are as at be because been before being but by can
		cannot cant could did didnt do does doesnt dont for from get got had has have having he her here him his how i if im in
		into is isnt it its ive just like me more most my no not now of off on once one only or other our out over own please same
		she should so some such than thank thanks that the their them then there these they this those through to too under
		until up us very was we were what when where which while who why will with would wont you your
		hi hello hey dear regards best team`) {
		m[stem(w)] = true
	}
	return m
}()
