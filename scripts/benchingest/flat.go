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

// runFlat loads throughline at a steady rate and prints what memory it holds and how that grew
// over the second half.
func runFlat(throughline string, span time.Duration, rate float64, connections int) error {
	if span < 4*between {
		return fmt.Errorf("a run of %s tells nothing: take at least %s", span, 4*between)
	}
	return withOurs(throughline, func(c *contender) error {
		start, load := time.Now(), c.load(span, rate, connections)
		memory := newMemory()
		tick := time.NewTicker(between)
		defer tick.Stop()
		for time.Since(start) < span-between/2 {
			select {
			case <-load.failed:
				return load.err()
			case <-tick.C:
			}
			if err := memory.look(c, time.Since(start)); err != nil {
				return err
			}
			fmt.Println()
		}
		taken, refused, err := load.wait()
		fmt.Printf("\n%.0f requests/s were accepted, %d in all were answered 503\n", float64(taken)/time.Since(start).Seconds(), refused)
		memory.grew()
		return err
	})
}

// withOurs starts throughline on an empty folder for what work does with it.
func withOurs(throughline string, work func(*contender) error) error {
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
	return work(c)
}

// load is a number of senders at work.
type load struct {
	senders        sync.WaitGroup
	failed         chan struct{} // closed when a sender gave up
	mu             sync.Mutex
	errs           []error
	taken, refused int
}

// load sends so many webhooks a second in all, over so many connections, for span.
func (c *contender) load(span time.Duration, rate float64, connections int) *load {
	l := &load{failed: make(chan struct{})}
	end, every := time.Now().Add(span), time.Duration(float64(connections)/rate*float64(time.Second))
	for i := range connections {
		l.senders.Go(func() {
			time.Sleep(every * time.Duration(i) / time.Duration(connections)) // not all at once
			took, refused, err := c.send(end, every, always)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.taken, l.refused = l.taken+len(took), l.refused+refused
			if err != nil {
				if len(l.errs) == 0 {
					close(l.failed)
				}
				l.errs = append(l.errs, err)
			}
		})
	}
	return l
}

func (l *load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) == 0 {
		return nil
	}
	return errors.Join(errors.New("a sender gave up"), l.errs[0])
}

// wait waits for the end of the load: how many were accepted, and how many answered 503.
func (l *load) wait() (taken, refused int, err error) {
	l.senders.Wait()
	return l.taken, l.refused, l.err()
}

// memory is what throughline was seen to hold, by the minute, in MB.
type memory struct {
	minutes []float64
	columns [4][]float64 // as named
}

var named = [4]string{"Go heap", "Go RSS", "engine RSS", "RSS"}

func newMemory() *memory {
	fmt.Printf("%8s", "minutes")
	for _, name := range named {
		fmt.Printf(" %11s", name+" MB")
	}
	fmt.Println()
	return new(memory)
}

// look prints what is held now, without ending the line.
func (m *memory) look(c *contender, at time.Duration) error {
	seen, err := c.metrics()
	if err != nil {
		return err
	}
	own, engine := c.rss()
	m.minutes = append(m.minutes, at.Minutes())
	fmt.Printf("%8.1f", at.Minutes())
	for i, v := range []float64{seen.value("go_memstats_heap_inuse_bytes") / 1e6, own, engine, own + engine} {
		m.columns[i] = append(m.columns[i], v)
		fmt.Printf(" %11.0f", v)
	}
	return nil
}

// grew prints the slopes over the second half.
func (m *memory) grew() {
	half := len(m.minutes) / 2
	fmt.Print("growth over the second half, MB a minute:")
	for i, name := range named {
		fmt.Printf(" %s %+.1f;", name, slope(m.minutes[half:], m.columns[i][half:]))
	}
	fmt.Println()
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
