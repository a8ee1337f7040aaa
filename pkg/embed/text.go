package embed

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxTextBytes is how much of a text is read, some 5,000 words; what lies
// beyond does not reach the vector. It bounds what one hostile text can cost.
const MaxTextBytes = 32 << 10

// The words that stand for what differs between two texts saying the same.
const (
	urlToken    = "url"
	emailToken  = "email"
	handleToken = "user"
	numberToken = "number"
)

// Normalise prepares text for embedding. It keeps what a text is about and
// drops what only makes it look different:
//
//   - at most MaxTextBytes are read, cut between characters;
//   - broken UTF-8 and control characters, NUL among them, become spaces, and
//     invisible formatting characters (zero-width, bidirectional) go;
//   - HTML entities become their characters;
//   - Unicode is brought to compatibility form (NFKC) and lower case;
//   - a web address becomes "url", a mail address "email", an @handle "user",
//     and a number of four or more digits, or with separators (dates, times,
//     amounts, versions), "number". Shorter numbers stay: an error 404 is not
//     an error 500;
//   - white space becomes single spaces, none at the ends.
//
// Text without any character of its own gives the empty string.
func Normalise(text string) string {
	text = strings.ToValidUTF8(head(text, MaxTextBytes), " ")
	if strings.Contains(text, "&") {
		text = html.UnescapeString(text)
	}
	text = strings.ToLower(norm.NFKC.String(text))
	var out strings.Builder
	out.Grow(len(text))
	for _, field := range strings.FieldsFunc(visible(text), separates) {
		writeField(&out, field)
	}
	return out.String()
}

// head is the first limit bytes of text, without half a character at the end.
func head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// visible drops the invisible formatting characters.
func visible(text string) string {
	invisible := func(r rune) bool { return r >= utf8.RuneSelf && unicode.Is(unicode.Cf, r) }
	if strings.IndexFunc(text, invisible) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, text)
}

func separates(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// writeField appends one run of characters, its address, handle or number
// replaced.
func writeField(out *strings.Builder, field string) {
	if at := addressStart(field); at >= 0 {
		end := len(field)
		if n := strings.IndexAny(field[at:], "|<>()[]{}\"`"); n >= 0 {
			end = at + n
		}
		writeWord(out, field[:at]+urlToken+field[end:])
		return
	}
	core := strings.TrimFunc(field, func(r rune) bool {
		return r != '@' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	token := ""
	switch {
	case core == "":
	case core[0] == '@':
		if r, _ := utf8.DecodeRuneInString(core[1:]); len(core) > 1 && r != '@' {
			token = handleToken
		}
	case isMail(core):
		token = emailToken
	case isLongNumber(core):
		token = numberToken
	}
	if token == "" {
		writeWord(out, field)
		return
	}
	before, after, _ := strings.Cut(field, core)
	writeWord(out, before+token+after)
}

func writeWord(out *strings.Builder, s string) {
	if out.Len() > 0 {
		out.WriteByte(' ')
	}
	out.WriteString(s)
}

// addressStart finds where a web address begins in field, or -1.
func addressStart(field string) int {
	for _, scheme := range [...]string{"https://", "http://", "www."} {
		if at := strings.Index(field, scheme); at >= 0 && len(field) > at+len(scheme) {
			return at
		}
	}
	return -1
}

func isMail(s string) bool {
	name, host, found := strings.Cut(s, "@")
	return found && name != "" && strings.Contains(host, ".") && !strings.Contains(host, "@")
}

// isLongNumber reports whether s is made of digits and what separates them, with
// four digits or more, or with a separator.
func isLongNumber(s string) bool {
	digits, separators := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case strings.IndexByte(".,:/-", c) >= 0:
			separators++
		default:
			return false
		}
	}
	return digits >= 4 || digits > 1 && separators > 0
}
