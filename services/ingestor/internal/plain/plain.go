// Package plain turns vendors' markup into the plain text that a customer sees, and
// nothing that a customer does not see: no hidden elements, scripts, images or control
// characters. Words are never changed, only what surrounds them.
package plain

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Clean removes control characters but for line breaks and tabs, makes every line break
// a line feed, at most two in a row, and trims.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n\n").Replace(s)
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	s = trailing.ReplaceAllString(s, "\n")
	s = gaps.ReplaceAllString(s, "\n\n")
	return strings.TrimSpace(s)
}

var (
	trailing = regexp.MustCompile(`[ \t\x{00a0}]+\n`)
	gaps     = regexp.MustCompile(`\n{3,}`)
	spaces   = regexp.MustCompile(`[ \t\n\r\f]+`)
)

// maxNodes bounds what one body may build.
const maxNodes = 200_000

// FromHTML returns the visible text of an HTML fragment: paragraphs and other blocks on
// lines of their own, list items after a dash, links as their label. Text without any
// markup passes through with its entities decoded.
func FromHTML(body string) string {
	z := html.NewTokenizer(strings.NewReader(body))
	z.SetMaxBuf(4 << 20)
	var out strings.Builder
	hidden, pre := 0, 0
	var stack []atom.Atom // of the elements inside a hidden one
	for n := 0; n < maxNodes; n++ {
		switch z.Next() {
		case html.ErrorToken:
			return Clean(out.String())
		case html.TextToken:
			if hidden > 0 {
				continue
			}
			text := string(z.Text()) // entities decoded
			if pre == 0 {
				text = spaces.ReplaceAllString(text, " ")
				if s := out.String(); s == "" || strings.HasSuffix(s, "\n") {
					text = strings.TrimLeft(text, " ")
				}
			}
			out.WriteString(text)
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			void := t.Type == html.SelfClosingTagToken || voids[t.DataAtom]
			if hidden > 0 {
				if !void {
					hidden++
					stack = append(stack, t.DataAtom)
				}
				continue
			}
			if !void && invisible(t) {
				hidden, stack = 1, []atom.Atom{t.DataAtom}
				continue
			}
			open(&out, t.DataAtom)
			if t.DataAtom == atom.Pre && !void {
				pre++
			}
		case html.EndTagToken:
			t := z.Token()
			if hidden > 0 {
				for i := len(stack) - 1; i >= 0; i-- {
					if stack[i] == t.DataAtom {
						stack = stack[:i]
						hidden = i
						break
					}
				}
				continue
			}
			if t.DataAtom == atom.Pre && pre > 0 {
				pre--
			}
			if paragraphs[t.DataAtom] {
				out.WriteString("\n\n")
			} else if lines[t.DataAtom] {
				newline(&out)
			}
		}
	}
	return Clean(out.String())
}

func open(out *strings.Builder, a atom.Atom) {
	switch {
	case a == atom.Br:
		out.WriteString("\n")
	case a == atom.Li:
		newline(out)
		out.WriteString("- ")
	case paragraphs[a], lines[a]:
		newline(out)
	case a == atom.Td, a == atom.Th:
		out.WriteString(" ")
	}
}

func newline(out *strings.Builder) {
	if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
		out.WriteString("\n")
	}
}

var paragraphs = map[atom.Atom]bool{atom.P: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Blockquote: true, atom.Pre: true, atom.Table: true, atom.Ul: true, atom.Ol: true}
var lines = map[atom.Atom]bool{atom.Div: true, atom.Section: true, atom.Article: true, atom.Li: true, atom.Tr: true, atom.Hr: true}
var voids = map[atom.Atom]bool{atom.Br: true, atom.Img: true, atom.Hr: true, atom.Input: true, atom.Meta: true, atom.Link: true, atom.Col: true, atom.Wbr: true, atom.Embed: true, atom.Source: true, atom.Track: true, atom.Area: true, atom.Base: true, atom.Param: true}
var never = map[atom.Atom]bool{atom.Script: true, atom.Style: true, atom.Head: true, atom.Title: true, atom.Template: true, atom.Noscript: true, atom.Iframe: true, atom.Object: true, atom.Svg: true, atom.Textarea: true, atom.Select: true}

var concealing = regexp.MustCompile(`(?i)display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(px|pt|em|rem|%)?\s*(;|$)|opacity\s*:\s*0\s*(;|$)`)

// invisible reports an element whose content a reader never sees.
func invisible(t html.Token) bool {
	if never[t.DataAtom] {
		return true
	}
	for _, a := range t.Attr {
		if a.Key == "hidden" || a.Key == "style" && concealing.MatchString(a.Val) {
			return true
		}
	}
	return false
}
