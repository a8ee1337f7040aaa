//go:build !linux

package clusterer

import (
	"runtime"
	"time"
)

// processorTime is the clock's here.
func processorTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// peakMemory is what the process has asked the system for, in bytes.
func peakMemory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
