package redteam_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
)

func set(t *testing.T) []redteam.Text {
	t.Helper()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestTheSetIsWhatItSays(t *testing.T) {
	t.Parallel()
	texts := set(t)
	classes := redteam.Classes(texts)
	if len(texts) < 60 || len(classes) < 12 {
		t.Fatalf("%d texts in %d classes", len(texts), len(classes))
	}
	for class, of := range classes {
		if len(of) < 3 {
			t.Errorf("%s has only %d texts", class, len(of))
		}
	}
	seen := map[string]bool{}
	for _, x := range texts {
		if !regexp.MustCompile(`^[a-z]+[0-9]{2}$`).MatchString(x.Canary) || seen[x.Canary] || !strings.Contains(x.Text, x.Canary) {
			t.Errorf("%s: canary %q is not a word of its own", x.Class, x.Canary)
		}
		seen[x.Canary] = true
	}
}

// opens is what a block, a name or a field must not hold: the beginning of an element or
// of a model's token, of an image, of a fence.
var opens = regexp.MustCompile(`<[\pL/!?|\[_]|!\[|⟦|⟧`)

func TestNothingLeavesItsFence(t *testing.T) {
	t.Parallel()
	for class, of := range redteam.Classes(set(t)) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for _, x := range of {
				f, err := fence.New(bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 0, 0}))
				if err != nil {
					t.Fatal(err)
				}
				block := f.Block(fence.Quote{Source: x.Text, Item: x.Text, Text: x.Text})
				lines := strings.Split(block, "\n")
				for _, line := range lines[1 : len(lines)-1] {
					if !strings.HasPrefix(line, "> ") || opens.MatchString(line) {
						t.Errorf("%s: %q", x.Canary, line)
					}
				}
				if strings.Count(block, f.ID()) != 2 {
					t.Errorf("%s: the delimiter was written by the customer: %q", x.Canary, block)
				}
				for name, inline := range map[string]string{"inline": f.Inline(x.Text), "field": f.Field(x.Text)} {
					inner, ok := strings.CutPrefix(strings.TrimSuffix(inline, "⟧"), "⟦"+f.ID()+" ")
					if !ok || opens.MatchString(inner) || strings.ContainsAny(inline, "\n\r") {
						t.Errorf("%s: %s %q", x.Canary, name, inline)
					}
				}
				for _, r := range block {
					if r != '\n' && r != '\t' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Variation_Selector, r)) {
						t.Errorf("%s: hidden character %U", x.Canary, r)
					}
				}
			}
		})
	}
}
