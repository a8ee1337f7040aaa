//go:build unix

package matrix

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkApply reports the arithmetic of the widest product of the encoder in
// GFLOP per second of processor time, which other load on the machine distorts
// less than wall time.
func BenchmarkApply(b *testing.B) {
	l, err := NewLinear(512, 1536, random(1, 512*1536), random(2, 1536))
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range []Kernel{Best(), Portable()} {
		b.Run(k.Name, func(b *testing.B) {
			const rows = 192
			a, out := random(3, rows*512), make([]float32, rows*1536)
			before := processorTime(b)
			for b.Loop() {
				k.Apply(out, a, &l, rows)
			}
			b.ReportMetric(2*rows*512*1536*float64(b.N)/(processorTime(b)-before).Seconds()/1e9, "GFLOP/cpu-s")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
