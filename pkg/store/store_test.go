package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline-dev/throughline/pkg/benchtest"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/schemas"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// wordsFile is a first migration with what makes splitting hard in it.
const wordsFile = `-- a comment; with a semicolon
CREATE TABLE IF NOT EXISTS words {{on_cluster}} (
    id   UInt64,
    word String DEFAULT 'a;b\'c', /* another; one */
    vector Array(Float32)
) ENGINE = {{replacing}} ORDER BY id {{settings "index_granularity = 1024"}};

CREATE VIEW IF NOT EXISTS long_words {{on_cluster}} AS SELECT * FROM words FINAL WHERE length(word) > 5`

var wordColumns = []string{"id", "word", "vector"}

// openWords returns a store with the table words.
func openWords(t testing.TB) *store.DB {
	t.Helper()
	db := storetest.NewEmpty(t)
	if err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile)); err != nil {
		t.Fatal(err)
	}
	return db
}

// scripts makes a file system of pairs of name and text.
func scripts(pairs ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for pair := range slices.Chunk(pairs, 2) {
		files[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
	}
	return files
}

// someWords are n rows from id on.
func someWords(from, n int) [][]any {
	rows := make([][]any, n)
	for i := range rows {
		rows[i] = []any{uint64(from + i), fmt.Sprint("word ", from+i), []float32{float32(i), 1}}
	}
	return rows
}

func count(t testing.TB, db *store.DB, from string) (n uint64) {
	t.Helper()
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]store.Options{
		"no address":     {},
		"odd database":   {Addr: []string{"127.0.0.1:1"}, Database: "a; DROP"},
		"odd cluster":    {Addr: []string{"127.0.0.1:1"}, Cluster: "a`b"},
		"nobody listens": {Addr: []string{"127.0.0.1:1"}},
	} {
		db, err := store.Open(t.Context(), o)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", name)
		}
		if got, want := store.Retryable(err), name == "nobody listens"; got != want {
			t.Errorf("%s: retryable %v, want %v (%v)", name, got, want, err)
		}
	}
}

func TestOpenTwiceSharesDatabaseAndMetrics(t *testing.T) {
	t.Parallel()
	o := storetest.Options(t)
	registry := prometheus.NewPedanticRegistry()
	o.Registerer = registry
	for i := range 2 {
		db, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile)); err != nil {
			t.Fatal(err)
		}
		if err := db.Insert(t.Context(), "words", wordColumns, someWords(i*3, 3), ""); err != nil {
			t.Fatal(err)
		}
	}
	want := `
# HELP throughline_store_rows_total Rows written to ClickHouse, by table.
# TYPE throughline_store_rows_total counter
throughline_store_rows_total{table="schema_migrations"} 1
throughline_store_rows_total{table="words"} 6
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "throughline_store_rows_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestMigrationsOfTheRepositoryApplyTwice(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	first, err := db.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) == 0 || len(first) != len(names) {
		t.Fatalf("%d of %d files are recorded", len(first), len(names))
	}
	if err := db.Migrate(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	second, err := db.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, second) {
		t.Errorf("the second run changed the record: %v, then %v", first, second)
	}

	// Every table keeps the promise that Insert gives.
	rows, err := db.Conn().Query(t.Context(), `SELECT name, create_table_query FROM system.tables
		WHERE database = currentDatabase() AND engine LIKE '%MergeTree'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			t.Fatal(err)
		}
		for _, setting := range []string{"fsync_after_insert = 1", "fsync_part_directory = 1", "non_replicated_deduplication_window = 10000"} {
			if !strings.Contains(statement, setting) {
				t.Errorf("table %s is without %s", name, setting)
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateAtOnceInSeveralProcesses(t *testing.T) {
	t.Parallel()
	o := storetest.Options(t)
	files := scripts(
		"0001_words.sql", wordsFile,
		"0002_more.sql", "ALTER TABLE words {{on_cluster}} ADD COLUMN IF NOT EXISTS more String; ALTER TABLE words MODIFY COLUMN more LowCardinality(String);",
		"0003_other.sql", "CREATE TABLE IF NOT EXISTS other (id UInt8) ENGINE = {{merge}} ORDER BY id {{settings}};",
	)
	const processes = 4
	errs := make([]error, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			db, err := store.Open(t.Context(), o)
			if err == nil {
				defer db.Close()
				err = db.Migrate(t.Context(), files)
			}
			errs[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	applied, err := db.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var numbers []uint32
	for _, m := range applied {
		numbers = append(numbers, m.Number)
	}
	if !slices.Equal(numbers, []uint32{1, 2, 3}) {
		t.Errorf("recorded %v, want each once", numbers)
	}
	if n := count(t, db, "system.columns WHERE database = currentDatabase() AND table = 'words'"); n != 4 {
		t.Errorf("words has %d columns, want 4", n)
	}
}

func TestMigrateRefusesChangedFilesAndGoesOnWithNewOnes(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile+" -- changed"))
	if !errors.Is(err, store.ErrMigrationChanged) || !strings.Contains(err.Error(), "0001_words.sql") {
		t.Errorf("changed file: %v, want ErrMigrationChanged naming it", err)
	}
	second := "CREATE TABLE IF NOT EXISTS second (id UInt8) ENGINE = {{merge}} ORDER BY id {{settings}}"
	if err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile, "0002_second.sql", second)); err != nil {
		t.Fatal(err)
	}
	// An older binary meets the newer database.
	if err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile)); err != nil {
		t.Errorf("older set of files: %v", err)
	}
}

func TestMigrationThatDiedHalfWayIsFinished(t *testing.T) {
	t.Parallel()
	db := storetest.NewEmpty(t)
	const good = "CREATE TABLE IF NOT EXISTS a (id UInt8) ENGINE = {{merge}} ORDER BY id {{settings}};"
	err := db.Migrate(t.Context(), scripts("0001_two.sql", good+"CREATE TABLE IF NOT EXISTS b (id Nonsense) ENGINE = {{merge}} ORDER BY id;"))
	if err == nil || !strings.Contains(err.Error(), "0001_two.sql: statement 2") {
		t.Fatalf("broken statement: %v, want its place", err)
	}
	if applied, err := db.Migrations(t.Context()); err != nil || len(applied) != 0 {
		t.Fatalf("a half-applied file is recorded: %v %v", applied, err)
	}
	if err := db.Migrate(t.Context(), scripts("0001_two.sql", good+strings.ReplaceAll(good, " a ", " b "))); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "system.tables WHERE database = currentDatabase() AND name IN ('a', 'b')"); n != 2 {
		t.Errorf("%d tables, want 2", n)
	}
}

func TestMigrateRefusesBadFiles(t *testing.T) {
	t.Parallel()
	db := storetest.NewEmpty(t)
	for name, files := range map[string]fstest.MapFS{
		"nothing":          {},
		"odd name":         scripts("first.sql", wordsFile),
		"same number":      scripts("0001_a.sql", wordsFile, "0001_b.sql", wordsFile),
		"unknown function": scripts("0001_a.sql", "CREATE TABLE IF NOT EXISTS a {{engine}}"),
		"open quote":       scripts("0001_a.sql", "CREATE TABLE IF NOT EXISTS a (x String DEFAULT 'a"),
		"bare create":      scripts("0001_a.sql", "CREATE TABLE a (x UInt8) ENGINE = {{merge}} ORDER BY x"),
		"bare insert":      scripts("0001_a.sql", "INSERT INTO words SELECT 1"),
		"bare drop":        scripts("0001_a.sql", "DROP TABLE words"),
		"bare add":         scripts("0001_a.sql", "ALTER TABLE words ADD COLUMN x UInt8"),
		"delete":           scripts("0001_a.sql", "ALTER TABLE words DELETE WHERE id = 1"),
	} {
		if err := db.Migrate(t.Context(), files); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n := count(t, db, "system.tables WHERE database = currentDatabase() AND name != 'schema_migrations'"); n != 0 {
		t.Errorf("a refused set of files made %d tables", n)
	}
}

func TestInsertIsIdempotentByToken(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	insert := func(from int, token string) {
		t.Helper()
		if err := db.Insert(t.Context(), "words", wordColumns, someWords(from, 3), token); err != nil {
			t.Fatal(err)
		}
	}
	insert(0, "1-3")
	insert(0, "1-3")
	insert(3, "4-6")
	insert(0, "1-3")
	// Without FINAL: what was dropped never became a row.
	if n := count(t, db, "words"); n != 6 {
		t.Errorf("%d rows after repeats with the same token, want 6", n)
	}
	insert(0, "")
	insert(0, "")
	if n := count(t, db, "words"); n != 12 {
		t.Errorf("%d rows after two inserts without a token, want 12", n)
	}
	if n := count(t, db, "words FINAL"); n != 6 {
		t.Errorf("%d keys, want 6", n)
	}
	if err := db.Insert(t.Context(), "words", wordColumns, nil, "none"); err != nil {
		t.Errorf("no rows: %v", err)
	}
}

func TestInsertAtOnce(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	const writers, each = 16, 10
	errs := make([]error, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				from := (w*each + i) * 5
				errs[w] = errors.Join(errs[w], db.Insert(t.Context(), "words", wordColumns, someWords(from, 5), fmt.Sprint("from-", from)))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "words"); n != writers*each*5 {
		t.Errorf("%d rows, want %d", n, writers*each*5)
	}
}

func TestInsertNamesThePoisonRowAndWritesNothing(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	const secret = "words-of-a-customer"
	for name, poison := range map[string][]any{
		"wrong type": {secret, "w", []float32{1}},
		"too short":  {uint64(1), secret},
		"wrong item": {uint64(1), "w", []string{secret}},
	} {
		rows := someWords(0, 10)
		rows[7] = poison
		err := db.Insert(t.Context(), "words", wordColumns, rows, name)
		var row *store.RowError
		if !errors.As(err, &row) || row.Index != 7 || row.Table != "words" {
			t.Errorf("%s: %v, want a RowError for row 7", name, err)
		}
		if store.Retryable(err) {
			t.Errorf("%s: retryable", name)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes the value: %v", name, err)
		}
		if n := count(t, db, "words"); n != 0 {
			t.Errorf("%s: %d rows were written", name, n)
		}
	}
	// The others go in under the same token once the row is out.
	rows := slices.Delete(someWords(0, 10), 7, 8)
	if err := db.Insert(t.Context(), "words", wordColumns, rows, "wrong type"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "words"); n != 9 {
		t.Errorf("%d rows, want 9", n)
	}
}

func TestInsertKeepsHostileText(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	texts := []string{"", "\x00", "\xff\xfe", "'; DROP TABLE words; --", "{{merge}}", "?", "\u202e", strings.Repeat("x", 1<<20)}
	rows := make([][]any, len(texts))
	for i, text := range texts {
		rows[i] = []any{uint64(i), text, []float32{}}
	}
	if err := db.Insert(t.Context(), "words", wordColumns, rows, ""); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		var back string
		if err := db.Conn().QueryRow(t.Context(), "SELECT word FROM words WHERE id = ?", i).Scan(&back); err != nil || back != text {
			t.Errorf("text %d came back as %d bytes: %v", i, len(back), err)
		}
	}
}

func TestInsertOfAHundredThousandRows(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	const n = 100_000
	begun := time.Now()
	if err := db.Insert(t.Context(), "words", wordColumns, someWords(0, n), "big"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %s", n, time.Since(begun))
	if err := db.Insert(t.Context(), "words", wordColumns, someWords(0, n), "big"); err != nil {
		t.Fatal(err)
	}
	var rows, sum uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count(), sum(id) FROM words").Scan(&rows, &sum); err != nil {
		t.Fatal(err)
	}
	if rows != n || sum != n*(n-1)/2 {
		t.Errorf("%d rows summing to %d, want %d and %d", rows, sum, n, n*(n-1)/2)
	}
}

func TestInsertGivesUpWithItsContextAndAfterRetryFor(t *testing.T) {
	t.Parallel()
	o := storetest.Options(t)
	o.RetryFor = 200 * time.Millisecond
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context(), scripts("0001_words.sql", wordsFile)); err != nil {
		t.Fatal(err)
	}
	// A table full of parts that may not merge is a transient failure (code 252)
	// that lasts.
	for _, statement := range []string{
		"ALTER TABLE words MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1",
		"SYSTEM STOP MERGES words",
	} {
		if err := db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Insert(t.Context(), "words", wordColumns, someWords(0, 10), "first"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err = db.Insert(t.Context(), "words", wordColumns, someWords(10, 10), "second")
	if !store.Retryable(err) {
		t.Errorf("insert into a full table: %v, want a retryable error", err)
	}
	if took := time.Since(begun); took < o.RetryFor/2 || took > within {
		t.Errorf("gave up after %s, want about %s", took, o.RetryFor)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := db.Insert(left, "words", wordColumns, someWords(0, 1), ""); !errors.Is(err, context.Canceled) || store.Retryable(err) {
		t.Errorf("insert with a cancelled context: %v", err)
	}
	if err := db.Conn().Exec(t.Context(), "ALTER TABLE words RESET SETTING parts_to_delay_insert, parts_to_throw_insert"); err != nil {
		t.Fatal(err)
	}
	if err := db.Insert(t.Context(), "words", wordColumns, someWords(10, 10), "second"); err != nil {
		t.Errorf("insert with room again: %v", err)
	}
	if n := count(t, db, "words"); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
}

// within is how long something that should not take long may take.
const within = 30 * time.Second

func TestRetryableJudgesTheServersOwnErrors(t *testing.T) {
	t.Parallel()
	db := openWords(t)
	run := func(settings clickhouse.Settings, statement string) error {
		return db.Conn().Exec(clickhouse.Context(t.Context(), clickhouse.WithSettings(settings)), statement)
	}
	for name, c := range map[string]struct {
		err    error
		want   bool
		reason string
	}{
		"unknown table":  {run(nil, "SELECT * FROM missing"), false, "server error 60"},
		"syntax":         {run(nil, "SELECT FROM WHERE"), false, "server error 62"},
		"bad value":      {run(nil, "SELECT toUInt8('x')"), false, "server error 6"},
		"unknown column": {db.Insert(t.Context(), "words", []string{"missing"}, [][]any{{1}}, ""), false, "server error 16"},
		"odd table name": {db.Insert(t.Context(), "words; DROP TABLE words", []string{"id"}, [][]any{{1}}, ""), false, "refused by the driver"},
		"memory":         {run(clickhouse.Settings{"max_memory_usage": 1 << 20}, "SELECT groupArray(number) FROM numbers(10000000) FORMAT Null"), true, "server error 241"},
		"time":           {run(clickhouse.Settings{"max_execution_time": 1, "timeout_before_checking_execution_speed": 0}, "SELECT sum(sleepEachRow(0.05)) FROM numbers(50) SETTINGS max_block_size = 1"), true, "server error 159"},
		"none":           {nil, false, "none"},
	} {
		if c.err == nil && name != "none" {
			t.Errorf("%s: did not fail", name)
		}
		if got := store.Retryable(c.err); got != c.want {
			t.Errorf("%s: retryable %v, want %v (%v)", name, got, c.want, c.err)
		}
		if got := store.Reason(c.err); got != c.reason {
			t.Errorf("%s: reason %q, want %q (%v)", name, got, c.reason, c.err)
		}
	}
}

func TestDatabasesOfTestsAreApart(t *testing.T) {
	t.Parallel()
	one, other := openWords(t), openWords(t)
	if one.Database() == other.Database() {
		t.Fatal("two tests share a database")
	}
	if err := one.Insert(t.Context(), "words", wordColumns, someWords(0, 2), "same"); err != nil {
		t.Fatal(err)
	}
	if err := other.Insert(t.Context(), "words", wordColumns, someWords(0, 1), "same"); err != nil {
		t.Fatal(err)
	}
	if a, b := count(t, one, "words"), count(t, other, "words"); a != 2 || b != 1 {
		t.Errorf("%d and %d rows, want 2 and 1", a, b)
	}
}

// BenchmarkInsert measures durable inserts of rows like signals: a sentence and
// 64 floats.
func BenchmarkInsert(b *testing.B) {
	for _, size := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint("rows=", size), func(b *testing.B) {
			db := openWords(b)
			rows := make([][]any, size)
			vector := make([]float32, 64)
			for i := range rows {
				rows[i] = []any{uint64(i), "when I export a report the totals are off by one day in our time zone", vector}
			}
			meter := benchtest.Start(b)
			for b.Loop() {
				if err := db.Insert(b.Context(), "words", wordColumns, rows, ""); err != nil {
					b.Fatal(err)
				}
			}
			meter.Report(size)
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
