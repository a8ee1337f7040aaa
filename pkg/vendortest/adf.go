package vendortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// adfNode is a node as the Atlassian Document Format describes it
// (developer.atlassian.com/cloud/jira/platform/apis/document/structure).
type adfNode struct {
	Type    string         `json:"type"`
	Version int            `json:"version"`
	Attrs   map[string]any `json:"attrs"`
	Content []adfNode      `json:"content"`
	Text    *string        `json:"text"`
	Marks   []struct {
		Type  string         `json:"type"`
		Attrs map[string]any `json:"attrs"`
	} `json:"marks"`
}

// adfDocument is what a reader and the notified see of a document.
type adfDocument struct {
	text     string
	mentions []string
}

// adfChildren says which nodes may stand in which. A type that is not a key is
// refused.
var adfChildren = map[string]string{
	"doc":         "paragraph heading bulletList orderedList blockquote codeBlock rule panel",
	"paragraph":   "text hardBreak mention emoji inlineCard",
	"heading":     "text hardBreak mention emoji inlineCard",
	"bulletList":  "listItem",
	"orderedList": "listItem",
	"listItem":    "paragraph bulletList orderedList codeBlock",
	"blockquote":  "paragraph bulletList orderedList codeBlock",
	"panel":       "paragraph heading bulletList orderedList",
	"codeBlock":   "text",
	"rule":        "", "text": "", "hardBreak": "", "mention": "", "emoji": "", "inlineCard": "",
}

var adfMarks = "strong em code link strike underline textColor subsup"

func readADF(raw json.RawMessage) (adfDocument, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var root adfNode
	if err := dec.Decode(&root); err != nil {
		return adfDocument{}, errors.New("the body is not an ADF object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return adfDocument{}, errors.New("something follows the document")
	}
	if root.Type != "doc" || root.Version != 1 {
		return adfDocument{}, errors.New("the root must be a doc of version 1")
	}
	var doc adfDocument
	var b strings.Builder
	if err := doc.walk(root, "", &b); err != nil {
		return adfDocument{}, err
	}
	doc.text = strings.TrimSpace(b.String())
	return doc, nil
}

func (d *adfDocument) walk(n adfNode, prefix string, b *strings.Builder) error {
	allowed, known := adfChildren[n.Type]
	if !known {
		return fmt.Errorf("unknown node type %q", n.Type)
	}
	if err := d.check(n); err != nil {
		return err
	}
	switch n.Type {
	case "text":
		b.WriteString(*n.Text)
	case "hardBreak":
		b.WriteString("\n" + prefix)
	case "mention":
		id, _ := n.Attrs["id"].(string)
		d.mentions = append(d.mentions, id)
	case "blockquote":
		prefix += "> "
	case "codeBlock":
		b.WriteString(prefix)
	case "paragraph", "heading":
		if !strings.HasSuffix(b.String(), "- ") {
			b.WriteString(prefix)
		}
	case "listItem":
		b.WriteString(prefix + "- ")
	}
	inner := prefix
	if n.Type == "listItem" {
		inner += "  "
	}
	for i, c := range n.Content {
		if !contains(allowed, c.Type) {
			return fmt.Errorf("%s may not stand in %s", c.Type, n.Type)
		}
		if n.Type == "listItem" && i == 0 && c.Type != "paragraph" && c.Type != "codeBlock" {
			return errors.New("a listItem begins with a paragraph")
		}
		if n.Type == "codeBlock" && len(c.Marks) > 0 {
			return errors.New("text in a codeBlock has no marks")
		}
		if err := d.walk(c, inner, b); err != nil {
			return err
		}
	}
	switch n.Type {
	case "paragraph", "heading", "codeBlock":
		b.WriteByte('\n')
	}
	return nil
}

func (d *adfDocument) check(n adfNode) error {
	switch n.Type {
	case "text":
		if n.Text == nil || *n.Text == "" {
			return errors.New("text must not be empty")
		}
		if len(n.Content) > 0 || len(n.Attrs) > 0 {
			return errors.New("text has neither content nor attrs")
		}
		code, other := false, false
		for _, m := range n.Marks {
			if !contains(adfMarks, m.Type) {
				return fmt.Errorf("unknown mark %q", m.Type)
			}
			code = code || m.Type == "code"
			other = other || (m.Type != "code" && m.Type != "link")
			if href, _ := m.Attrs["href"].(string); m.Type == "link" && href == "" {
				return errors.New("a link needs attrs.href")
			}
		}
		if code && other {
			return errors.New("the code mark combines with link only")
		}
		return nil
	case "heading":
		if level, ok := n.Attrs["level"].(float64); !ok || level < 1 || level > 6 || level != float64(int(level)) {
			return errors.New("a heading needs attrs.level from 1 to 6")
		}
	case "bulletList", "orderedList", "listItem", "blockquote", "panel":
		if len(n.Content) == 0 {
			return fmt.Errorf("%s must not be empty", n.Type)
		}
	}
	if n.Text != nil || len(n.Marks) > 0 {
		return fmt.Errorf("%s has neither text nor marks", n.Type)
	}
	return nil
}

func contains(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}
