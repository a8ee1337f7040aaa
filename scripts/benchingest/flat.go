package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// between is how often memory is looked at.
const between = 30 * time.Second

// runFlat loads throughline at a steady rate and prints what memory it holds, the engine's
// included, and how that grew over the second half.
func runFlat(throughline string, span time.Duration, rate float64, connections int) error {
	if span < 4*between {
		return fmt.Errorf("a run of %s tells nothing: take at least %s", span, 4*between)
	}
	dir, err := os.MkdirTemp("", "bench-ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := startOurs(throughline, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	start := time.Now()
	var senders sync.WaitGroup
	failed := make(chan error, connections)
	counts, refusals := make([]int, connections), make([]int, connections)
	for i := range connections {
		senders.Go(func() {
			taken, refused, err := c.send(start.Add(span), time.Duration(float64(connections)/rate*float64(time.Second)))
			if counts[i], refusals[i] = len(taken), refused; err != nil {
				failed <- err
			}
		})
	}
	fmt.Printf("%8s %10s\n", "minutes", "RSS MB")
	var minutes, megabytes []float64
	tick := time.NewTicker(between)
	defer tick.Stop()
	for time.Since(start) < span-between/2 {
		select {
		case err := <-failed:
			return err
		case <-tick.C:
		}
		minutes, megabytes = append(minutes, time.Since(start).Minutes()), append(megabytes, c.rss())
		fmt.Printf("%8.1f %10.0f\n", minutes[len(minutes)-1], megabytes[len(megabytes)-1])
	}
	senders.Wait()
	total, refused := 0, 0
	for i, n := range counts {
		total, refused = total+n, refused+refusals[i]
	}
	half := len(minutes) / 2
	fmt.Printf("\n%.0f requests/s were accepted, %d in all were answered 503; growth over the second half: %+.1f MB a minute\n", float64(total)/time.Since(start).Seconds(), refused, slope(minutes[half:], megabytes[half:]))
	select {
	case err := <-failed:
		return errors.Join(errors.New("a sender gave up"), err)
	default:
		return nil
	}
}

// slope is that of the line with the least squared error through the points.
func slope(x, y []float64) float64 {
	var mx, my float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(y))
	}
	var above, below float64
	for i := range x {
		above += (x[i] - mx) * (y[i] - my)
		below += (x[i] - mx) * (x[i] - mx)
	}
	return above / below
}
