package erase

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/bus"
)

// column is one that may hold words.
type column struct {
	table, name string
	list        bool // of strings
}

// columns asks the store for every column of text in the tables of workspaces, but for
// those that the tables are sorted by: they hold ids.
func (e *Eraser) columns(ctx context.Context) ([]column, error) {
	rows, err := e.Store.Conn().Query(ctx, `SELECT table, name, type = 'Array(String)' FROM system.columns
		WHERE database = currentDatabase() AND type IN ('String', 'Array(String)') AND is_in_sorting_key = 0
			AND table IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'workspace')
			AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')
		ORDER BY table, name`)
	if err != nil {
		return nil, fmt.Errorf("list columns: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	var out []column
	for rows.Next() {
		var c column
		var list uint8
		if err := rows.Scan(&c.table, &c.name, &list); err != nil {
			return nil, fmt.Errorf("list columns: %w", bus.Unavailable(err))
		}
		c.table, c.list = e.Store.Whole(c.table), list == 1
		out = append(out, c)
	}
	return out, rows.Err()
}

// source is the table that the words are learned from, which is cleaned last.
const source = "deliveries"

// untold are the tables that hold what the team wrote.
var untold = []string{"tickets"}

func (w *sweep) derived(ctx context.Context, clean bool) ([]Place, error) {
	return w.tables(ctx, clean, func(table string) bool { return table != source && !slices.Contains(untold, table) })
}

func (w *sweep) sources(ctx context.Context, clean bool) ([]Place, error) {
	return w.tables(ctx, clean, func(table string) bool { return table == source })
}

// tables blanks the values that hold a trace, in every version of every row.
func (w *sweep) tables(ctx context.Context, clean bool, which func(table string) bool) ([]Place, error) {
	all, err := w.eraser.columns(ctx)
	if err != nil {
		return nil, err
	}
	var out []Place
	for _, c := range all {
		if !which(c.table) {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Name != c.table {
			out = append(out, Place{Kind: "table", Name: c.table})
		}
		if err := w.column(ctx, c, clean, &out[len(out)-1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// column blanks the values of one column. Which value becomes which is told by hash, so
// that one statement changes them all or none.
func (w *sweep) column(ctx context.Context, c column, clean bool, p *Place) error {
	value := c.name
	if c.list {
		value = "arrayJoin(" + c.name + ")"
	}
	rows, err := w.eraser.Store.Conn().Query(ctx, fmt.Sprintf("SELECT %s AS value, cityHash64(value) FROM %s WHERE workspace = ?", value, c.table), w.job.Workspace)
	if err != nil {
		return fmt.Errorf("read table %s: %w", c.table, bus.Unavailable(err))
	}
	defer rows.Close()
	blank := map[uint64]string{}
	for rows.Next() {
		var v string
		var hash uint64
		if err := rows.Scan(&v, &hash); err != nil {
			return fmt.Errorf("read table %s: %w", c.table, bus.Unavailable(err))
		}
		p.Looked++
		if _, known := blank[hash]; known {
			continue
		}
		if cleaned, found := w.trace.Blank(v); found {
			blank[hash] = cleaned
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", c.table, bus.Unavailable(err))
	}
	if len(blank) == 0 {
		return nil
	}
	if !clean {
		p.Left += len(blank)
		return nil
	}
	p.Cleaned += len(blank)
	hashes := slices.Sorted(maps.Keys(blank))
	values := make([]string, len(hashes))
	for i, h := range hashes {
		values[i] = blank[h]
	}
	statement := "%s UPDATE %[2]s = transform(cityHash64(%[2]s), ?, ?, %[2]s) WHERE workspace = ? AND cityHash64(%[2]s) IN (?)"
	if c.list {
		statement = "%s UPDATE %[2]s = arrayMap(v -> transform(cityHash64(v), ?, ?, v), %[2]s) WHERE workspace = ? AND arrayExists(v -> cityHash64(v) IN (?), %[2]s)"
	}
	if err := w.eraser.mutate(ctx, fmt.Sprintf(statement, w.eraser.Store.Rewrites(c.table), c.name), hashes, values, w.job.Workspace, hashes); err != nil {
		return err
	}
	// The store keeps the text of a table's last mutation; this one says nothing of anybody.
	return w.eraser.mutate(ctx, fmt.Sprintf("%s UPDATE %[2]s = %[2]s WHERE 0", w.eraser.Store.Rewrites(c.table), c.name))
}

// mutate runs a statement that rewrites parts of a table, and waits until all are.
func (e *Eraser) mutate(ctx context.Context, statement string, arguments ...any) error {
	if err := e.Store.Conn().Exec(ctx, statement+" SETTINGS mutations_sync = 2, max_query_size = 1073741824, max_ast_elements = 10000000, max_expanded_ast_elements = 10000000", arguments...); err != nil {
		table := strings.Fields(statement)[2]
		return fmt.Errorf("erase from table %s: %w", table, bus.Unavailable(err))
	}
	return nil
}

// compact waits until the store has removed the parts that mutations replaced, and the text
// of the mutations: it looks after them every few seconds, as the settings of the tables
// say.
func (e *Eraser) compact(ctx context.Context) error {
	for {
		var old uint64
		err := e.Store.Conn().QueryRow(ctx, `SELECT (SELECT count() FROM `+e.Store.Everywhere("parts")+` WHERE database = currentDatabase() AND NOT active)
			+ (SELECT count() FROM `+e.Store.Everywhere("mutations")+` WHERE database = currentDatabase() AND command LIKE '%transform(%')`).Scan(&old)
		if err != nil {
			return fmt.Errorf("look for old parts: %w", bus.Unavailable(err))
		}
		if old == 0 {
			return nil
		}
		if pause(ctx, look); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
