package chat

import (
	"context"
	"net/http"
	"time"
)

// waitKey is the context's key of a place for what an endpoint says about waiting.
type waitKey struct{}

// passes reports whether the same call may work in a while.
func (f *Failure) passes() bool {
	switch f.Outcome {
	case "limited", "timeout", "invalid":
		return true
	case "unavailable":
		return f.Status == 0 || f.Status >= http.StatusInternalServerError || f.Status == http.StatusRequestTimeout
	}
	return false
}

// The wait before another call doubles from firstPause to longestPause.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 20 * time.Second
)

// backOff is the wait after a number of failed calls, or what the endpoint asked for, if that
// is longer.
func backOff(attempts int, asked time.Duration) time.Duration {
	d := firstPause << min(attempts-1, 6)
	return min(max(d, asked), longestPause)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
