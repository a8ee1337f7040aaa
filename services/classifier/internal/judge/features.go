package judge

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// maxStatement is how many bytes of a statement are read.
const maxStatement = 4 << 10

// Part is a piece of a statement and how much it counts: a title counts more than the body
// under it.
type Part struct {
	Text   string
	Weight float32
}

// bodyWeight is what the words under a title count for beside those in it. Chosen on the
// development sets.
const bodyWeight = 0.3

// Titled returns the parts of a text with what stands under it, which may be empty.
func Titled(text, body string) []Part { return []Part{{text, 1}, {body, bodyWeight}} }

// Features describes a statement as the heads see it.
func (l *Lexicon) Features(parts ...Part) []linear.Feature {
	words := bag{}
	var rules []linear.Feature
	for _, p := range parts {
		if p.Text == "" {
			continue
		}
		text := lower(p.Text)
		tokens := tokenise(text)
		words.add(tokens, p.Weight)
		rules = append(rules, l.rules(text, tokens, p.Weight)...)
	}
	return append(words.unit(), rules...)
}

func lower(s string) string {
	if len(s) > maxStatement {
		n := maxStatement
		for n > maxStatement-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToLower(strings.NewReplacer("’", "'", "‘", "'", "`", "'", "“", `"`, "”", `"`).Replace(s))
}

// contractions are written out, so that "cant", "can't" and "can not" are one.
var contractions = map[string]string{
	"can't": "can not", "cant": "can not", "cannot": "can not", "won't": "will not", "wont": "will not",
	"don't": "do not", "dont": "do not", "dnt": "do not", "doesn't": "does not", "doesnt": "does not", "dosent": "does not", "dosnt": "does not",
	"didn't": "did not", "didnt": "did not", "isn't": "is not", "isnt": "is not", "aren't": "are not", "arent": "are not",
	"wasn't": "was not", "wasnt": "was not", "couldn't": "could not", "couldnt": "could not", "wouldn't": "would not",
	"wouldnt": "would not", "shouldn't": "should not", "haven't": "have not", "havent": "have not", "hasn't": "has not",
	"hasnt": "has not", "hadn't": "had not", "ain't": "is not", "aint": "is not", "i'd": "i would", "it'd": "it would",
	"i'm": "i am", "im": "i am", "it's": "it is", "i've": "i have", "ive": "i have", "i'll": "i will",
	"plz": "please", "pls": "please", "plzz": "please", "plss": "please", "plzzz": "please", "u": "you", "ur": "your",
	"wanna": "want to", "gonna": "going to", "bcoz": "because", "cuz": "because", "coz": "because", "pic": "picture", "pics": "pictures",
	"n": "and", "msg": "message", "luv": "love", "gud": "good", "gr8": "great", "thx": "thanks", "ty": "thanks",
}

// tokenise finds words, with contractions written out and repeated letters cut to two, and
// the marks and symbols that carry feeling.
func tokenise(text string) []string {
	var out []string
	word := func(w string) {
		if w = strings.Trim(w, "'"); w == "" {
			return
		}
		w = squeeze(w)
		if long, ok := contractions[w]; ok {
			out = append(out, strings.Fields(long)...)
			return
		}
		if strings.HasSuffix(w, "n't") {
			out = append(out, strings.TrimSuffix(w, "n't"), "not")
			return
		}
		out = append(out, w)
	}
	start := -1
	for i, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '\'' {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			word(text[start:i])
			start = -1
		}
		if r == '!' || r == '?' || unicode.Is(unicode.So, r) {
			if mark := string(r); len(out) == 0 || out[len(out)-1] != mark {
				out = append(out, mark)
			}
		}
	}
	if start >= 0 {
		word(text[start:])
	}
	return out
}

// squeeze cuts runs of a letter to two and digits to one sign: "soooo" is "soo", a number of
// any length is one word.
func squeeze(w string) string {
	digits := true
	for _, r := range w {
		digits = digits && unicode.IsDigit(r)
	}
	if digits && len(w) > 1 {
		return "#"
	}
	var b strings.Builder
	var last rune
	run := 0
	for _, r := range w {
		if r == last {
			run++
		} else {
			run = 1
		}
		last = r
		if run <= 2 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

var negators = map[string]bool{"not": true, "no": true, "never": true, "nothing": true, "without": true, "none": true, "hardly": true, "barely": true, "nor": true, "cannot": true, "neither": true, "lack": true, "lacks": true}

var hinges = map[string]bool{"but": true, "however": true, "and": true, "because": true, "!": true, "?": true, "though": true}

// bag is a sparse vector being made.
type bag map[uint32]float32

// hash places a feature. FNV-1a, because the place is part of the fitted file.
func hash(kind byte, parts ...string) uint32 {
	h := uint32(2166136261)
	mix := func(c byte) { h = (h ^ uint32(c)) * 16777619 }
	mix(kind)
	for _, p := range parts {
		for i := range len(p) {
			mix(p[i])
		}
		mix(0)
	}
	h ^= h >> 15
	h *= 0x85ebca6b
	return h ^ h>>13
}

// What each family of features weighs beside single words.
const (
	pairWeight    = 0.8
	tripleWeight  = 0.5
	negatedWeight = 1
	gramWeight    = 0.25
)

func (b bag) add(tokens []string, weight float32) {
	put := func(h uint32, w float32) { b[h] = max(b[h], w*weight) }
	negated := 0
	for i, t := range tokens {
		put(hash('w', t), 1)
		if i > 0 {
			put(hash('b', tokens[i-1], t), pairWeight)
		} else {
			put(hash('f', t), pairWeight)
		}
		if i > 1 {
			put(hash('t', tokens[i-2], tokens[i-1], t), tripleWeight)
		}
		switch {
		case negators[t]:
			negated = 4
		case hinges[t]:
			negated = 0
		case negated > 0:
			put(hash('n', t), negatedWeight)
			negated--
		}
		marked := "^" + t + "$"
		for n := 3; n <= 5; n++ {
			for at := 0; at+n <= len(marked); at++ {
				if utf8.RuneStart(marked[at]) {
					put(hash('c', marked[at:at+n]), gramWeight)
				}
			}
		}
	}
}

// unit returns the features at Euclidean length two, in a fixed order.
func (b bag) unit() []linear.Feature {
	sum := 0.0
	for _, v := range b {
		sum += float64(v * v)
	}
	if sum == 0 {
		return nil
	}
	scale := float32(2 / math.Sqrt(sum))
	out := make([]linear.Feature, 0, len(b))
	for i, v := range b {
		out = append(out, linear.Feature{Index: i, Value: v * scale})
	}
	sortFeatures(out)
	return out
}
