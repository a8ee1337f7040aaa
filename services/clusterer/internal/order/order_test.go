package order

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestResultsComeInOrderHoweverTheyRaced(t *testing.T) {
	t.Parallel()
	w := NewWindow[string](10)
	for _, s := range []uint64{3, 1, 2} {
		if err := w.Offer(t.Context(), s, string(rune('a'+s))); err != nil {
			t.Fatal(err)
		}
	}
	for s := uint64(1); s <= 3; s++ {
		if got, err := w.Await(t.Context(), s, time.Hour); err != nil || got != string(rune('a'+s)) {
			t.Errorf("sequence %d: %q, %v", s, got, err)
		}
	}
}

func TestDeadLetterIsPassedOverAtOnce(t *testing.T) {
	t.Parallel()
	w := NewWindow[string](10)
	w.Bury(1)
	if _, err := w.Await(t.Context(), 1, time.Hour); !errors.Is(err, ErrDead) {
		t.Errorf("got %v", err)
	}
}

func TestGapIsWaitedForAndLateResultIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow[string](10)
		start := time.Now()
		if _, err := w.Await(t.Context(), 1, time.Minute); !errors.Is(err, ErrGap) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %s", waited)
		}
		if err := w.Offer(t.Context(), 1, "late"); err != nil {
			t.Fatal(err)
		}
		if late := w.Late(); len(late) != 1 || late[0] != "late" {
			t.Errorf("late: %v", late)
		}
	})
}

func TestFullWindowBlocksExceptForTheNextInLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow[string](2)
		for _, s := range []uint64{5, 6} {
			if err := w.Offer(t.Context(), s, "x"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Offer(ctx, 7, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full window takes more: %v", err)
		}
		if err := w.Offer(t.Context(), 1, "first"); err != nil {
			t.Error(err)
		}
	})
}

func TestAwaitWakesWhenTheResultComes(t *testing.T) {
	t.Parallel()
	w := NewWindow[string](2)
	got := make(chan string, 1)
	go func() {
		v, _ := w.Await(t.Context(), 1, time.Hour)
		got <- v
	}()
	if err := w.Offer(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	if v := <-got; v != "x" {
		t.Errorf("got %q", v)
	}
}
