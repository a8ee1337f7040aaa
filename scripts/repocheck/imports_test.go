package repocheck

import (
	"slices"
	"strings"
	"testing"
)

// layer says which of our own packages a package may import. The first row that matches
// a package is its row.
type layer struct {
	pkg    string
	may    []string
	reason string
}

var layers = []layer{
	{"schemas/...", []string{"schemas/..."}, "contracts are data; they know nobody who uses them"},
	{"pkg/feedback", nil, "the domain's words are plain values that everything else can share"},
	{"pkg/rank", nil, "a rank is arithmetic"},
	{"pkg/fence", nil, "fencing hostile text must not depend on what it protects"},
	{"pkg/problem", nil, "an error answer knows no service"},
	{"pkg/config", nil, "configuration is read before anything it configures exists"},
	{"pkg/event", []string{"pkg/feedback", "schemas"}, "events are made of the domain's words and know no transport"},
	{"pkg/bus", []string{"pkg/feedback", "pkg/event"}, "the bus carries events and stores nothing"},
	{"pkg/store", []string{"pkg/feedback", "schemas"}, "the store keeps rows and knows no transport: a table is not an event"},
	{"pkg/broker", nil, "the embedded broker is a server; a service sees only its address"},
	{"pkg/engine", nil, "the embedded engine is a server; a service sees only its address"},
	{"pkg/access", []string{"pkg/config", "pkg/problem"}, "tokens come from configuration and refusals are problems"},
	{"pkg/httpserve", []string{"pkg/problem"}, "serving HTTP knows no domain"},
	{"pkg/outbound", nil, "which addresses may be called knows no domain"},
	{"pkg/tracing", []string{"pkg/config"}, "spans of HTTP know no domain"},
	{"pkg/process", []string{"pkg/bus", "pkg/config", "pkg/embed", "pkg/httpserve", "pkg/outbound", "pkg/store", "pkg/tracing", "schemas"}, "what every binary does around its services, without the embedded servers"},
	{"pkg/...", []string{"pkg/...", "schemas/..."}, "schemas <- pkg <- services <- standalone"},
	{"services/ingestor/...", []string{"schemas/...", "pkg/...", "services/ingestor/..."}, "services meet on the bus, never in an import"},
	{"services/classifier/...", []string{"schemas/...", "pkg/...", "services/classifier/..."}, "services meet on the bus, never in an import"},
	{"services/clusterer/...", []string{"schemas/...", "pkg/...", "services/clusterer/..."}, "services meet on the bus, never in an import"},
	{"services/context-publisher/...", []string{"schemas/...", "pkg/...", "services/context-publisher/..."}, "services meet on the bus, never in an import"},
	{"services/standalone/...", []string{"schemas/...", "pkg/...", "services/*", "services/standalone/...", "services/*/eval"}, "the all-in-one wires the services and reaches into none"},
	{"scripts/...", []string{"schemas/...", "pkg/bus", "pkg/event"}, "checks read the contracts"},
}

// forbidden is what a row allows not, for imports of non-test files.
func forbidden(pkg string, imports []string) (bad []string, row layer) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.pkg, pkg) })
	if i < 0 {
		return []string{"(no row of the table)"}, layer{reason: "every package has a place in the table"}
	}
	// A test helper may use whatever its kind of code may.
	row = layers[i]
	if testPackage(pkg) && strings.HasPrefix(pkg, "pkg/") {
		row = layer{pkg, []string{"pkg/...", "schemas/..."}, "test helpers serve their module"}
	}
	for _, imp := range imports {
		own, ok := strings.CutPrefix(imp, module)
		if ok && !matchesAny(row.may, own) {
			bad = append(bad, own)
		}
	}
	return bad, row
}

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	if bad, _ := forbidden("services/ingestor/internal/intake", []string{module + "services/clusterer"}); len(bad) != 1 {
		t.Fatal("the table lets a service import a service")
	}
	pkgs := packages(t)
	for name, p := range pkgs {
		if p.Error != nil {
			t.Errorf("%s does not load: %s", name, p.Error.Err)
		}
		if bad, row := forbidden(name, p.Imports); bad != nil {
			t.Errorf("%s imports %s: %s", name, strings.Join(bad, ", "), row.reason)
		}
		// Tests may use servers and helpers, but no other service and no later layer.
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			own, ok := strings.CutPrefix(imp, module)
			if !ok || own == name {
				continue
			}
			top := strings.SplitN(name, "/", 3)
			may := []string{"pkg/...", "schemas/..."}
			if top[0] != "pkg" && top[0] != "schemas" {
				may = append(may, top[0]+"/"+top[1]+"/...")
			}
			if top[0] == "services" && top[1] == "standalone" {
				may = append(may, "services/*", "services/*/eval")
			}
			if !matchesAny(may, own) {
				t.Errorf("the tests of %s import %s: a test stays in its layer", name, own)
			}
		}
	}
	for _, l := range layers {
		if !anyMatches(pkgs, l.pkg) {
			t.Errorf("the row for %s names no package: remove it", l.pkg)
		}
	}
}

func anyMatches(pkgs map[string]*listed, pattern string) bool {
	for name := range pkgs {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// reserved is a package that few may import. by lists who may, besides test files.
type reserved struct {
	pkg    string // ours without the module prefix, or a third party's
	by     []string
	reason string
}

var reservations = []reserved{
	{"pkg/broker", []string{"services/standalone/...", "*test"}, "only the all-in-one and tests run a broker of their own; a service gets a connection"},
	{"pkg/engine", []string{"services/standalone/...", "*test"}, "only the all-in-one and tests run an engine of their own; a service gets an address"},
	{"github.com/nats-io/nats-server/v2/...", []string{"pkg/broker"}, "the server is behind one door, so that its version can be judged by one package's tests"},
	{"github.com/ebitengine/purego", []string{"pkg/engine"}, "calling C is one package's job"},
	{"github.com/alecthomas/kong", []string{"services/standalone/..."}, "only the all-in-one has subcommands"},
	{"github.com/schollz/progressbar/v3", []string{"services/standalone/..."}, "only a command draws on a terminal"},
	{"github.com/modelcontextprotocol/go-sdk/...", []string{"services/context-publisher/internal/mcpserver/...", "services/standalone/..."}, "MCP is one way in among others; what it answers comes from elsewhere"},
	{"go.opentelemetry.io/otel/sdk/...", []string{"pkg/tracing"}, "who makes spans needs the interface only, so that tracing can be off"},
	{"go.yaml.in/yaml/v3", []string{"pkg/config", "services/standalone/..."}, "YAML is for configuration"},
}

func TestReservedPackagesStayBehindTheirDoors(t *testing.T) {
	t.Parallel()
	pkgs := packages(t)
	for _, r := range reservations {
		used := false
		for name, p := range pkgs {
			if name == r.pkg {
				continue
			}
			for _, imp := range p.Imports {
				if !matches(r.pkg, strings.TrimPrefix(imp, module)) {
					continue
				}
				used = true
				if !matchesAny(r.by, name) {
					t.Errorf("%s imports %s: %s", name, r.pkg, r.reason)
				}
			}
		}
		if !used {
			t.Errorf("the row for %s is obsolete: nobody imports it", r.pkg)
		}
	}
}

// helpersOutside are the test packages that other code may import.
var helpersOutside = []struct{ helper, by, reason string }{
	{"pkg/vendortest", "services/standalone/...", "the demo and the evaluation play a vendor's cloud"},
}

func TestTestPackagesStayInTests(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for name, p := range packages(t) {
		if testPackage(name) {
			continue
		}
	next:
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module)
			if !ok || !testPackage(own) {
				continue
			}
			for _, h := range helpersOutside {
				if h.helper == own && matches(h.by, name) {
					used[h.helper] = true
					continue next
				}
			}
			t.Errorf("%s imports %s outside a test: what helps tests must not be linked into a binary", name, own)
		}
	}
	for _, h := range helpersOutside {
		if !used[h.helper] {
			t.Errorf("the exception for %s (%s) is obsolete: remove it", h.helper, h.reason)
		}
	}
}

// closure is everything that a package needs to be linked.
func closure(all map[string]*listed, pkg string, into map[string]string, via string) {
	if _, seen := into[pkg]; seen {
		return
	}
	into[pkg] = via
	if p := all[pkg]; p != nil {
		for _, imp := range p.Imports {
			closure(all, imp, into, pkg)
		}
	}
}

// notInServices are modules that the four service binaries must not carry.
var notInServices = []struct{ prefix, reason string }{
	{"github.com/nats-io/nats-server/", "a service's image holds no broker"},
	{"github.com/ebitengine/purego", "a service's image holds no engine"},
	{module + "pkg/broker", "a service's image holds no broker"},
	{module + "pkg/engine", "a service's image holds no engine"},
	{"testing", "a binary holds no test helper"},
	{"net/http/httptest", "a binary holds no test helper"},
}

func TestServiceBinariesCarryNoServers(t *testing.T) {
	t.Parallel()
	all, err := graph()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"ingestor", "classifier", "clusterer", "context-publisher"} {
		main := module + "services/" + service + "/cmd/" + service
		if all[main] == nil {
			t.Errorf("there is no binary %s", main)
			continue
		}
		needs := map[string]string{}
		closure(all, main, needs, "")
		for pkg, via := range needs {
			for _, n := range notInServices {
				if pkg == n.prefix || strings.HasPrefix(pkg, strings.TrimSuffix(n.prefix, "/")+"/") {
					t.Errorf("the binary %s links %s (through %s): %s", service, pkg, via, n.reason)
				}
			}
		}
	}
	needs := map[string]string{}
	closure(all, module+"services/standalone", needs, "")
	if _, ok := needs["github.com/nats-io/nats-server/v2/server"]; !ok {
		t.Error("the all-in-one does not link the broker, so this test sees nothing")
	}
}
