package mcpserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
)

// TestTheSessionHook runs the example of a hook in a checkout, as a coding agent does.
func TestTheSessionHook(t *testing.T) {
	t.Parallel()
	s := serve(t)
	hook, err := filepath.Abs("../../../../deploy/hooks/session-start")
	if err != nil {
		t.Fatal(err)
	}
	run := func(branch, url, token string) string {
		t.Helper()
		dir := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", "-b", branch, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		cmd := exec.CommandContext(t.Context(), "python3", hook)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "THROUGHLINE_URL="+url, "THROUGHLINE_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", branch, err, out)
		}
		return string(out)
	}
	token := apitest.ReaderToken("acme")
	got := run("feature/proj-142-stream-rows", s.URL, token)
	for _, want := range []string{"jira:PROJ-142 changed since work began (revision 1, now 2)", "new voices", "It is material", "whats_changed"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	for _, word := range []string{"Ignore previous", "Mallory", "month-end"} {
		if strings.Contains(got, word) {
			t.Errorf("a customer's words reach the agent unfenced: %q", got)
		}
	}
	for name, got := range map[string]string{
		"no ticket in the branch": run("main", s.URL, token), "an unknown ticket": run("none-1-x", s.URL, token), "a ticket not begun": run("eng-77", s.URL, token),
		"a wrong token": run("proj-142", s.URL, "wrong"), "a server that is away": run("proj-142", "http://127.0.0.1:1", token), "another workspace": run("proj-142", s.URL, apitest.ReaderToken("globex")),
	} {
		if got != "" {
			t.Errorf("%s: printed %q", name, got)
		}
	}
}
