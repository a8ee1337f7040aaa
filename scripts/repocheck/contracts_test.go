package repocheck

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/schemas"
)

// Every type of event has a schema and examples on both sides of it, and no schema or
// example is left over. That the examples are what they claim is tested in package event.
func TestEveryEventHasItsContract(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, typ := range event.Types() {
		known[string(typ)] = true
		if _, err := fs.Stat(schemas.Events, "events/"+string(typ)+".schema.json"); err != nil {
			t.Errorf("%s has no schema: both sides of a hop test against it", typ)
		}
		for _, side := range []string{"valid", "invalid"} {
			found, err := fs.Glob(schemas.Events, path.Join("events/examples", string(typ), side, "*.json"))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 {
				t.Errorf("%s has no %s example", typ, side)
			}
		}
	}
	schemaFiles, err := fs.Glob(schemas.Events, "events/*.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := fs.Glob(schemas.Events, "events/examples/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range schemaFiles {
		if !known[strings.TrimSuffix(path.Base(f), ".schema.json")] {
			t.Errorf("%s is the schema of no type of event", f)
		}
	}
	for _, f := range examples {
		if !known[path.Base(f)] {
			t.Errorf("%s holds examples of no type of event", f)
		}
	}
}

var (
	migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)
	table         = regexp.MustCompile(`(?m)^(?:--[^\n]*\n)?CREATE TABLE IF NOT EXISTS ([a-z_]+) `)
)

// migrationFaults lists what is wrong with the migrations, given by name.
func migrationFaults(files map[string]string) []string {
	var out []string
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	last := ""
	for _, name := range names {
		m := migrationName.FindStringSubmatch(name)
		if m == nil {
			out = append(out, name+": a migration is NNNN_name.sql")
			continue
		}
		if m[1] <= last {
			out = append(out, name+": its number is taken; migrations have no twins")
		}
		last = m[1]
		for statement := range strings.SplitSeq(files[name], ";\n") {
			statement = strings.TrimSpace(statement)
			if statement == "" {
				continue
			}
			if !strings.HasPrefix(statement, "--") {
				out = append(out, name+": a statement without a comment: say which question its order answers")
			}
			if m := table.FindStringSubmatch(statement); m != nil && !regexp.MustCompile(`ORDER BY \(?workspace\b`).MatchString(statement) {
				out = append(out, name+": the table "+m[1]+" is not ordered by workspace first: one workspace's rows lie together, and are read without the others'")
			}
		}
	}
	return out
}

func TestMigrationsAreInOrder(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"0001_a.sql": "-- Why.\nCREATE TABLE IF NOT EXISTS a (\n) ORDER BY id;\n",
		"0001_b.sql": "ALTER TABLE a;\n",
	}
	if got := migrationFaults(bad); len(got) != 3 {
		t.Fatalf("found %v, not 3 faults", got)
	}
	files := map[string]string{}
	entries, err := fs.ReadDir(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := fs.ReadFile(schemas.ClickHouse, "clickhouse/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	for _, f := range migrationFaults(files) {
		t.Error(f)
	}
}

// tables lists what the migrations make, as "table name" or "view name".
func tables(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range filesEnding(t, ".sql") {
		for _, m := range regexp.MustCompile(`(?m)^(CREATE|DROP) (TABLE|VIEW) IF (?:NOT )?EXISTS ([a-z_]+) `).FindAllStringSubmatch(read(t, f), -1) {
			name := strings.ToLower(m[2]) + " " + m[3]
			out = slices.DeleteFunc(out, func(there string) bool { return there == name })
			if m[1] == "CREATE" {
				out = append(out, name)
			}
		}
	}
	return out
}

// A decision's number is its name for good. Numbers may be left out: those of records that
// were thought of together and never written.
func TestDecisionsAreNumbered(t *testing.T) {
	t.Parallel()
	index := read(t, "schemas/decisions/README.md")
	taken := map[string]string{}
	for _, f := range filesEnding(t, ".md") {
		if path.Dir(f) != "schemas/decisions" || path.Base(f) == "README.md" {
			continue
		}
		number, _, _ := strings.Cut(path.Base(f), "-")
		if taken[number] != "" {
			t.Errorf("%s has the number of %s", f, taken[number])
		}
		taken[number] = f
		title := regexp.MustCompile(`(?m)\A# (\d{4}): `).FindStringSubmatch(read(t, f))
		if title == nil || !strings.HasPrefix(path.Base(f), title[1]+"-") {
			t.Errorf("%s: its title is not # %s: …", f, path.Base(f)[:4])
		}
		if !strings.Contains(index, "]("+path.Base(f)+")") {
			t.Errorf("schemas/decisions/README.md does not list %s", path.Base(f))
		}
	}
	if len(taken) < 10 {
		t.Errorf("found only %d records", len(taken))
	}
}
