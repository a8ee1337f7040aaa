// Package language tells which language a text is in, and whether it is one that the shipped
// heads and the embedded encoder were made for.
//
// It promises an ISO 639-1 code, or none where a text is too short or of too many minds to
// tell: then it is treated as supported, because most such texts are, and a wrong mark would
// keep a customer from being heard. Scripts that one language alone uses are told from a
// single word. It is pure.
package language

import (
	"strings"
	"unicode"

	"github.com/abadojack/whatlanggo"
)

// Language is what a text is in.
type Language struct {
	Code      string // ISO 639-1, or empty
	Supported bool   // the shipped heads understand it
}

// supported are the languages of the seed texts and of the embedded encoder.
var supported = map[string]bool{"en": true}

const (
	// enoughWords is how many words a text in Latin letters needs before its trigrams are
	// believed; of shorter ones a tenth is told wrong (measured on the labelled reviews).
	enoughWords = 5
	// sure is the detector's confidence from which it is believed.
	sure = 0.5
	// enough is how many bytes of a text are looked at.
	enough = 2000
)

// Of tells the language of a text.
func Of(text string) Language {
	if len(text) > enough {
		text = strings.ToValidUTF8(text[:enough], "")
	}
	latin, foreign, words := letters(text)
	if latin+foreign == 0 {
		return Language{Supported: true}
	}
	info := whatlanggo.Detect(text)
	code := info.Lang.Iso6391()
	if foreign > latin {
		return Language{Code: code}
	}
	english := familiar(text)
	switch {
	case english*4 >= words:
		return Language{Code: "en", Supported: true}
	case words < enoughWords || info.Confidence < sure || code == "":
		return Language{Supported: true}
	case english*10 >= words && !supported[code]:
		return Language{Supported: true}
	}
	return Language{Code: code, Supported: supported[code]}
}

// letters counts Latin letters, others, and words.
func letters(text string) (latin, foreign, words int) {
	in := false
	for _, r := range text {
		if !unicode.IsLetter(r) {
			in = in && r == '\''
			continue
		}
		if !in {
			words++
		}
		in = true
		if unicode.Is(unicode.Latin, r) {
			latin++
		} else {
			foreign++
		}
	}
	return latin, foreign, words
}

// familiar counts words that English is full of, and that few other languages have.
func familiar(text string) int {
	n := 0
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
		if common[w] {
			n++
		}
	}
	return n
}

var common = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`the and is it to of this that for with you have not but are was on my can be app can't don't doesn't
		it's i'm i as at would when very just like love great good please please use from they we so if your all get more only
		after every how what there their has had which than then out about were will could should into also does need want`) {
		m[w] = true
	}
	return m
}()
