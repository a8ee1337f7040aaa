// Package recorded compares what tests see with the recorded exchanges of
// schemas/trackers. It writes them anew where the environment variable
// THROUGHLINE_RECORD is set; the change is then to be read like code.
package recorded

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/throughline-dev/throughline/schemas/trackers"
)

// Compare fails where got, as JSON, is not what the file of schemas/trackers
// has.
func Compare(t *testing.T, name string, got any) {
	t.Helper()
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	// Once more through any, so that raw messages inside are written like the
	// rest: sorted, indented and without HTML escapes.
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	enc := json.NewEncoder(&pretty)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(plain); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("THROUGHLINE_RECORD") != "" {
		_, here, _, ok := runtime.Caller(0)
		if !ok {
			t.Fatal("cannot tell where the repository is")
		}
		root := filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "..", "..")
		if err := os.WriteFile(filepath.Join(root, "schemas", "trackers", filepath.FromSlash(name)), pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := trackers.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("schemas/trackers/%s differs; if that is meant, run with THROUGHLINE_RECORD=1 and read the change. Got:\n%s", name, pretty.Bytes())
	}
}
