package cli

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/config"
)

var (
	fenced  = regexp.MustCompile("(?ms)^ *```[a-z]*\n(.*?)^ *```")
	spanned = regexp.MustCompile("`([^`\n]+)`")
	// said finds our program at the start of a line, after what runs it, or after a separator.
	said = regexp.MustCompile(`(?:^|[;&|(] *|\$ |-- |exec [a-z-]+ |=\S+ )(?:\S*/)?throughline((?: [^;&|#()]*)?)`)
)

// line is a command line that a document tells people to type.
type line struct {
	file string
	args []string
	full bool // it is shown to be copied; one in a sentence may leave out what is required
}

// documents lists the repository's documents.
func documents(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..", "..", "..")
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules" || d.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// told lists every command line of ours in the documents.
func told(t *testing.T) []line {
	t.Helper()
	var out []line
	for _, path := range documents(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		take := func(text string, full bool) {
			for _, m := range said.FindAllStringSubmatch(strings.TrimSpace(text), -1) {
				out = append(out, line{path, words(m[1]), full})
			}
		}
		text := string(b)
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			for l := range strings.Lines(m[1]) {
				if !strings.Contains(l, "mcp add") { // another program's, whose argument our name is
					take(l, true)
				}
			}
		}
		for _, m := range spanned.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			take(m[1], false)
		}
	}
	return out
}

// words cuts a command line as a shell does, as far as documents need it.
func words(text string) []string {
	var out []string
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(text, -1) {
		if w == "…" || w == "\\" {
			continue
		}
		out = append(out, strings.Trim(w, `"`))
	}
	return out
}

// wrong says what is wrong with a command line, "" for nothing.
func wrong(t *testing.T, l line) string {
	t.Helper()
	for _, a := range l.args {
		if a == "--help" {
			return ""
		}
	}
	var c Commands
	parser, err := kong.New(&c, kong.Name("throughline"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(l.args)
	if err == nil || strings.HasSuffix(err.Error(), "no such file or directory") { // the reader's own file
		return ""
	}
	if !l.full { // a flag without its value, an argument or a command left out
		for _, left := range []string{"missing flags", "expected \"", "expected one of", "missing positional", "expected string value"} {
			if strings.Contains(err.Error(), left) && !strings.Contains(err.Error(), "unexpected") {
				return ""
			}
		}
	}
	return err.Error()
}

// Every command line of a document is one that the program takes: the command, its flags and
// its arguments.
func TestDocumentsSayWhatTheProgramTakes(t *testing.T) {
	t.Setenv("THROUGHLINE_TOKEN", "a-token")
	for _, bad := range []string{"nonsense", "doctor --jsn", "import", "digest --format pdf", "dead-letter"} {
		if wrong(t, line{args: words(bad), full: true}) == "" {
			t.Fatalf("the test takes %q", bad)
		}
	}
	lines, shown := told(t), 0
	for _, l := range lines {
		if l.full {
			shown++
		}
		// `eval classify|extract` names several commands at once.
		all := []line{l}
		for i, a := range l.args {
			if strings.Contains(a, "|") {
				all = nil
				for one := range strings.SplitSeq(a, "|") {
					args := append(append([]string{}, l.args[:i]...), one)
					all = append(all, line{l.file, append(args, l.args[i+1:]...), l.full})
				}
			}
		}
		for _, l := range all {
			if problem := wrong(t, l); problem != "" {
				t.Errorf("%s says throughline %s: %s", l.file, strings.Join(l.args, " "), problem)
			}
		}
	}
	if len(lines) < 60 || shown < 20 {
		t.Errorf("found only %d command lines, %d of them to be copied", len(lines), shown)
	}
}

var (
	shownYAML = regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```")
	reference = regexp.MustCompile(`env:([A-Z][A-Z0-9_]*)`)
)

// Every configuration that a document shows is one that is taken: no key that is unknown, no
// value that is refused.
func TestDocumentsShowConfigurationsThatAreTaken(t *testing.T) {
	fields := map[string]bool{}
	for i := range reflect.TypeFor[config.Config]().NumField() {
		fields[reflect.TypeFor[config.Config]().Field(i).Tag.Get("yaml")] = true
	}
	n := 0
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range shownYAML.FindAllStringSubmatch(string(b), -1) {
			text := m[1]
			first, _, _ := strings.Cut(text, ":")
			switch {
			case strings.HasPrefix(text, "- {id:"):
				text = "workspaces:\n  - id: acme\n    connections:\n" + regexp.MustCompile(`(?m)^`).ReplaceAllString(text, "      ")
			case !fields[first]:
				continue // another program's
			}
			n++
			for _, r := range reference.FindAllStringSubmatch(text, -1) {
				t.Setenv(r[1], "secret of "+r[1])
			}
			path := filepath.Join(t.TempDir(), "throughline.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(path); err != nil {
				t.Errorf("%s shows\n%s%v", file, m[1], err)
			}
		}
	}
	if n < 10 {
		t.Errorf("found only %d configurations", n)
	}
}
