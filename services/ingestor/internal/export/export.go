// Package export streams what a workspace holds: its feedback items, its signals with the
// clusters they are in, its standing clusters with the terms of their rank. A million rows
// take no more memory than one.
package export

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/pkg/store"
)

// Headers of an answer. Total comes before the rows and may be a little off where rows are
// written meanwhile; Rows is a trailer, and an answer without it broke off.
const (
	Total = "Throughline-Total"
	Rows  = "Throughline-Rows"
)

// table is what is exported under a name: columns of what follows FROM, where ? is the
// workspace, as often as it is named, and then the time from which on.
type table struct {
	columns []string
	words   []string // of the columns, those that people wrote
	from    string
}

var tables = map[string]table{
	"items": {
		[]string{"id", "revision", "source", "connection", "conversation", "customer", "customer_name", "customer_email", "account_id", "account_name", "text", "url", "created_at", "updated_at"},
		[]string{"customer_name", "customer_email", "account_name", "text", "url"},
		"items FINAL WHERE workspace = ? AND created_at >= ? ORDER BY id",
	},
	"signals": {
		[]string{"id", "item", "kind", "quote", "sentiment", "severity", "confidence", "area", "source", "customer", "said_at", "cluster"},
		[]string{"quote", "area"},
		"signals AS s FINAL ANY LEFT JOIN (SELECT signal, cluster FROM assignments FINAL WHERE workspace = ?) AS a ON a.signal = s.id WHERE s.workspace = ? AND s.said_at >= ? ORDER BY s.id",
	},
	"clusters": {
		[]string{"rank", "id", "name", "kind", "status", "score", "term_reach", "term_worth", "term_severity", "term_momentum", "term_churn", "term_boost", "signals", "items", "voices", "accounts", "first_seen", "last_seen"},
		[]string{"name"},
		"ranked_clusters WHERE workspace = ? AND last_seen >= ? ORDER BY rank, id",
	},
}

// selected are the columns for a format. A spreadsheet takes a cell that begins like a formula
// for one, and customers' words may: in CSV such words begin with an apostrophe.
func (t table) selected(format string) string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		if out[i] = c; format == "CSV" && slices.Contains(t.words, c) {
			out[i] = "if(match(" + c + ", '^[=+@\\t\\r-]'), concat('\\'', " + c + "), " + c + ") AS " + c
		}
	}
	return strings.Join(out, ", ")
}

// formats are the store's names of what is asked for, with the media types.
var formats = map[string]struct{ store, media string }{
	"jsonl": {"JSONEachRow", "application/x-ndjson"},
	"csv":   {"CSV", "text/csv; charset=utf-8"},
}

// API answers exports.
type API struct {
	Store   *store.DB
	Keyring *access.Keyring
	Logger  *slog.Logger
}

// Register adds GET /v1/export/{what}.
func (a API) Register(mux *http.ServeMux) {
	mux.Handle("GET /v1/export/{what}", a.Keyring.Require(access.Read, http.HandlerFunc(a.serve)))
}

func (a API) serve(w http.ResponseWriter, r *http.Request) {
	t, known := tables[r.PathValue("what")]
	if !known {
		problem.Write(w, http.StatusNotFound, "there is no such export", "there are items, signals and clusters")
		return
	}
	q := r.URL.Query()
	name := q.Get("format")
	if name == "" {
		name = "jsonl"
	}
	format, known := formats[name]
	if !known {
		problem.Write(w, http.StatusUnprocessableEntity, "format is not acceptable", "jsonl or csv")
		return
	}
	since := time.Unix(0, 0)
	if s := q.Get("since"); s != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			problem.Write(w, http.StatusUnprocessableEntity, "since is not acceptable", "a time as in RFC 3339")
			return
		}
	}
	if err := a.stream(w, r, t, format.store, format.media, since); err != nil {
		a.Logger.Warn("an export broke off", "what", r.PathValue("what"), "reason", store.Reason(err))
	}
}

// stream writes row after row. An error after the first byte leaves the trailer out.
func (a API) stream(w http.ResponseWriter, r *http.Request, t table, format, media string, since time.Time) error {
	workspace := access.From(r.Context()).Workspace
	var arguments []any
	for range strings.Count(t.from, "workspace = ?") {
		arguments = append(arguments, workspace)
	}
	arguments = append(arguments, since.UTC())
	ctx := clickhouse.Context(r.Context(), clickhouse.WithSettings(clickhouse.Settings{"date_time_output_format": "iso"}))
	var total uint64
	err := a.Store.Conn().QueryRow(ctx, "SELECT count() FROM (SELECT 1 FROM "+t.from+")", arguments...).Scan(&total)
	if err != nil {
		w.Header().Set("Retry-After", "2")
		problem.Write(w, http.StatusServiceUnavailable, "a part that is needed does not answer", "look at /readyz")
		return err
	}
	rows, err := a.Store.Conn().Query(ctx, "SELECT formatRowNoNewline('"+format+"', "+strings.Join(t.columns, ", ")+") FROM (SELECT "+t.selected(format)+" FROM "+t.from+")", arguments...)
	if err != nil {
		w.Header().Set("Retry-After", "2")
		problem.Write(w, http.StatusServiceUnavailable, "a part that is needed does not answer", "look at /readyz")
		return err
	}
	defer rows.Close()
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(Total, strconv.FormatUint(total, 10))
	h.Set("Trailer", Rows)
	w.WriteHeader(http.StatusOK)
	if format == "CSV" {
		if _, err := io.WriteString(w, strings.Join(t.columns, ",")+"\n"); err != nil {
			return err
		}
	}
	n := 0
	for ; rows.Next(); n++ {
		var line string
		if err := rows.Scan(&line); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	h.Set(Rows, strconv.Itoa(n))
	return nil
}
