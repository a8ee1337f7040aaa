package evaluation

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

func TestGrowthIsMeasuredAtEachSize(t *testing.T) {
	t.Parallel()
	clock := time.Duration(0)
	grown, err := Grow(context.Background(), strings.NewReader(lines(200, false)), hashed{}, Growing{
		Space:     space.Default(),
		Sizes:     []int{100, 700},
		Processor: func() time.Duration { clock += time.Microsecond; return clock },
		Resident:  func() int64 { return 7000 },
	})
	if err != nil || len(grown) != 2 {
		t.Fatalf("%+v, %v", grown, err)
	}
	last := grown[1]
	if last.Signals != 700 || last.Clusters == 0 || last.PerSecond < 999_000 || last.PerSecond > 1_001_000 || last.P99 != time.Microsecond || last.Resident != 10 || last.Snapshot < 128 || last.Restart <= 0 {
		t.Errorf("%+v", last)
	}
	if _, err := Grow(context.Background(), strings.NewReader(""), hashed{}, Growing{Sizes: []int{1}}); err == nil {
		t.Error("grew from nothing")
	}
}
