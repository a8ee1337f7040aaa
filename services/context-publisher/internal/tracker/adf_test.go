package tracker

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/schemas/trackers"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest/recorded"
)

func TestADF(t *testing.T) {
	t.Parallel()
	texts, err := fs.Glob(trackers.Files, "adf/*.md")
	if err != nil || len(texts) < 3 {
		t.Fatalf("texts = %v, err = %v", texts, err)
	}
	for _, name := range texts {
		text, err := trackers.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		recorded.Compare(t, strings.TrimSuffix(name, ".md")+".json", json.RawMessage(encodeADF(renderADF("Customer context", markup.Parse(string(text))))))
	}
}

func TestADFOfNothingIsADocument(t *testing.T) {
	t.Parallel()
	if got, want := encodeADF(renderADF("", nil)), `{"type":"doc","version":1,"content":[{"type":"paragraph"}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestADFText(t *testing.T) {
	t.Parallel()
	var doc adfNode
	raw := `{"type":"doc","version":1,"content":[
	 {"type":"heading","attrs":{"level":1},"content":[{"type":"text","text":"Export"}]},
	 {"type":"paragraph","content":[{"type":"text","text":"Hi "},{"type":"mention","attrs":{"id":"x","text":"@Ann"}},{"type":"hardBreak"},{"type":"inlineCard","attrs":{"url":"https://acme.example"}}]},
	 {"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"one"}]}]}]},
	 {"type":"mediaSingle","content":[{"type":"media","attrs":{"id":"1"}}]},
	 {"type":"panel","content":[{"type":"paragraph","content":[{"type":"text","text":"note"}]}]}]}`
	if err := json.Unmarshal([]byte(raw), &doc); err != nil {
		t.Fatal(err)
	}
	if got, want := adfText(doc), "Export\nHi @Ann\nhttps://acme.example\n- one\n\nnote"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRenderMarkdown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"marks":       {"a **b** `c` [d](https://x.example/(e))", "a **b** `c` [d](https://x.example/%28e%29)"},
		"space stays": {"**a** b, **c **d", "**a** b, **c** d"},
		"mention":     {"@octocat and a@b.example", "@\u200boctocat and a@\u200bb.example"},
		"references":  {"#1, GH-2, acme/app#3, C# 4", "\\#\u200b1, GH-\u200b2, acme/app\\#\u200b3, C\\# 4"},
		"addresses":   {"https://x.example www.x.example", "https:\u200b//x.example www.\u200bx.example"},
		"html":        {"<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;"},
		"line starts": {"1. a\n+ b\n=== c\n12) d", "1\\. a\n\\+ b\n\\=== c\n12\\) d"},
		"quote":       {"> a\n> **b**\n>\n> c", "> a\n> \\*\\*b\\*\\*\n>\n> c"},
		"fence":       {"```go\na\n````\n", "```go\na\n```"},
		"fence holds": {"````\n```\n````", "````\n```\n````"},
		"list":        {"- a\n  b\n  - c", "- a\n  b\n  - c"},
		"heading":     {"# a", "#### a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := renderMarkdown("", markup.Parse(c.text)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestLinearCommentID(t *testing.T) {
	t.Parallel()
	// Fixed for life: another id would write every block again.
	if got, want := linearCommentID("3443a709-f2b5-46f2-a136-a0445fd432be", 0), "9e7f763f-6ff6-47aa-9fa0-374949baf04a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if linearCommentID("a", 0) == linearCommentID("a", 1) || linearCommentID("a", 0) == linearCommentID("b", 0) {
		t.Error("ids are not distinct")
	}
}
