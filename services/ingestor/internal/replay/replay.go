// Package replay runs stored deliveries again, so that a mistake in a decoder is repaired
// without asking a vendor. It reads the archive, which reaches past the stream's window,
// and puts each delivery back at the end of the stream, in its old order; decoding it again
// changes only what now reads otherwise. What was deleted or erased since stays away.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/erase"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
)

// Header marks a delivery that was put back: the archive has it already.
const Header = "throughline-replay"

// State says how far a replay is.
type State string

// The states of a replay.
const (
	Running State = "running"
	Done    State = "done"
)

// Job is a workspace's newest replay.
type Job struct {
	Workspace string    `json:"workspace"`
	From      time.Time `json:"from"`
	Asked     time.Time `json:"asked"`
	After     uint64    `json:"after"` // sequence of the last delivery that was put back
	Until     uint64    `json:"until"` // and of the last one that will be
	Count     int       `json:"count"`
	State     State     `json:"state"`
}

// Appender stores a message and returns when it is durable; bus.Committer is one.
type Appender interface {
	Append(ctx context.Context, m *nats.Msg, msgID string) (seq uint64, dup bool, err error)
}

// Runner carries replays out. One process runs it at a time: hold a lease. Its fields are
// set once.
type Runner struct {
	Bus      *bus.Bus
	Store    *store.DB
	Appender Appender
	Logger   *slog.Logger
}

const prefix = "replay."

// batch is how many deliveries are put back before the place is noted.
const batch = 500

// Read returns a workspace's newest replay with its revision, 0 if there is none.
func Read(ctx context.Context, kv jetstream.KeyValue, workspace string) (Job, uint64, error) {
	entry, err := kv.Get(ctx, prefix+workspace)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Job{}, 0, nil
	}
	if err != nil {
		return Job{}, 0, fmt.Errorf("read replay: %w", bus.Unavailable(err))
	}
	var j Job
	if err := json.Unmarshal(entry.Value(), &j); err != nil {
		return Job{}, 0, fmt.Errorf("read replay: malformed record")
	}
	return j, entry.Revision(), nil
}

func save(ctx context.Context, kv jetstream.KeyValue, j Job, revision uint64) (uint64, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return 0, fmt.Errorf("save replay: %w", err)
	}
	if revision == 0 {
		revision, err = kv.Create(ctx, prefix+j.Workspace, b)
	} else {
		revision, err = kv.Update(ctx, prefix+j.Workspace, b, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("save replay: %w", bus.Unavailable(err))
	}
	return revision, nil
}

// Run works until ctx ends, which is not an error; what is running then goes on with the
// next Run.
func (r *Runner) Run(ctx context.Context) error {
	kv, err := r.Bus.Bucket(ctx, bus.BucketCursors)
	if err != nil {
		return err
	}
	watch, err := kv.Watch(ctx, prefix+"*")
	if err != nil {
		return fmt.Errorf("watch replays: %w", bus.Unavailable(err))
	}
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watch.Updates():
			if !open {
				return nil
			}
			if entry == nil {
				continue // everything that was there has been told
			}
			if err := r.one(ctx, kv, strings.TrimPrefix(entry.Key(), prefix)); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (r *Runner) one(ctx context.Context, kv jetstream.KeyValue, workspace string) error {
	j, revision, err := Read(ctx, kv, workspace)
	if err != nil {
		return err
	}
	for revision > 0 && j.State == Running && ctx.Err() == nil {
		open, err := r.erasing(ctx, workspace)
		if err != nil {
			return err
		}
		if open {
			pause(ctx, time.Second)
			continue
		}
		last, n, err := r.put(ctx, j)
		if err != nil {
			return err
		}
		j.Count += n
		if j.After = last; n < batch {
			j.State = Done
			r.Logger.Info("replay ended", "workspace", workspace, "deliveries", j.Count)
		}
		if revision, err = save(ctx, kv, j, revision); err != nil {
			return err
		}
	}
	return nil
}

// erasing reports whether somebody is being erased: until that is done, the archive may
// hold words that must not come back.
func (r *Runner) erasing(ctx context.Context, workspace string) (bool, error) {
	kv, err := r.Bus.Bucket(ctx, bus.BucketErasures)
	if err != nil {
		return false, err
	}
	all, err := erase.All(ctx, kv)
	return slices.ContainsFunc(all, func(j erase.Job) bool {
		return j.Workspace == workspace && (j.State == erase.Waiting || j.State == erase.Erasing)
	}), err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// put puts the next deliveries back, and returns the sequence of the last one.
func (r *Runner) put(ctx context.Context, j Job) (last uint64, n int, err error) {
	rows, err := r.Store.Conn().Query(ctx, `SELECT sequence, id, connection, kind, received_at, headers, body FROM deliveries FINAL
		WHERE workspace = ? AND sequence > ? AND sequence <= ? AND received_at >= ? AND kind NOT IN (?) ORDER BY sequence LIMIT ?`,
		j.Workspace, j.After, j.Until, j.From, []string{feedbackapi.Deletion, feedbackapi.Erasure, feedbackapi.Expiry}, batch)
	if err != nil {
		return 0, 0, fmt.Errorf("read archive: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	for last = j.After; rows.Next(); n++ {
		var d event.Delivery
		var body string
		if err := rows.Scan(&last, &d.ID, &d.Connection, &d.Kind, &d.ReceivedAt, &d.Headers, &body); err != nil {
			return 0, 0, fmt.Errorf("read archive: %w", bus.Unavailable(err))
		}
		d.Body, d.ReceivedAt = []byte(body), d.ReceivedAt.UTC()
		if d.Headers == nil {
			d.Headers = map[string]string{}
		}
		d.Headers[Header] = j.Asked.Format(time.RFC3339)
		e, err := event.New(event.DeliveryAccepted, "ingestor", j.Workspace, d.ID, d.ID, d.ReceivedAt, d)
		if err != nil {
			return 0, 0, err
		}
		m := nats.NewMsg(bus.Subject("deliveries", j.Workspace, d.Connection))
		if m.Data, err = event.Encode(e); err != nil {
			return 0, 0, err
		}
		m.Header.Set("Type", string(e.Type))
		if _, _, err := r.Appender.Append(ctx, m, fmt.Sprintf("replay:%d:%d", j.Asked.UnixNano(), last)); err != nil {
			return 0, 0, fmt.Errorf("put delivery back: %w", bus.Unavailable(err))
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, fmt.Errorf("read archive: %w", bus.Unavailable(err))
	}
	return last, n, nil
}
