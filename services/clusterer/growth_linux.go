package clusterer

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this thread has had of the processor.
func processorTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // every Linux has this clock
	}
	return time.Duration(t.Nano())
}

// peakMemory is the most memory the process has held, in bytes.
func peakMemory() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot fail for oneself
	}
	return u.Maxrss * 1024
}
