package tracker

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// adfNode is a node of the Atlassian Document Format, which Jira Cloud's REST
// v3 takes and gives for comments and descriptions
// (developer.atlassian.com/cloud/jira/platform/apis/document/structure).
type adfNode struct {
	Type    string         `json:"type"`
	Version int            `json:"version,omitempty"` // on the doc only
	Attrs   map[string]any `json:"attrs,omitempty"`
	Content []adfNode      `json:"content,omitempty"`
	Text    string         `json:"text,omitempty"`
	Marks   []adfMark      `json:"marks,omitempty"`
}

type adfMark struct {
	Type  string         `json:"type"`
	Attrs map[string]any `json:"attrs,omitempty"`
}

// renderADF makes an ADF document of a tree. Text nodes are literal in ADF:
// neither "@name", nor "{macro}", nor "[~accountid:…]", nor a bare address in
// one becomes anything else, and this function makes no mention, media, card
// or extension nodes.
func renderADF(title string, nodes []markup.Node) adfNode {
	doc := adfNode{Type: "doc", Version: 1}
	if title != "" {
		doc.Content = append(doc.Content, adfHeading(3, []markup.Span{{Text: title}}))
	}
	for _, n := range nodes {
		doc.Content = append(doc.Content, adfBlock(n)...)
	}
	if len(doc.Content) == 0 {
		doc.Content = []adfNode{{Type: "paragraph"}}
	}
	return doc
}

// encodeADF is the JSON that is sent, and whose length Jira's limit is
// compared with.
func encodeADF(n adfNode) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	// Only strings, numbers and maps of them are in an adfNode.
	_ = enc.Encode(n)
	return strings.TrimSuffix(buf.String(), "\n")
}

func adfBlock(n markup.Node) []adfNode {
	switch n.Kind {
	case markup.Heading:
		return []adfNode{adfHeading(min(6, max(4, n.Level+2)), n.Spans)}
	case markup.List:
		return []adfNode{adfList(n.Items)}
	case markup.Quote:
		quote := adfNode{Type: "blockquote"}
		for _, p := range n.Children {
			quote.Content = append(quote.Content, adfParagraph(p.Spans))
		}
		if len(quote.Content) == 0 {
			return nil
		}
		return []adfNode{quote}
	case markup.Code:
		code := adfNode{Type: "codeBlock"}
		if n.Language != "" {
			code.Attrs = map[string]any{"language": n.Language}
		}
		if n.Text != "" {
			code.Content = []adfNode{{Type: "text", Text: n.Text}}
		}
		return []adfNode{code}
	default:
		return []adfNode{adfParagraph(n.Spans)}
	}
}

func adfHeading(level int, spans []markup.Span) adfNode {
	return adfNode{Type: "heading", Attrs: map[string]any{"level": level}, Content: adfInline(spans)}
}

func adfParagraph(spans []markup.Span) adfNode {
	return adfNode{Type: "paragraph", Content: adfInline(spans)}
}

func adfList(items []markup.Item) adfNode {
	list := adfNode{Type: "bulletList"}
	for _, item := range items {
		li := adfNode{Type: "listItem", Content: []adfNode{adfParagraph(item.Spans)}}
		if len(item.Items) > 0 {
			li.Content = append(li.Content, adfList(item.Items))
		}
		list.Content = append(list.Content, li)
	}
	return list
}

// adfInline makes text nodes, with hard breaks for line feeds. A code mark
// combines with a link only, so code is never strong; text is never empty,
// which the format forbids.
func adfInline(spans []markup.Span) []adfNode {
	var out []adfNode
	for _, s := range spans {
		var marks []adfMark
		if s.Code {
			marks = append(marks, adfMark{Type: "code"})
		} else if s.Bold {
			marks = append(marks, adfMark{Type: "strong"})
		}
		if s.Href != "" {
			marks = append(marks, adfMark{Type: "link", Attrs: map[string]any{"href": s.Href}})
		}
		for i, line := range strings.Split(s.Text, "\n") {
			if i > 0 {
				out = append(out, adfNode{Type: "hardBreak"})
			}
			if line != "" {
				out = append(out, adfNode{Type: "text", Text: line, Marks: marks})
			}
		}
	}
	return out
}

// adfText reads a document a person wrote as plain text: words, line ends,
// bullets. Nodes it does not know give the text inside them.
func adfText(n adfNode) string {
	var b strings.Builder
	writeADFText(&b, n)
	return strings.TrimSpace(b.String())
}

func writeADFText(b *strings.Builder, n adfNode) {
	switch n.Type {
	case "text":
		b.WriteString(n.Text)
		return
	case "hardBreak":
		b.WriteByte('\n')
		return
	case "mention", "emoji", "status", "date":
		if t, ok := n.Attrs["text"].(string); ok {
			b.WriteString(t)
		}
		return
	case "inlineCard", "blockCard":
		if u, ok := n.Attrs["url"].(string); ok {
			b.WriteString(u)
		}
		return
	case "listItem":
		b.WriteString("- ")
	}
	for _, c := range n.Content {
		writeADFText(b, c)
	}
	switch n.Type {
	case "paragraph", "heading", "codeBlock", "rule":
		if s := b.String(); !strings.HasSuffix(s, "\n\n") {
			b.WriteByte('\n')
		}
	case "blockquote", "bulletList", "orderedList", "panel", "table":
		if s := b.String(); !strings.HasSuffix(s, "\n\n") {
			b.WriteByte('\n')
		}
	}
}
