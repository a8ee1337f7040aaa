package evaluation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Growth is what a world cost to grow to a size.
type Growth struct {
	Signals  int `json:"signals"`
	Clusters int `json:"clusters"`
	// PerSecond, P50, P99 and Slowest are of the assignments since the last
	// size, refreshes included, embedding not.
	PerSecond float64       `json:"assignments_per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	Slowest   time.Duration `json:"slowest_ns"`
	// Resident is the process's memory over signals, in bytes, before the
	// snapshot is made.
	Resident float64 `json:"resident_bytes_per_signal"`
	// Snapshot is its size over signals, in bytes, and Restart how long it takes
	// to restore.
	Snapshot float64       `json:"snapshot_bytes_per_signal"`
	Restart  time.Duration `json:"restart_ns"`
}

// Growing are the settings of a growth measurement.
type Growing struct {
	Space space.Options
	// Sizes are where to measure, ascending.
	Sizes []int
	// Processor tells how much processor time this goroutine's thread has had,
	// so that what else the machine does is not measured.
	Processor func() time.Duration
	// Resident is how much memory the process holds, in bytes.
	Resident func() int64
}

// Grow measures what a signal costs in a world of each size, on signals made of
// real texts: the texts of the lines read, recombined, some far oftener than
// others. The caller must stay on one thread.
func Grow(ctx context.Context, r io.Reader, embedder Embedder, g Growing) ([]Growth, error) {
	var texts [][]string
	err := Options{}.read(r, func(batch []line) error {
		for _, l := range batch {
			texts = append(texts, strings.Fields(l.Text))
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, errors.New("measure growth: no lines")
	}
	source := rand.New(rand.NewPCG(7, 7))
	frequent := rand.NewZipf(source, 1.1, 20, uint64(len(texts)-1))
	var world *space.Space
	var all []Growth
	inserted := 0
	for _, size := range g.Sizes {
		var spent []time.Duration
		for inserted < size {
			batch := make([]line, min(256, size-inserted))
			for i := range batch {
				batch[i].Text = recombined(source, texts[frequent.Uint64()], texts[source.IntN(len(texts))])
			}
			vectors, err := vectorsOf(ctx, embedder, batch)
			if err != nil {
				return nil, err
			}
			if world == nil {
				world = space.New(len(vectors[0]), g.Space)
			}
			for _, v := range vectors {
				inserted++
				begun := g.Processor()
				if _, _, err := world.Insert(space.Point{ID: "signal-" + strconv.Itoa(inserted), Vector: v}); err != nil {
					return nil, fmt.Errorf("cluster signal %d: %w", inserted, err)
				}
				spent = append(spent, g.Processor()-begun)
			}
		}
		at := Growth{Signals: size, Clusters: len(world.Clusters()), Resident: float64(g.Resident()) / float64(size)}
		at.timed(spent)
		data, err := world.MarshalBinary()
		if err != nil {
			return nil, err
		}
		at.Snapshot = float64(len(data)) / float64(size)
		digest := world.Digest()
		world = &space.Space{}
		begun := g.Processor()
		if err := world.UnmarshalBinary(data); err != nil {
			return nil, err
		}
		at.Restart = g.Processor() - begun
		if world.Digest() != digest {
			return nil, errors.New("measure growth: the restored world is another")
		}
		all = append(all, at)
	}
	return all, nil
}

// recombined is a text with some of the words of another.
func recombined(random *rand.Rand, a, b []string) string {
	words := slices.Clone(a)
	for range 1 + len(a)/5 {
		at := random.IntN(len(words))
		words[at] = b[random.IntN(len(b))]
	}
	return strings.Join(words, " ")
}

func (g *Growth) timed(spent []time.Duration) {
	if len(spent) == 0 {
		return
	}
	sum := time.Duration(0)
	for _, d := range spent {
		sum += d
	}
	g.PerSecond = rate(len(spent), sum)
	slices.Sort(spent)
	g.P50, g.P99, g.Slowest = spent[len(spent)/2], spent[len(spent)*99/100], spent[len(spent)-1]
}
