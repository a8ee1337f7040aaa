package publish

import "sync"

// claims are the tickets that somebody works on, so that no two loops ever work on one.
type claims struct {
	mu    sync.Mutex
	freed *sync.Cond
	held  map[address]bool
}

func newClaims() *claims {
	c := &claims{held: map[address]bool{}}
	c.freed = sync.NewCond(&c.mu)
	return c
}

// take waits until nobody works on any of the tickets and claims them all at once: whoever
// waits holds none, so that two who want the same tickets never wait for each other.
func (c *claims) take(all ...address) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.any(all) {
		c.freed.Wait()
	}
	for _, a := range all {
		c.held[a] = true
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, a := range all {
			delete(c.held, a)
		}
		c.freed.Broadcast()
	}
}

func (c *claims) any(all []address) bool {
	for _, a := range all {
		if c.held[a] {
			return true
		}
	}
	return false
}
