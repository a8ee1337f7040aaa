package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long nothing may happen before a burst counts as worked off, and patience how
// long it may take.
const (
	quiet    = 10 * time.Second
	patience = time.Hour
)

// runBurst sends so many webhooks as fast as they are taken, none of which may be refused, and
// waits until every stage of the pipeline is through with what came of them. It prints when
// each was.
func runBurst(throughline string, burst, connections int) error {
	return withOurs(throughline, func(c *contender) error {
		start := time.Now()
		var left atomic.Int64
		left.Store(int64(burst))
		var senders sync.WaitGroup
		errs := make([]error, connections)
		for i := range connections {
			senders.Go(func() {
				_, refused, err := c.send(start.Add(patience), 0, func() bool { return left.Add(-1) >= 0 })
				if refused > 0 {
					err = fmt.Errorf("%d requests were answered 503", refused)
				}
				errs[i] = err
			})
		}
		senders.Wait()
		took := time.Since(start)
		if err := errors.Join(errs...); err != nil {
			return err
		}
		fmt.Printf("%d webhooks were taken within %s, none refused: %.0f a second\n\n", burst, took.Round(10*time.Millisecond), float64(burst)/took.Seconds())
		return c.drained(start)
	})
}

// drained waits for the end of the pipeline and tells how each stage came to its own.
func (c *contender) drained(start time.Time) error {
	settled, since := map[string]float64{}, map[string]time.Duration{}
	memory := newMemory()
	changed := time.Now()
	for next := time.Now(); time.Since(changed) < quiet; time.Sleep(500 * time.Millisecond) {
		seen, err := c.metrics()
		if err != nil {
			return err
		}
		for durable, n := range seen.by("throughline_bus_settled_total", "durable", "") {
			if n != settled[durable] {
				settled[durable], since[durable], changed = n, time.Since(start), time.Now()
			}
		}
		behind := 0.0
		for _, n := range seen.by("throughline_bus_pending", "durable", "") {
			behind = max(behind, n)
		}
		if behind > 0 {
			changed = time.Now()
		}
		if time.Now().After(next) {
			next = next.Add(between / 2)
			if err := memory.look(c, time.Since(start)); err != nil {
				return err
			}
			fmt.Printf("   at most %.0f before a stage\n", behind)
		}
		if time.Since(start) > patience {
			return errors.New("the burst was not worked off within an hour")
		}
	}
	fmt.Printf("\n%-28s %10s %12s %10s\n", "stage", "messages", "through at", "a second")
	for _, durable := range slices.SortedFunc(maps.Keys(since), func(a, b string) int { return int(since[a] - since[b]) }) {
		fmt.Printf("%-28s %10.0f %12s %10.0f\n", durable, settled[durable], since[durable].Round(100*time.Millisecond), settled[durable]/since[durable].Seconds())
	}
	last := slices.Max(slices.Collect(maps.Values(since)))
	fmt.Printf("\nthe whole pipeline was through after %s\n", last.Round(time.Second))
	return nil
}
