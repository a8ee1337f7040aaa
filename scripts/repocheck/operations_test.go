package repocheck

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

const (
	alerts    = "deploy/monitoring/alerts.yml"
	dashboard = "deploy/monitoring/dashboard.json"
	runbook   = "deploy/guides/runbook.md"
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
	for _, f := range []string{alerts, "deploy/monitoring/alerts_test.yml", dashboard, runbook} {
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

func TestTheDashboardIsComplete(t *testing.T) {
	t.Parallel()
	var d struct {
		Panels []struct {
			Title, Description string
			Targets            []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 {
		t.Errorf("%d panels", len(d.Panels))
	}
	for _, p := range d.Panels {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("the panel %q does not say what it shows", p.Title)
		}
	}
}
