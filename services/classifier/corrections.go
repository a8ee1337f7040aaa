package classifier

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/classifier/internal/correction"
)

// A person's word on a signal's kind comes as a decision over the bus. It is kept as an
// example, the signal's item is read again so that the signal is what the person said, and
// the workspace's own head is made anew of all examples.

// corrections keeps what people say that signals are, and each workspace's own head.
type corrections struct {
	store *store.DB
	space string
	now   func() time.Time

	mu    sync.Mutex
	heads map[string]learnt
}

// learnt is what was made of a workspace's corrections, and when.
type learnt struct {
	head   *correction.Head
	report correction.Report
	at     time.Time
}

const (
	// freshFor is how long a head is used before its corrections are looked at again: other
	// processes may have taken some.
	freshFor = time.Minute
	// mostCorrections is how many of a workspace's corrections, the newest, make its head.
	mostCorrections = 5000
)

// head is a workspace's own, or nil where it has none that wins. One that cannot be read is
// done without until it can be.
func (c *corrections) head(ctx context.Context, workspace string) *correction.Head {
	l, err := c.learn(ctx, workspace)
	if err != nil {
		return nil
	}
	return l.head
}

func (c *corrections) learn(ctx context.Context, workspace string) (learnt, error) {
	c.mu.Lock()
	l, ok := c.heads[workspace]
	c.mu.Unlock()
	if ok && c.now().Sub(l.at) < freshFor {
		return l, nil
	}
	rows, err := c.store.Conn().Query(ctx, `
		SELECT signal, argMax(was, made_at), argMax(kind, made_at), argMax(vector, made_at) FROM corrected_kinds FINAL
		WHERE workspace = ? AND space = ? GROUP BY signal ORDER BY max(made_at) DESC, signal LIMIT ?`, workspace, c.space, mostCorrections)
	if err != nil {
		return learnt{}, fmt.Errorf("read corrections: %w", err)
	}
	defer rows.Close()
	var examples []correction.Example
	for rows.Next() {
		var e correction.Example
		var was, kind string
		if err := rows.Scan(&e.Signal, &was, &kind, &e.Vector); err != nil {
			return learnt{}, fmt.Errorf("read corrections: %w", err)
		}
		e.Was, e.Kind = feedback.Kind(was), feedback.Kind(kind)
		examples = append(examples, e)
	}
	if err := rows.Err(); err != nil {
		return learnt{}, fmt.Errorf("read corrections: %w", err)
	}
	l = learnt{at: c.now()}
	l.head, l.report = correction.Fit(examples)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads[workspace] = l
	return l, nil
}

// renew makes a workspace's head of its corrections as they are now, and keeps how it does.
func (c *corrections) renew(ctx context.Context, workspace string) error {
	c.mu.Lock()
	delete(c.heads, workspace)
	c.mu.Unlock()
	l, err := c.learn(ctx, workspace)
	if err != nil {
		return err
	}
	r, version := l.report, uint64(c.now().UnixMicro())
	if err := c.store.Insert(ctx, "own_heads",
		[]string{"workspace", "space", "corrections", "shipped_right", "own_right", "chance", "used", "version"},
		[][]any{{workspace, c.space, uint32(r.Corrections), uint32(r.Shipped), uint32(r.Own), r.Chance, flag(r.Used), version}}, ""); err != nil {
		return fmt.Errorf("keep how the workspace's head does: %w", err)
	}
	return nil
}

// said is what people say that words are: a kind by its item and words.
type said map[string]feedback.Kind

// of reads what people say of the words of items.
func (c *corrections) of(ctx context.Context, workspace string, items []string) (said, error) {
	rows, err := c.store.Conn().Query(ctx, `
		SELECT words, argMax(kind, made_at) FROM corrected_kinds FINAL WHERE workspace = ? AND item IN ? GROUP BY words`, workspace, items)
	if err != nil {
		return nil, fmt.Errorf("read corrections of items: %w", err)
	}
	defer rows.Close()
	out := said{}
	for rows.Next() {
		var words, kind string
		if err := rows.Scan(&words, &kind); err != nil {
			return nil, fmt.Errorf("read corrections of items: %w", err)
		}
		out[words] = feedback.Kind(kind)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read corrections of items: %w", err)
	}
	return out, nil
}

// wordsOf names a quote in an item, without holding it.
func wordsOf(item, quote string) string {
	sum := sha256.Sum256([]byte(item + "\x00" + quote))
	return hex.EncodeToString(sum[:])
}

// correctionColumns are those of the corrected_kinds table.
var correctionColumns = []string{"workspace", "decision", "signal", "item", "words", "was", "kind", "space", "vector", "made_by", "made_at", "version", "deleted"}

// put keeps a correction and returns the item it is about, "" where the signal is no more.
// What the classifier took the signal for is kept from the first correction of it.
func (c *corrections) put(ctx context.Context, d feedback.Decision) (item string, err error) {
	signal := d.Signals[0]
	var quote, was, space string
	var vector []float32
	err = c.store.Conn().QueryRow(ctx, `
		SELECT s.item, s.quote, if(c.first != '', c.first, s.kind), s.space, s.vector FROM (SELECT * FROM signals FINAL WHERE workspace = ? AND id = ?) AS s
		LEFT JOIN (SELECT signal, argMin(was, made_at) AS first FROM corrected_kinds FINAL WHERE workspace = ? AND signal = ? GROUP BY signal) AS c ON c.signal = s.id`,
		d.Workspace, signal, d.Workspace, signal).Scan(&item, &quote, &was, &space, &vector)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("correct signal: %w", err)
	}
	at := d.At.UTC()
	row := []any{d.Workspace, d.ID, signal, item, wordsOf(item, quote), was, string(d.Kind), space, vector, d.By, at, uint64(at.UnixMicro()), uint8(0)}
	if err := c.store.Insert(ctx, "corrected_kinds", correctionColumns, [][]any{row}, "corrected:"+d.ID); err != nil {
		return "", fmt.Errorf("correct signal: %w", err)
	}
	return item, nil
}

// takeBack forgets the correction that a decision made, also one that is yet to come, and
// returns the item it was about, "" where that is unknown.
func (c *corrections) takeBack(ctx context.Context, undo feedback.Decision) (item string, err error) {
	err = c.store.Conn().QueryRow(ctx, `SELECT item FROM signals FINAL WHERE workspace = ? AND id = ?`, undo.Workspace, undo.Signals[0]).Scan(&item)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("take correction back: %w", err)
	}
	at := undo.At.UTC()
	row := goneCorrection(undo.Workspace, undo.Undoes, undo.Signals[0], item, uint64(at.UnixMicro())+1)
	if err := c.store.Insert(ctx, "corrected_kinds", correctionColumns, [][]any{row}, "corrected:"+undo.ID); err != nil {
		return "", fmt.Errorf("take correction back: %w", err)
	}
	return item, nil
}

func goneCorrection(workspace, decision, signal, item string, version uint64) []any {
	return []any{workspace, decision, signal, item, "", "", "", "", []float32{}, "", time.Unix(0, 0).UTC(), version, uint8(1)}
}

// withdraw forgets the corrections of items that are no more.
func (c *corrections) withdraw(ctx context.Context, workspace string, items []string) error {
	rows, err := c.store.Conn().Query(ctx, `SELECT decision, signal, item, version FROM corrected_kinds FINAL WHERE workspace = ? AND item IN ? ORDER BY decision`, workspace, items)
	if err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	defer rows.Close()
	var gone [][]any
	token := "withdrawn:" + workspace
	for rows.Next() {
		var decision, signal, item string
		var version uint64
		if err := rows.Scan(&decision, &signal, &item, &version); err != nil {
			return fmt.Errorf("withdraw corrections: %w", err)
		}
		gone = append(gone, goneCorrection(workspace, decision, signal, item, version+1))
		token += fmt.Sprint(" ", decision, version)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	if len(gone) == 0 {
		return nil
	}
	if err := c.store.Insert(ctx, "corrected_kinds", correctionColumns, gone, token); err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	return c.renew(ctx, workspace)
}

// obey takes people's decisions about kinds as they come over the bus; those about anything
// else are others' to take. What it does it can do twice.
func (s *Service) obey(ctx context.Context, m bus.Message) error {
	p, err := event.Payload[event.Decision](m.Envelope)
	if err != nil {
		return bus.Permanent(fmt.Errorf("read decision: %w", err))
	}
	d := p.Decision
	about := d.Action == feedback.Correct || d.Action == feedback.Undo && len(d.Signals) > 0
	if !about || len(s.workspaces) > 0 && !slices.Contains(s.workspaces, m.Workspace) {
		return nil
	}
	if d.Workspace != m.Workspace || len(d.Signals) != 1 {
		return bus.Permanent(errors.New("read decision: its workspace or signal is wrong"))
	}
	keep := s.corrections.put
	if d.Action == feedback.Undo {
		keep = s.corrections.takeBack
	}
	item, err := keep(ctx, d)
	if err == nil {
		err = s.corrections.renew(ctx, d.Workspace)
	}
	if err == nil && item != "" {
		err = s.readCorrected(ctx, d.Workspace, item, d.ID)
	}
	if err != nil {
		return storeFailure(ctx, err)
	}
	return nil
}

// readCorrected publishes an item once more, so that its signals are what people say. An
// item older than the stream remembers stays as it was read.
func (s *Service) readCorrected(ctx context.Context, workspace, item, decision string) error {
	for {
		var sequence uint64
		err := s.store.Conn().QueryRow(ctx, `SELECT version FROM readings FINAL WHERE workspace = ? AND item = ?`, workspace, item).Scan(&sequence)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find corrected item: %w", err)
		}
		err = s.publishAgain(ctx, rereading{workspace: workspace, item: item, sequence: sequence, id: func(event.Envelope) (string, error) { return correctedID(decision), nil }})
		switch {
		case errors.Is(err, bus.ErrFenced):
			continue // the workspace moved on meanwhile
		case errors.Is(err, errOutdated):
			return nil // a newer reading is on its way, and finds the correction, or none can be
		}
		return err
	}
}
