package tracker

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// zeroWidth breaks what a vendor would turn into a mention, a reference or a
// link after its Markdown is rendered, where a backslash no longer helps.
const zeroWidth = "\u200b"

// renderMarkdown writes a tree as CommonMark that GitHub and Linear show as
// meant. Every text is escaped; nothing in it can become markup.
func renderMarkdown(title string, nodes []markup.Node) string {
	var parts []string
	if title != "" {
		parts = append(parts, "### "+literal(title, false))
	}
	for _, n := range nodes {
		parts = append(parts, markdownNode(n))
	}
	return strings.Join(parts, "\n\n")
}

func markdownNode(n markup.Node) string {
	switch n.Kind {
	case markup.Heading:
		// The title is a third-level heading; what stands under it is smaller.
		level := min(6, max(4, n.Level+2))
		return strings.Repeat("#", level) + " " + strings.ReplaceAll(markdownSpans(n.Spans), "\n", " ")
	case markup.List:
		var lines []string
		for _, item := range n.Items {
			lines = append(lines, "- "+indent(markdownSpans(item.Spans), "  "))
			for _, sub := range item.Items {
				lines = append(lines, "  - "+indent(markdownSpans(sub.Spans), "    "))
			}
		}
		return strings.Join(lines, "\n")
	case markup.Quote:
		var parts []string
		for _, p := range n.Children {
			parts = append(parts, "> "+indent(markdownSpans(p.Spans), "> "))
		}
		return strings.Join(parts, "\n>\n")
	case markup.Code:
		fence := strings.Repeat("`", max(3, longestRun(n.Text, '`')+1))
		return fence + n.Language + "\n" + n.Text + "\n" + fence
	default:
		return markdownSpans(n.Spans)
	}
}

func indent(s, with string) string { return strings.ReplaceAll(s, "\n", "\n"+with) }

func markdownSpans(spans []markup.Span) string {
	var b strings.Builder
	for _, s := range spans {
		text := s.Text
		switch {
		case s.Code:
			fence := strings.Repeat("`", longestRun(text, '`')+1)
			if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
				text = " " + text + " "
			}
			text = fence + text + fence
		case s.Href != "":
			text = strings.ReplaceAll(literal(text, false), "\n", " ")
		default:
			text = literal(text, !s.Bold && (b.Len() == 0 || strings.HasSuffix(b.String(), "\n")))
		}
		if s.Bold && strings.TrimSpace(text) != "" {
			text = aroundWords(text, "**")
		}
		if s.Href != "" {
			text = "[" + text + "](" + markdownHref(s.Href) + ")"
		}
		b.WriteString(text)
	}
	return b.String()
}

// aroundWords puts marks next to the words: a mark beside a space is literal.
func aroundWords(s, mark string) string {
	body := strings.TrimSpace(s)
	i := strings.Index(s, body)
	return s[:i] + mark + body + mark + s[i+len(body):]
}

func markdownHref(href string) string {
	return strings.NewReplacer("(", "%28", ")", "%29", "<", "%3C", ">", "%3E", " ", "%20", "\\", "%5C").Replace(href)
}

func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := 0; i < len(s); i++ {
		run++
		if s[i] != c {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// literal escapes a text so that CommonMark shows it as it is, and breaks what
// GitHub and Linear look for in rendered text: @mentions, #1 and GH-1
// references, bare URLs (which GitHub turns into cross references on other
// people's tickets and Linear into mentions). lineStart says whether s begins
// a line, where more characters mean something.
func literal(s string, lineStart bool) string {
	var b strings.Builder
	line := 0 // where the line begins
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		rest := s[i+size:]
		switch {
		case r == '\n':
			b.WriteByte('\n')
			lineStart = true
			i += size
			line = i
			continue
		case lineStart && (r == ' ' || r == '\t'):
			// Leading spaces would make a code block.
			i += size
			continue
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '@':
			b.WriteString("@" + zeroWidth)
		case r == '#' && startsWithDigit(rest):
			b.WriteString("\\#" + zeroWidth)
		case strings.ContainsRune("\\`*_[]#|~$!{}", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case lineStart && strings.ContainsRune("-+=", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '-' && startsWithDigit(rest) && endsWithFold(s[:i], "gh"):
			b.WriteString("-" + zeroWidth)
		case r == ':' && strings.HasPrefix(rest, "//"):
			b.WriteString(":" + zeroWidth)
		case r == '.' && endsWithFold(s[:i], "www"):
			b.WriteString("." + zeroWidth)
		case (r == '.' || r == ')') && isListNumber(s[line:i]):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		lineStart = false
		i += size
	}
	return b.String()
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func endsWithFold(s, suffix string) bool {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(s[:len(s)-len(suffix)])
	return len(s) == len(suffix) || !unicode.IsLetter(before) && !unicode.IsDigit(before)
}

// isListNumber says whether a line so far is a number, which a dot would make
// an ordered list. CommonMark takes up to nine digits.
func isListNumber(line string) bool {
	if len(line) > 20 {
		return false
	}
	_, err := strconv.ParseUint(strings.TrimLeft(line, " \t"), 10, 32)
	return err == nil
}
