package bus

import (
	"fmt"
	"sync"
	"time"
)

// longestOutage bounds the wait after what a whole service depends on was away: when it is
// back, everything goes on soon.
const longestOutage = 30 * time.Second

// failures counts how often each message failed in this process, by durable and place in the
// stream. The server counts deliveries, which is another number: what a vendor put off, what
// a stopped process handed back and what waited for the store came again without a fault of
// its own.
type failures struct {
	mu sync.Mutex
	of map[string]int
}

func newFailures() *failures { return &failures{of: map[string]int{}} }

func place(durable string, sequence uint64) string { return fmt.Sprintf("%s/%d", durable, sequence) }

// add counts one failure and returns how many there are now.
func (f *failures) add(durable string, sequence uint64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.of) >= remembered {
		clear(f.of) // some then have more tries than they are promised
	}
	f.of[place(durable, sequence)]++
	return f.of[place(durable, sequence)]
}

// forget drops the count of a message that is done.
func (f *failures) forget(durable string, sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, place(durable, sequence))
}
