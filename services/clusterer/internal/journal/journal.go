// Package journal keeps a world durable: every input it took and every row that changed go
// to ClickHouse before anybody is told, and a snapshot now and then makes a restart short.
// The inputs are the truth; rows and snapshots can be rebuilt from them.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// epochShift leaves 2^40 positions to an epoch in a row's version.
const epochShift = 40

// Journal is the durable side of one workspace's world, under one lease.
type Journal struct {
	db        *store.DB
	bus       *bus.Bus
	workspace string
	epoch     uint64
}

// New opens the journal of a workspace for the holder of a lease with this epoch.
func New(db *store.DB, b *bus.Bus, workspace string, epoch uint64) *Journal {
	return &Journal{db, b, workspace, epoch}
}

// Entry is an input with what it changed.
type Entry struct {
	Input   world.Input
	Outcome world.Outcome
}

// Append writes entries, and the rows that they changed as they are in the world now. It
// may be called again with the same entries after an error: rows are keyed.
func (j *Journal) Append(ctx context.Context, w *world.World, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	token := fmt.Sprintf("%s:%d:%d-%d", j.workspace, j.epoch, entries[0].Outcome.Position, entries[len(entries)-1].Outcome.Position)
	for _, write := range []func(context.Context, *world.World, []Entry, string) error{
		j.inputs, j.assignments, j.clusters, j.events, j.days, j.alerts, j.watermark,
	} {
		if err := write(ctx, w, entries, token); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	return nil
}

func (j *Journal) version(position uint64) uint64 { return j.epoch<<epochShift | position }

func (j *Journal) inputs(ctx context.Context, _ *world.World, entries []Entry, token string) error {
	var rows [][]any
	for _, e := range entries {
		payload, err := json.Marshal(e.Input)
		if err != nil {
			return err
		}
		rows = append(rows, []any{j.workspace, e.Outcome.Position, j.epoch, e.Input.Kind(), e.Input.ID(), e.Input.Sequence, string(payload)})
	}
	return j.db.Insert(ctx, "inputs", []string{"workspace", "position", "epoch", "kind", "id", "sequence", "payload"}, rows, token)
}

// last maps each name to the position of the last entry that changed it, in order.
func last(entries []Entry, names func(world.Outcome) []string) (order []string, position map[string]uint64) {
	position = map[string]uint64{}
	for _, e := range entries {
		for _, n := range names(e.Outcome) {
			if _, seen := position[n]; !seen {
				order = append(order, n)
			}
			position[n] = e.Outcome.Position
		}
	}
	return order, position
}

func (j *Journal) assignments(ctx context.Context, w *world.World, entries []Entry, token string) error {
	ids, position := last(entries, func(o world.Outcome) []string { return o.Signals })
	var rows [][]any
	for _, id := range ids {
		s, ok := w.Signal(id)
		reason, by := s.Reason, "machine"
		if r, _, found := strings.Cut(reason, ":"); found {
			reason = r
		}
		if reason == "decision" {
			by = "person"
		}
		rows = append(rows, []any{
			j.workspace, id, s.Cluster, s.Item, s.Customer, s.Account, string(s.Kind), float32(s.Severity), stamp(s.At), flag(s.Said.Leaving), s.Said.Copy, s.Said.Weight,
			float32(s.Similarity), float32(s.RunnerUp), s.RunnerUpID, reason, by, position[id], j.version(position[id]), flag(!ok),
		})
	}
	return j.db.Insert(ctx, "assignments", []string{
		"workspace", "signal", "cluster", "item", "customer", "account", "kind", "severity", "said_at", "leaving", "copy", "weight",
		"similarity", "runner_up", "runner_up_id", "reason", "decided_by", "position", "version", "deleted",
	}, rows, token)
}

func (j *Journal) clusters(ctx context.Context, w *world.World, entries []Entry, token string) error {
	ids, position := last(entries, func(o world.Outcome) []string { return o.Clusters })
	var rows [][]any
	for _, id := range ids {
		c, ok := w.Cluster(id)
		if !ok {
			continue
		}
		rows = append(rows, []any{
			j.workspace, id, c.Name, flag(c.NamePinned), c.Status, stamp(c.StatusSince), uint32(c.PeopleSince), c.Into, flag(c.Retired), string(c.Kind), c.Kinds, c.Sources, c.Medoid,
			uint32(c.Signals), uint32(c.Items), uint32(c.Voices), uint32(c.Accounts), uint32(c.Rank.People), uint32(c.Rank.Churning),
			c.Rank.Reach, c.Rank.Worth, c.Rank.AtRisk, c.Rank.SeveritySum, c.Rank.Fast, c.Rank.Slow, c.Rank.Boost, stamp(c.Rank.AsOf), stamp(c.FirstSeen), stamp(c.LastSeen),
			w.Space(), c.Centroid, position[id], j.version(position[id]),
		})
	}
	return j.db.Insert(ctx, "clusters", []string{
		"workspace", "id", "name", "name_pinned", "status", "status_since", "people_since", "merged_into", "retired", "kind", "kinds", "sources", "medoid",
		"signals", "items", "voices", "accounts", "people", "churning",
		"reach", "worth", "at_risk", "severity_sum", "fast", "slow", "boost", "as_of", "first_seen", "last_seen",
		"space", "centroid", "position", "version",
	}, rows, token)
}

func (j *Journal) events(ctx context.Context, _ *world.World, entries []Entry, token string) error {
	var rows [][]any
	for _, entry := range entries {
		o := entry.Outcome
		for i, e := range o.Events {
			rows = append(rows, []any{j.workspace, e.Cluster, o.Position, uint32(i), e.Kind, e.Other, e.Detail, e.Decision, stamp(e.At), j.version(o.Position)})
		}
	}
	return j.db.Insert(ctx, "cluster_events", []string{
		"workspace", "cluster", "position", "ordinal", "kind", "other", "detail", "decision", "at", "version",
	}, rows, token)
}

func (j *Journal) watermark(ctx context.Context, w *world.World, entries []Entry, token string) error {
	position := entries[len(entries)-1].Outcome.Position
	rows := [][]any{{j.workspace, position, stamp(w.AsOf()), stamp(w.Since()), uint8(rank.Version), weights(w), j.version(position)}}
	return j.db.Insert(ctx, "watermarks", []string{"workspace", "position", "as_of", "since", "formula", "weights", "version"}, rows, token)
}

// days writes the ranking as it stood at the end of each day that went by.
func (j *Journal) days(ctx context.Context, w *world.World, entries []Entry, token string) error {
	var rows [][]any
	for _, e := range entries {
		for _, d := range e.Outcome.Days {
			for i, p := range d.Places {
				in, t := p.Inputs, p.Terms
				rows = append(rows, []any{
					j.workspace, d.Day, p.Cluster, uint32(i + 1), uint32(len(d.Places)), t.Score, t.Reach, t.Worth, t.Severity, t.Momentum, t.Churn, t.Boost,
					in.Reach, in.Worth, in.SeveritySum, uint32(in.People), uint32(in.Churning), in.AtRisk, in.Fast, in.Slow,
					uint8(rank.Version), weights(w), j.version(e.Outcome.Position),
				})
			}
		}
	}
	return j.db.Insert(ctx, "rank_days", []string{
		"workspace", "day", "cluster", "place", "of", "score", "term_reach", "term_worth", "term_severity", "term_momentum", "term_churn", "term_boost",
		"reach", "worth", "severity_sum", "people", "churning", "at_risk", "fast", "slow", "formula", "weights", "version",
	}, rows, token)
}

// alerts writes what people should hear of.
func (j *Journal) alerts(ctx context.Context, _ *world.World, entries []Entry, token string) error {
	var rows [][]any
	for _, e := range entries {
		for _, a := range e.Outcome.Alerts {
			rows = append(rows, []any{j.workspace, a.ID, stamp(a.At), a.Kind, a.Cluster, a.Signals, uint32(a.Voices), a.Window.Hours(), a.P, a.AtRisk, j.version(e.Outcome.Position)})
		}
	}
	return j.db.Insert(ctx, "alerts", []string{"workspace", "id", "at", "kind", "cluster", "signals", "voices", "hours", "p", "at_risk", "version"}, rows, token)
}

// weights are a world's, in the order in which the store keeps them.
func weights(w *world.World) []float64 {
	of := w.Settings().Weights
	return []float64{of.Reach, of.Worth, of.Severity, of.Momentum, of.Churn}
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// stamp keeps times within what the store can hold: no time is its epoch.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// Each hands over every input after a position, in order, until take fails. It only reads,
// and needs no lease. A gap in the log is an error that says where.
func (j *Journal) Each(ctx context.Context, after uint64, take func(world.Input) error) error {
	return j.Between(ctx, after, math.MaxUint64, func(_ uint64, in world.Input) error { return take(in) })
}

// Between is Each up to a position, with the epoch under which each input was written.
func (j *Journal) Between(ctx context.Context, after, upTo uint64, take func(epoch uint64, in world.Input) error) error {
	rows, err := j.db.Conn().Query(ctx, "SELECT position, epoch, payload FROM inputs FINAL WHERE workspace = ? AND position > ? AND position <= ? ORDER BY position", j.workspace, after, upTo)
	if err != nil {
		return fmt.Errorf("read inputs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var position, epoch uint64
		var payload string
		if err := rows.Scan(&position, &epoch, &payload); err != nil {
			return fmt.Errorf("read inputs: %w", err)
		}
		if position != after+1 {
			return fmt.Errorf("read inputs of %s: position %d follows %d; restore the inputs table from a backup", j.workspace, position, after)
		}
		after = position
		var in world.Input
		if err := json.Unmarshal([]byte(payload), &in); err != nil {
			return fmt.Errorf("read input %d of %s: %w", position, j.workspace, err)
		}
		if err := take(epoch, in); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read inputs: %w", err)
	}
	return nil
}

// Reign is a run of positions that were written under one epoch, both ends included.
type Reign struct{ Epoch, From, To uint64 }

// Reigns lists who wrote the inputs after a position, up to another, in order.
func (j *Journal) Reigns(ctx context.Context, after, upTo uint64) ([]Reign, error) {
	rows, err := j.db.Conn().Query(ctx, `SELECT epoch, min(position) AS first, max(position) FROM inputs FINAL
		WHERE workspace = ? AND position > ? AND position <= ? GROUP BY epoch ORDER BY first`, j.workspace, after, upTo)
	if err != nil {
		return nil, fmt.Errorf("read who wrote: %w", err)
	}
	defer rows.Close()
	var out []Reign
	for rows.Next() {
		var r Reign
		if err := rows.Scan(&r.Epoch, &r.From, &r.To); err != nil {
			return nil, fmt.Errorf("read who wrote: %w", err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read who wrote: %w", err)
	}
	return out, nil
}

// Restore reads the newest snapshot. Anything wrong with it means an empty world: the log
// has everything, and what it has after the snapshot is to be taken again.
func (j *Journal) Restore(ctx context.Context, o world.Options) *world.World {
	objects, err := j.bus.JetStream().ObjectStore(ctx, bus.SnapshotStore)
	if err != nil {
		return world.New(j.workspace, o)
	}
	pointers, err := j.bus.Bucket(ctx, bus.BucketSnapshots)
	if err != nil {
		return world.New(j.workspace, o)
	}
	pointer, err := pointers.Get(ctx, j.workspace)
	if err != nil {
		return world.New(j.workspace, o)
	}
	b, err := objects.GetBytes(ctx, j.object(string(pointer.Value())))
	if err != nil {
		return world.New(j.workspace, o)
	}
	w, err := world.Restore(j.workspace, o, b)
	if err != nil {
		return world.New(j.workspace, o)
	}
	return w
}

func (j *Journal) object(position string) string { return j.workspace + "/" + position }

// Save stores a snapshot and makes it the newest, unless another owner saved meanwhile.
func (j *Journal) Save(ctx context.Context, w *world.World) error {
	b, err := w.MarshalBinary()
	if err != nil {
		return err
	}
	objects, err := j.bus.JetStream().ObjectStore(ctx, bus.SnapshotStore)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	pointers, err := j.bus.Bucket(ctx, bus.BucketSnapshots)
	if err != nil {
		return err
	}
	position := strconv.FormatUint(w.Position(), 10)
	old, err := pointers.Get(ctx, j.workspace)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if old != nil {
		if newest, err := strconv.ParseUint(string(old.Value()), 10, 64); err == nil && newest >= w.Position() {
			return nil
		}
	}
	if _, err := objects.PutBytes(ctx, j.object(position), b); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if old == nil {
		_, err = pointers.Create(ctx, j.workspace, []byte(position))
	} else {
		_, err = pointers.Update(ctx, j.workspace, []byte(position), old.Revision())
	}
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if old != nil {
		if err := objects.Delete(ctx, j.object(string(old.Value()))); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("drop the old snapshot: %w", err)
		}
	}
	return nil
}

// Forget drops the snapshot, so that the next Load rebuilds the world from its inputs.
func (j *Journal) Forget(ctx context.Context) error {
	pointers, err := j.bus.Bucket(ctx, bus.BucketSnapshots)
	if err != nil {
		return err
	}
	if err := pointers.Purge(ctx, j.workspace); err != nil {
		return fmt.Errorf("forget snapshot: %w", err)
	}
	return nil
}
