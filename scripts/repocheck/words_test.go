package repocheck

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// banned are words that have another word here, in every form that a name takes.
var banned = map[string]string{
	"insight": "signal", "insights": "signals",
	"theme": "cluster", "themes": "clusters",
	"topic": "cluster", "topics": "clusters",
	"org": "workspace", "orgs": "workspaces",
	"blob": "brief", "blobs": "briefs",
	"poison": "dead letter", "poisoned": "dead letter",
	"membership": "assignment", "memberships": "assignments",
	"integration": "connection", "integrations": "connections",
}

// vendors are the packages whose tagged fields have a vendor's names, not ours.
var vendors = []string{
	"services/ingestor/internal/source/*", "services/ingestor/internal/ticket/*", "services/ingestor/internal/intake", "services/ingestor/internal/signature",
	"services/context-publisher/internal/tracker/...", "services/context-publisher/internal/slackpost", "pkg/vendortest", "pkg/embed",
	"services/standalone/internal/...",
}

var wordExceptions = []exception{}

// named is a name that others see, with where it is.
type named struct{ where, name string }

// splitName cuts a name into its lower-case words: ItemID, item_id and item-id.
func splitName(name string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	rs := []rune(name)
	for i, r := range rs {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])):
			flush()
		}
		word = append(word, r)
	}
	flush()
	return words
}

// names lists the exported identifiers and the JSON names of a file.
func names(s *source) []named {
	var out []named
	add := func(id *ast.Ident) {
		if id.IsExported() {
			out = append(out, named{s.pos(id), id.Name})
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.Field:
			if n.Tag != nil && matchesAny(vendors, s.pkg) {
				return true // named like the vendor's property that it reads
			}
			for _, id := range n.Names {
				add(id)
			}
			if n.Tag != nil {
				tag, _ := strconv.Unquote(n.Tag.Value)
				for _, key := range []string{"json", "yaml", "ch"} {
					if name, _, _ := strings.Cut(reflect.StructTag(tag).Get(key), ","); name != "" && name != "-" {
						out = append(out, named{s.pos(n), name})
					}
				}
			}
		}
		return true
	})
	return out
}

var column = regexp.MustCompile(`(?m)^    ([a-z_]+)\s+[A-Z]`)

func TestNamesUseTheWordsOfTheProduct(t *testing.T) {
	t.Parallel()
	if got := splitName("ThemeIDOf_org-unit"); !slices.Equal(got, []string{"theme", "id", "of", "org", "unit"}) {
		t.Fatalf("cut into %v", got)
	}
	if got := names(sample(t, "pkg/p/p.go", "package p\ntype Theme struct { A int `json:\"org_id\"` }")); len(got) != 3 {
		t.Fatalf("found %v", got)
	}
	var all []named
	for _, s := range sources(t) {
		if !s.test {
			all = append(all, names(s)...)
		}
	}
	for _, f := range filesEnding(t, ".sql") {
		for _, m := range column.FindAllStringSubmatch(read(t, f), -1) {
			all = append(all, named{f, m[1]})
		}
	}
	for _, f := range filesEnding(t, ".schema.json") {
		var doc any
		if err := json.Unmarshal([]byte(read(t, f)), &doc); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, p := range properties(doc) {
			all = append(all, named{f, p})
		}
	}
	for _, m := range metricsOf(t) {
		all = append(all, named{m.pos, m.name})
	}
	if len(all) < 1000 {
		t.Fatalf("found only %d names", len(all))
	}
	var findings []string
	for _, n := range all {
		for _, w := range splitName(n.name) {
			if better, ok := banned[w]; ok {
				findings = append(findings, fmt.Sprintf("%s: %s says %q; the word is %q", n.where, n.name, w, better))
			}
		}
	}
	except(t, findings, wordExceptions)
}

// properties lists the names of every property that a JSON Schema describes.
func properties(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		if p, ok := v["properties"].(map[string]any); ok {
			for name := range p {
				out = append(out, name)
			}
		}
		for _, inner := range v {
			out = append(out, properties(inner)...)
		}
	case []any:
		for _, inner := range v {
			out = append(out, properties(inner)...)
		}
	}
	return out
}
