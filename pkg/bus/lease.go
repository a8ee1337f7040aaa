package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LeaseTerm is how long a lease outlives its holder's last sign of life.
const LeaseTerm = 10 * time.Second

// How a holder keeps its lease: a sign of life at a third of the term, each try no longer than
// renewWithin, and the next one soon where it fails.
const (
	renewEvery  = LeaseTerm / 3
	renewWithin = 2 * time.Second
	renewAgain  = 250 * time.Millisecond
)

// Lease says that its holder alone may decide for something, a shard mostly. Epoch
// grows with every change of holder and is written beside what is decided, so that
// rows of an earlier holder lose against those of a later one.
//
// A holder trusts its lease for LeaseTerm from before it asked for it, by its own
// monotonic clock; others take it for expired LeaseTerm after the server stored it, by the
// server's clock. That the clocks of machines differ does no harm.
type Lease struct {
	bus    *Bus
	key    string
	holder string
	Epoch  uint64
	next   func() string // who it is given up for; nil means nobody in particular
	lost   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	revision uint64
	until    time.Time // ours for certain
	released bool
}

type leaseRecord struct {
	Holder string `json:"holder"`
	Epoch  uint64 `json:"epoch"`
	// Expires is by the clock of the holder's machine, for people and for processes of a
	// version that went by it.
	Expires time.Time `json:"expires"`
	// Next is who is to take a lease that was given up for somebody.
	Next string `json:"next,omitempty"`
}

// Acquire waits until it holds the lease named key, or ctx ends. holder names the
// process and must be unique to it. The same holder takes its own lease back at
// once; another waits until it has expired or was released.
func (b *Bus) Acquire(ctx context.Context, key, holder string) (*Lease, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, err := b.watch(ctx, key)
	if err != nil {
		return nil, err
	}
	for {
		changed := seen.changed()
		now, revision, expires := seen.lease(key)
		if now.Holder == "" || now.Holder == holder || !expires.After(seen.now()) {
			l, err := b.take(ctx, key, holder, now, revision)
			if err != nil || l != nil {
				return l, err
			}
		}
		if err := seen.wait(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// take tries once to make ours a lease that was seen to be free, at a revision. nil without an
// error means that it is not as it was seen: somebody who was cut off for a while sees as
// expired what was renewed all along.
func (b *Bus) take(ctx context.Context, key, holder string, old leaseRecord, revision uint64) (*Lease, error) {
	kv, err := b.Bucket(ctx, BucketLeases)
	if err != nil {
		return nil, err
	}
	asked := b.now()
	rec := leaseRecord{Holder: holder, Epoch: old.Epoch + 1, Expires: asked.Add(LeaseTerm)}
	if revision, err = put(ctx, kv, key, rec, revision); isConflict(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take lease %s: %w", key, Unavailable(err))
	}
	l := &Lease{bus: b, key: key, holder: holder, Epoch: rec.Epoch, revision: revision, until: asked.Add(LeaseTerm), lost: make(chan struct{}), done: make(chan struct{})}
	l.keep(kv)
	return l, nil
}

// put writes a value if the newest revision is the one given; 0 means that there is none.
func put(ctx context.Context, kv jetstream.KeyValue, key string, v any, revision uint64) (uint64, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	if revision == 0 {
		return kv.Create(ctx, key, body)
	}
	return kv.Update(ctx, key, body, revision)
}

// isConflict reports whether a compare-and-set lost against somebody else.
func isConflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// keep renews the lease until it is released or lost.
func (l *Lease) keep(kv jetstream.KeyValue) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		defer close(l.done)
		for wait := renewEvery; ; {
			pause(ctx, wait)
			if ctx.Err() != nil {
				return
			}
			err := l.renew(ctx, kv)
			switch wait = renewEvery; {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrFenced), err != nil && !l.Valid():
				l.bus.log.Error("lease lost", "lease", l.key, "epoch", l.Epoch)
				close(l.lost)
				return
			case err != nil:
				wait = renewAgain
			}
		}
	}()
}

// renew gives one sign of life. ErrFenced means that the lease has gone to somebody else.
func (l *Lease) renew(ctx context.Context, kv jetstream.KeyValue) error {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	asked := l.bus.now()
	revision, err := put(ctx, kv, l.key, leaseRecord{Holder: l.holder, Epoch: l.Epoch, Expires: asked.Add(LeaseTerm)}, l.revision)
	if isConflict(err) {
		// It may be our own sign of life that was stored and not answered in time.
		return l.reread(ctx, kv)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision, l.until = revision, asked.Add(LeaseTerm)
	return nil
}

// reread finds the revision of a lease that is still ours.
func (l *Lease) reread(ctx context.Context, kv jetstream.KeyValue) error {
	entry, err := kv.Get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ErrFenced
	}
	if err != nil {
		return err
	}
	var now leaseRecord
	if err := json.Unmarshal(entry.Value(), &now); err != nil || now.Holder != l.holder || now.Epoch != l.Epoch {
		return ErrFenced
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision = entry.Revision()
	return errors.New("the lease was renewed and nobody told us")
}

// Valid reports whether the lease is still ours for certain: a holder checks it right
// before it writes.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.released && l.bus.now().Before(l.until)
}

// Lost is closed when the lease went to somebody else or could not be renewed.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease up at once, so that the next holder need not wait for it to
// expire, and reports whether it was ours until then: nobody else has decided anything since.
// It is safe to call after the lease was lost, and again.
func (l *Lease) Release(ctx context.Context) bool {
	l.mu.Lock()
	again := l.released
	l.released = true
	l.mu.Unlock()
	if again {
		return false
	}
	l.cancel()
	<-l.done
	kv, err := l.bus.Bucket(ctx, BucketLeases)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	given := leaseRecord{Epoch: l.Epoch}
	if l.next != nil {
		given.Next = l.next()
	}
	if _, err = put(ctx, kv, l.key, given, l.revision); isConflict(err) && !errors.Is(l.reread(ctx, kv), ErrFenced) {
		_, err = put(ctx, kv, l.key, given, l.revision) // a sign of life was on its way
	}
	if err != nil && !isConflict(err) {
		l.bus.log.Warn("lease not released; it will expire", "lease", l.key, "error", err)
	}
	return err == nil
}
