package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LeaseTerm is how long a lease outlives its holder's last sign of life.
const LeaseTerm = 10 * time.Second

// Lease says that its holder alone may decide for something, a shard mostly. Epoch
// grows with every change of holder and is written beside what is decided, so that
// rows of an earlier holder lose against those of a later one.
type Lease struct {
	bus      *Bus
	key      string
	holder   string
	Epoch    uint64
	revision uint64
	expires  atomic.Int64 // unix nanoseconds
	lost     chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}
}

type leaseRecord struct {
	Holder  string    `json:"holder"`
	Epoch   uint64    `json:"epoch"`
	Expires time.Time `json:"expires"`
}

// Acquire waits until it holds the lease named key, or ctx ends. holder names the
// process and must be unique to it. The same holder takes its own lease back at
// once; another waits until it has expired or was released.
func (b *Bus) Acquire(ctx context.Context, key, holder string) (*Lease, error) {
	kv, err := b.Bucket(ctx, BucketLeases)
	if err != nil {
		return nil, err
	}
	for {
		l, wait, err := b.try(ctx, kv, key, holder)
		if err != nil {
			return nil, err
		}
		if l != nil {
			l.keep(kv)
			return l, nil
		}
		pause(ctx, wait)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (b *Bus) try(ctx context.Context, kv jetstream.KeyValue, key, holder string) (*Lease, time.Duration, error) {
	var old leaseRecord
	var revision uint64
	entry, err := kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return nil, 0, fmt.Errorf("read lease %s: %w", key, Unavailable(err))
	default:
		revision = entry.Revision()
		if err := json.Unmarshal(entry.Value(), &old); err != nil {
			return nil, 0, fmt.Errorf("read lease %s: %w", key, err)
		}
	}
	now := b.now()
	if old.Holder != "" && old.Holder != holder && now.Before(old.Expires) {
		return nil, min(old.Expires.Sub(now), time.Second), nil
	}
	rec := leaseRecord{Holder: holder, Epoch: old.Epoch + 1, Expires: now.Add(LeaseTerm)}
	body, _ := json.Marshal(rec)
	if revision == 0 {
		revision, err = kv.Create(ctx, key, body)
	} else {
		revision, err = kv.Update(ctx, key, body, revision)
	}
	if isConflict(err) {
		return nil, 50 * time.Millisecond, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("take lease %s: %w", key, Unavailable(err))
	}
	l := &Lease{bus: b, key: key, holder: holder, Epoch: rec.Epoch, revision: revision, lost: make(chan struct{}), done: make(chan struct{})}
	l.expires.Store(rec.Expires.UnixNano())
	return l, 0, nil
}

// isConflict reports whether a compare-and-set lost against somebody else.
func isConflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// keep renews the lease at a third of its term until it is released or lost.
func (l *Lease) keep(kv jetstream.KeyValue) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		defer close(l.done)
		t := time.NewTicker(LeaseTerm / 3)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			rec := leaseRecord{Holder: l.holder, Epoch: l.Epoch, Expires: l.bus.now().Add(LeaseTerm)}
			body, _ := json.Marshal(rec)
			revision, err := kv.Update(ctx, l.key, body, l.revision)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				l.revision = revision
				l.expires.Store(rec.Expires.UnixNano())
				continue
			}
			if isConflict(err) || !l.Valid() {
				l.bus.log.Error("lease lost", "lease", l.key, "epoch", l.Epoch)
				close(l.lost)
				return
			}
		}
	}()
}

// Valid reports whether the lease is still ours for certain: a holder checks it right
// before it writes.
func (l *Lease) Valid() bool { return l.bus.now().UnixNano() < l.expires.Load() }

// Lost is closed when the lease went to somebody else or could not be renewed.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease up at once, so that the next holder need not wait for it to
// expire. It is safe to call after the lease was lost.
func (l *Lease) Release(ctx context.Context) {
	l.cancel()
	<-l.done
	kv, err := l.bus.Bucket(ctx, BucketLeases)
	if err != nil {
		return
	}
	body, _ := json.Marshal(leaseRecord{Epoch: l.Epoch})
	if _, err := kv.Update(ctx, l.key, body, l.revision); err != nil && !isConflict(err) {
		l.bus.log.Warn("lease not released; it will expire", "lease", l.key, "error", err)
	}
}
