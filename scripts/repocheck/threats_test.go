package repocheck

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// threats is the guide that names a test beside each threat.
const threats = "deploy/guides/threat-model.md"

// Every test that the threat model names is there, and every threat has one.
func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				there[f.Name.Name] = true
			}
		}
	}
	_, table, found := strings.Cut(read(t, threats), "\n## Threats\n")
	table, _, closed := strings.Cut(table, "\n## ")
	if !found || !closed {
		t.Fatalf("%s has no section of threats", threats)
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "threat" {
			continue
		}
		rows++
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(named) == 0 {
			t.Errorf("%s: nothing shows what stands against: %s", threats, strings.TrimSpace(cells[0]))
		}
		for _, n := range named {
			if !there[n[1]] {
				t.Errorf("%s names %s, which is no test", threats, n[1])
			}
		}
	}
	if rows < 15 {
		t.Errorf("found only %d threats", rows)
	}
}

// Every query of a service over a table that has workspaces says whose rows it reads.
func TestEveryQueryNamesItsWorkspace(t *testing.T) {
	t.Parallel()
	tables := map[string]bool{}
	for _, f := range filesEnding(t, ".sql") {
		for _, m := range regexp.MustCompile(`(?s)CREATE (?:TABLE|OR REPLACE VIEW|VIEW)(?: IF NOT EXISTS)? ([a-z_]+)(.*?)(?:;|$)`).FindAllStringSubmatch(read(t, f), -1) {
			if strings.Contains(m[2], "workspace") {
				tables[m[1]] = true
			}
		}
	}
	if len(tables) < 15 {
		t.Fatalf("found only %d tables with workspaces", len(tables))
	}
	from := regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|ALTER TABLE)\s+([a-z_]+)`)
	queries := 0
	var findings []string
	for _, s := range sources(t) {
		if s.helper() || !strings.HasPrefix(s.pkg, "services/") {
			continue
		}
		var in *ast.FuncDecl
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				in = f
			}
			text, whole := "", false
			switch n := n.(type) {
			case *ast.BinaryExpr: // a query in pieces
				text, whole = literals(n)+conditions(in, n), true
			case *ast.BasicLit:
				text = literals(n)
			default:
				return true
			}
			for _, m := range from.FindAllStringSubmatch(text, -1) {
				if !tables[m[1]] {
					continue
				}
				if queries++; !strings.Contains(text, "workspace") {
					findings = append(findings, s.pos(n)+": a query of "+m[1]+" names no workspace")
				}
				break
			}
			return !whole
		})
	}
	if queries < 30 {
		t.Fatalf("found only %d queries", queries)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// conditions are the strings that are put into the variables which an expression names: a list
// of conditions is often made before the query that has them.
func conditions(in *ast.FuncDecl, e ast.Expr) string {
	named, out := map[string]bool{}, ""
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			named[id.Name] = true
		}
		return true
	})
	if in == nil {
		return ""
	}
	ast.Inspect(in, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for i, left := range a.Lhs {
				if id, ok := left.(*ast.Ident); ok && named[id.Name] && len(a.Rhs) == len(a.Lhs) {
					out += literals(a.Rhs[i])
				}
			}
		}
		return true
	})
	return out
}

// literals are the strings that an expression is put together from.
func literals(e ast.Expr) string {
	out := ""
	ast.Inspect(e, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				out += s
			}
		}
		return true
	})
	return out
}
