// Package retention erases what is older than its workspace keeps it. It finds the items whose
// last word is that old and asks for their expiry as a delivery; the decoder withdraws them,
// and the eraser removes what history holds of their words and proves it, as it does for a
// customer. Deliveries that old leave the archive.
package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/erase"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
)

const (
	day   = 24 * time.Hour
	batch = 500 // items of one erasure
)

// Appender stores a message and returns when it is durable; bus.Committer is one.
type Appender interface {
	Append(ctx context.Context, m *nats.Msg, msgID string) (seq uint64, dup bool, err error)
}

// Runner looks for what is too old. One process runs it at a time: hold a lease. Its fields
// are set once.
type Runner struct {
	Bus      *bus.Bus
	Store    *store.DB
	Appender Appender
	Days     map[string]int // that workspaces keep what is said; those without are left alone
	Every    time.Duration  // between looks
	Now      func() time.Time
	Logger   *slog.Logger
}

// Run works until ctx ends, which is not an error.
func (r *Runner) Run(ctx context.Context) error {
	kv, err := r.Bus.Bucket(ctx, bus.BucketErasures)
	if err != nil {
		return err
	}
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		for workspace, days := range r.Days {
			if err := r.look(ctx, kv, workspace, r.Now().UTC().Truncate(day).Add(-time.Duration(days)*day)); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look lets the oldest items expire, one erasure after another, and then the archive.
func (r *Runner) look(ctx context.Context, kv jetstream.KeyValue, workspace string, until time.Time) error {
	last, revision, err := erase.Read(ctx, kv, workspace, erase.ByAge)
	if err != nil || revision > 0 && last.State != erase.Done && last.State != erase.Left {
		return err
	}
	items, err := r.expired(ctx, workspace, until)
	if err != nil {
		return err
	}
	if len(items) > 0 && revision > 0 && last.Until.Equal(until) && slices.Contains(last.Items, items[0]) {
		r.Logger.Warn("an item does not expire", "workspace", workspace, "item", items[0])
		return nil
	}
	if len(items) > 0 {
		return r.expire(ctx, workspace, items, until)
	}
	return r.archive(ctx, workspace, until)
}

func (r *Runner) expired(ctx context.Context, workspace string, until time.Time) ([]string, error) {
	rows, err := r.Store.Conn().Query(ctx, "SELECT id FROM items FINAL WHERE workspace = ? AND updated_at < ? ORDER BY updated_at, id LIMIT ?", workspace, until, batch)
	if err != nil {
		return nil, fmt.Errorf("look for old items: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look for old items: %w", bus.Unavailable(err))
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for old items: %w", bus.Unavailable(err))
	}
	return out, nil
}

// expire asks for it as a delivery, which takes its place among the others.
func (r *Runner) expire(ctx context.Context, workspace string, items []string, until time.Time) error {
	body, err := json.Marshal(map[string]any{"items": items, "until": until})
	if err != nil {
		return fmt.Errorf("let items expire: %w", err)
	}
	id := feedback.ID("dlv", workspace, feedbackapi.Expiry, strconv.FormatInt(until.Unix(), 10), items[0], items[len(items)-1])
	now := r.Now().UTC()
	e, err := event.New(event.DeliveryAccepted, "ingestor", workspace, id, id, now, event.Delivery{
		ID: id, Connection: feedbackapi.Connection, Kind: feedbackapi.Expiry, ReceivedAt: now, Headers: map[string]string{"content-type": "application/json"}, Body: body,
	})
	if err != nil {
		return err
	}
	m := nats.NewMsg(bus.Subject("deliveries", workspace, feedbackapi.Connection))
	if m.Data, err = event.Encode(e); err != nil {
		return err
	}
	m.Header.Set("Type", string(e.Type))
	if _, _, err := r.Appender.Append(ctx, m, id); err != nil {
		return fmt.Errorf("let items expire: %w", bus.Unavailable(err))
	}
	r.Logger.Info("items expire", "workspace", workspace, "items", len(items), "until", until)
	return nil
}

// archive removes old deliveries, of which no item is left that needs them.
func (r *Runner) archive(ctx context.Context, workspace string, until time.Time) error {
	var old uint64
	if err := r.Store.Conn().QueryRow(ctx, "SELECT count() FROM deliveries WHERE workspace = ? AND received_at < ?", workspace, until).Scan(&old); err != nil {
		return fmt.Errorf("look for old deliveries: %w", bus.Unavailable(err))
	}
	if old == 0 {
		return nil
	}
	if err := r.Store.Conn().Exec(ctx, r.Store.Rewrites("deliveries")+" DELETE WHERE workspace = ? AND received_at < ? SETTINGS mutations_sync = 2", workspace, until); err != nil {
		return fmt.Errorf("remove old deliveries: %w", bus.Unavailable(err))
	}
	r.Logger.Info("old deliveries are removed", "workspace", workspace, "deliveries", old, "until", until)
	return nil
}
