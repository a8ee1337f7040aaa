package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Insert writes rows, each with the values of columns in their order, and
// returns nil when they are durable. It writes all or, on an error, may have
// written none or all.
//
// token makes it idempotent: a second Insert of the same rows with the same
// token into the same table adds nothing, within the table's last 10,000
// inserts. Make it from what the rows answer to (the stream sequences of the
// batch), and give different rows a different token, because the server trusts
// it and drops the second batch unread. An empty token makes only the repeats
// inside this call safe. A token is no substitute for keyed rows.
//
// Transient failures are repeated with growing pauses, the last try begun within
// Options.RetryFor and all of them within ctx; the error is then Retryable. A
// row that cannot be written as it is gives a *RowError with its index, and
// nothing is written. A nil for a column that is not Nullable writes the type's
// zero. No rows are no work.
//
// One insert is one file and one sync on the server: write in batches, at most
// 1 s or 5,000 rows.
func (db *DB) Insert(ctx context.Context, table string, columns []string, rows [][]any, token string) error {
	if len(rows) == 0 {
		return nil
	}
	for _, name := range append([]string{table}, columns...) {
		if !plainName.MatchString(name) {
			return fmt.Errorf("insert: %q is no plain name of a table or column", name)
		}
	}
	for i, row := range rows {
		if len(row) != len(columns) {
			reason := fmt.Sprintf("it has %d values for %d columns", len(row), len(columns))
			return fmt.Errorf("insert: %w", &RowError{Table: table, Index: i, Reason: reason})
		}
	}
	if token == "" {
		token = rand.Text()
	}
	query := "INSERT INTO " + table + " (`" + strings.Join(columns, "`, `") + "`)"
	settings := clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token})

	begun := time.Now()
	patience, cancel := context.WithTimeout(ctx, db.retryFor)
	defer cancel()
	pause := firstPause
	for {
		err := db.insertOnce(clickhouse.Context(ctx, settings), table, query, rows)
		if err == nil {
			db.metrics.inserted(table, len(rows), time.Since(begun))
			return nil
		}
		retryable := Retryable(err)
		db.metrics.failed(table, retryable)
		if !retryable || !sleep(patience, pause) {
			return fmt.Errorf("insert %d rows into %s: %w", len(rows), table, err)
		}
		db.log.Warn("insert repeated", "table", table, "rows", len(rows), "reason", Reason(err))
		pause = min(2*pause, maxPause)
	}
}

// insertOnce sends one batch.
func (db *DB) insertOnce(ctx context.Context, table, query string, rows [][]any) error {
	batch, err := db.conn.PrepareBatch(ctx, query)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, row := range rows {
		if !appended(batch, row) {
			return &RowError{Table: table, Index: i, Reason: "a value does not fit its column"}
		}
	}
	return batch.Send()
}

// appended adds a row to the batch. The driver panics on some values it cannot
// encode; those are refused like the others. Its errors quote the value, so they
// stop here.
func appended(batch driver.Batch, row []any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return batch.Append(row...) == nil
}

// sleep waits and says whether ctx is still alive after it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
