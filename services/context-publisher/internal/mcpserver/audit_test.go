package mcpserver_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
)

// deeds are what was noted, a line each.
type deeds struct {
	mu  sync.Mutex
	all []string
}

func (d *deeds) Record(_ context.Context, who access.Principal, r *http.Request, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, fmt.Sprint(who.Workspace, " ", who.Name, " ", who.Via, ": ", r.Pattern, " ", r.URL.Path, " ", status, " from ", strings.Split(r.RemoteAddr, ":")[0]))
}

// What somebody decides over MCP is in the audit log, with who, what and from where, whatever
// the protocol's version; what they only read is not.
func TestDecisionsOverMCPAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	for era, version := range eras {
		var noted deeds
		site := serveNoting(t, &noted)
		cluster := site.world.Workspace("acme").First()
		s, err := site.connect(t, apitest.Token("acme"), version, nil)
		if err != nil {
			t.Fatal(err)
		}
		call(t, s, "list_clusters", nil)
		_, pinned, _ := call(t, s, "attach_cluster", map[string]any{"ticket": "PROJ-142", "cluster": cluster, "reason": "asked by Ines"})
		call(t, s, "record_decision", map[string]any{"action": "ignore", "cluster": cluster, "reason": "done"})
		call(t, s, "record_decision", map[string]any{"action": "undo", "decision": pinned["decision"], "reason": "a mistake"})
		refused(t, s, "record_decision", map[string]any{"action": "ignore", "cluster": "clu_nowhere", "reason": "x"})
		want := []string{
			"acme maya token: MCP attach_cluster /tickets/jira/PROJ-142 202 from 127.0.0.1",
			"acme maya token: MCP record_decision /clusters/" + cluster + " 202 from 127.0.0.1",
			fmt.Sprint("acme maya token: MCP record_decision /decisions/", pinned["decision"], " 202 from 127.0.0.1"),
			"acme maya token: MCP record_decision /clusters/clu_nowhere 404 from 127.0.0.1",
		}
		if !slices.Equal(noted.all, want) {
			t.Errorf("%s: noted\n%s\nwant\n%s", era, strings.Join(noted.all, "\n"), strings.Join(want, "\n"))
		}
	}
}
