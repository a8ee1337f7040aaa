package clusterer

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/mask"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/clusterer/internal/journal"
	"github.com/throughline-dev/throughline/services/clusterer/internal/shadow"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// Difference is how two worlds of one workspace differ, Join one cluster in the place of
// several or the reverse.
type (
	Difference = shadow.Difference
	Join       = shadow.Join
)

// Shadow takes a workspace's log twice: with the settings in force, and with other ones and
// another embedder, and returns what would become of its clusters. Signals whose vectors are
// of another space than the embedder's are embedded anew. It only reads, beside whoever
// writes, and compares what was in the log when it came to its end. progress hears how many
// inputs are taken, of how many.
func Shadow(ctx context.Context, db *store.DB, workspace string, present, other config.Rank, embedder embed.Embedder, progress func(taken, of uint64)) (Difference, error) {
	var of uint64
	if err := db.Conn().QueryRow(ctx, "SELECT max(position) FROM inputs WHERE workspace = ?", workspace).Scan(&of); err != nil {
		return Difference{}, fmt.Errorf("read inputs: %w", err)
	}
	masked := func(ctx context.Context, quotes []string) ([][]float32, error) {
		texts := make([]string, len(quotes))
		for i, q := range quotes {
			texts[i] = mask.Mask(q).Text // as the classifier does
		}
		return embedder.Embed(ctx, texts)
	}
	s := shadow.New(workspace, options(present), options(other), embedder.Space().ID(), masked)
	err := journal.New(db, nil, workspace, 0).Each(ctx, 0, func(in world.Input) error {
		if err := s.Take(ctx, in); err != nil {
			return err
		}
		progress(s.Present.Position(), of)
		return nil
	})
	if err != nil {
		return Difference{}, err
	}
	return s.Difference(), nil
}
