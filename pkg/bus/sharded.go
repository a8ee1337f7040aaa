package bus

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// ShardsOf lists the shards that a set of workspaces falls into, in order.
func ShardsOf(workspaces []string) []int {
	var out []int
	for _, w := range workspaces {
		if s := feedback.Shard(w); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// PerShard runs work for every shard of the workspaces under a lease named
// <job>-<shard>, until ctx ends. When a lease is lost the work's context is cancelled
// and the lease is waited for again: there is one writer for a shard at any time.
func (b *Bus) PerShard(ctx context.Context, job, holder string, workspaces []string, work func(ctx context.Context, shard int, l *Lease) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, shard := range ShardsOf(workspaces) {
		g.Go(func() error {
			key := fmt.Sprintf("%s-%02d", job, shard)
			for ctx.Err() == nil {
				l, err := b.Acquire(ctx, key, holder)
				if err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return err
				}
				err = b.under(ctx, l, shard, work)
				l.Release(context.WithoutCancel(ctx))
				if err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// under runs work until it returns or the lease is lost; losing it is not an error.
func (b *Bus) under(ctx context.Context, l *Lease, shard int, work func(context.Context, int, *Lease) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := work(ctx, shard, l)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
