package slackpost

import (
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// The limits of one message: docs.slack.dev/reference/block-kit for the first
// three; the total is undocumented (about 13,200, slackapi/bolt-js issue 2509).
// Text is counted escaped and in UTF-16 code units, never less than Slack does.
const (
	maxBlocks   = 50
	maxSection  = 3000
	maxHeader   = 150
	maxTotal    = 13000
	maxFallback = 3900
	maxPiece    = 2800
)

// Block is one block of Block Kit: a header or a section.
type Block struct {
	Type string `json:"type"`
	Text Text   `json:"text"`
}

// Text is a text object. Verbatim keeps Slack from making links, channels and
// mentions of what looks like one.
type Text struct {
	Type     string `json:"type"` // plain_text or mrkdwn
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

// Render makes the blocks of a message and the plain text that notifications
// show. It keeps within Slack's limits; where something is left out, the last
// line says so and links to url, if there is one.
func Render(title, text, url string) (fallback string, blocks []Block) {
	title = strings.Join(strings.Fields(markup.Clean(title)), " ")
	if title != "" {
		blocks = append(blocks, Block{Type: "header", Text: Text{Type: "plain_text", Text: markup.CutUnits(title, maxHeader)}})
	}
	note := "_Cut here: the whole text does not fit into a message._"
	if href, ok := markup.WebURL(url); ok {
		note = "_Cut here:_ " + link(href, "the whole digest")
	}
	nodes := markup.Parse(text)
	total := len(title) + markup.Units(note)
	var section strings.Builder
	flush := func() {
		if section.Len() > 0 {
			blocks = append(blocks, mrkdwn(section.String()))
			section.Reset()
		}
	}
	cut := false
	for _, n := range nodes {
		for i, piece := range pieces(n) {
			gap := "\n"
			if i == 0 {
				gap = "\n\n"
			}
			size := markup.Units(piece)
			if i == 0 && n.Kind == markup.Heading || markup.Units(section.String())+len(gap)+size > maxSection {
				flush()
			}
			if total+len(gap)+size > maxTotal || len(blocks) >= maxBlocks-2 {
				cut = true
				break
			}
			if section.Len() > 0 {
				section.WriteString(gap)
			}
			section.WriteString(piece)
			total += len(gap) + size
		}
		if cut {
			break
		}
	}
	flush()
	if cut {
		blocks = append(blocks, mrkdwn(note))
	}
	fallback = title
	if words := strings.TrimSpace(markup.Text(nodes)); words != "" {
		fallback = strings.TrimSpace(fallback + "\n" + words)
	}
	return escape(markup.CutUnits(fallback, maxFallback/5)), blocks
}

func mrkdwn(s string) Block {
	return Block{Type: "section", Text: Text{Type: "mrkdwn", Text: s, Verbatim: true}}
}

// pieces are a node's lines as mrkdwn, each short enough for one section.
func pieces(n markup.Node) []string {
	switch n.Kind {
	case markup.Heading:
		var b strings.Builder
		for _, s := range n.Spans {
			b.WriteString(s.Text)
		}
		return spanLines([]markup.Span{{Text: strings.ReplaceAll(b.String(), "\n", " "), Bold: true}}, "", "")
	case markup.List:
		var out []string
		for _, item := range n.Items {
			out = append(out, spanLines(item.Spans, "• ", "   ")...)
			for _, sub := range item.Items {
				out = append(out, spanLines(sub.Spans, "   ◦ ", "      ")...)
			}
		}
		return out
	case markup.Quote:
		var out []string
		for i, p := range n.Children {
			if i > 0 {
				out = append(out, ">")
			}
			out = append(out, spanLines(p.Spans, "> ", "> ")...)
		}
		return out
	case markup.Code:
		var out []string
		for _, line := range strings.Split(n.Text, "\n") {
			out = append(out, spanLines([]markup.Span{{Text: line, Code: true}}, "", "")...)
		}
		return out
	default:
		return spanLines(n.Spans, "", "")
	}
}

// spanLines writes spans as lines; first and then prefix them. A line that is
// too long goes on in another one.
func spanLines(spans []markup.Span, first, then string) []string {
	var out []string
	line, prefix := first, first
	next := func() {
		out = append(out, line)
		line, prefix = then, then
	}
	fits := func(s markup.Span) bool { return markup.Units(line)+markup.Units(span(s)) <= maxPiece }
	for _, s := range spans {
		for k, text := range strings.Split(s.Text, "\n") {
			if k > 0 {
				next()
			}
			for text != "" {
				part := s
				part.Text = text
				if !fits(part) && line != prefix {
					next()
				}
				part.Text, _ = markup.Cut(text, func(t string) bool { return fits(markup.Span{Text: t, Bold: s.Bold, Code: s.Code, Href: s.Href}) })
				if part.Text == "" {
					// No character of it fits: a run of marks without end.
					break
				}
				line += span(part)
				text = text[len(part.Text):]
			}
		}
	}
	return append(out, line)
}

func span(s markup.Span) string {
	switch {
	case s.Code && strings.TrimSpace(s.Text) != "":
		return "`" + escape(strings.ReplaceAll(s.Text, "`", "'")) + "`"
	case s.Href != "" && len(s.Href) <= 1000:
		return link(s.Href, s.Text)
	case s.Bold && strings.TrimSpace(s.Text) != "":
		body := strings.TrimSpace(s.Text)
		i := strings.Index(s.Text, body)
		return s.Text[:i] + "*" + escape(strings.ReplaceAll(body, "*", "∗")) + "*" + s.Text[i+len(body):]
	}
	return escape(s.Text)
}

// link writes an address and its label. A bar or an angle bracket in the
// address would end it.
func link(href, label string) string {
	href = strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E", "&", "&amp;").Replace(href)
	return "<" + href + "|" + escape(strings.ReplaceAll(label, "|", "¦")) + ">"
}

// escape replaces the three characters that mean something to Slack: without
// it a customer's text could notify a channel.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
