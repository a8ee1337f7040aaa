package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// proxy is what deploy/proxy tells nginx to do: for a request, the upstream that serves it.
type proxy struct {
	patterns []location        // tried in their order
	prefixes []location        // the longest stands where no pattern fits
	byMethod map[string]string // the upstream of $feedback_goes_to; "default" for other methods
}

type location struct {
	prefix   string
	pattern  *regexp.Regexp
	upstream string
}

var (
	locationLine = regexp.MustCompile(`(?m)^\s*location (~ )?(\S+) \{ proxy_pass http://(\S+?);`)
	mapBlock     = regexp.MustCompile(`(?s)map \$request_method \$feedback_goes_to \{(.*?)\}`)
	mapLine      = regexp.MustCompile(`(?m)^\s*(\w+)\s+(\w+);`)
)

// readProxy reads the configuration as it is deployed, so that what the tests go through is
// what an operator runs.
func readProxy(t *testing.T) proxy {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "proxy", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	p := proxy{byMethod: map[string]string{}}
	for _, m := range locationLine.FindAllStringSubmatch(string(b), -1) {
		l := location{prefix: m[2], upstream: m[3]}
		if m[1] == "" {
			p.prefixes = append(p.prefixes, l)
			continue
		}
		if l.pattern, err = regexp.Compile(m[2]); err != nil {
			t.Fatalf("deploy/proxy/nginx.conf: %v", err)
		}
		p.patterns = append(p.patterns, l)
	}
	for _, m := range mapLine.FindAllStringSubmatch(mapBlock.FindString(string(b)), -1) {
		p.byMethod[m[1]] = m[2]
	}
	if len(p.patterns) == 0 || len(p.prefixes) == 0 || p.byMethod["default"] == "" {
		t.Fatal("deploy/proxy/nginx.conf has not the locations that this test can read")
	}
	return p
}

// serves names the service that a request goes to, as nginx chooses.
func (p proxy) serves(method, path string) string {
	chosen := location{}
	for _, l := range p.prefixes {
		if strings.HasPrefix(path, l.prefix) && len(l.prefix) > len(chosen.prefix) {
			chosen = l
		}
	}
	for _, l := range p.patterns {
		if l.pattern.MatchString(path) {
			chosen = l
			break
		}
	}
	upstream := chosen.upstream
	if strings.HasPrefix(upstream, "$") {
		var ok bool
		if upstream, ok = p.byMethod[method]; !ok {
			upstream = p.byMethod["default"]
		}
	}
	return strings.ReplaceAll(upstream, "_", "-")
}

// Every route of the API reaches the service that serves it.
func TestTheProxySendsEveryRouteToWhoServesIt(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "schemas", "openapi", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	p, routes := readProxy(t), 0
	for path, operations := range doc.Paths {
		for method, raw := range operations {
			method = strings.ToUpper(method)
			if method != http.MethodGet && method != http.MethodPost && method != http.MethodPut && method != http.MethodDelete {
				continue
			}
			var operation struct {
				ServedBy string `json:"x-served-by"`
			}
			if err := json.Unmarshal(raw, &operation); err != nil {
				t.Fatal(err)
			}
			want := operation.ServedBy
			if want == "" {
				want = "context-publisher"
			}
			routes++
			if got := p.serves(method, path); got != want {
				t.Errorf("%s %s goes to %s, which does not serve it: %s does", method, path, got, want)
			}
		}
	}
	if routes < 20 {
		t.Errorf("only %d routes", routes)
	}
}
