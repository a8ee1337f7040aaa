package mcpserver_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mcpserver"
)

var (
	fencedBlock  = regexp.MustCompile(`(?s)<customer-words [0-9a-f]{16} source=[\w-]+ item=[\w-]+(?: said=[\d-]+)?>\n(?:> [^\n]*\n)+</customer-words [0-9a-f]{16}>`)
	fencedInline = regexp.MustCompile(`⟦[0-9a-f]{16} [^⟦⟧\n]*⟧`)
	elementMark  = regexp.MustCompile(`</?[\pL!?|\[]`)
)

// TestRedTeam puts each hostile text wherever somebody outside can write, takes every
// answer there is, and looks for its words outside of the fences.
func TestRedTeam(t *testing.T) {
	t.Parallel()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for _, x := range of {
				shown := 0
				for name, answer := range everyAnswer(t, x) {
					if strings.Contains(answer, x.Canary) {
						shown++
					}
					outside := fencedInline.ReplaceAllString(fencedBlock.ReplaceAllString(answer, ""), "")
					if strings.Contains(outside, x.Canary) {
						t.Errorf("%s: %s left its fence in %s", x.Canary, name, outside)
					}
					// Two marks of each block are ours, and so is the notice.
					inside := strings.ReplaceAll(strings.ReplaceAll(answer, "</customer-words ", ""), "<customer-words ", "")
					if m := elementMark.FindString(inside); m != "" || strings.Contains(answer, "![") {
						t.Errorf("%s: %s has markup %q", x.Canary, name, m)
					}
					for _, r := range answer {
						if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) {
							t.Errorf("%s: %s has the hidden character %U", x.Canary, name, r)
						}
					}
				}
				if shown == 0 {
					t.Errorf("%s is in no answer, so that this shows nothing", x.Canary)
				}
			}
		})
	}
}

// everyAnswer asks everything that can be asked of a workspace in which x was said.
func everyAnswer(t *testing.T, x redteam.Text) map[string]string {
	t.Helper()
	world := apitest.New()
	world.FillWith("acme", x.Text)
	near, far := mcp.NewInMemoryTransports()
	server, err := mcpserver.NewWorkspace(world.Open("acme"), offer).Connect(t.Context(), near)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, nil).Connect(t.Context(), far, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	answers := map[string]string{}
	asks := map[string]map[string]any{
		"get_ticket_context": {"ticket": "PROJ-142"}, "whats_changed": {"ticket": "PROJ-142", "since_revision": 1}, "search_feedback": {"query": x.Canary},
		"list_clusters": {}, "list_tickets": {}, "get_cluster": {"id": world.Workspace("acme").First()},
		"get_quote": {"item": feedback.ID("itm", "acme", x.Text), "words": x.Text},
	}
	for tool, args := range asks {
		text, data, _ := call(t, s, tool, args)
		answers[tool] = text
		answers[tool+" data"] = strings.Join(leaves(data, nil), "\n")
	}
	read, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: mcpserver.BriefURI(feedback.Jira, "PROJ-142")})
	if err != nil {
		t.Fatal(err)
	}
	answers["resource"] = read.Contents[0].Text
	prompt, err := s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "start_ticket", Arguments: map[string]string{"ticket": "PROJ-142"}})
	if err != nil {
		t.Fatal(err)
	}
	answers["prompt"] = prompt.Messages[0].Content.(*mcp.TextContent).Text
	// What asks for the words themselves is told of nothing it said.
	for tool, args := range map[string]map[string]any{
		"get_ticket_context": {"ticket": x.Text}, "get_cluster": {"id": x.Text}, "list_clusters": {"kind": x.Text}, "get_quote": {"item": x.Text},
	} {
		res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
		if err != nil {
			t.Fatal(err)
		}
		answers["hostile question to "+tool] = res.Content[0].(*mcp.TextContent).Text
	}
	return answers
}

// leaves lists every text in structured data, and every name of a field.
func leaves(v any, out []string) []string {
	switch v := v.(type) {
	case string:
		return append(out, v)
	case []any:
		for _, x := range v {
			out = leaves(x, out)
		}
	case map[string]any:
		for k, x := range v {
			out = leaves(x, append(out, k))
		}
	}
	return out
}
