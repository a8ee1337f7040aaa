// Package benchtest tells what a benchmark costs in processor time, in nanoseconds and in units
// of a loop that runs beside it.
//
// The clocks of shared machines drift by a tenth and more from minute to minute, and those of two
// machines by a factor. The loop drifts with them: what an operation costs in runs of it is nearly
// the same everywhere, so that a gate can be put on it.
package benchtest

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Meter counts the processor time of this process, all its threads, from Start on.
type Meter struct {
	b         *testing.B
	before    time.Duration
	reference time.Duration // of one run of the loop, before the benchmark
}

// Start begins to count. Call it right before the loop of the benchmark.
func Start(b *testing.B) *Meter {
	b.Helper()
	reference := loop(b)
	b.ResetTimer()
	return &Meter{b, spent(b, unix.CLOCK_PROCESS_CPUTIME_ID), reference}
}

// Report ends counting and reports cpu-ns/item and refs/item, where each of the benchmark's
// operations was items items. A ref is one run of the loop: about a microsecond.
func (m *Meter) Report(items int) {
	m.b.Helper()
	m.b.StopTimer()
	took := spent(m.b, unix.CLOCK_PROCESS_CPUTIME_ID) - m.before
	one := float64(m.reference+loop(m.b)) / 2
	item := float64(took) / float64(m.b.N*items)
	m.b.ReportMetric(item, "cpu-ns/item")
	m.b.ReportMetric(item/one, "refs/item")
}

// runs is how often the loop is run for one measurement: about 20 ms.
const runs = 20_000

// loop is the processor time of one run of the reference: the hash of a kilobyte, and a walk of
// 64 dependent steps through a table that no first-level cache holds.
func loop(b *testing.B) time.Duration {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	table := make([]uint32, 1<<18)
	for i := range table {
		table[i] = uint32(i*2654435761+12345) % uint32(len(table))
	}
	block := make([]byte, 1024)
	before, at := spent(b, unix.CLOCK_THREAD_CPUTIME_ID), uint32(1)
	for range runs {
		sum := sha256.Sum256(block)
		at ^= binary.LittleEndian.Uint32(sum[:]) % uint32(len(table))
		at %= uint32(len(table))
		for range 64 {
			at = table[at]
		}
		binary.LittleEndian.PutUint32(block, at)
	}
	return (spent(b, unix.CLOCK_THREAD_CPUTIME_ID) - before) / runs
}

func spent(b *testing.B, clock int32) time.Duration {
	b.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}
