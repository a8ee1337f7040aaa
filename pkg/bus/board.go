package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// board is what the bucket of leases says, as this process has heard of it, with the time
// by the server's clock. It may be late and is never ahead: who goes by it writes by
// compare-and-set against the revision that was seen.
type board struct {
	mu      sync.Mutex
	entries map[string]posted
	server  time.Time // the latest that we heard of the server's clock
	heard   time.Time // by ours
	change  chan struct{}
}

// posted is an entry, with when the server stored it.
type posted struct {
	value    []byte
	revision uint64
	at       time.Time
}

// glimpse is how often one who waits looks at the clock.
const glimpse = 200 * time.Millisecond

// watch follows entries of the bucket of leases until ctx ends. It returns when it knows all
// that is there.
func (b *Bus) watch(ctx context.Context, keys ...string) (*board, error) {
	kv, err := b.Bucket(ctx, BucketLeases)
	if err != nil {
		return nil, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the clock of the leases: %w", Unavailable(err))
	}
	seen := &board{entries: map[string]posted{}, change: make(chan struct{}), heard: time.Now()}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		seen.server = s.StreamInfo().TimeStamp
	}
	updates, err := kv.WatchFiltered(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("watch leases: %w", Unavailable(err))
	}
	whole := make(chan struct{})
	go seen.follow(ctx, updates, whole)
	select {
	case <-whole:
		return seen, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *board) follow(ctx context.Context, updates jetstream.KeyWatcher, whole chan struct{}) {
	defer func() { _ = updates.Stop() }() // the connection's end stops it too
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-updates.Updates():
			switch {
			case !open:
				return
			case e == nil:
				close(whole)
			default:
				s.post(e)
			}
		}
	}
}

func (s *board) post(e jetstream.KeyValueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if t := e.Created(); t.After(s.server.Add(now.Sub(s.heard))) {
		s.server, s.heard = t, now
	}
	if e.Operation() == jetstream.KeyValuePut {
		s.entries[e.Key()] = posted{e.Value(), e.Revision(), e.Created()}
	} else {
		delete(s.entries, e.Key())
	}
	close(s.change)
	s.change = make(chan struct{})
}

// now is a time that the server's clock has passed.
func (s *board) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server.Add(time.Since(s.heard))
}

// changed is closed by the next change after the call.
func (s *board) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

// wait returns at the next change, or after a glimpse, for what only time changes.
func (s *board) wait(ctx context.Context, changed <-chan struct{}) error {
	t := time.NewTimer(glimpse)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// lease reads who holds a lease (nobody: ""), at which revision (0: there is none), and when it
// expires by the server's clock.
func (s *board) lease(key string) (leaseRecord, uint64, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r leaseRecord
	e := s.entries[key]
	_ = json.Unmarshal(e.value, &r) // what cannot be read is nobody's
	return r, e.revision, e.at.Add(LeaseTerm)
}

// starting lists the entries whose key starts so and that have not expired.
func (s *board) starting(prefix string) map[string][]byte {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]byte{}
	for key, e := range s.entries {
		if strings.HasPrefix(key, prefix) && e.at.Add(LeaseTerm).After(now) {
			out[key] = e.value
		}
	}
	return out
}
