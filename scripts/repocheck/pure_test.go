package repocheck

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// pure lists the packages whose output follows from their input alone.
var pure = []struct{ pkg, reason string }{
	{"services/clusterer/internal/space", "a replay must give the same clusters, byte for byte"},
	{"services/clusterer/internal/world", "a replay must give the same clusters, byte for byte"},
	{"services/clusterer/internal/order", "a replay must give the same clusters, byte for byte"},
	{"services/clusterer/internal/name", "the same signals have the same name"},
	{"services/clusterer/internal/burst", "an alert of a replay is the alert that was sent"},
	{"services/clusterer/internal/score", "a figure of an evaluation can be computed again"},
	{"pkg/rank", "a rank is arithmetic that anyone can repeat"},
	{"pkg/feedback", "values and ids"},
	{"pkg/event", "ids of events are made of what they are about"},
	{"pkg/fence", "the same text is fenced the same way"},
	{"services/context-publisher/internal/attach", "a score must be explained by its terms"},
	{"services/context-publisher/internal/brief", "an equal brief has an equal hash, or trackers are rewritten for nothing"},
	{"services/context-publisher/internal/tracker/markup", "an equal block has an equal hash"},
	{"services/classifier/internal/extract", "quotes are spans of the text that was given"},
	{"services/classifier/internal/judge", "a replay must give the same signals"},
	{"services/classifier/internal/agreement", "a figure of an evaluation can be computed again"},
	{"services/classifier/internal/correction", "the same corrections make the same head"},
	{"services/classifier/internal/attribute", "the same words have the same attributes"},
	{"services/classifier/internal/language", "the same words are in the same language"},
	{"services/classifier/internal/linear", "a replay must give the same signals"},
	{"pkg/mask", "masking must not depend on when or where"},
	{"services/ingestor/internal/change", "a delivery decodes to the same events, today or in a replay"},
	{"services/ingestor/internal/fold", "a delivery decodes to the same events, today or in a replay"},
	{"services/ingestor/internal/payload", "a delivery decodes to the same events, today or in a replay"},
	{"services/ingestor/internal/plain", "a delivery decodes to the same events, today or in a replay"},
	{"services/ingestor/internal/signature", "the time that a signature is judged at is passed in"},
	{"services/ingestor/internal/source/*", "a delivery decodes to the same events, today or in a replay"},
	{"services/ingestor/internal/ticket/*", "a delivery decodes to the same events, today or in a replay"},
}

// impure are the imports and the functions that let the world in.
var (
	impureImports = []string{
		"net/http", "os", "os/exec", "net", "crypto/rand", "database/sql",
		module + "pkg/bus", module + "pkg/store", "github.com/nats-io/nats.go/...", "github.com/ClickHouse/clickhouse-go/v2/...",
		"github.com/prometheus/client_golang/prometheus",
	}
	impureFunctions = map[string][]string{
		"time": {"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"},
	}
	// seeded are the constructors of a random source that is passed in; every other
	// function of the package draws from a global one.
	seeded = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}
)

// impurities lists what in a file depends on more than its input.
func impurities(s *source) []string {
	var out []string
	for _, i := range s.file.Imports {
		if p := strings.Trim(i.Path.Value, `"`); matchesAny(impureImports, p) {
			out = append(out, s.pos(i)+": imports "+p)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		from, name, ok := s.selects(n)
		if !ok {
			return true
		}
		if slices.Contains(impureFunctions[from], name) || strings.HasPrefix(from, "math/rand") && !slices.Contains(seeded, name) {
			out = append(out, s.pos(n)+": uses "+from+"."+name)
		}
		return true
	})
	return out
}

func TestPurePackagesStayPure(t *testing.T) {
	t.Parallel()
	bad := sample(t, "p/p.go", `package p
		import ("net/http"; "time"; "math/rand/v2")
		var _ = http.MethodGet
		var now = time.Now
		func f() int { return rand.IntN(3) }`)
	if n := len(impurities(bad)); n != 3 {
		t.Fatalf("found %d of 3 impurities: %v", n, impurities(bad))
	}
	good := sample(t, "p/p.go", `package p
		import ("time"; "math/rand/v2")
		func f(now func() time.Time) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }`)
	if got := impurities(good); got != nil {
		t.Fatalf("found impurities in pure code: %v", got)
	}
	var findings []string
	for _, row := range pure {
		found := false
		for _, s := range sources(t) {
			if s.test || !matches(row.pkg, s.pkg) {
				continue
			}
			found = true
			for _, f := range slices.Concat(impurities(s), borrowed(s)) {
				findings = append(findings, f+" in a pure package: "+row.reason+"; pass time, randomness and data in")
			}
		}
		if !found {
			t.Errorf("the row for %s names no package: remove it", row.pkg)
		}
	}
	except(t, findings, pureExceptions)
}

var pureExceptions = []exception{
	{"services/clusterer/internal/order/order.go", "a result that never comes is waited for up to a bound; the order taken is logged, and a replay reads the log"},
}

// lent are functions without side effects in packages that are not pure as a whole.
var lent = map[string][]string{"pkg/embed": {"Dot"}}

// borrowed lists what a pure file takes from our packages that are not pure.
func borrowed(s *source) []string {
	var out []string
	for local, p := range s.imports {
		own, ok := strings.CutPrefix(p, module)
		if !ok || slices.ContainsFunc(pure, func(r struct{ pkg, reason string }) bool { return matches(r.pkg, own) }) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			from, name, ok := s.selects(n)
			if ok && from == p && !slices.Contains(lent[own], name) {
				out = append(out, s.pos(n)+": uses "+local+"."+name+" of "+own)
			}
			return true
		})
	}
	return out
}

// sample parses a piece of code that a rule is tried on.
func sample(t *testing.T, name, text string) *source {
	t.Helper()
	s, err := parseSource(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
