package e2e

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pattern is what a route looks like in the sources.
var pattern = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE|HEAD) (/\S*)?$`)

// everyRoute lists what a running Throughline serves: the operations of the OpenAPI document,
// and every pattern of a mux in the sources. One that is put together is listed as it is
// written: GET path.
func everyRoute(t *testing.T) map[string]bool {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	b, err := os.ReadFile(filepath.Join(root, "schemas", "openapi", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for path, operations := range doc.Paths {
		for method := range operations {
			if pattern.MatchString(strings.ToUpper(method) + " " + path) {
				out[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	described := len(out)
	for _, folder := range []string{"services", filepath.Join("pkg", "httpserve")} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (strings.HasSuffix(name, "test") || d.Name() == "testdata" || d.Name() == "standalone"):
				return filepath.SkipDir // stands in for somebody else's server, or only puts the services together
			case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || d.Name() == "profiles.go":
				return nil // profiles have a port of their own
			}
			return patternsOf(name, out)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if described < 30 || len(out) < described+20 {
		t.Fatalf("found only %d routes, %d of them described", len(out), described)
	}
	return out
}

// patternsOf adds the patterns that a source file gives to a mux.
func patternsOf(name string, into map[string]bool) error {
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		return err
	}
	text := func(e ast.Expr) string {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, _ := strconv.Unquote(l.Value)
			return s
		}
		return ""
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			switch y := n.Y.(type) {
			case *ast.Ident:
				if pattern.MatchString(text(n.X)) && strings.HasSuffix(text(n.X), " ") {
					into[text(n.X)+y.Name] = true
				}
			case *ast.SelectorExpr:
				if p, ok := y.X.(*ast.Ident); ok && pattern.MatchString(text(n.X)) && strings.HasSuffix(text(n.X), " ") {
					into[text(n.X)+p.Name+"."+y.Sel.Name] = true
				}
			}
		case *ast.BasicLit:
			if s := text(n); pattern.MatchString(s) && !strings.HasSuffix(s, " ") {
				into[s] = true
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if ok && (sel.Sel.Name == "Handle" || sel.Sel.Name == "HandleFunc") && len(n.Args) == 2 && strings.HasPrefix(text(n.Args[0]), "/") && text(n.Args[0]) != "/" {
				into[text(n.Args[0])] = true
			}
		}
		return true
	})
	return nil
}
