package markup_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

func TestParse(t *testing.T) {
	t.Parallel()
	plain := func(s string) []markup.Span { return []markup.Span{{Text: s}} }
	paragraph := func(spans ...markup.Span) []markup.Node {
		return []markup.Node{{Kind: markup.Paragraph, Spans: spans}}
	}
	for name, c := range map[string]struct {
		text string
		want []markup.Node
	}{
		"nothing":          {"\n \n", nil},
		"heading":          {"## What changed", []markup.Node{{Kind: markup.Heading, Level: 2, Spans: plain("What changed")}}},
		"seven marks":      {"####### no", paragraph(markup.Span{Text: "####### no"})},
		"hash without gap": {"#1 is no heading", paragraph(markup.Span{Text: "#1 is no heading"})},
		"inline": {"a **b `c`** `` d` `` [e **f**](https://x.example/g_(h))", paragraph(
			markup.Span{Text: "a "}, markup.Span{Text: "b ", Bold: true}, markup.Span{Text: "c", Code: true},
			markup.Span{Text: " "}, markup.Span{Text: "d`", Code: true}, markup.Span{Text: " "},
			markup.Span{Text: "e ", Href: "https://x.example/g_(h)"}, markup.Span{Text: "f", Bold: true, Href: "https://x.example/g_(h)"})},
		"lines":     {"one\ntwo\n# three", []markup.Node{{Kind: markup.Paragraph, Spans: plain("one\ntwo")}, {Kind: markup.Heading, Level: 1, Spans: plain("three")}}},
		"bad links": {"[a](javascript:x) [b](https://u:p@x.example) [c](/rel) ![d](https://x.example)", paragraph(markup.Span{Text: "[a](javascript:x) [b](https://u:p@x.example) [c](/rel) ![d](https://x.example)"})},
		"unclosed":  {"**a `b [c", paragraph(markup.Span{Text: "**a `b [c"})},
		"list": {"- a\n  more\n  - b\n- **c**\n\nd", []markup.Node{
			{Kind: markup.List, Items: []markup.Item{{Spans: plain("a\nmore"), Items: []markup.Item{{Spans: plain("b")}}}, {Spans: []markup.Span{{Text: "c", Bold: true}}}}},
			{Kind: markup.Paragraph, Spans: plain("d")}}},
		"quote is literal": {"> **a** [b](https://x.example)\n>\n> \\# c\nd", []markup.Node{
			{Kind: markup.Quote, Children: []markup.Node{{Kind: markup.Paragraph, Spans: plain("**a** [b](https://x.example)")}, {Kind: markup.Paragraph, Spans: plain("# c")}}},
			{Kind: markup.Paragraph, Spans: plain("d")}}},
		"fence":      {"````go\na\n```\n````\nb", []markup.Node{{Kind: markup.Code, Language: "go", Text: "a\n```"}, {Kind: markup.Paragraph, Spans: plain("b")}}},
		"open fence": {"```\na", []markup.Node{{Kind: markup.Code, Text: "a"}}},
		"not text":   {"a\xff\r\nb\x00\u202Ec", paragraph(markup.Span{Text: "a\uFFFD\nbc"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := markup.Parse(c.text); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// FuzzLiteral: what was escaped or quoted comes back as it was, and nothing
// makes Parse fail.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"a", "**b** `c` [d](https://x)", "# e\n> f\n- g\n\n```\nh", `\*\`, "\xff\x00 \u202E", "  indented", "a  \nb", "👩‍👩‍👧‍👦"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := tidy(markup.Clean(s))
		if got := markup.Text(markup.Parse(markup.QuoteLines(words))); tidy(got) != words {
			t.Fatalf("quoted %q, got %q", words, got)
		}
		if got := markup.Text(markup.Parse(markup.Escape(words))); tidy(got) != words {
			t.Fatalf("escaped %q, got %q", words, got)
		}
		for _, n := range markup.Parse(markup.QuoteLines(words)) {
			if n.Kind != markup.Quote {
				t.Fatalf("%q left its quote: %+v", words, n)
			}
		}
		if got := markup.Text(markup.Parse(s)); !utf8.ValidString(got) {
			t.Fatalf("%q gave text that is not UTF-8", s)
		}
	})
}

// tidy drops what a paragraph does not keep: blank lines and spaces around
// lines.
func tidy(s string) string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// A megabyte of openers without ends takes well under a second; work in the
// square of the length would take hours. The bound leaves room for a machine
// that is busy and a race detector.
func TestParseIsLinear(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"[", "**", "`", "``` ` ", "[a](", "[**`(", "\\", "> ", "- ", "**a", "`a``"} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		start := time.Now()
		markup.Parse(text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a megabyte of %q took %s", unit, took)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"fits":                 {"abc", 3, "abc"},
		"plain":                {"abcdef", 4, "abc…"},
		"line end":             {"one two three\nfour five", 16, "one two three…"},
		"between emoji":        {"👍👍👍", 5, "👍👍…"},
		"family stays whole":   {"ab👩‍👩‍👧‍👦", 9, "ab…"},
		"skin tone stays":      {"ab👍🏽", 5, "ab…"},
		"combining mark stays": {"abe\u0301", 4, "abe\u0301"},
		"mark is not left":     {"abe\u0301cd", 4, "ab…"},
		"nothing fits":         {"👍", 1, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := markup.CutUnits(c.text, c.limit); got != c.want || markup.Units(got) > c.limit {
				t.Errorf("got %q of %d units, want %q", got, markup.Units(got), c.want)
			}
		})
	}
}
