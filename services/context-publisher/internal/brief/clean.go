package brief

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean removes from a text what a reader cannot see but a program would read: control
// characters but line feeds and tabs, every format character (zero-width, bidirectional
// overrides and isolates, tags, soft hyphens, byte order marks), private-use characters,
// blank fillers and supplementary variation selectors. Zero-width joiners stay between
// two characters beyond ASCII, because emoji and several scripts are spelled with them.
// Broken UTF-8 becomes U+FFFD and line ends become line feeds. Everything else is left
// word for word.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	var b strings.Builder
	b.Grow(len(text))
	before := rune(0)
	for i, r := range text {
		if r == '\u200c' || r == '\u200d' {
			next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
			if before <= unicode.MaxASCII || next <= unicode.MaxASCII || hidden(next) || hidden(before) {
				continue
			}
		} else if hidden(r) {
			continue
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

func hidden(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
		return true
	case r >= 0xE0100 && r <= 0xE01EF, r >= 0xFE00 && r <= 0xFE0E,
		r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x2800, r == 0x034F,
		r == 0x2028, r == 0x2029, r == 0x17B4, r == 0x17B5, r >= 0x180B && r <= 0x180F:
		return true
	}
	return false
}

// line makes a text one line: cleaned, white space folded, at most limit bytes.
func line(text string, limit int) string {
	return cut(strings.Join(strings.Fields(Clean(text)), " "), limit)
}

// cut shortens a text to at most limit bytes on a character boundary and says so.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.TrimRight(text[:end], " \n") + "…"
}

// risky is what a Markdown reader or a forge would act on inside a quote: mentions,
// references to issues, addresses and links.
var risky = regexp.MustCompile("(?i)(?:[a-z][a-z0-9+.-]*://|www\\.|data:|javascript:|mailto:)[^\\s`]+|[\\w.+-]*@[\\w./-]+|(?:[\\w.-]+/[\\w.-]+)?#\\d+|\\bGH-\\d+")

// inert makes customers' words unable to act in Markdown and leaves them readable: what
// is risky becomes inline code, and the characters that open HTML, links, images, code
// or emphasis get a backslash.
func inert(text string) string {
	text = Clean(text)
	var b strings.Builder
	last := 0
	for _, at := range risky.FindAllStringIndex(text, -1) {
		b.WriteString(escape(text[last:at[0]]))
		b.WriteString("`" + text[at[0]:at[1]] + "`")
		last = at[1]
	}
	b.WriteString(escape(text[last:]))
	return b.String()
}

var escaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "<", `\<`, "[", `\[`, "]", `\]`, "*", `\*`, "~~", `\~\~`, "![", `\!\[`, "&", `\&`, "@", `\@`,
)

func escape(text string) string { return escaper.Replace(text) }

// quoted puts every line of a text behind a quote mark, so that nothing the text holds
// ends the quote.
func quoted(text string, safe func(string) string) string {
	lines := strings.Split(strings.TrimSpace(Clean(text)), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight("> "+safe(strings.TrimSpace(l)), " ")
	}
	return strings.Join(lines, "\n")
}

// Quoted makes a customer's words a Markdown block quote that cannot act: no link, image,
// mention, reference, HTML or fence of theirs works, and no line of theirs leaves it.
func Quoted(words string) string { return quoted(words, inert) }
