package classifier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
)

// columns of the signals table, in the order of row's values.
var columns = []string{
	"workspace", "id", "item", "revision", "ordinal", "kind", "span_start", "span_end", "quote", "sentiment", "severity",
	"confidence", "area", "space", "vector", "source", "customer", "said_at", "version", "deleted",
	"severity_reason", "churn", "security", "billing", "platform", "app_version", "amounts", "currencies", "workaround", "expected",
	"actual", "job", "language", "unsupported",
}

// readingColumns are those of the readings table.
var readingColumns = []string{"workspace", "item", "language", "unsupported", "silence", "read_by", "signals", "wanting", "version", "deleted"}

// refusal is an event whose rows can never be written.
type refusal struct {
	task *task
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// keep writes the rows of the batch in two steps.
//
// First the signals, each at the version of the event it answers; and for every event that
// can withdraw signals (a later revision, a second reading, a deletion, an erasure) a mark: a deleted row whose
// id is the item's and which has that version too. Then it reads back what the items have,
// and withdraws what is older than the newest version of its item. Because reading follows
// writing, of two classifiers that work on two revisions of an item at once, in whatever
// order, the later reader sees both: no signal of an old revision survives.
func (s *Service) keep(ctx context.Context, tasks []*task) error {
	var rows [][]any
	var owners []*task
	put := func(t *task, row []any) { rows, owners = append(rows, row), append(owners, t) }
	items := map[string][]string{} // by workspace
	for _, t := range tasks {
		if t.err != nil || t.result.Account != nil {
			continue
		}
		withdrawn := t.items()
		items[t.Workspace] = append(items[t.Workspace], withdrawn...)
		if t.item == nil || t.result.Deleted || t.item.Item.Revision > 1 || again(t.Message) {
			for _, id := range withdrawn {
				put(t, gone(t.Workspace, id, id, t.Sequence))
			}
		}
		for _, row := range t.rows() {
			put(t, row)
		}
	}
	if err := s.insert(ctx, "signals", columns, rows); err != nil {
		var bad *store.RowError
		if errors.As(err, &bad) && bad.Index < len(owners) {
			return &refusal{owners[bad.Index], err}
		}
		return err
	}
	var tombstones [][]any
	for workspace, ids := range items {
		found, err := s.withdrawn(ctx, workspace, ids)
		if err != nil {
			return err
		}
		tombstones = append(tombstones, found...)
	}
	if err := s.insert(ctx, "signals", columns, tombstones); err != nil {
		return err
	}
	var readings [][]any
	for _, t := range tasks {
		if t.err == nil && t.result.Account == nil {
			readings = append(readings, t.readings()...)
		}
	}
	if err := s.insert(ctx, "readings", readingColumns, readings); err != nil {
		return err
	}
	for _, t := range tasks {
		if t.err == nil && (t.result.Erasure != nil || t.result.Deleted) {
			if err := s.corrections.withdraw(ctx, t.Workspace, t.items()); err != nil {
				return err
			}
		}
	}
	return nil
}

// items are those whose signals the event replaces.
func (t *task) items() []string {
	if t.result.Erasure != nil {
		return t.result.Erasure.Items
	}
	return []string{t.result.Item.ID}
}

// rows are the signals of the event's result.
func (t *task) rows() [][]any {
	if t.item == nil {
		return nil
	}
	item := t.item.Item
	said := item.CreatedAt
	if item.Revision > 1 {
		said = item.UpdatedAt
	}
	var out [][]any
	for _, g := range t.result.Signals {
		a := g.Attributes
		out = append(out, append([]any{
			t.Workspace, g.ID, g.Item, uint64(g.Revision), uint32(g.Ordinal), string(g.Kind), uint32(g.Span.Start), uint32(g.Span.End),
			g.Quote, float32(g.Sentiment), float32(g.Severity), float32(g.Confidence), g.Area, g.Space, []float32(g.Vector),
			string(item.Source), item.Customer.ID, said.UTC(), t.Sequence, uint8(0),
		}, attributes(a)...))
	}
	return out
}

// gone is a deleted row: identity and version, no words.
func gone(workspace, id, item string, version uint64) []any {
	return append([]any{
		workspace, id, item, uint64(0), uint32(0), "", uint32(0), uint32(0), "", float32(0), float32(0),
		float32(0), "", "", []float32{}, "", "", time.Unix(0, 0).UTC(), version, uint8(1),
	}, attributes(feedback.Attributes{})...)
}

// attributes are the values of a signal's attributes, in the order of columns.
func attributes(a feedback.Attributes) []any {
	amounts, currencies := make([]float64, 0, len(a.Amounts)), make([]string, 0, len(a.Amounts))
	for _, m := range a.Amounts {
		amounts, currencies = append(amounts, m.Value), append(currencies, m.Currency)
	}
	return []any{
		a.SeverityReason, float32(a.Churn), flag(a.Security), flag(a.Billing), a.Platform, a.Version, amounts, currencies,
		a.Workaround, a.Expected, a.Actual, a.Job, a.Language, flag(a.Unsupported),
	}
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// readings are the rows of how the items of the event were read; of items that are no more,
// that they are gone.
func (t *task) readings() [][]any {
	if t.result.Reading == nil {
		var out [][]any
		for _, item := range t.items() {
			out = append(out, []any{t.Workspace, item, "", uint8(0), "", "", uint32(0), uint8(0), t.Sequence, uint8(1)})
		}
		return out
	}
	r := t.result.Reading
	return [][]any{{
		t.Workspace, t.item.Item.ID, r.Language, flag(r.Unsupported), r.Silence, string(r.By), uint32(len(t.result.Signals)), flag(t.wants), t.Sequence, uint8(0),
	}}
}

// withdrawn are the tombstones of signals of the items that are older than their item's
// newest version.
func (s *Service) withdrawn(ctx context.Context, workspace string, items []string) ([][]any, error) {
	rows, err := s.store.Conn().Query(ctx, `
		SELECT item, id, max(version) AS newest, argMax(deleted, (version, deleted)) AS dead
		FROM signals WHERE workspace = ? AND item IN ?
		GROUP BY item, id ORDER BY item, id`, workspace, items)
	if err != nil {
		return nil, fmt.Errorf("read back signals: %w", err)
	}
	defer rows.Close()
	type signal struct {
		item, id string
		version  uint64
		dead     uint8
	}
	var all []signal
	newest := map[string]uint64{}
	for rows.Next() {
		var g signal
		if err := rows.Scan(&g.item, &g.id, &g.version, &g.dead); err != nil {
			return nil, fmt.Errorf("read back signals: %w", err)
		}
		all = append(all, g)
		newest[g.item] = max(newest[g.item], g.version)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read back signals: %w", err)
	}
	var out [][]any
	for _, g := range all {
		if g.dead == 0 && g.version < newest[g.item] {
			out = append(out, gone(workspace, g.id, g.item, newest[g.item]))
		}
	}
	return out, nil
}

// insert writes rows under a token made from what identifies them (the workspace, an id, a
// version and whether they are deleted), so that a repeat adds nothing.
func (s *Service) insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	h := sha256.New()
	version, deleted := slices.Index(columns, "version"), slices.Index(columns, "deleted")
	for _, r := range rows {
		fmt.Fprintln(h, r[0], r[1], r[version], r[deleted])
	}
	return s.store.Insert(ctx, table, columns, rows, "classified:"+hex.EncodeToString(h.Sum(nil)))
}
