package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// ErrMigrationChanged is returned by Migrate when a file that was applied reads
// differently now. Write a new file instead.
var ErrMigrationChanged = errors.New("applied migration was changed")

// Migration is one applied file.
type Migration struct {
	Number    uint32
	Name      string
	Checksum  string // SHA-256 of the file, in hex
	AppliedAt time.Time
}

// Migrate applies the files NNNN_name.sql at the root of files that are not
// recorded in schema_migrations, in the order of their numbers, and records
// each after its last statement.
//
// A file is a text/template over the functions of dialect and holds statements
// ended by semicolons. Each must be safe to run again, which Migrate checks:
// that, and not a lock (a server without Keeper has none to offer), makes it
// correct when two processes migrate at once or one dies half-way. Numbers that
// only the database knows are a newer release's and are left alone.
func (db *DB) Migrate(ctx context.Context, files fs.FS) error {
	wanted, err := readMigrations(files, db.dialect())
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := db.createLog(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	applied, err := db.Migrations(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, file := range wanted {
		at := slices.IndexFunc(applied, func(m Migration) bool { return m.Number == file.number })
		if at >= 0 {
			if applied[at].Checksum != file.checksum {
				return fmt.Errorf("migrate: %s: %w since it was applied on %s", file.name, ErrMigrationChanged, applied[at].AppliedAt.Format(time.DateOnly))
			}
			continue
		}
		for i, statement := range file.statements {
			if err := db.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migrate: %s: statement %d: %w", file.name, i+1, err)
			}
		}
		if err := db.recordMigration(ctx, file); err != nil {
			return fmt.Errorf("migrate: %s: record: %w", file.name, err)
		}
		db.log.Info("migration applied", "file", file.name, "database", db.database)
	}
	return nil
}

// Migrations lists the applied files by number; none when nothing was migrated
// yet.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	var there uint64
	err := db.conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'").Scan(&there)
	if err != nil {
		return nil, fmt.Errorf("look for schema_migrations: %w", err)
	}
	if there == 0 {
		return nil, nil
	}
	// Two processes that migrated at once recorded the same file twice.
	rows, err := db.conn.Query(ctx, "SELECT number, any(name), min(checksum), min(applied_at) FROM schema_migrations GROUP BY number ORDER BY number")
	if err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	defer rows.Close()
	var applied []Migration
	for rows.Next() {
		var m Migration
		if err := rows.Scan(&m.Number, &m.Name, &m.Checksum, &m.AppliedAt); err != nil {
			return nil, fmt.Errorf("read schema_migrations: %w", err)
		}
		applied = append(applied, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	return applied, nil
}

// createLog makes the table that Migrate records in.
func (db *DB) createLog(ctx context.Context) error {
	d := db.dialect()
	err := db.conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations `+d.onCluster()+` (
    number     UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = `+d.replacing()+` ORDER BY (number, checksum) `+d.settings())
	if err != nil {
		return fmt.Errorf("create schema_migrations: %w", err)
	}
	return nil
}

func (db *DB) recordMigration(ctx context.Context, m migrationFile) error {
	return db.Insert(ctx, "schema_migrations", []string{"number", "name", "checksum"},
		[][]any{{m.number, m.name, m.checksum}}, "migration-"+m.checksum)
}

// dialect renders what differs between one server and a cluster of them. Its
// functions, and no others, are there in migration files:
//
//	{{on_cluster}}                   after the object's name in every statement
//	{{merge}} {{replacing "v" "d"}}  engines; also aggregating, summing
//	{{settings "k = v" …}}           the last clause of every table
//
// The settings make an insert durable when it is acknowledged (data files and
// their folder synced) and remember the tokens of the last 10,000 inserts,
// which plain MergeTree tables do not do by default. What a merge or a mutation
// replaced, and the text of past mutations, goes within seconds, once what came
// in its place is on the disk: an erasure waits for it.
type dialect struct {
	cluster string
	sharded bool
}

func (db *DB) dialect() dialect { return dialect{cluster: db.cluster, sharded: db.sharded} }

func (d dialect) functions() template.FuncMap {
	return template.FuncMap{
		"on_cluster":  d.onCluster,
		"merge":       func() string { return d.engine("MergeTree") },
		"replacing":   d.replacing,
		"aggregating": func() string { return d.engine("AggregatingMergeTree") },
		"summing":     func(columns ...string) string { return d.engine("SummingMergeTree", columns...) },
		"settings":    d.settings,
	}
}

func (d dialect) onCluster() string { return strings.TrimSpace(onCluster(d.cluster)) }

func (d dialect) replacing(columns ...string) string {
	return d.engine("ReplacingMergeTree", columns...)
}

func (d dialect) engine(name string, arguments ...string) string {
	if d.cluster != "" {
		name = "Replicated" + name
	}
	return name + "(" + strings.Join(arguments, ", ") + ")"
}

func (d dialect) settings(more ...string) string {
	window := "non_replicated_deduplication_window = 10000"
	if d.cluster != "" {
		window = "replicated_deduplication_window = 10000"
	}
	return "SETTINGS " + strings.Join(append([]string{"fsync_after_insert = 1", "min_rows_to_fsync_after_merge = 1", "fsync_part_directory = 1", window,
		"cleanup_delay_period = 2", "max_cleanup_delay_period = 5", "cleanup_delay_period_random_add = 0",
		"finished_mutations_to_keep = 1"}, more...), ", ")
}

func onCluster(name string) string {
	if name == "" {
		return ""
	}
	return " ON CLUSTER `" + name + "`"
}

// migrationFile is one file, rendered and split.
type migrationFile struct {
	number     uint32
	name       string
	checksum   string
	statements []string
}

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// readMigrations reads every .sql file at the root of files. Each number may be
// used once; there may be gaps, because work done side by side takes ranges of
// its own.
func readMigrations(files fs.FS, d dialect) ([]migrationFile, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("list migrations: there is no .sql file")
	}
	slices.Sort(names)
	var out []migrationFile
	last := uint64(0)
	for _, name := range names {
		match := migrationName.FindStringSubmatch(name)
		if match == nil {
			return nil, fmt.Errorf("read %s: its name is not like 0001_name.sql", name)
		}
		number, err := strconv.ParseUint(match[1], 10, 32)
		if err != nil || number <= last {
			return nil, fmt.Errorf("read %s: its number should be greater than %04d", name, last)
		}
		last = number
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		statements, err := renderMigration(string(text), d)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		out = append(out, migrationFile{
			number: uint32(number), name: name, checksum: hex.EncodeToString(sum[:]), statements: statements,
		})
	}
	return out, nil
}

// renderMigration executes the template and splits and checks its statements.
func renderMigration(text string, d dialect) ([]string, error) {
	t, err := template.New("migration").Funcs(d.functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	var rendered strings.Builder
	if err := t.Execute(&rendered, nil); err != nil {
		return nil, fmt.Errorf("render template: %w", err)
	}
	statements, err := splitStatements(rendered.String())
	if err != nil {
		return nil, err
	}
	var out []string
	for i, s := range statements {
		if err := checkRepeatable(s); err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		out = append(out, d.spread(s)...)
	}
	return out, nil
}

// repeatable are the forms of statement that do nothing the second time.
var repeatable = []*regexp.Regexp{
	regexp.MustCompile(`(?is)^CREATE\s+[A-Z\s]*?IF\s+NOT\s+EXISTS\s`),
	regexp.MustCompile(`(?is)^CREATE\s+OR\s+REPLACE\s`),
	regexp.MustCompile(`(?is)^DROP\s+[A-Z\s]*?IF\s+EXISTS\s`),
	regexp.MustCompile(`(?is)^ALTER\s+TABLE\s.*\s(ADD|DROP|CLEAR|RENAME|COMMENT|MODIFY)\s+[A-Z]+\s+IF\s+(NOT\s+)?EXISTS\s`),
	regexp.MustCompile(`(?is)^ALTER\s+TABLE\s.*\sMODIFY\s+(COLUMN|TTL|SETTING|QUERY|COMMENT)\s`),
}

func checkRepeatable(statement string) error {
	for _, form := range repeatable {
		if form.MatchString(statement) {
			return nil
		}
	}
	return errors.New("it is not safe to run twice: use IF NOT EXISTS, IF EXISTS, OR REPLACE or MODIFY")
}

// Standing is how a database's migrations compare with a build's files.
type Standing struct {
	Missing []string // files that are not applied
	Changed []string // files that read differently now than when they were applied
	Newer   []string // applied files that the build does not have: those of a newer one
}

// Standing compares what is applied with files; it changes nothing.
func (db *DB) Standing(ctx context.Context, files fs.FS) (Standing, error) {
	wanted, err := readMigrations(files, db.dialect())
	if err != nil {
		return Standing{}, fmt.Errorf("compare migrations: %w", err)
	}
	applied, err := db.Migrations(ctx)
	if err != nil {
		return Standing{}, fmt.Errorf("compare migrations: %w", err)
	}
	var out Standing
	for _, file := range wanted {
		switch at := slices.IndexFunc(applied, func(m Migration) bool { return m.Number == file.number }); {
		case at < 0:
			out.Missing = append(out.Missing, file.name)
		case applied[at].Checksum != file.checksum:
			out.Changed = append(out.Changed, file.name)
		}
	}
	for _, m := range applied {
		if !slices.ContainsFunc(wanted, func(f migrationFile) bool { return f.number == m.Number }) {
			out.Newer = append(out.Newer, m.Name)
		}
	}
	return out, nil
}
