package store

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/schemas"
)

func TestSplitStatements(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"nothing":            {"", nil},
		"only comments":      {"-- a;\n/* b; */ # c;\n#! d;\n ;; ", nil},
		"last without end":   {"A; B", []string{"A", "B"}},
		"single quotes":      {`A ';' ; B 'it''s;' ; C '\';' ; D '\\';E`, []string{`A ';'`, `B 'it''s;'`, `C '\';'`, `D '\\'`, "E"}},
		"other quotes":       {"A \";\" ; B `;`", []string{`A ";"`, "B `;`"}},
		"comment marks":      {"A '--' ; B '/*' ; C \"# \";D", []string{"A '--'", "B '/*'", `C "# "`, "D"}},
		"quote in a comment": {"A -- it's\n B; C /* don't */ D", []string{"A \n B", "C   D"}},
		"heredoc":            {"A $x$;'$x$ ; B $$;$$; C $1; D $", []string{"A $x$;'$x$", "B $$;$$", "C $1", "D $"}},
		"joined by comment":  {"A/**/B", []string{"A B"}},
		"not ASCII":          {"A 'ä;ß' ; Б", []string{"A 'ä;ß'", "Б"}},
	} {
		got, err := splitStatements(c.script)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
	for _, script := range []string{"A '", `A '\'`, "A \"x", "A `", "A /* b", "$a$ b", "A $$ ; $"} {
		if got, err := splitStatements(script); err == nil {
			t.Errorf("%q: %q, want an error", script, got)
		}
	}
}

func FuzzSplitStatements(f *testing.F) {
	f.Add("CREATE TABLE a (b String DEFAULT 'x;y'); -- c\nSELECT $$;$$;")
	f.Fuzz(func(t *testing.T, script string) {
		statements, err := splitStatements(script)
		if err != nil {
			return
		}
		for _, s := range statements {
			again, err := splitStatements(s)
			if err != nil || len(again) > 1 {
				t.Fatalf("statement %q of %q splits into %q, %v", s, script, again, err)
			}
		}
	})
}

// The cluster's forms of the migrations cannot run here, without a Keeper, but
// the real parser can read them.
func TestMigrationsParseForACluster(t *testing.T) {
	t.Parallel()
	e, err := engine.Start(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop(t.Context())
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{e.Addr()},
		Auth: clickhouse.Auth{Username: engine.Username, Password: e.Password()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	local, spread := map[string]bool{}, map[string]bool{}
	sharded, err := readMigrations(files, dialect{cluster: "team", sharded: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sharded {
		for _, s := range m.statements {
			switch table := createTable.FindStringSubmatch(s); {
			case table != nil && strings.HasSuffix(table[1], localSuffix):
				local[strings.TrimSuffix(table[1], localSuffix)] = true
			case table != nil:
				spread[table[1]] = strings.Contains(s, "Distributed(`team`")
			}
		}
	}
	if len(local) < 10 || !maps.Equal(local, spread) {
		t.Errorf("the tables of the shards are %v, and spread are %v", local, spread)
	}
	migrations, err := readMigrations(files, dialect{cluster: "team"})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(migrations, sharded...) {
		for i, statement := range m.statements {
			if !strings.Contains(statement, "ON CLUSTER `team`") {
				t.Errorf("%s: statement %d is without {{on_cluster}}", m.name, i+1)
			}
			if strings.Contains(statement, "MergeTree(") && !strings.Contains(statement, "Replicated") {
				t.Errorf("%s: statement %d is not replicated", m.name, i+1)
			}
			if err := conn.Exec(t.Context(), "EXPLAIN AST "+statement); err != nil {
				t.Errorf("%s: statement %d: %v", m.name, i+1, err)
			}
		}
	}
}
