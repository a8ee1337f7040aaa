package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// proxy is what deploy/proxy tells nginx to do: for a request, the upstream that serves it.
type proxy struct {
	patterns  []location        // tried in their order
	prefixes  []location        // the longest stands where no pattern fits
	byMethod  map[string]string // the upstream of $feedback_goes_to; "default" for other methods
	upstreams map[string]group
}

type location struct {
	prefix   string
	pattern  *regexp.Regexp
	upstream string
	repeats  bool // what may not be safe to repeat is passed to the next process too
}

// group is an upstream: the service whose processes it is, and whether a token stays with one.
type group struct {
	service string
	sticks  bool
}

var (
	locationLine = regexp.MustCompile(`(?m)^\s*location (~ )?(\S+) \{ proxy_pass http://(\S+?);(.*)\}`)
	upstreamLine = regexp.MustCompile(`(?m)^upstream (\S+)\s*\{(?: (hash \$http_authorization consistent);)? server ([a-z-]+):8080; \}`)
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
	p := proxy{byMethod: map[string]string{}, upstreams: map[string]group{}}
	for _, m := range upstreamLine.FindAllStringSubmatch(string(b), -1) {
		p.upstreams[m[1]] = group{m[3], m[2] != ""}
	}
	for _, m := range locationLine.FindAllStringSubmatch(string(b), -1) {
		l := location{prefix: m[2], upstream: m[3], repeats: strings.Contains(m[4], "non_idempotent")}
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
	if len(p.patterns) == 0 || len(p.prefixes) == 0 || p.byMethod["default"] == "" || len(p.upstreams) != 3 {
		t.Fatal("deploy/proxy/nginx.conf has not the locations that this test can read")
	}
	return p
}

// chooses finds where a request goes, as nginx does: the location and its upstream.
func (p proxy) chooses(method, path string) (location, group) {
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
	return chosen, p.upstreams[upstream]
}

// serves names the service that a request goes to.
func (p proxy) serves(method, path string) string {
	_, to := p.chooses(method, path)
	return to.service
}

// upstream are the processes of a service, which are asked in turn.
type upstream struct {
	addresses []string
	turns     atomic.Uint64
}

// serveProxy joins services behind one address by the rules of deploy/, and tells of every
// webhook that comes. Where a process does not answer, the next one is asked if nginx would.
func serveProxy(t *testing.T, to map[string]*upstream, webhook func()) string {
	t.Helper()
	rules := readProxy(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/webhooks/") {
			webhook()
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		rule, group := rules.chooses(r.Method, r.URL.Path)
		u := to[group.service]
		turn := u.turns.Add(1)
		if group.sticks {
			h := fnv.New64a()
			h.Write([]byte(r.Header.Get("Authorization")))
			turn = h.Sum64()
		}
		safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPut || r.Method == http.MethodDelete
		for try := range u.addresses {
			address := u.addresses[(turn+uint64(try))%uint64(len(u.addresses))]
			forward := httputil.ReverseProxy{
				Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
				Rewrite: func(p *httputil.ProxyRequest) {
					p.SetURL(&url.URL{Scheme: "http", Host: address})
					p.Out.Host = p.In.Host
					p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				},
			}
			var failed error
			forward.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err }
			forward.ServeHTTP(w, r)
			if failed == nil {
				return
			}
			var never *net.OpError // nothing was sent
			if !(errors.As(failed, &never) && never.Op == "dial") && !safe && !rule.repeats {
				break
			}
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
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
