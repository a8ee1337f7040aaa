// Package markup is the small Markdown subset that blocks and digests are
// written in: headings, paragraphs, bullet lists, block quotes, fenced and
// inline code, bold, and http(s) links.
//
// It turns a text into a tree and never fails: whatever is not the subset is
// literal text. Everything a vendor receives is rendered from that tree, so a
// vendor's own markup can only come from us, never from a customer's words.
// Inside a block quote nothing but backslash escapes is interpreted: customer
// words cannot become bold, links, code or headings.
//
// The package is pure; it refuses HTML, images, tables and links that are not
// http or https (they stay literal).
package markup

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what a Node is.
type Kind int

// The kinds of nodes.
const (
	Paragraph Kind = iota + 1
	Heading
	List
	Quote
	Code
)

// Node is one block of a text. Which fields are set depends on Kind.
type Node struct {
	Kind     Kind
	Level    int    // Heading: 1 to 6
	Spans    []Span // Paragraph, Heading
	Items    []Item // List
	Children []Node // Quote: its paragraphs, each of literal spans
	Text     string // Code: the verbatim lines, without the last line end
	Language string // Code: the info word of the fence, may be empty
}

// Item is one bullet with the bullets nested under it.
type Item struct {
	Spans []Span
	Items []Item
}

// Span is a run of text with one appearance. A line feed in Text is a line
// break that the reader shall see. Href is empty or an absolute http(s) URL.
type Span struct {
	Text string
	Bold bool
	Code bool
	Href string
}

// Parse reads a text of the subset. It accepts every string: bytes that are
// not UTF-8 become U+FFFD, and control and direction-override characters are
// dropped (see Clean).
func Parse(text string) []Node {
	lines := strings.Split(Clean(text), "\n")
	var nodes []Node
	for i := 0; i < len(lines); {
		line := lines[i]
		var n Node
		switch {
		case strings.TrimSpace(line) == "":
			i++
			continue
		case fenceLength(line) > 0:
			n, i = parseFence(lines, i)
		case headingLevel(line) > 0:
			level := headingLevel(line)
			n = Node{Kind: Heading, Level: level, Spans: parseSpans(strings.TrimSpace(line[level:]), Span{})}
			i++
		case strings.HasPrefix(line, ">"):
			n, i = parseQuote(lines, i)
		case isBullet(line):
			n, i = parseList(lines, i)
		default:
			n, i = parseParagraph(lines, i)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// Clean makes a text safe to carry: valid UTF-8, line ends as line feeds, and
// without control characters, Unicode direction overrides and isolates, or
// tag characters, all of which hide or reorder what a reader sees. Joiners
// stay, because emoji and several scripts are spelled with them.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r),
			r >= 0x202A && r <= 0x202E,
			r >= 0x2066 && r <= 0x2069,
			r >= 0xE0000 && r <= 0xE007F,
			r == 0xFEFF:
			return -1
		}
		return r
	}, text)
}

// escapable are the characters that Escape puts a backslash before, and the
// only ones before which Parse takes a backslash as an escape.
const escapable = "\\`*_[]()<>#+-!|~&{}=:.@$"

// Escape makes a text literal: Parse gives it back unchanged, as paragraphs.
func Escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf && strings.ContainsRune(escapable, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// QuoteLines makes a customer's words a block quote of literal text.
func QuoteLines(words string) string {
	lines := strings.Split(Clean(words), "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			lines[i] = ">"
			continue
		}
		lines[i] = "> " + Escape(line)
	}
	return strings.Join(lines, "\n")
}

func fenceLength(line string) int {
	t := strings.TrimLeft(line, " ")
	if len(line)-len(t) > 3 {
		return 0
	}
	n := len(t) - len(strings.TrimLeft(t, "`"))
	if n < 3 || strings.Contains(t[n:], "`") {
		return 0
	}
	return n
}

func headingLevel(line string) int {
	n := len(line) - len(strings.TrimLeft(line, "#"))
	if n < 1 || n > 6 || n >= len(line) || line[n] != ' ' || strings.TrimSpace(line[n:]) == "" {
		return 0
	}
	return n
}

func isBullet(line string) bool {
	t := strings.TrimLeft(line, " \t")
	return len(t) > 2 && (t[0] == '-' || t[0] == '*') && t[1] == ' ' && strings.TrimSpace(t[2:]) != ""
}

func parseFence(lines []string, i int) (Node, int) {
	n := fenceLength(lines[i])
	info := strings.Fields(strings.TrimSpace(lines[i])[n:])
	node := Node{Kind: Code}
	if len(info) > 0 && isWord(info[0]) {
		node.Language = info[0]
	}
	var body []string
	for i++; i < len(lines); i++ {
		t := strings.TrimSpace(lines[i])
		if len(t) >= n && strings.Trim(t, "`") == "" {
			i++
			break
		}
		body = append(body, lines[i])
	}
	node.Text = strings.Join(body, "\n")
	return node, i
}

func isWord(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+#-_", r) {
			return false
		}
	}
	return true
}

func parseQuote(lines []string, i int) (Node, int) {
	node := Node{Kind: Quote}
	var open []string
	flush := func() {
		if len(open) > 0 {
			node.Children = append(node.Children, Node{Kind: Paragraph, Spans: []Span{{Text: unescape(strings.Join(open, "\n"))}}})
			open = nil
		}
	}
	for ; i < len(lines) && strings.HasPrefix(lines[i], ">"); i++ {
		line := strings.TrimPrefix(lines[i][1:], " ")
		if strings.TrimSpace(line) == "" {
			flush()
			continue
		}
		open = append(open, line)
	}
	flush()
	return node, i
}

func parseList(lines []string, i int) (Node, int) {
	type entry struct {
		indent int
		text   string
	}
	var entries []entry
	for ; i < len(lines); i++ {
		line := lines[i]
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		switch {
		case isBullet(line):
			entries = append(entries, entry{indent, strings.TrimSpace(strings.TrimLeft(line, " \t")[2:])})
			continue
		case strings.TrimSpace(line) != "" && indent >= 2:
			entries[len(entries)-1].text += "\n" + strings.TrimSpace(line)
			continue
		}
		break
	}
	node := Node{Kind: List}
	base := entries[0].indent
	for _, e := range entries {
		item := Item{Spans: parseSpans(e.text, Span{})}
		if e.indent >= base+2 && len(node.Items) > 0 {
			parent := &node.Items[len(node.Items)-1]
			parent.Items = append(parent.Items, item)
			continue
		}
		node.Items = append(node.Items, item)
	}
	return node, i
}

func parseParagraph(lines []string, i int) (Node, int) {
	var text []string
	for ; i < len(lines); i++ {
		line := lines[i]
		if strings.TrimSpace(line) == "" {
			break
		}
		if len(text) > 0 && (fenceLength(line) > 0 || headingLevel(line) > 0 || strings.HasPrefix(line, ">") || isBullet(line)) {
			break
		}
		text = append(text, strings.TrimRight(line, " \t"))
	}
	return Node{Kind: Paragraph, Spans: parseSpans(strings.Join(text, "\n"), Span{})}, i
}

// parseSpans reads inline markup; like carries the appearance of what the
// text stands in. Its time is linear in the text: what has no end is looked
// for once only.
func parseSpans(s string, like Span) []Span {
	var spans []Span
	noBold, noCode := like.Bold, map[int]bool{}
	var closers map[int]int
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			sp := like
			sp.Text = plain.String()
			spans = append(spans, sp)
			plain.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case isEscape(s, i):
			plain.WriteByte(s[i+1])
			i += 2
			continue
		case s[i] == '`':
			run := leading(s[i:], '`')
			if noCode[run] {
				plain.WriteString(s[i : i+run])
				i += run
				continue
			}
			text, end, ok := codeSpan(s, i, run)
			noCode[run] = !ok && end == 0
			if ok {
				flush()
				sp := like
				sp.Text, sp.Code, sp.Bold = text, true, false
				spans = append(spans, sp)
				i = end
				continue
			}
		case !noBold && strings.HasPrefix(s[i:], "**"):
			inner, end, ok := boldSpan(s, i)
			noBold = end == 0
			if ok {
				flush()
				bold := like
				bold.Bold = true
				spans = append(spans, parseSpans(inner, bold)...)
				i = end
				continue
			}
		case like.Href == "" && s[i] == '[' && (i == 0 || s[i-1] != '!'):
			if closers == nil {
				closers = matchBrackets(s)
			}
			if label, href, end, ok := linkSpan(s, i, closers[i]); ok {
				flush()
				link := like
				link.Href = href
				spans = append(spans, parseSpans(label, link)...)
				i = end
				continue
			}
		}
		plain.WriteByte(s[i])
		i++
	}
	flush()
	return spans
}

func isEscape(s string, i int) bool {
	return s[i] == '\\' && i+1 < len(s) && strings.IndexByte(escapable, s[i+1]) >= 0
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if isEscape(s, i) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// codeSpan reads a span that run backticks open. An end of zero says that
// nothing closes it.
func codeSpan(s string, i, run int) (text string, end int, ok bool) {
	for j := i + run; j < len(s); {
		k := strings.IndexByte(s[j:], '`')
		if k < 0 {
			return "", 0, false
		}
		j += k
		n := leading(s[j:], '`')
		if n == run {
			text = strings.ReplaceAll(s[i+run:j], "\n", " ")
			if len(text) > 2 && text[0] == ' ' && text[len(text)-1] == ' ' {
				text = text[1 : len(text)-1]
			}
			return text, j + n, strings.TrimSpace(text) != ""
		}
		j += n
	}
	return "", 0, false
}

func leading(s string, c byte) int {
	n := 0
	for n < len(s) && s[n] == c {
		n++
	}
	return n
}

// boldSpan reads what two stars open. An end of zero says that nothing closes
// it.
func boldSpan(s string, i int) (inner string, end int, ok bool) {
	for j := i + 2; j < len(s); j++ {
		if isEscape(s, j) {
			j++
			continue
		}
		if strings.HasPrefix(s[j:], "**") {
			inner = s[i+2 : j]
			return inner, j + 2, strings.TrimSpace(inner) != ""
		}
	}
	return "", 0, false
}

// matchBrackets gives for each opening bracket the closing one that belongs
// to it.
func matchBrackets(s string) map[int]int {
	closers := map[int]int{}
	var open []int
	for i := 0; i < len(s); i++ {
		switch {
		case isEscape(s, i):
			i++
		case s[i] == '[':
			open = append(open, i)
		case s[i] == ']' && len(open) > 0:
			closers[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	return closers
}

// maxAddress bounds a link's address, so that one without an end costs little.
const maxAddress = 2048

// linkSpan reads the link whose label begins at i and ends before closer, zero
// where there is none.
func linkSpan(s string, i, closer int) (label, href string, end int, ok bool) {
	if closer == 0 || closer+1 >= len(s) || s[closer+1] != '(' {
		return "", "", 0, false
	}
	label = s[i+1 : closer]
	parens := 0
	for k := closer + 1; k < min(len(s), closer+maxAddress); k++ {
		if isEscape(s, k) {
			k++
			continue
		}
		switch s[k] {
		case ' ', '\n', '\t', '<', '>', '[':
			return "", "", 0, false
		case '(':
			parens++
		case ')':
			if parens--; parens == 0 {
				href, ok = WebURL(unescape(s[closer+2 : k]))
				return label, href, k + 1, ok && strings.TrimSpace(label) != ""
			}
		}
	}
	return "", "", 0, false
}

// WebURL gives the normalised form of an absolute http or https URL without
// user information, and whether it is one.
func WebURL(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return "", false
	}
	return u.String(), true
}

// Text gives the readable words of a tree without any markup: for plain-text
// fallbacks and for tests.
func Text(nodes []Node) string {
	var parts []string
	for _, n := range nodes {
		switch n.Kind {
		case Paragraph, Heading:
			parts = append(parts, spansText(n.Spans))
		case Code:
			parts = append(parts, n.Text)
		case Quote:
			parts = append(parts, Text(n.Children))
		case List:
			var lines []string
			for _, item := range n.Items {
				lines = append(lines, "- "+spansText(item.Spans))
				for _, sub := range item.Items {
					lines = append(lines, "  - "+spansText(sub.Spans))
				}
			}
			parts = append(parts, strings.Join(lines, "\n"))
		}
	}
	return strings.Join(parts, "\n\n")
}

func spansText(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}
