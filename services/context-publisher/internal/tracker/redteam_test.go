package tracker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	briefs "github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest"
)

// TestRedTeam writes a brief full of each hostile text into each tracker, and looks for
// its words outside of the block's quotes and for what the vendor would act on.
func TestRedTeam(t *testing.T) {
	t.Parallel()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for vendor, f := range map[feedback.Tracker]*trackertest.Fixture{
				feedback.Jira: openJira(t), feedback.Linear: openLinear(t), feedback.GitHub: openGitHub(t, false),
			} {
				var ref *tracker.Ref
				for i, x := range of {
					title, text := briefs.Block(hostileBrief(t, x.Text), nil, 0)
					got, _, err := f.Open().Upsert(t.Context(), f.Key, ref, tracker.Block{Title: title, Markdown: text, Revision: 2, Hash: fmt.Sprint(i),
						URL: "https://throughline.example/t", Recreate: true})
					if err != nil {
						t.Fatalf("%s: %s: %v", x.Canary, vendor, err)
					}
					ref = &got
					block := f.Blocks()[0]
					if vendor == feedback.Jira {
						checkADF(t, x.Canary, block)
					} else {
						f.CheckLiteral(t, block)
					}
					outside := outsideQuotes(t, vendor, block)
					if !strings.Contains(block, x.Canary) {
						t.Errorf("%s is not in the block of %s, so that this shows nothing", x.Canary, vendor)
					}
					if strings.Contains(outside, x.Canary) {
						t.Errorf("%s: left its quote in %s: %s", x.Canary, vendor, outside)
					}
				}
			}
		})
	}
}

func hostileBrief(t *testing.T, words string) briefs.Brief {
	t.Helper()
	world := apitest.New()
	b, err := world.FillWith("acme", words).Brief(t.Context(), feedback.Jira, "PROJ-142", 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var plainNode = map[string]bool{"doc": true, "heading": true, "paragraph": true, "blockquote": true, "bulletList": true, "listItem": true,
	"text": true, "hardBreak": true, "strong": true, "link": true, "code": true}

// checkADF refuses every node and mark that could act (a mention, a card, a panel, media),
// and links that are not a source's.
func checkADF(t *testing.T, canary, block string) {
	t.Helper()
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if kind, ok := v["type"].(string); ok && !plainNode[kind] {
				t.Errorf("%s: made a node of type %s", canary, kind)
			}
			if href, ok := v["href"].(string); ok && !strings.Contains(href, ".example/c/") {
				t.Errorf("%s: made a link to %s", canary, href)
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var doc any
	if err := json.Unmarshal([]byte(block), &doc); err != nil {
		t.Fatal(err)
	}
	walk(doc)
}

// outsideQuotes is what a block says in our own words.
func outsideQuotes(t *testing.T, vendor feedback.Tracker, block string) string {
	t.Helper()
	var out strings.Builder
	if vendor != feedback.Jira {
		for line := range strings.SplitSeq(block, "\n") {
			if !strings.HasPrefix(line, ">") {
				out.WriteString(line + "\n")
			}
		}
		return out.String()
	}
	var doc any
	if err := json.Unmarshal([]byte(block), &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["type"] == "blockquote" {
				return
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case string:
			out.WriteString(v + "\n")
		}
	}
	walk(doc)
	return out.String()
}
