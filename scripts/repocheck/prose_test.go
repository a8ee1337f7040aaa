package repocheck

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	fence    = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
	span     = regexp.MustCompile("`([^`\n]+)`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pathWord = regexp.MustCompile(`(?:^|[\s"'=(,:])((?:\./)?(?:services|pkg|schemas|deploy|scripts|\.ci)/[A-Za-z0-9_./*<>{}…-]*)`)
	rootFile = regexp.MustCompile(`^(?:README|CONTRIBUTING|CHANGELOG|ROUGH_EDGES)\.md$|^(?:Makefile|LICENSE|go\.work|go\.work\.sum)$`)
	makeWord = regexp.MustCompile(`(?:^|[\s;&(])make ([a-z][a-z-]*)`)
	command  = regexp.MustCompile(`(?:^|[;&|(]|\$ )\s*(?:\$\(BIN\)/|[\w./]*/)?throughline ([a-z][a-z-]*(?: [a-z][a-z|-]*)?)(?:\s|$)`)
)

// code lists what a document shows as code: the lines of fenced blocks, and code spans.
func code(text string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Split(m[1], "\n")...)
	}
	for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		out = append(out, m[1])
	}
	return out
}

// placeholder is what stands for a name in a path: <service>, {name}, …
var placeholder = regexp.MustCompile(`<[^>]*>|\{[^}]*\}|…|NNNN`)

// exists reports whether a path of the repository, or one that matches it, is there.
// What make builds or installs (bin, .cache) needs not be.
func exists(t *testing.T, p string) bool {
	t.Helper()
	p = strings.TrimSuffix(strings.TrimRight(p, ".,:;"), "/")
	p = strings.TrimSuffix(strings.TrimSuffix(p, "/..."), "/")
	p = placeholder.ReplaceAllString(p, "*")
	if p == "" || p == "bin" || strings.HasPrefix(p, "bin/") || strings.HasPrefix(p, ".cache") {
		return true
	}
	found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(p)))
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return len(found) > 0
}

// fixtures are documents that are data, not prose.
var fixtures = []string{"schemas/trackers/", "/testdata/"}

func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range filesEnding(t, ".md") {
		if !slices.ContainsFunc(fixtures, func(d string) bool { return strings.Contains(f, d) }) {
			out = append(out, f)
		}
	}
	return out
}

// A document that names a file names one that is there. Paths are from the root, or from
// the document's folder or its module's.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	if exists(t, "pkg/nowhere") || !exists(t, "pkg/bus/topology.go") || !exists(t, "services/<service>/go.mod") {
		t.Fatal("the rule cannot tell what exists")
	}
	for _, f := range documents(t) {
		text := read(t, f)
		for _, c := range code(text) {
			for _, m := range pathWord.FindAllStringSubmatch(c, -1) {
				p := strings.TrimPrefix(m[1], "./")
				if !exists(t, p) && !exists(t, path.Join(path.Dir(f), p)) {
					t.Errorf("%s names %s, which is not there", f, m[1])
				}
			}
			if rootFile.MatchString(c) && !exists(t, c) && !exists(t, path.Join(path.Dir(f), c)) {
				t.Errorf("%s names %s, which is not there", f, c)
			}
		}
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path.Dir(f), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", f, m[1])
			}
		}
	}
}

func TestDocumentsNameTargetsThatExist(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	if !targets["test"] || targets["nonsense"] {
		t.Fatalf("the Makefile has the targets %v", targets)
	}
	n := 0
	for _, f := range documents(t) {
		for _, c := range code(read(t, f)) {
			for _, m := range makeWord.FindAllStringSubmatch(c, -1) {
				n++
				if !targets[m[1]] {
					t.Errorf("%s says make %s, and the Makefile has no such target", f, m[1])
				}
			}
		}
	}
	if n == 0 {
		t.Error("no document names a target of the Makefile, so this test sees nothing")
	}
}

// commandsOf reads the commands of the all-in-one from its kong structs: "eval cluster"
// for a command below a command.
func commandsOf(all []*source) map[string]bool {
	structs := map[string]*ast.StructType{}
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if ts, ok := n.(*ast.TypeSpec); ok {
				if st, ok := ts.Type.(*ast.StructType); ok {
					structs[ts.Name.Name] = st
				}
			}
			return true
		})
	}
	out := map[string]bool{}
	var walk func(st *ast.StructType, prefix string)
	walk = func(st *ast.StructType, prefix string) {
		for _, f := range st.Fields.List {
			if f.Tag == nil || len(f.Names) != 1 {
				continue
			}
			raw, _ := strconv.Unquote(f.Tag.Value)
			tag := reflect.StructTag(raw)
			if _, ok := tag.Lookup("cmd"); !ok {
				continue
			}
			name := tag.Get("name")
			if name == "" {
				name = strings.Join(splitName(f.Names[0].Name), "-")
			}
			out[prefix+name] = true
			for alias := range strings.SplitSeq(tag.Get("aliases"), ",") {
				if alias != "" {
					out[prefix+alias] = true
				}
			}
			switch typ := f.Type.(type) {
			case *ast.Ident:
				if inner, ok := structs[typ.Name]; ok {
					walk(inner, prefix+name+" ")
				}
			case *ast.StructType:
				walk(typ, prefix+name+" ")
			}
		}
	}
	if st, ok := structs["Commands"]; ok {
		walk(st, "")
	}
	return out
}

// Every command that a document, or the text of a program, tells people to run is there.
func TestNamedCommandsExist(t *testing.T) {
	t.Parallel()
	var cli []*source
	for _, s := range sources(t) {
		if strings.HasPrefix(s.pkg, "services/standalone/") && !s.test {
			cli = append(cli, s)
		}
	}
	commands := commandsOf(cli)
	if !commands["up"] || !commands["config check"] {
		t.Fatalf("the commands read from services/standalone are %v", commands)
	}
	parents := map[string]bool{}
	for c := range commands {
		if parent, _, ok := strings.Cut(c, " "); ok {
			parents[parent] = true
		}
	}
	missing := func(said string) string {
		first, second, _ := strings.Cut(said, " ")
		if !commands[first] {
			return first
		}
		if second == "" || !parents[first] {
			return ""
		}
		for one := range strings.SplitSeq(second, "|") {
			if !commands[first+" "+one] {
				return first + " " + one
			}
		}
		return ""
	}
	if missing("nonsense") == "" || missing("config nonsense") == "" || missing("config check") != "" {
		t.Fatal("the rule cannot tell which commands exist")
	}
	look := func(where, text string) {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			if c := missing(m[1]); c != "" {
				t.Errorf("%s says throughline %s, and there is no such command", where, c)
			}
		}
	}
	for _, f := range documents(t) {
		for _, c := range code(read(t, f)) {
			look(f, c)
		}
	}
	look("Makefile", strings.Join(regexp.MustCompile(`(?m)^\t.*$`).FindAllString(read(t, "Makefile"), -1), "\n"))
	for _, s := range sources(t) {
		if s.helper() || s.pkg == "scripts/repocheck" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && strings.Contains(lit.Value, "throughline ") {
				// A string of a program says a command in backquotes, or starts with it.
				v, err := strconv.Unquote(lit.Value)
				if err == nil {
					for _, m := range span.FindAllStringSubmatch(v, -1) {
						look(s.pos(lit), m[1])
					}
				}
			}
			return true
		})
	}
}

// Go comments name files too.
func TestCommentsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.pkg == "scripts/repocheck" {
			continue
		}
		for _, g := range s.file.Comments {
			for _, m := range regexp.MustCompile(`\b((?:services|pkg|schemas|deploy|scripts)/[A-Za-z0-9_/.*-]+\.(?:go|md|sql|json|sh|yaml|graphql))\b`).FindAllStringSubmatch(g.Text(), -1) {
				if !exists(t, m[1]) {
					t.Errorf("%s names %s, which is not there", s.pos(g), m[1])
				}
			}
		}
	}
}
