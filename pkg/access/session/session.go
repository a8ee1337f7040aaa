// Package session keeps who is signed in at the page. A browser holds a random value in a
// cookie; the bucket sessions holds, under its hash, who that is.
//
// It promises that a session ends when its person signs out, after Idle without a page and
// after Age in any case; that its value is replaced while it is used, so that a copied one
// soon leads nowhere; and that whoever reads the bucket cannot sign in with it. It refuses to
// decide what a person may do: that is read from the configuration at every request
// (access.Keyring), so that taking a scope away takes it away from who is signed in, too.
package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
)

// How long a session lasts without a page being looked at, and at most. A value is replaced
// at the first page after renewAfter, and the old one is good for grace, for what the browser
// had asked for meanwhile.
const (
	Idle = 12 * time.Hour
	Age  = bus.SessionAge

	renewAfter = 15 * time.Minute
	grace      = time.Minute
)

// valueBytes is how much randomness a value has.
const valueBytes = 32

// record is a session in its bucket. Until is set once its value was replaced. Previous is
// the key of the value before.
type record struct {
	Identity access.Identity `json:"identity"`
	Began    time.Time       `json:"began"`
	Seen     time.Time       `json:"seen"`
	Until    time.Time       `json:"until,omitzero"`
	Previous string          `json:"previous,omitempty"`
}

func (r record) over(now time.Time) bool {
	return !now.Before(r.Began.Add(Age)) || !now.Before(r.Seen.Add(Idle)) || !r.Until.IsZero() && !now.Before(r.Until)
}

// Sessions are those of every workspace. It is safe for concurrent use, and several processes
// share one bucket.
type Sessions struct {
	bus    *bus.Bus
	now    func() time.Time
	random io.Reader

	mu sync.Mutex
	kv jetstream.KeyValue
}

// New makes Sessions. The bucket is opened when it is first needed.
func New(b *bus.Bus, now func() time.Time, random io.Reader) *Sessions {
	return &Sessions{bus: b, now: now, random: random}
}

func (s *Sessions) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kv == nil {
		kv, err := s.bus.Bucket(ctx, bus.BucketSessions)
		if err != nil {
			return nil, err
		}
		s.kv = kv
	}
	return s.kv, nil
}

func key(value string) string {
	h := sha256.Sum256([]byte(value))
	return hex.EncodeToString(h[:])
}

// Begin signs somebody in and returns the value for the browser.
func (s *Sessions) Begin(ctx context.Context, who access.Identity) (string, error) {
	now := s.now().UTC()
	return s.create(ctx, record{Identity: who, Began: now, Seen: now})
}

func (s *Sessions) create(ctx context.Context, r record) (string, error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return "", err
	}
	b := make([]byte, valueBytes)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return "", fmt.Errorf("draw a session: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(b)
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("write session: %w", err)
	}
	if _, err := kv.Create(ctx, key(value), body); err != nil {
		return "", fmt.Errorf("write session: %w", bus.Unavailable(err))
	}
	return value, nil
}

func (s *Sessions) get(ctx context.Context, key string) (r record, revision uint64, err error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return record{}, 0, err
	}
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, 0, nil
	}
	if err != nil {
		return record{}, 0, fmt.Errorf("read session: %w", bus.Unavailable(err))
	}
	if err := json.Unmarshal(e.Value(), &r); err != nil {
		return record{}, 0, fmt.Errorf("read session: %w", err)
	}
	return r, e.Revision(), nil
}

// Find tells who a value belongs to; false where there is no such session, or none any more.
func (s *Sessions) Find(ctx context.Context, value string) (access.Identity, bool, error) {
	if value == "" {
		return access.Identity{}, false, nil
	}
	r, revision, err := s.get(ctx, key(value))
	if err != nil || revision == 0 || r.over(s.now()) {
		return access.Identity{}, false, err
	}
	return r.Identity, true, nil
}

// Renew replaces a value that is in use for some time, and returns the new one with how long
// it is good for; "" where the old one stays. Of several requests at once, one renews.
func (s *Sessions) Renew(ctx context.Context, value string) (string, time.Duration, error) {
	now := s.now().UTC()
	old, revision, err := s.get(ctx, key(value))
	if err != nil || revision == 0 || old.over(now) || !old.Until.IsZero() || now.Before(old.Seen.Add(renewAfter)) {
		return "", 0, err
	}
	next, err := s.create(ctx, record{Identity: old.Identity, Began: old.Began, Seen: now, Previous: key(value)})
	if err != nil {
		return "", 0, err
	}
	old.Until = now.Add(grace)
	body, err := json.Marshal(old)
	if err != nil {
		return "", 0, fmt.Errorf("write session: %w", err)
	}
	if _, err := s.kv.Update(ctx, key(value), body, revision); err != nil {
		_ = s.kv.Delete(ctx, key(next)) // nobody knows its value
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return "", 0, nil
		}
		return "", 0, fmt.Errorf("write session: %w", bus.Unavailable(err))
	}
	return next, old.Began.Add(Age).Sub(now), nil
}

// End signs out: the value, and the one before it, lead nowhere from now on.
func (s *Sessions) End(ctx context.Context, value string) error {
	r, revision, err := s.get(ctx, key(value))
	if err != nil || revision == 0 {
		return err
	}
	for _, k := range []string{key(value), r.Previous} {
		if k == "" {
			continue
		}
		if err := s.kv.Delete(ctx, k); err != nil {
			return fmt.Errorf("end session: %w", bus.Unavailable(err))
		}
	}
	return nil
}
