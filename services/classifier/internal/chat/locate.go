package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// folded is a text made easy to find quotes in: lower case, one space for any white space,
// plain quotation marks and dashes, nothing invisible. at[i] is where byte i of text came
// from, with one more for the end.
type folded struct {
	original string
	text     string
	at       []int
}

func fold(s string) folded {
	var b strings.Builder
	at := make([]int, 0, len(s)+1)
	space := true
	put := func(r rune, from int) {
		n := b.Len()
		b.WriteRune(r)
		for range b.Len() - n {
			at = append(at, from)
		}
	}
	for i, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			if !space {
				put(' ', i)
			}
			space = true
			continue
		case unicode.Is(unicode.Cf, r):
			continue
		case strings.ContainsRune("’‘`´ʼ′", r):
			r = '\''
		case strings.ContainsRune("“”„«»″", r):
			r = '"'
		case strings.ContainsRune("–—‑−", r):
			r = '-'
		default:
			r = unicode.ToLower(r)
		}
		space = false
		put(r, i)
	}
	return folded{original: s, text: b.String(), at: append(at, len(s))}
}

// minQuote is the shortest quote, in folded bytes, that is looked for by its folded form: a
// shorter one is anywhere.
const minQuote = 4

// locate finds a quote in the original from an offset on: word for word, or else but for
// case, spacing and the shape of marks. The span never begins or ends with white space.
func (f folded) locate(quote string, from int) (feedback.Span, bool) {
	quote = strings.TrimFunc(quote, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	if quote == "" || from > len(f.original) {
		return feedback.Span{}, false
	}
	if i := strings.Index(f.original[from:], quote); i >= 0 && utf8.ValidString(quote) {
		return feedback.Span{Start: from + i, End: from + i + len(quote)}, true
	}
	wanted := strings.Trim(fold(quote).text, ` "'.,;:`)
	if len(wanted) < minQuote {
		return feedback.Span{}, false
	}
	start := 0
	for start < len(f.text) && f.at[start] < from {
		start++
	}
	i := strings.Index(f.text[start:], wanted)
	if i < 0 {
		return feedback.Span{}, false
	}
	first, last := start+i, start+i+len(wanted)-1
	end := f.at[last]
	_, size := utf8.DecodeRuneInString(f.original[end:])
	return feedback.Span{Start: f.at[first], End: end + size}, true
}
