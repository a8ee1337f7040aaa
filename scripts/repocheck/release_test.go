package repocheck

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	licences = "deploy/guides/licences.md"
	workflow = ".github/workflows/release.yml"
)

// The list of licences is of what the binaries are linked from, and of what is installed beside
// them, in the versions that they have now.
func TestWhatShipsIsListed(t *testing.T) {
	t.Parallel()
	all, err := graph()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		p := all[path]
		if p == nil || seen[path] || p.Standard {
			return
		}
		seen[path] = true
		if p.Module != nil && p.Module.Version != "" && !strings.HasPrefix(p.Module.Path, module) {
			want[p.Module.Path] = p.Module.Version
		}
		for _, i := range p.Imports {
			walk(i)
		}
	}
	for path := range all {
		if rel, ok := strings.CutPrefix(path, module); ok && matches("services/...", rel) && strings.Contains(rel, "/cmd/") {
			walk(path)
		}
	}
	engine := regexp.MustCompile(`"(@chdb/lib-linux-x64-gnu)": "([^"]+)"`).FindStringSubmatch(read(t, "scripts/engine/package.json"))
	weights := regexp.MustCompile(`(?m)^artifact=(.+):([^:\n]+)$`).FindStringSubmatch(read(t, "scripts/models/fetch.sh"))
	if len(want) < 40 || engine == nil || weights == nil {
		t.Fatalf("found %d modules, the engine %v and the weights %v", len(want), engine, weights)
	}
	want[engine[1]], want[weights[1]] = engine[2], weights[2]
	told := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \| (\S+) \| [^|]+ \|$`).FindAllStringSubmatch(read(t, licences), -1) {
		told[m[1]] = m[2]
	}
	for name, version := range want {
		if told[name] != version {
			t.Errorf("%s has %s as %q, and %s ships: run make licences", licences, name, told[name], version)
		}
	}
	for name := range told {
		if _, ships := want[name]; !ships && name != "component" && !strings.HasPrefix(name, "@chdb/") {
			t.Errorf("%s tells of %s, which does not ship: run make licences", licences, name)
		}
	}
}

// A release is tested and looked at for known holes before it is built, and signed after; no
// step is somebody else's code that can change under its name.
func TestAReleaseIsCheckedBeforeItIsSigned(t *testing.T) {
	t.Parallel()
	text := read(t, workflow)
	for _, m := range regexp.MustCompile(`(?m)^\s*-?\s*uses:\s*(\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(m[1]) {
			t.Errorf("%s uses %s: name the commit, a tag can be moved", workflow, m[1])
		}
	}
	last := -1
	for _, step := range []string{".ci/run", "make vulnerabilities", "make licences", "make release", "sign-blob", "gh release create"} {
		at := strings.Index(text, step)
		if at < 0 || at < last {
			t.Errorf("%s does not %s in its turn", workflow, step)
		}
		last = at
	}
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	for _, m := range regexp.MustCompile(`make ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(targets, func(have []string) bool { return have[1] == m[1] }) {
			t.Errorf("%s runs make %s, and there is no such target", workflow, m[1])
		}
	}
}
