package repocheck

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	alerts     = "deploy/monitoring/alerts.yml"
	dashboards = "deploy/monitoring/dashboards/"
	runbook    = "deploy/guides/runbook.md"
)

var (
	alertName   = regexp.MustCompile(`(?m)^\s*- alert: (\w+)$`)
	namedMetric = regexp.MustCompile(`throughline_[a-z_]+`)
)

// What watches Throughline watches metrics that exist, and whoever is woken finds what to do.
func TestMonitoringNamesWhatExists(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range metricsOf(t) {
		known[m.name] = true
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			known[m.name+part] = true
		}
	}
	named := 0
	for _, f := range append(boards(t), alerts, "deploy/monitoring/alerts_test.yml", runbook) {
		for _, m := range namedMetric.FindAllString(read(t, f), -1) {
			if named++; !known[m] {
				t.Errorf("%s names %s, which nothing measures", f, m)
			}
		}
	}
	if named < 30 {
		t.Fatalf("found only %d metrics", named)
	}
	tests, book := read(t, "deploy/monitoring/alerts_test.yml"), read(t, runbook)
	all := alertName.FindAllStringSubmatch(read(t, alerts), -1)
	if len(all) < 10 {
		t.Fatalf("found only %d alerts", len(all))
	}
	for _, a := range all {
		if n := strings.Count(tests, "alertname: "+a[1]); n < 2 || !strings.Contains(tests, "alertname: "+a[1]+", exp_alerts") {
			t.Errorf("%s has %d tests: one has to show that it fires, one that it does not", a[1], n)
		}
		if !strings.Contains(book, "\n## "+a[1]+"\n") {
			t.Errorf("%s has no entry in %s", a[1], runbook)
		}
	}
}

// boards lists the dashboards: one for every stage, and one over them.
func boards(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range filesEnding(t, ".json") {
		if strings.HasPrefix(f, dashboards) {
			out = append(out, f)
		}
	}
	for _, stage := range []string{"overview", "ingest", "models", "clusters", "context"} {
		if !slices.Contains(out, dashboards+stage+".json") {
			t.Errorf("there is no dashboard of %s", stage)
		}
	}
	return out
}

// Every panel says what it shows, and every metric that code makes is on some dashboard: what
// nobody looks at need not be measured.
func TestDashboardsAreComplete(t *testing.T) {
	t.Parallel()
	shown := ""
	uids := map[string]string{}
	for _, f := range boards(t) {
		var d struct {
			UID, Title string
			Panels     []struct {
				Title, Description string
				Targets            []struct{ Expr string }
			}
		}
		text := read(t, f)
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if d.UID == "" || uids[d.UID] != "" {
			t.Errorf("%s has the uid %q, like %q", f, d.UID, uids[d.UID])
		}
		uids[d.UID] = f
		if len(d.Panels) < 5 {
			t.Errorf("%s has %d panels", f, len(d.Panels))
		}
		for _, p := range d.Panels {
			if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
				t.Errorf("the panel %q of %s does not say what it shows", p.Title, f)
			}
		}
		shown += text
	}
	for _, m := range metricsOf(t) {
		if !strings.Contains(shown, m.name) {
			t.Errorf("no dashboard shows %s", m.name)
		}
	}
}

// `throughline doctor` compares the engine that is there with the version that make installs.
func TestTheEngineThatIsTestedIsTheOneThatIsInstalled(t *testing.T) {
	t.Parallel()
	constant := regexp.MustCompile(`LibraryVersion = "([^"]+)"`).FindStringSubmatch(read(t, "pkg/engine/library.go"))
	var p struct{ OptionalDependencies map[string]string }
	if err := json.Unmarshal([]byte(read(t, "scripts/engine/package.json")), &p); err != nil {
		t.Fatal(err)
	}
	if constant == nil || len(p.OptionalDependencies) == 0 {
		t.Fatal("one of the two names no version")
	}
	for name, version := range p.OptionalDependencies {
		if version != constant[1] {
			t.Errorf("make installs %s %s, and pkg/engine says %s", name, version, constant[1])
		}
	}
}

// The image is built from files that are there: nobody builds it where this is made.
func TestTheImageCopiesWhatIsThere(t *testing.T) {
	t.Parallel()
	const file = "deploy/docker/Dockerfile"
	stages, copies := map[string]bool{}, 0
	for line := range strings.Lines(read(t, file)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 4 && f[0] == "FROM" && f[2] == "AS":
			stages[f[3]] = true
			if !strings.Contains(f[1], ":") && !stages[f[1]] {
				t.Errorf("%s starts from %s, which is no stage above it and has no version", file, f[1])
			}
		case len(f) >= 3 && f[0] == "COPY":
			copies++
			if from, ok := strings.CutPrefix(f[1], "--from="); ok {
				if !stages[from] {
					t.Errorf("%s copies from %s, which is no stage above it", file, from)
				}
			} else if f[1] != "." && !exists(t, f[1]) {
				t.Errorf("%s copies %s, which is not there", file, f[1])
			}
		}
	}
	if copies < 5 || !stages["services"] || !stages["standalone"] {
		t.Errorf("found %d copies and the stages %v", copies, stages)
	}
}
