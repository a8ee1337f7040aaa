package attempts

import (
	"fmt"
	"testing"
	"time"
)

func TestWhoIsWrongTooOftenWaits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	f, limit := New(func() time.Time { return now }), Limit{Most: 3, Window: time.Minute}
	for i := range 3 {
		if wait := f.Wait("a", limit); wait != 0 {
			t.Fatalf("waits %v after %d failures", wait, i)
		}
		f.Add("a", limit)
		now = now.Add(time.Second)
	}
	if wait := f.Wait("a", limit); wait != 57*time.Second {
		t.Errorf("waits %v", wait)
	}
	if wait := f.Wait("b", limit); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	now = now.Add(57 * time.Second) // the first failure is out of the window
	if wait := f.Wait("a", limit); wait != 0 {
		t.Errorf("still waits %v", wait)
	}
	f.Add("a", limit)
	if wait := f.Wait("a", limit); wait != time.Second {
		t.Errorf("after one more: waits %v", wait)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	f, limit := New(func() time.Time { return now }), Limit{Most: 1, Window: time.Hour}
	for i := range remembered + 3 {
		f.Add(fmt.Sprint(i), limit)
		now = now.Add(time.Millisecond)
	}
	if len(f.times) != remembered {
		t.Errorf("%d keys are remembered", len(f.times))
	}
	if f.Wait("0", limit) != 0 || f.Wait(fmt.Sprint(remembered+2), limit) == 0 {
		t.Error("the newest was forgotten before the oldest")
	}
	now = now.Add(time.Hour)
	f.Add("new", limit)
	if len(f.times) != 1 {
		t.Errorf("%d keys are remembered after an hour", len(f.times))
	}
}
