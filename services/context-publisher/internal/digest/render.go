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
func Markdown(d Digest) string {
	return "# " + Title(d) + "\n\n" + text(d, brief.Quoted, func(key string) string { return "`" + strings.ReplaceAll(oneLine(key), "`", "") + "`" })
}

// oneLine is a ticket's key, which a tracker gives out, as it stands in a line of ours.
func oneLine(key string) string { return shorten(brief.Clean(key), 120) }

// Text renders a digest as plain text, for a reader without HTML.
func Text(d Digest) string { return Title(d) + "\n\n" + text(d, plainQuote, oneLine) }

// plainQuote marks outside words line by line.
func plainQuote(words string) string {
	return "> " + strings.ReplaceAll(brief.Clean(words), "\n", "\n> ")
}

// Subset renders a digest without its title in the subset of package markup, which
// slackpost and the trackers' writers read.
func Subset(d Digest) string { return text(d, markup.QuoteLines, markup.Escape) }

// Slack renders a digest as the blocks of one Slack message within Slack's limits, with
// the plain text that notifications show. url leads to the whole digest, where there is one.
func Slack(d Digest, url string) (fallback string, blocks []slackpost.Block) {
	return slackpost.Render(Title(d), Subset(d), url)
}

// HTML renders a digest as one self-contained document without scripts and images. Its only
// link is url, which leads to the whole digest, where there is one. Customers' words are
// escaped and stand in blockquote elements.
func HTML(d Digest, url string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%[1]s</title>"+
		"<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}blockquote{border-left:3px solid #999;margin:.5rem 0;padding-left:.8rem}</style>"+
		"</head><body>\n<h1>%[1]s</h1>\n", html.EscapeString(Title(d)))
	for _, n := range markup.Parse(Subset(d)) {
		node(&s, n)
	}
	if href, ok := markup.WebURL(url); ok {
		fmt.Fprintf(&s, "<p><a href=\"%s\">The whole digest</a></p>\n", html.EscapeString(href))
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

// MaxWords is how many words a digest has at most: two minutes at the pace at which people
// read prose silently, 238 words a minute (Brysbaert 2019).
const MaxWords = 470

// text renders the body with as many entries of each list as two minutes allow; quote makes
// words a block quote of its format, and key a ticket's key literal in it.
func text(d Digest, quote, key func(string) string) string {
	for most := perList; ; most-- {
		s := writer{quote: quote, key: key, most: most}.digest(d)
		if most == 1 || len(strings.Fields(s)) <= MaxWords {
			return s
		}
	}
}

// writer writes a digest with at most so many entries in a list.
type writer struct {
	strings.Builder
	quote func(string) string
	key   func(string) string
	most  int
}

func (w writer) digest(d Digest) string {
	s := &w
	s.printf("%s gave feedback in %s since %s. %s\n\n", people(d.Voices), count(d.Items, "item"), d.Since.Format("2006-01-02 15:04 UTC"), short(d))
	section(s, "In progress, and the context changed", d.Tickets, func(t Ticket) {
		s.printf("%s %s, revision %d: %s.\n\n%s\n\n", t.Tracker, s.key(t.Key), t.Revision, strings.Join(t.Changes[:min(len(t.Changes), 3)], "; "), s.quote(shorten(t.Title, 90)))
	})
	section(s, "Waiting for a decision", d.Undecided, func(p Pending) {
		s.printf("Is %s about %s %s? Match %.2f.\n\n%s\n\n", p.Cluster, p.Tracker, s.key(p.Key), p.Score, s.quote(shorten(p.Name, 90)))
	})
	section(s, "Accounts at risk", d.AtRisk, func(r Risk) {
		s.printf("%s a year, severity %.2f, %s, %s:\n\n%s\n\n", brief.Amount(r.Worth), r.Severity, people(r.Voices), r.Item, s.quote(shorten(r.Name, 60)+": "+shorten(r.Quote, 140)))
	})
	top := map[string]bool{}
	section(s, "First in rank", d.Top, func(e Entry) {
		top[e.Cluster] = true
		words := shorten(e.Name, 90)
		if e.Quote != "" && e.Quote != e.Name && e.Rank <= 3 {
			words += "\n“" + shorten(e.Quote, 140) + "”"
		}
		s.printf("%s. In all %s%s; %s.\n\n%s\n\n", upper(e.Why), asking(e), worth(e), e.Cluster, s.quote(words))
	})
	if len(d.Top) == 0 {
		s.WriteString("Nothing is ranked yet.\n\n")
	}
	line := func(e Entry) {
		if top[e.Cluster] {
			s.printf("Rank %d, above:\n\n%s\n\n", e.Rank, s.quote(shorten(e.Name, 60)))
			return
		}
		s.printf("Rank %d, %s; %s in the day, %s the day before; %s:\n\n%s\n\n", e.Rank, move(e), people(e.Today), people(e.DayPrior), e.Cluster, s.quote(shorten(e.Name, 90)))
	}
	section(s, "New", d.New, line)
	section(s, "Rising", d.Rising, line)
	section(s, "Cooling", d.Cooling, line)
	section(s, "Shipped", d.Shipped, func(t Shipped) {
		s.printf("%s %s: %s from %s asked and can be told.\n\n%s\n\n", t.Tracker, s.key(t.Key), people(t.Voices), count(t.Accounts, "account"), s.quote(shorten(t.Title, 90)))
	})
	return s.String()
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// section writes the beginning of a list and says how much is left out.
func section[T any](w *writer, title string, list []T, entry func(T)) {
	if len(list) == 0 {
		return
	}
	w.printf("## %s\n\n", title)
	for _, e := range list[:min(len(list), w.most)] {
		entry(e)
	}
	if more := len(list) - w.most; more > 0 {
		w.printf("And %d more.\n\n", more)
	}
}

// short counts what the digest is about.
func short(d Digest) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{len(d.New), "new"}, {len(d.Rising), "rising"}, {len(d.Cooling), "cooling"}, {len(d.Shipped), "shipped"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	for _, p := range []struct {
		n    int
		what string
	}{{len(d.AtRisk), "account"}, {len(d.Tickets), "ticket"}, {len(d.Undecided), "decision"}} {
		if p.n > 0 {
			parts = append(parts, count(uint64(p.n), p.what)+map[string]string{"account": " at risk", "ticket": " in progress with news", "decision": " to take"}[p.what])
		}
	}
	if len(parts) == 0 {
		return "Nothing else moved."
	}
	return upper(strings.Join(parts, ", ")) + "."
}

func count(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func asking(e Entry) string {
	return people(uint64(e.Voices)) + " from " + count(uint64(e.Accounts), "account")
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

// shorten keeps the first characters of outside words, on one line.
func shorten(words string, most int) string {
	r := []rune(strings.Join(strings.Fields(words), " "))
	if len(r) <= most {
		return string(r)
	}
	return strings.TrimSpace(string(r[:most-1])) + "…"
}
