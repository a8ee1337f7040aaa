package repocheck

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"
)

// undocumented lists the exported declarations of a file that have no comment, and
// those whose comment does not start with their name.
func undocumented(s *source) []string {
	var out []string
	note := func(n ast.Node, name string, grouped bool, docs ...*ast.CommentGroup) {
		for _, d := range docs {
			if d == nil || strings.TrimSpace(d.Text()) == "" {
				continue
			}
			first := strings.Fields(d.Text())
			if len(first) > 1 && (first[0] == "A" || first[0] == "An" || first[0] == "The") {
				first = first[1:]
			}
			if !grouped && strings.TrimRight(first[0], ",.:") != name {
				out = append(out, s.pos(n)+": the comment on "+name+" does not start with its name")
			}
			return
		}
		out = append(out, s.pos(n)+": "+name+" has no comment")
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d)) && !obvious(d) {
				note(d, d.Name.Name, false, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						note(spec, spec.Name.Name, d.Lparen.IsValid(), spec.Doc, d.Doc, spec.Comment)
					}
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						if n.IsExported() && d.Tok != token.IMPORT {
							// A line's own comment, or one for the group.
							note(n, n.Name, d.Lparen.IsValid() || len(spec.Names) > 1 || spec.Comment != nil && d.Doc == nil, spec.Doc, spec.Comment, d.Doc)
						}
					}
				}
			}
		}
	}
	return out
}

func exportedReceiver(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// obvious reports methods whose promise is their interface's.
func obvious(d *ast.FuncDecl) bool {
	return d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "Unwrap") && d.Type.Params.NumFields() == 0
}

// promised are the packages whose exported names are promises to other packages.
func promised(s *source) bool {
	return !s.test && s.file.Name.Name != "main" &&
		(strings.HasPrefix(s.pkg, "pkg/") && !strings.Contains(s.pkg, "/internal/") || path.Dir(s.pkg) == "services" || strings.HasPrefix(s.pkg+"/", "schemas/"))
}

func TestExportedNamesHaveComments(t *testing.T) {
	t.Parallel()
	bad := sample(t, "pkg/p/p.go", "package p\n\n// Wrong start.\nfunc F() {}\n\ntype T int\n\nfunc (T) M() {}\n\nvar V, W int\n")
	if got := undocumented(bad); len(got) != 5 {
		t.Fatalf("found %d of 5: %v", len(got), got)
	}
	for _, s := range sources(t) {
		if promised(s) {
			for _, f := range undocumented(s) {
				t.Error(f + ": say what it promises, its units, and what it returns when things go wrong")
			}
		}
	}
}

func TestPackagesHaveComments(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		if p.Error == nil && p.Doc == "" && !onlyTests(t, name) {
			t.Errorf("package %s has no comment: say what it is for, what it promises and what it refuses", name)
		}
		if want := "Package " + p.Name + " "; p.Doc != "" && p.Name != "main" && !strings.HasPrefix(p.Doc, want) {
			t.Errorf("package %s: its comment starts %q, not %q", name, p.Doc[:min(len(p.Doc), 30)], want)
		}
		if p.Name == "main" && p.Doc != "" && !strings.HasPrefix(p.Doc, "Command ") {
			t.Errorf("package %s: its comment starts %q, not %q", name, p.Doc[:min(len(p.Doc), 30)], "Command ")
		}
	}
}

// onlyTests reports whether a folder holds nothing but _test.go files.
func onlyTests(t *testing.T, pkg string) bool {
	t.Helper()
	for _, s := range sources(t) {
		if s.pkg == pkg && !s.test {
			return false
		}
	}
	return true
}
