//go:build unix

package classifier_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/throughline-dev/throughline/pkg/benchtest"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/classifier"
)

// BenchmarkClassify reports items per second of processor time, of about 10, 40 and 200
// words, through the encoder, the masking and the heads.
func BenchmarkClassify(b *testing.B) {
	local, err := embed.OpenLocal("../../.cache/models", embed.LocalOptions{})
	if err != nil {
		b.Fatal(err)
	}
	sentence := "the export button does nothing when I filter by date "
	for _, e := range []embed.Embedder{local, embed.Lexical()} {
		for _, words := range []int{10, 40, 200} {
			b.Run(fmt.Sprintf("%s/%dwords", e.Space().Model, words), func(b *testing.B) {
				var input strings.Builder
				for i := range 64 {
					fmt.Fprintf(&input, `{"text":"%d %s"}`+"\n", i, strings.Repeat(sentence, words/10))
				}
				before, meter := processorSeconds(b), benchtest.Start(b)
				for b.Loop() {
					if _, err := classifier.EvalClassify(context.Background(), strings.NewReader(input.String()), e, io.Discard, classifier.ClassifyOptions{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*64)/(processorSeconds(b)-before), "items/cpu-s")
				meter.Report(64)
			})
		}
	}
}

func processorSeconds(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	nanoseconds := usage.Utime.Nano() + usage.Stime.Nano()
	return float64(nanoseconds) / 1e9
}
