package repocheck

import (
	"cmp"
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// metric is one that code registers.
type metric struct {
	pos, pkg, name, help, kind string
	labels                     []string
	problem                    string // what could not be read
}

const prometheusPath = "github.com/prometheus/client_golang/prometheus"

var constructor = regexp.MustCompile(`^New(Counter|Gauge|Histogram|Summary)(Vec|Func)?$`)

// metricsIn lists what a file makes by prometheus.New…, with its name, help and labels.
func metricsIn(s *source) []metric {
	var out []metric
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		from, name, ok := s.selects(call.Fun)
		if !ok || from != prometheusPath {
			return true
		}
		m := metric{pos: s.pos(call), pkg: s.pkg}
		if name == "NewDesc" {
			if len(call.Args) >= 3 {
				m.kind = "gauge"
				m.name, m.help = text(call.Args[0]), text(call.Args[1])
				m.labels, ok = texts(call.Args[2])
				if !ok {
					m.problem = "its labels are not written in place"
				}
				out = append(out, m)
			}
			return true
		}
		kind := constructor.FindStringSubmatch(name)
		if kind == nil || len(call.Args) == 0 {
			return true
		}
		m.kind = strings.ToLower(kind[1])
		opts, ok := call.Args[0].(*ast.CompositeLit)
		if !ok {
			m.problem = "its options are not written in place"
			out = append(out, m)
			return true
		}
		for _, e := range opts.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				switch key := kv.Key.(*ast.Ident).Name; key {
				case "Name":
					m.name = text(kv.Value)
				case "Help":
					m.help = text(kv.Value)
				case "Namespace", "Subsystem", "ConstLabels":
					m.problem = "it uses " + key + "; a name is written in full, so that it can be searched for"
				}
			}
		}
		if kind[2] == "Vec" {
			if m.labels, ok = texts(call.Args[1]); !ok {
				m.problem = "its labels are not written in place"
			}
		}
		out = append(out, m)
		return true
	})
	return out
}

// text evaluates a string literal, or a sum of them; "" for anything else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, _ := strconv.Unquote(e.Value)
		return v
	case *ast.BinaryExpr:
		if a, b := text(e.X), text(e.Y); a != "" && b != "" {
			return a + b
		}
	}
	return ""
}

func texts(e ast.Expr) ([]string, bool) {
	if id, ok := e.(*ast.Ident); ok && id.Name == "nil" {
		return nil, true
	}
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil, false
	}
	var out []string
	for _, v := range lit.Elts {
		s := text(v)
		if s == "" {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// metricsOf lists the metrics of the repository by name.
func metricsOf(t *testing.T) []metric {
	t.Helper()
	var out []metric
	for _, s := range sources(t) {
		if !s.helper() && s.pkg != "scripts/repocheck" {
			out = append(out, metricsIn(s)...)
		}
	}
	if len(out) < 10 {
		t.Fatalf("found only %d metrics", len(out))
	}
	slices.SortFunc(out, func(a, b metric) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.pos, b.pos)) })
	return out
}

var (
	metricName = regexp.MustCompile(`^throughline_[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	// scaled are units that are not base units.
	scaled = []string{"ms", "millis", "milliseconds", "us", "micros", "microseconds", "ns", "nanoseconds", "minutes", "hours", "days", "kb", "kib", "mb", "mib", "gb", "kilobytes", "megabytes", "percent"}
	// endless are labels that grow without end, or name a person.
	endless = []string{"id", "item", "signal", "cluster", "ticket", "customer", "account", "delivery", "conversation", "email", "user", "path", "url", "error", "subject", "date"}
)

func faults(m metric) []string {
	var out []string
	note := func(format string, args ...any) {
		out = append(out, m.pos+": "+m.name+": "+fmt.Sprintf(format, args...))
	}
	if m.problem != "" {
		note("%s", m.problem)
	}
	words := strings.Split(m.name, "_")
	total := words[len(words)-1] == "total"
	switch {
	case !metricName.MatchString(m.name):
		note("a name is throughline_<part>_<noun>_<unit> in lower case")
	case m.kind == "counter" && !total:
		note("a counter ends in _total")
	case m.kind != "counter" && total:
		note("only a counter ends in _total")
	}
	for _, w := range words {
		if slices.Contains(scaled, w) {
			note("%s is not a base unit: seconds, bytes, ratio", w)
		}
	}
	for _, l := range m.labels {
		if slices.Contains(endless, l) {
			note("the label %s has no end of values", l)
		}
	}
	if m.kind == "histogram" && !slices.Contains([]string{"seconds", "bytes", "size", "ratio"}, words[len(words)-1]) {
		note("a histogram ends in its unit: _seconds, _bytes, _size or _ratio")
	}
	if m.help == "" || !strings.HasSuffix(m.help, ".") {
		note("its help is a sentence with a full stop")
	}
	return out
}

func TestMetricsAreNamedAlike(t *testing.T) {
	t.Parallel()
	bad := metricsIn(sample(t, "p/p.go", `package p
		import "github.com/prometheus/client_golang/prometheus"
		func f(l []string) {
			prometheus.NewCounter(prometheus.CounterOpts{Name: "throughline_things", Help: "Things."})
			prometheus.NewHistogram(prometheus.HistogramOpts{Name: "throughline_wait_ms"})
			prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "Things_total", Help: "Things."}, []string{"customer"})
			prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_lag_seconds", Help: "Lag."}, l)
		}`))
	for i, want := range []int{1, 3, 2, 1} {
		if got := faults(bad[i]); len(got) != want {
			t.Errorf("found %v, not %d faults", got, want)
		}
	}
	seen := map[string]string{}
	for _, m := range metricsOf(t) {
		for _, f := range faults(m) {
			t.Error(f)
		}
		if first, twice := seen[m.name]; twice {
			t.Errorf("%s: %s is made at %s too: one of the two cannot be registered", m.pos, m.name, first)
		}
		seen[m.name] = m.pos
	}
}

// The table of metrics in the guide is what code registers.
func TestMetricsGuideIsCurrent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning | made in |\n|---|---|---|---|---|\n")
	for _, m := range metricsOf(t) {
		labels := make([]string, len(m.labels))
		for i, l := range m.labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", m.name, m.kind, strings.Join(labels, ", "), m.help, m.pkg)
	}
	compare(t, "deploy/guides/metrics.md", "metrics", b.String())
}
