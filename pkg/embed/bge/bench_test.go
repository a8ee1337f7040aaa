//go:build unix

package bge_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/benchtest"
	"github.com/throughline-dev/throughline/pkg/embed/bge"
)

// BenchmarkEncode reports texts per second of processor time, which other load
// on the machine distorts less than wall time, for texts of 10, 40 and 200
// pieces, alone and 64 at a time.
func BenchmarkEncode(b *testing.B) {
	e := open(b, bge.Options{Threads: 1})
	const sentence = "the export button does nothing when i click it"
	for _, size := range []int{10, 40, 200} {
		text := strings.Join(strings.Fields(strings.Repeat(sentence+" ", size/9+1))[:size], " ")
		for _, together := range []int{1, 64} {
			texts := make([]string, together)
			for i := range texts {
				texts[i] = text
			}
			b.Run(fmt.Sprintf("pieces=%d/together=%d", size, together), func(b *testing.B) {
				before, meter := processorTime(b), benchtest.Start(b)
				for b.Loop() {
					if _, err := e.Encode(context.Background(), texts); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*together)/(processorTime(b)-before).Seconds(), "texts/cpu-s")
				meter.Report(together)
			})
		}
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkOpen is what starting costs: reading, checking and laying out the weights.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		open(b, bge.Options{})
	}
}
