package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/services/standalone/internal/cli"
)

// taker is a server that takes feedback and remembers it, and can fail.
type taker struct {
	*httptest.Server
	mu      sync.Mutex
	entries []map[string]any
	posts   int
	fail    func(post int, w http.ResponseWriter) bool // answers itself and returns true
}

func take(t *testing.T) *taker {
	t.Helper()
	k := &taker{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.posts++
		if r.URL.Path != "/v1/feedback" || r.Header.Get("Authorization") != "Bearer secret-token" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if k.fail != nil && k.fail(k.posts, w) {
			return
		}
		var batch []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		k.entries = append(k.entries, batch...)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"accepted":[],"errors":[]}`)
	}))
	t.Cleanup(k.Close)
	return k
}

// run runs a command and returns its exit code and what it wrote.
func run(t *testing.T, k *taker, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(append([]string{"import", "--url", k.URL, "--token", "secret-token"}, args...), strings.NewReader(""), &o, &e)
	if strings.Contains(o.String()+e.String(), "secret-token") {
		t.Errorf("the token is shown:\n%s%s", o.String(), e.String())
	}
	return code, o.String(), e.String()
}

// copied puts a file of testdata into a folder of the test's own.
func copied(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "import", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func brief(entries []map[string]any) string {
	var out []string
	for _, e := range entries {
		words := fmt.Sprintf("%q", e["text"])
		if ms, ok := e["messages"].([]any); ok {
			words = ""
			for _, m := range ms {
				m := m.(map[string]any)
				words += fmt.Sprintf("[%v %v] %q ", m["from"], m["at"], m["text"])
			}
		}
		out = append(out, fmt.Sprintf("%v | %v | %v | %v | %v | %s", e["id"], e["created_at"], e["author"], e["account"], e["url"], strings.TrimSpace(words)))
	}
	return strings.Join(out, "\n")
}

// exports are files as the tools write them, with what must come of each.
var exports = []struct {
	file, shape, want string
	args              []string
}{
	{"canny-posts.csv", "canny", `canny:5f1a | 2026-03-04T10:11:12.345Z | map[email:ada@initech.example id:ada@initech.example name:Ada Lovelace] | map[currency:USD id:Initech name:Initech value:15000] | https://acme.canny.example/p/dark-mode | "Dark mode\n\nMy eyes hurt at night.\nPlease add a dark theme."
canny:5f1b | 2026-03-05T08:00:00Z | map[email:grace@umbrella.example id:grace@umbrella.example name:Grace Hopper] | map[id:Umbrella name:Umbrella] | https://acme.canny.example/p/export | "Export to \"Excel\""`, nil},
	{"productboard-notes.csv", "productboard", `productboard:101 | 2026-02-01T09:00:00Z | map[email:ada@initech.example id:ada@initech.example name:Ada Lovelace] | map[domains:[initech.example] id:Initech name:Initech] | https://acme.productboard.example/notes/101 | "Call with Initech\n\nThe export fails for > 10,000 rows.\n\nThey wait for it."`, nil},
	{"intercom-conversations.csv", "intercom", `intercom:21321941764 | 2026-03-22T21:29:58Z | map[email:rose@umbrella.example id:5c9553cb name:Rose] | map[id:Umbrella name:Umbrella] | <nil> | "Invoices arrive twice, every month."`, nil},
	{"intercom-conversations.jsonl", "intercom-json", `intercom:987 | 2026-03-22T21:46:40Z | map[email:rose@umbrella.example id:5c95 name:Rose] | <nil> | <nil> | [customer 2026-03-22T21:46:40Z] "The search finds nothing." [customer 2026-03-22T21:51:40Z] "Still nothing."`, nil},
	{"zendesk-tickets.csv", "zendesk", `zendesk:35436 | 2026-03-14T09:30:00Z | map[email:juergen@initech.example id:juergen@initech.example name:Jürgen Müller] | map[id:Initech GmbH name:Initech GmbH] | <nil> | "Passwort zurücksetzen\n\nDer Link läuft ab, bevor die E-Mail ankommt – das kostet uns Zeit."
zendesk:35437 | 2026-03-15T18:05:00Z | map[email:anais@globex.example id:anais@globex.example name:Anaïs] | map[id:Globex name:Globex] | <nil> | "Rechnung\n\nDie Währung ist falsch: € statt CHF."`, nil},
	{"zendesk-export.json", "zendesk-json", `zendesk:5158 | 2026-01-08T10:12:07Z | map[email:ada@initech.example id:8447 name:Ada Lovelace] | map[id:77 name:Initech] | <nil> | [customer 2026-01-08T10:12:07Z] "Sync is slow\n\nIt takes an hour to sync." [customer 2026-01-09T10:00:00Z] "Now it takes two."`, nil},
	{"google-play-reviews.csv", "google-play", `google-play:http://play.example/console/reviews?reviewId=gp:AOq1 | 2026-03-01T12:00:00Z | <nil> | <nil> | http://play.example/console/reviews?reviewId=gp:AOq1 | "同期が遅い 😡"
google-play:http://play.example/console/reviews?reviewId=gp:AOq2 | 2026-03-01T14:00:00Z | <nil> | <nil> | http://play.example/console/reviews?reviewId=gp:AOq2 | "It crashes, \"always\", on start."`, nil},
	{"app-store-reviews.csv", "app-store", `row | 2026-03-05T00:00:00Z | map[id:night_owl name:night_owl] | <nil> | <nil> | "Almost there\n\nWidgets do not refresh."
row | 2026-03-06T00:00:00Z | map[id:bernd77 name:bernd77] | <nil> | <nil> | "Top\n\nLäuft."`, nil},
	{"survey.tsv", "unknown", `unknown:r-1 | 2026-02-13T14:05:00Z | map[email:ada@initech.example id:ada@initech.example] | map[currency:EUR domains:[initech.example] id:initech.example plan:Enterprise value:120000] | <nil> | "The approval flow needs too many clicks for a simple invoice."
unknown:r-2 | 2026-03-04T09:00:00Z | map[email:grace@umbrella.example id:grace@umbrella.example] | map[currency:EUR domains:[umbrella.example] id:umbrella.example plan:Team value:8000.5] | <nil> | "Let us assign tasks to a group, not only to one person."`, []string{"--map", "id=Respondent"}},
	{"api.jsonl", "", `f1 | 2026-01-01T00:00:00Z | map[id:u1] | <nil> | <nil> | "Keyboard shortcuts, please."
row | <nil> | map[id:u2] | <nil> | <nil> | "Faster search."`, nil},
	{"call.vtt", "", `transcript:call | <nil> | <nil> | <nil> | <nil> | [Ada Lovelace <nil>] "The export. It stops at ten thousand rows, and note: nobody tells you." [Ada Lovelace <nil>] "Good."`, nil},
	{"call-blocks.txt", "", `transcript:call-blocks | <nil> | <nil> | <nil> | <nil> | [Grace Hopper <nil>] "Our people cannot find the report. They ask me every week." [Alan Turing <nil>] "The one on churn."`, []string{"--ours", "Carol"}},
	{"call-roles.txt", "", `transcript:call-roles | <nil> | <nil> | <nil> | <nil> | [Customer <nil>] "My invoices arrive twice." [Customer <nil>] "Fix it, please: it is embarrassing."`, nil},
}

func TestExportsOfTheUsualToolsAreImported(t *testing.T) {
	t.Parallel()
	for _, c := range exports {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			k := take(t)
			file := copied(t, c.file)
			code, out, errs := run(t, k, append([]string{file, "--yes", "--json"}, c.args...)...)
			var r struct {
				Accepted int
				Mapping  *struct{ Shape string }
			}
			if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || r.Accepted != len(k.entries) {
				t.Fatalf("exit %d, %v:\n%s%s", code, err, out, errs)
			}
			if (r.Mapping != nil || c.shape != "") && (r.Mapping == nil || r.Mapping.Shape != c.shape) {
				t.Errorf("taken as %+v", r.Mapping)
			}
			first := brief(k.entries)
			want := c.want
			for _, e := range k.entries { // ids made of the content
				if id := e["id"].(string); strings.HasPrefix(id, "row_") {
					want = strings.Replace(want, "row |", id+" |", 1)
				}
			}
			if first != want {
				t.Errorf("\n got %s\nwant %s", first, want)
			}
			k.entries = nil
			if code, _, _ := run(t, k, append([]string{file, "--yes"}, c.args...)...); code != 0 || brief(k.entries) != first {
				t.Errorf("a second import sends something else:\n%s", brief(k.entries))
			}
			for _, private := range []string{"secret", "We are on it", "Looking into it", "private number", "Which report", "rebuild it in Q3"} {
				if strings.Contains(first, private) {
					t.Errorf("%q is not the customer's", private)
				}
			}
		})
	}
}

func TestTheMappingIsShownAndConfirmed(t *testing.T) {
	t.Parallel()
	k := take(t)
	file := copied(t, "zendesk-tickets.csv")
	code, _, errs := run(t, k, file)
	if code != 2 || k.posts > 0 || !strings.Contains(errs, "--yes") {
		t.Errorf("imported without a yes: %d\n%s", code, errs)
	}
	for _, shown := range []string{"csv with ';'", "windows-1252", "export of: zendesk", `text            "Description" (export of zendesk)`, "not read: Status, Priority, Tags", "Passwort"} {
		if !strings.Contains(errs, shown) {
			t.Errorf("%s is not shown:\n%s", shown, errs)
		}
	}
	code, out, _ := run(t, k, file, "--dry-run")
	if code != 0 || k.posts > 0 || !strings.Contains(out, `"id": "zendesk:35436"`) {
		t.Errorf("dry run: %d\n%s", code, out)
	}
	for what, args := range map[string][]string{
		"an unknown field":  {"--map", "colour=Tags"},
		"an unknown column": {"--map", "text=Colour"},
	} {
		if code, _, errs := run(t, k, append([]string{file, "--yes"}, args...)...); code != 2 || k.posts > 0 {
			t.Errorf("%s: %d\n%s", what, code, errs)
		}
	}
	if code, _, errs := run(t, k, copied(t, "call-blocks.txt"), "--yes"); code != 2 || k.posts > 0 || !strings.Contains(errs, "Grace Hopper, Carol, Alan Turing") {
		t.Errorf("speakers that nobody knows: %d\n%s", code, errs)
	}
	if code, _, _ := run(t, k, file, "--yes", "--map", "text=Subject", "--map", "title="); code != 0 || len(k.entries) != 2 || k.entries[1]["text"] != "Rechnung" {
		t.Errorf("mapped by hand: %d %v", code, k.entries)
	}
}

func TestAnImportThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "many.csv")
	var b strings.Builder
	b.WriteString("id,text\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "%d,row number %d is here\n", i, i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	k := take(t)
	k.fail = func(post int, w http.ResponseWriter) bool {
		if post == 4 {
			w.WriteHeader(http.StatusForbidden)
		}
		return post == 4
	}
	code, _, errs := run(t, k, path, "--yes")
	if code != 1 || len(k.entries) != 600 || !strings.Contains(errs, "600 rows") {
		t.Fatalf("exit %d after %d entries:\n%s", code, len(k.entries), errs)
	}
	code, out, errs := run(t, k, path, "--yes")
	if code != 0 || len(k.entries) != 1000 || !strings.Contains(out, "400 items accepted, 600 were in before") {
		t.Fatalf("exit %d with %d entries:\n%s%s", code, len(k.entries), out, errs)
	}
	seen := map[any]bool{}
	for _, e := range k.entries {
		seen[e["id"]] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 rows", len(seen))
	}
	if left, _ := filepath.Glob(path + ".*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
	// Another mapping is another import.
	k.fail = func(post int, w http.ResponseWriter) bool {
		if post == 8 {
			w.WriteHeader(http.StatusForbidden)
		}
		return post == 8
	}
	k.posts, k.entries = 5, nil
	if code, _, _ := run(t, k, path, "--yes"); code != 1 {
		t.Fatal("not cut off")
	}
	k.fail, k.entries = nil, nil
	if code, out, _ := run(t, k, path, "--yes", "--map", "id="); code != 0 || len(k.entries) != 1000 {
		t.Errorf("%d entries: %s", len(k.entries), out)
	}
}

func TestABusyServerIsAskedAgainAndARefusedRowIsNamed(t *testing.T) {
	t.Parallel()
	k := take(t)
	k.fail = func(post int, w http.ResponseWriter) bool {
		switch post {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		case 2:
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"accepted":[{"index":0}],"errors":[{"index":1,"detail":"text is too long"}]}`)
			return true
		}
		return false
	}
	code, out, errs := run(t, k, copied(t, "canny-posts.csv"), "--yes")
	if code != 3 || k.posts != 2 || !strings.Contains(out, "1 items accepted, 1 refused") || !strings.Contains(errs, "row 2: text is too long") {
		t.Errorf("exit %d, %d posts:\n%s%s", code, k.posts, out, errs)
	}
}
