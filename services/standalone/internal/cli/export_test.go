package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/standalone/internal/cli"
)

// A whole export becomes a file, one that breaks off an error and no file.
func TestExportWritesWholeFiles(t *testing.T) {
	t.Parallel()
	whole := true
	row := `{"id":"itm_1","text":"` + strings.Repeat("long ", 30_000) + `"}` + "\n"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/v1/export/items" || r.URL.Query().Get("since") != "2026-11-01T00:00:00Z" {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		w.Header().Set("Trailer", "Throughline-Rows")
		w.Header().Set("Throughline-Total", "2")
		_, _ = io.WriteString(w, row+row)
		if whole {
			w.Header().Set("Throughline-Rows", "2")
		}
	}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "items.jsonl")
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := cli.Run(append([]string{"export", "items", "--url", srv.URL, "--token", "t", "--since", "2026-11-01"}, args...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	if code, out, errs := run(); code != 0 || out != row+row || !strings.Contains(errs, "2 items") {
		t.Errorf("%d %q %d bytes", code, errs, len(out))
	}
	if code, _, errs := run("-o", file); code != 0 {
		t.Errorf("%d %q", code, errs)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != row+row {
		t.Errorf("%v, %d bytes", err, len(b))
	}
	whole = false
	broken := file + ".broken"
	if code, _, errs := run("-o", broken); code != 1 || !strings.Contains(errs, "broke off") {
		t.Errorf("%d %q", code, errs)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if code, _, errs := run("--since", "monday"); code != 2 {
		t.Errorf("%d %q", code, errs)
	}
}
