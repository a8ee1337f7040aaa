package digest

import (
	"fmt"
	"html"
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// Title heads a digest in every format.
func Title(d Digest) string { return "What customers said, " + d.Date }

// Markdown renders a digest for people and agents; customers' words stand in block quotes.
func Markdown(d Digest) string { return "# " + Title(d) + "\n\n" + text(d, brief.Quoted) }

// Subset renders a digest without its title in the subset of package markup, which
// slackpost and the trackers' writers read.
func Subset(d Digest) string { return text(d, markup.QuoteLines) }

// Slack renders a digest as the blocks of one Slack message within Slack's limits, with
// the plain text that notifications show. url leads to the whole digest, where there is one.
func Slack(d Digest, url string) (fallback string, blocks []slackpost.Block) {
	return slackpost.Render(Title(d), Subset(d), url)
}

// HTML renders a digest as one self-contained document without scripts, images or links
// out of it. Customers' words are escaped and stand in blockquote elements.
func HTML(d Digest) string {
	var s strings.Builder
	fmt.Fprintf(&s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%[1]s</title>"+
		"<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}blockquote{border-left:3px solid #999;margin:.5rem 0;padding-left:.8rem}</style>"+
		"</head><body>\n<h1>%[1]s</h1>\n", html.EscapeString(Title(d)))
	for _, n := range markup.Parse(Subset(d)) {
		node(&s, n)
	}
	s.WriteString("</body></html>\n")
	return s.String()
}

func node(s *strings.Builder, n markup.Node) {
	switch n.Kind {
	case markup.Heading:
		fmt.Fprintf(s, "<h%d>%s</h%d>\n", n.Level, spans(n.Spans), n.Level)
	case markup.Paragraph:
		fmt.Fprintf(s, "<p>%s</p>\n", spans(n.Spans))
	case markup.Quote:
		s.WriteString("<blockquote>")
		for _, c := range n.Children {
			node(s, c)
		}
		s.WriteString("</blockquote>\n")
	case markup.List:
		s.WriteString("<ul>\n")
		for _, i := range n.Items {
			fmt.Fprintf(s, "<li>%s</li>\n", spans(i.Spans))
		}
		s.WriteString("</ul>\n")
	case markup.Code:
		fmt.Fprintf(s, "<pre>%s</pre>\n", html.EscapeString(n.Text))
	}
}

func spans(in []markup.Span) string {
	var s strings.Builder
	for _, p := range in {
		t := strings.ReplaceAll(html.EscapeString(p.Text), "\n", "<br>")
		if p.Bold {
			t = "<strong>" + t + "</strong>"
		}
		s.WriteString(t)
	}
	return s.String()
}

// text renders the body; quote makes words a block quote of its format.
func text(d Digest, quote func(string) string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s gave feedback in %d items since %s.\n\n", people(d.Voices), d.Items, d.Since.Format("2006-01-02 15:04 UTC"))
	if len(d.Top) == 0 {
		s.WriteString("Nothing is ranked yet.\n\n")
	}
	for _, part := range []struct {
		title   string
		entries []Entry
		quotes  bool
	}{{"First in rank", d.Top, true}, {"New", d.New, true}, {"Rising", d.Rising, false}, {"Cooling", d.Cooling, false}} {
		if len(part.entries) == 0 {
			continue
		}
		fmt.Fprintf(&s, "## %s\n\n", part.title)
		for _, e := range part.entries {
			fmt.Fprintf(&s, "%s. %s%s, %s.\n\n%s\n\n", upper(e.Why), asking(e), worth(e), e.Cluster, quote(e.Name))
			if part.quotes && e.Quote != "" && e.Quote != e.Name {
				fmt.Fprintf(&s, "%s said:\n\n%s\n\n", e.Item, quote(shorten(e.Quote)))
			}
		}
	}
	if len(d.Tickets) > 0 {
		s.WriteString("## In progress, and the context changed\n\n")
		for _, t := range d.Tickets {
			fmt.Fprintf(&s, "%s %s, revision %d: %s.\n\n%s\n\n", t.Tracker, markup.Escape(t.Key), t.Revision, strings.Join(t.Changes, "; "), quote(t.Title))
		}
	}
	if len(d.Undecided) > 0 {
		s.WriteString("## Waiting for a decision\n\n")
		for _, p := range d.Undecided {
			fmt.Fprintf(&s, "Is %s about %s %s? Match %.2f.\n\n%s\n\n", p.Cluster, p.Tracker, markup.Escape(p.Key), p.Score, quote(p.Name))
		}
	}
	return s.String()
}

func asking(e Entry) string {
	return fmt.Sprintf("%s from %d accounts in all", people(uint64(e.Voices)), e.Accounts)
}

func worth(e Entry) string {
	if len(e.Worth) == 0 {
		return ""
	}
	var parts []string
	for _, m := range e.Worth {
		parts = append(parts, brief.Amount(m))
	}
	return ", worth " + strings.Join(parts, " and ") + " a year"
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// shorten keeps a quote to the two minutes that a digest is read in.
func shorten(quote string) string {
	const most = 280
	r := []rune(quote)
	if len(r) <= most {
		return quote
	}
	return strings.TrimSpace(string(r[:most])) + "…"
}
