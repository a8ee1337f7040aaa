//go:build unix

package embed

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/benchtest"
)

// BenchmarkLexical reports short texts per second of processor time.
func BenchmarkLexical(b *testing.B) {
	e := Lexical()
	before, meter := processorTime(b), benchtest.Start(b)
	for b.Loop() {
		if _, err := e.Embed(context.Background(), feedback); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(feedback))/(processorTime(b)-before).Seconds(), "texts/cpu-s")
	meter.Report(len(feedback))
}

func BenchmarkDot(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	x, y := make([]float32, hybridWidth), make([]float32, hybridWidth)
	for i := range x {
		x[i], y[i] = random.Float32(), random.Float32()
	}
	for b.Loop() {
		Dot(x, y)
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
