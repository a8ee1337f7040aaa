//go:build unix

package matrix

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkApply maps 48 rows through the widest map of the encoder, and
// reports how many products of two bytes that is per second of processor time,
// which other load on the machine distorts less than wall time.
func BenchmarkApply(b *testing.B) {
	const rows, in, out = 48, 384, 1536
	m, err := NewMap(in, Part{Weights: randomBytes(1, in*out), Factors: random(2, out), Bias: random(3, out)})
	if err != nil {
		b.Fatal(err)
	}
	x, dst := random(4, rows*in), make([]float32, rows*out)
	var s Scratch
	for _, k := range kernels() {
		b.Run(k.Name, func(b *testing.B) {
			before := processorTime(b)
			for b.Loop() {
				k.Apply(dst, x, &m, rows, &s)
			}
			b.ReportMetric(rows*in*out*float64(b.N)/(processorTime(b)-before).Seconds()/1e9, "GMAC/cpu-s")
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
