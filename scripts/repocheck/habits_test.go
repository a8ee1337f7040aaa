package repocheck

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// habit is something that code must not do. find lists the places in a file; bad is a
// file in which it finds one.
type habit struct {
	name, reason string
	bad          string // source text
	badPath      string
	find         func(s *source) []string
	exceptions   []exception
}

// uses makes a finder of selected names, such as time.Sleep.
func uses(where func(*source) bool, from string, names ...string) func(*source) []string {
	return func(s *source) []string {
		if !where(s) {
			return nil
		}
		var out []string
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, name, ok := s.selects(n); ok && f == from && (names == nil || slices.Contains(names, name)) {
				out = append(out, s.pos(n)+": "+from+"."+name)
			}
			return true
		})
		return out
	}
}

func inTests(s *source) bool      { return s.helper() }
func outsideTests(s *source) bool { return !s.helper() }
func everywhere(*source) bool     { return true }

// inMain reports whether a file is what a binary is started with.
func inMain(s *source) bool { return s.file.Name.Name == "main" || s.pkg == "pkg/process" }

var habits = []habit{
	{
		name: "sleep in a test", reason: "wait for the event, not for time: a sleep is too short on a busy machine and too long on any other",
		badPath: "p/p_test.go", bad: `package p; import "time"; func f() { time.Sleep(1) }`,
		find: uses(inTests, "time", "Sleep"),
	},
	{
		name: "skipped test", reason: "a test that skips is a test that nobody runs; fail when what it needs is missing",
		badPath: "p/p_test.go", bad: `package p; import "testing"; func TestA(t *testing.T) { t.Skip("no docker") }`,
		find: func(s *source) []string {
			var out []string
			ast.Inspect(s.file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !s.helper() {
					return true
				}
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
					if id, ok := sel.X.(*ast.Ident); ok && slices.Contains([]string{"t", "b", "f", "tb"}, id.Name) {
						out = append(out, s.pos(n)+": "+id.Name+"."+sel.Sel.Name)
					}
				}
				return true
			})
			return out
		},
	},
	{
		name: "init function", reason: "importing a package must do nothing; say in New or in main what is to happen",
		badPath: "p/p.go", bad: `package p; func init() {}`,
		find: func(s *source) []string {
			var out []string
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					out = append(out, s.pos(f)+": func init")
				}
			}
			return out
		},
	},
	{
		name: "global collector", reason: "four services share a process, and tests run two of them: register with the injected prometheus.Registerer",
		badPath: "p/p.go", bad: `package p; import "github.com/prometheus/client_golang/prometheus"; var c = prometheus.NewCounter(prometheus.CounterOpts{})`,
		find: func(s *source) []string {
			var out []string
			for _, d := range s.file.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				ast.Inspect(g, func(n ast.Node) bool {
					if _, lit := n.(*ast.FuncLit); lit {
						return false
					}
					if from, name, ok := s.selects(n); ok && strings.HasPrefix(from, "github.com/prometheus/client_golang/prometheus") && strings.HasPrefix(name, "New") {
						out = append(out, s.pos(n)+": package-level "+name)
					}
					return true
				})
			}
			return append(out, uses(everywhere, "github.com/prometheus/client_golang/prometheus", "MustRegister", "Register", "DefaultRegisterer", "DefaultGatherer")(s)...)
		},
	},
	{
		name: "promauto", reason: "it registers with a global registry",
		badPath: "p/p.go", bad: `package p; import "github.com/prometheus/client_golang/prometheus/promauto"; var c = promauto.NewCounter`,
		find: uses(everywhere, "github.com/prometheus/client_golang/prometheus/promauto"),
	},
	{
		name: "global logger", reason: "a logger is injected, so that every line says which service wrote it",
		badPath: "p/p.go", bad: `package p; import "log/slog"; func f() { slog.Default() }`,
		find: func(s *source) []string {
			if s.helper() || inMain(s) {
				return nil
			}
			return slices.Concat(
				uses(everywhere, "log/slog", "Default", "SetDefault", "Debug", "Info", "Warn", "Error", "Log")(s),
				uses(everywhere, "log")(s),
			)
		},
	},
	{
		name: "exit", reason: "only what a binary is started with may end it: everything else returns an error, or what is deferred is skipped",
		badPath: "p/p.go", bad: `package p; import "os"; func f() { os.Exit(1) }`,
		find: func(s *source) []string {
			if inMain(s) {
				return nil
			}
			var out []string
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && runsTests(f) {
					continue
				}
				ast.Inspect(d, func(n ast.Node) bool {
					if from, name, ok := s.selects(n); ok && from == "os" && name == "Exit" {
						out = append(out, s.pos(n)+": os.Exit")
					}
					return true
				})
			}
			return out
		},
		exceptions: []exception{
			{"pkg/engine/main.go", "the engine's child process is a main function of its own: the binary re-executes itself into it"},
		},
	},
	{
		name: "environment", reason: "settings come from the configuration, which knows its variables and refuses misspelt ones",
		badPath: "p/p.go", bad: `package p; import "os"; var v = os.Getenv("X")`,
		find: func(s *source) []string {
			if s.helper() || inMain(s) || s.pkg == "pkg/config" {
				return nil
			}
			return uses(everywhere, "os", "Getenv", "LookupEnv", "ExpandEnv", "Setenv")(s)
		},
		exceptions: []exception{
			{"pkg/engine/main.go", "the engine's child process gets its job from its parent"},
			{"pkg/engine/library.go", "where make has put the library, which no configuration file knows"},
			{"services/standalone/internal/cli/demo.go", "the demo plays the operator, who sets the secrets' variables before starting"},
		},
	},
	{
		name: "default HTTP client", reason: "it has no timeout and follows redirects with what it was given",
		badPath: "p/p.go", bad: `package p; import "net/http"; var c = http.DefaultClient`,
		find: uses(outsideTests, "net/http", "DefaultClient", "DefaultTransport", "DefaultServeMux", "Get", "Post", "PostForm", "Head", "Handle", "HandleFunc", "ListenAndServe"),
	},
	{
		name: "unfinished work", reason: "finish it, or write it down in ROUGH_EDGES.md",
		badPath: "p/p.go", bad: "package p\n\n// TO" + "DO: later\nvar x int",
		find: func(s *source) []string {
			var out []string
			for _, g := range s.file.Comments {
				for _, c := range g.List {
					for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"} {
						if slices.Contains(strings.FieldsFunc(c.Text, func(r rune) bool { return r < 'A' || r > 'Z' && r < 'a' || r > 'z' }), word) {
							out = append(out, s.pos(c)+": "+word)
						}
					}
				}
			}
			return out
		},
	},
	{
		name: "bag package", reason: "a package is a noun with one job",
		badPath: "p/util/p.go", bad: `package util`,
		find: func(s *source) []string {
			for p := range strings.SplitSeq(s.pkg, "/") {
				if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "types", "models", "shared"}, p) {
					return []string{s.path + ": a package named " + p}
				}
			}
			return nil
		},
	},
}

// runsTests reports whether a function has the tests of a package in hand: TestMain, or
// what it calls with the *testing.M.
func runsTests(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "M" {
				return true
			}
		}
	}
	return false
}

func TestHabits(t *testing.T) {
	t.Parallel()
	for _, h := range habits {
		t.Run(strings.ReplaceAll(h.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if h.find(sample(t, h.badPath, h.bad)) == nil {
				t.Fatal("the rule finds nothing in a file that breaks it")
			}
			var findings []string
			for _, s := range sources(t) {
				for _, f := range h.find(s) {
					findings = append(findings, f+": "+h.reason)
				}
			}
			except(t, findings, h.exceptions)
		})
	}
}
