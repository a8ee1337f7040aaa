package mcpserver_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
)

// TestConformance runs the public conformance suite against /mcp, in the newest and in the
// older generation of the protocol. The scenarios that need a server made for the suite are
// listed beside its package.
func TestConformance(t *testing.T) {
	t.Parallel()
	installed, err := filepath.Abs("../../../../.cache/mcpconformance/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	node, err := filepath.Glob(filepath.Join(installed, "node-*-*", "bin", "node"))
	if err != nil || len(node) != 1 {
		t.Fatalf("the conformance suite is missing: run `make mcp-conformance` (%v %v)", node, err)
	}
	s := serve(t)
	// The suite knows no tokens.
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+apitest.ReaderToken("acme"))
		s.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	for _, era := range []string{"modern", "legacy"} {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			version := eras[era]
			cmd := exec.CommandContext(t.Context(), node[0], filepath.Join(installed, "@modelcontextprotocol", "conformance", "dist", "index.js"),
				"server", "--url", front.URL+"/mcp", "--suite", "all", "--spec-version", version,
				"--expected-failures", filepath.Join("..", "..", "..", "..", "scripts", "mcpconformance", version+".yml"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
