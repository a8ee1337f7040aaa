package repocheck

import (
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gomod is what the rules ask of a go.mod file.
type gomod struct {
	file     string
	module   string
	language string            // of the go directive
	requires map[string]string // module path to version
	direct   []string          // without those marked indirect
	replaces map[string]string // module path to what stands in for it
}

func parseMod(file, text string) gomod {
	m := gomod{file: file, requires: map[string]string{}, replaces: map[string]string{}}
	block := ""
	for line := range strings.Lines(text) {
		line, comment, _ := strings.Cut(strings.TrimSpace(line), "//")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if block == "" {
			if len(f) == 2 && f[1] == "(" {
				block = f[0]
				continue
			}
			block, f = f[0], f[1:]
			m.take(block, f, comment)
			block = ""
			continue
		}
		if f[0] == ")" {
			block = ""
			continue
		}
		m.take(block, f, comment)
	}
	return m
}

func (m *gomod) take(verb string, f []string, comment string) {
	switch verb {
	case "module":
		m.module = f[0]
	case "go":
		m.language = f[0]
	case "require":
		m.requires[f[0]] = f[1]
		if !strings.Contains(comment, "indirect") {
			m.direct = append(m.direct, f[0])
		}
	case "replace":
		if i := slices.Index(f, "=>"); i > 0 && i+1 < len(f) {
			m.replaces[f[0]] = strings.Join(f[i+1:], " ")
		}
	}
}

// tools is the module of linters. It is outside the workspace, so that what linters need
// cannot raise what we ship.
const tools = "scripts/tools/go.mod"

func mods(t *testing.T) []gomod {
	t.Helper()
	var out []gomod
	for _, f := range filesEnding(t, "go.mod") {
		if path.Base(f) == "go.mod" {
			out = append(out, parseMod(f, read(t, f)))
		}
	}
	return out
}

func TestModulesAgree(t *testing.T) {
	t.Parallel()
	versions := map[string]map[string][]string{} // module, version, files
	all := mods(t)
	language := all[slices.IndexFunc(all, func(m gomod) bool { return m.file == "pkg/go.mod" })].language
	for _, m := range all {
		if want := strings.TrimSuffix(module+path.Dir(m.file), "/"); m.module != want {
			t.Errorf("%s calls its module %s; folders and modules have the same path: %s", m.file, m.module, want)
		}
		if m.language != language {
			t.Errorf("%s says go %s and pkg/go.mod says go %s; one toolchain builds everything", m.file, m.language, language)
		}
		for mod, version := range m.requires {
			if own, ok := strings.CutPrefix(mod, module); ok {
				if version != "v0.0.0" {
					t.Errorf("%s requires %s %s; modules of this repository are never versioned: v0.0.0", m.file, own, version)
				}
				if want := relative(path.Dir(m.file), own); m.replaces[mod] != want {
					t.Errorf("%s requires %s and replaces it by %q, not %q: without the line it builds in the workspace only", m.file, own, m.replaces[mod], want)
				}
				continue
			}
			if m.file == tools {
				continue
			}
			if versions[mod] == nil {
				versions[mod] = map[string][]string{}
			}
			versions[mod][version] = append(versions[mod][version], m.file)
		}
		for mod := range m.replaces {
			if !strings.HasPrefix(mod, module) {
				t.Errorf("%s replaces %s: a third party's module is used as it was published", m.file, mod)
			}
		}
	}
	for mod, vs := range versions {
		if len(vs) > 1 {
			t.Errorf("%s has %d versions: %v; the workspace takes the highest, so a module on its own would be tested with another", mod, len(vs), vs)
		}
	}
}

// relative is the path from one folder of the repository to another, as replace lines
// write it.
func relative(from, to string) string {
	up := strings.Split(from, "/")
	down := strings.Split(to, "/")
	for len(up) > 0 && len(down) > 0 && up[0] == down[0] {
		up, down = up[1:], down[1:]
	}
	return strings.Repeat("../", len(up)) + strings.Join(down, "/")
}

// A package that a module imports from this repository must be among its requires: the
// workspace hides what is missing.
func TestModulesRequireWhatTheyImport(t *testing.T) {
	t.Parallel()
	byModule := map[string]gomod{}
	for _, m := range mods(t) {
		byModule[m.module] = m
	}
	owner := func(pkg string) string {
		best := ""
		for mod := range byModule {
			if (pkg == mod || strings.HasPrefix(pkg, mod+"/")) && len(mod) > len(best) {
				best = mod
			}
		}
		return best
	}
	for name, p := range packages(t) {
		m := byModule[owner(module+name)]
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			of := owner(imp)
			if of == "" || of == m.module {
				continue
			}
			if _, ok := m.requires[of]; !ok {
				t.Errorf("%s imports %s and %s does not require it", name, strings.TrimPrefix(imp, module), m.file)
			}
		}
	}
}

func TestWorkspaceHoldsEveryModule(t *testing.T) {
	t.Parallel()
	var want []string
	for _, m := range mods(t) {
		if m.file != tools {
			want = append(want, "./"+path.Dir(m.file))
		}
	}
	var have []string
	for _, m := range regexp.MustCompile(`(?m)^\s+(\./\S+)`).FindAllStringSubmatch(read(t, "go.work"), -1) {
		have = append(have, m[1])
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("go.work uses %v and the repository has %v", have, want)
	}
	makefile := read(t, "Makefile")
	line := regexp.MustCompile(`(?m)^MODULES := (.*)$`).FindStringSubmatch(makefile)
	if line == nil {
		t.Fatal("the Makefile has no MODULES")
	}
	for _, m := range want {
		if !slices.Contains(strings.Fields(line[1]), strings.TrimPrefix(m, "./")) {
			t.Errorf("MODULES of the Makefile does not have %s: lint and fmt pass it over", m)
		}
	}
}

// dependencies is the guide with the table of third parties.
const dependencies = "deploy/guides/dependencies.md"

// exact is a version and no range.
var exact = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// Every third party that we use ourselves is in the guide, and nobody else is.
func TestDependenciesAreAccountedFor(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	owns := func(pkg string) string {
		best := ""
		for _, m := range mods(t) {
			for mod := range m.requires {
				if (pkg == mod || strings.HasPrefix(pkg, mod+"/")) && len(mod) > len(best) {
					best = mod
				}
			}
		}
		return best
	}
	for name, p := range packages(t) {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imp, module) || !strings.Contains(strings.Split(imp, "/")[0], ".") {
				continue
			}
			mod := owns(imp)
			if mod == "" {
				t.Errorf("%s imports %s, which no go.mod requires", name, imp)
				continue
			}
			used[mod] = true
		}
	}
	// By make lint, make check-deploy, make sbom and make vulnerabilities, in scripts/tools.
	for _, mod := range []string{"honnef.co/go/tools", "github.com/CycloneDX/cyclonedx-go", "golang.org/x/vuln", "helm.sh/helm/v3", "github.com/compose-spec/compose-go/v2", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go"} {
		used[mod] = true
	}
	for _, f := range filesEnding(t, "package.json") {
		var p struct {
			Dependencies, DevDependencies, OptionalDependencies map[string]string
		}
		if err := json.Unmarshal([]byte(read(t, f)), &p); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, group := range []map[string]string{p.Dependencies, p.DevDependencies, p.OptionalDependencies} {
			for name, version := range group {
				used[name] = true
				if !exact.MatchString(version) {
					t.Errorf("%s asks for %s %s: name one version, or tomorrow's build is another", f, name, version)
				}
			}
		}
	}
	for _, f := range filesEnding(t, "fetch.sh") {
		for _, m := range regexp.MustCompile(`(?m)^artifact=(.+):([^:\n]+)$`).FindAllStringSubmatch(read(t, f), -1) {
			used[m[1]] = true
			if !exact.MatchString(m[2]) {
				t.Errorf("%s asks for %s %s: name one version, or tomorrow's build is another", f, m[1], m[2])
			}
		}
	}
	text := read(t, dependencies)
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		told[m[1]] = true
	}
	for mod := range used {
		if !told[mod] {
			t.Errorf("%s does not say what %s is for, why the standard library will not do, and its licence", dependencies, mod)
		}
	}
	for mod := range told {
		if !used[mod] {
			t.Errorf("%s tells of %s, which nothing imports", dependencies, mod)
		}
	}
}
