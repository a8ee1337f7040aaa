package repocheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/throughline-dev/throughline/"

var update = flag.Bool("update", false, "write the generated tables anew")

// root is the repository, as seen from this package's folder.
const root = "../.."

// source is one Go file.
type source struct {
	path    string // from the root, with slashes
	pkg     string // import path without the module prefix
	test    bool   // a _test.go file
	fset    *token.FileSet
	file    *ast.File
	imports map[string]string // local name to import path
}

// pos names a place as file:line.
func (s *source) pos(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// helper reports whether the file is test code, in a _test.go file or in a *test package.
func (s *source) helper() bool { return s.test || testPackage(s.pkg) }

// selects reports the import path and the name that an expression such as time.Now selects.
func (s *source) selects(e ast.Node) (from, name string, ok bool) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", "", false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil { // a local variable that has the name of a package
		return "", "", false
	}
	from, ok = s.imports[id.Name]
	return from, sel.Sel.Name, ok
}

// testPackage reports whether a package is test code by its name: bustest, or what lies
// below one.
func testPackage(pkg string) bool {
	for p := range strings.SplitSeq(pkg, "/") {
		if strings.HasSuffix(p, "test") && p != "test" {
			return true
		}
	}
	return false
}

func parseSource(name string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	s := &source{path: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: fset, file: f, imports: map[string]string{}}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		local := path.Base(p)
		if strings.HasPrefix(local, "v") && len(local) == 2 { // math/rand/v2
			local = path.Base(path.Dir(p))
		}
		if i.Name != nil {
			local = i.Name.Name
		}
		s.imports[local] = p
	}
	return s, nil
}

// ignored are folders of what is built, installed or kept, never of the repository itself.
var ignored = []string{".git", ".cache", "bin", "data", "node_modules"}

// files lists every file of the repository, from its root.
var files = sync.OnceValues(func() ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) { // a file that an editor replaced meanwhile
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && slices.Contains(ignored, d.Name()) && (path.Dir(rel) == "." || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.Type().IsRegular() && !strings.HasSuffix(rel, ".test") && !strings.HasSuffix(rel, ".prof"):
			out = append(out, rel)
		}
		return nil
	})
	return out, err
})

func allFiles(t *testing.T) []string {
	t.Helper()
	out, err := files()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func filesEnding(t *testing.T, suffix string) []string {
	t.Helper()
	var out []string
	for _, f := range allFiles(t) {
		if strings.HasSuffix(f, suffix) {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no file ends in %s", suffix)
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// contents is the text of every file of the repository, by path. A file that went away
// since the folder was read, as editors replace files, is left out.
func contents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range allFiles(t) {
		b, err := os.ReadFile(filepath.Join(root, f))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			t.Fatal(err)
		default:
			out[f] = string(b)
		}
	}
	return out
}

var parsed = sync.OnceValues(func() ([]*source, error) {
	names, err := files()
	if err != nil {
		return nil, err
	}
	var out []*source
	for _, f := range names {
		if !strings.HasSuffix(f, ".go") || strings.Contains(f, "/testdata/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, f))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := parseSource(f, b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
})

// sources are all Go files of the repository.
func sources(t *testing.T) []*source {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found only %d Go files", len(out))
	}
	return out
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Name, Dir, Doc         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
	Module                             *struct{ Path, Version string }
	Error                              *struct{ Err string }
	DepsErrors                         []struct{ Err string }
}

var graph = sync.OnceValues(func() (map[string]*listed, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Name,Dir,Doc,Standard,Imports,TestImports,XTestImports,Module,Error,DepsErrors", "work")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=") // the workspace's go.work, whatever the caller has
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	all := map[string]*listed{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all[p.ImportPath] = p
	}
})

// packages are the repository's own packages by import path without the module prefix.
func packages(t *testing.T) map[string]*listed {
	t.Helper()
	all, err := graph()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]*listed{}
	for p, l := range all {
		if rel, ok := strings.CutPrefix(p, module); ok {
			own[rel] = l
		}
	}
	if len(own) < 30 {
		t.Fatalf("found only %d packages", len(own))
	}
	return own
}

// matches reports whether a package matches a pattern: a path, "a/*" for one element
// below, "a/..." for a and everything below, "*test" for test packages.
func matches(pattern, pkg string) bool {
	switch {
	case pattern == "*test":
		return testPackage(pkg)
	case strings.HasSuffix(pattern, "/..."):
		base := strings.TrimSuffix(pattern, "/...")
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	case strings.HasSuffix(pattern, "/*"):
		return path.Dir(pkg) == strings.TrimSuffix(pattern, "/*")
	}
	return pkg == pattern
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// exception lets one place break a rule.
type exception struct{ where, reason string }

// except splits findings into those that stand and those that an exception covers, and
// reports exceptions that nothing needs. A finding starts with its place.
func except(t *testing.T, findings []string, exceptions []exception) {
	t.Helper()
	used := make([]bool, len(exceptions))
next:
	for _, f := range findings {
		for i, e := range exceptions {
			if strings.HasPrefix(f, e.where) {
				used[i] = true
				continue next
			}
		}
		t.Error(f)
	}
	for i, e := range exceptions {
		if !used[i] {
			t.Errorf("the exception for %s (%s) is obsolete: remove it", e.where, e.reason)
		}
	}
}

// compare fails where a generated part of a document is not what the code says, or
// writes it with -update. The part stands between two markers with its name.
func compare(t *testing.T, file, name, want string) {
	t.Helper()
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	text := read(t, file)
	head, rest, ok := strings.Cut(text, begin)
	if !ok {
		t.Fatalf("%s has no marker %q", file, strings.TrimSpace(begin))
	}
	have, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no marker %q", file, end)
	}
	if have == want {
		return
	}
	if !*update {
		t.Errorf("%s: the table %q is not what the code says; run go test ./scripts/repocheck -update and read the change\n--- have\n%s--- want\n%s", file, name, have, want)
		return
	}
	if err := os.WriteFile(filepath.Join(root, file), []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
