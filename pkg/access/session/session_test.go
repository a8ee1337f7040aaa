package session_test

import (
	"crypto/rand"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
)

// clock is moved by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }
func at(t time.Time) *clock           { c := &clock{}; c.at.Store(t.UnixNano()); return c }

var maya = access.Identity{Issuer: "https://id.example", Subject: "42", Email: "maya@acme.example", Groups: []string{"product"}}

func sessions(t *testing.T) (*session.Sessions, *clock, *bus.Bus) {
	t.Helper()
	b, c := bustest.New(t), at(time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC))
	return session.New(b, c.now, rand.Reader), c, b
}

func begin(t *testing.T, s *session.Sessions) string {
	t.Helper()
	value, err := s.Begin(t.Context(), maya)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func signedIn(t *testing.T, s *session.Sessions, value string) bool {
	t.Helper()
	who, ok, err := s.Find(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if ok && (who.Subject != maya.Subject || who.Groups[0] != "product") {
		t.Errorf("%+v", who)
	}
	return ok
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	s, clock, _ := sessions(t)
	for _, value := range []string{"", "nobody", strings.Repeat("x", 9000), "a.b>c*"} {
		if signedIn(t, s, value) {
			t.Errorf("%.20q is somebody", value)
		}
	}
	out := begin(t, s)
	if !signedIn(t, s, out) {
		t.Fatal("it does not begin")
	}
	if err := s.End(t.Context(), out); err != nil || signedIn(t, s, out) {
		t.Errorf("signed out, and still there (%v)", err)
	}
	idle := begin(t, s)
	clock.pass(session.Idle - time.Second)
	if !signedIn(t, s, idle) {
		t.Error("over before it was idle long enough")
	}
	clock.pass(time.Second)
	if signedIn(t, s, idle) {
		t.Error("idle, and still there")
	}
	used, over := begin(t, s), clock.now().Add(session.Age)
	for clock.now().Before(over) {
		if !signedIn(t, s, used) {
			t.Fatal("over while in use")
		}
		next, good, err := s.Renew(t.Context(), used)
		if err != nil {
			t.Fatal(err)
		}
		if next != "" {
			if left := over.Sub(clock.now()); good != left {
				t.Errorf("good for %v, not %v", good, left)
			}
			used = next
		}
		clock.pass(session.Idle / 2)
	}
	if signedIn(t, s, used) {
		t.Error("it outlives its age")
	}
}

func TestAValueIsReplacedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	s, clock, _ := sessions(t)
	first := begin(t, s)
	if next, _, err := s.Renew(t.Context(), first); next != "" || err != nil {
		t.Errorf("replaced at once: %v", err)
	}
	clock.pass(20 * time.Minute)
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			next, _, err := s.Renew(t.Context(), first)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if next != "" {
				all = append(all, next)
			}
		})
	}
	wg.Wait()
	if len(all) != 1 || all[0] == first || !signedIn(t, s, all[0]) || !signedIn(t, s, first) {
		t.Fatalf("replaced by %d values", len(all))
	}
	clock.pass(time.Minute)
	if signedIn(t, s, first) || !signedIn(t, s, all[0]) {
		t.Error("the replaced value still leads somewhere, or the new one nowhere")
	}
	clock.pass(20 * time.Minute)
	last, _, err := s.Renew(t.Context(), all[0])
	if err != nil || last == "" {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), last); err != nil || signedIn(t, s, last) || signedIn(t, s, all[0]) {
		t.Errorf("signed out, and a value is still good (%v)", err)
	}
}

// Who reads the bucket learns who is signed in, and cannot become them.
func TestTheBucketHoldsNoValue(t *testing.T) {
	t.Parallel()
	s, _, b := sessions(t)
	value := begin(t, s)
	kv, err := b.Bucket(t.Context(), bus.BucketSessions)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	e, err := kv.Get(t.Context(), keys[0])
	if err != nil || strings.Contains(keys[0]+string(e.Value()), value) {
		t.Errorf("the value is in the bucket (%v)", err)
	}
	if signedIn(t, s, keys[0]) {
		t.Error("a key of the bucket signs in")
	}
}

func TestWithoutRandomnessNobodyIsSignedIn(t *testing.T) {
	t.Parallel()
	if value, err := session.New(bustest.New(t), time.Now, io.LimitReader(rand.Reader, 8)).Begin(t.Context(), maya); err == nil || value != "" {
		t.Error("a session of eight bytes")
	}
}
