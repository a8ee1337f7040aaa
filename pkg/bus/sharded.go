package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

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

// Job is work that is done for each shard by one process at a time, under a lease named
// <job>-<shard>.
type Job struct {
	Name       string
	Holder     string // names this process; unique to it
	Workspaces []string
	Open       func(shard int) Worker
}

// Worker is what a process does for one shard.
type Worker interface {
	// Stand makes ready to take the shard over and stays so, until ctx ends; it writes
	// nothing. It calls ready when taking over would be quick. It may be called again after
	// it returned, and after Own did.
	Stand(ctx context.Context, ready func()) error
	// Own works on the shard under its lease until ctx ends or the lease is not Valid any
	// more, and does not return before it has let go of the shard.
	Own(ctx context.Context, l *Lease) error
}

// Spread works on the shards of a job, together with every other process that does, until ctx
// ends. There is one writer for a shard at any time. Shards are shared out so that no process
// has two more than another, and few change hands when a process comes or goes; one changes
// hands when its new owner says that it is ready. A shard whose owner has gone is taken over
// by whoever stands by, at once where it was given up and when the lease has expired where it
// was not. The error of a worker ends all of it.
func (b *Bus) Spread(ctx context.Context, j Job) error {
	g, ctx := errgroup.WithContext(ctx)
	shards := ShardsOf(j.Workspaces)
	if len(shards) == 0 {
		return nil
	}
	r, err := b.join(ctx, j.Name, j.Holder, shards)
	for ; IsUnavailable(err) && ctx.Err() == nil; r, err = b.join(ctx, j.Name, j.Holder, shards) {
		b.log.Warn("the roster cannot be joined; will try again", "job", j.Name, "error", err)
		pause(ctx, time.Second)
	}
	if err != nil {
		return unless(ctx, err)
	}
	g.Go(func() error { r.keep(ctx); return nil })
	for _, shard := range shards {
		g.Go(func() error { return r.attend(ctx, shard, j.Open(shard)) })
	}
	err = g.Wait()
	r.leave(context.WithoutCancel(ctx))
	return err
}

// PerShard is Spread for work that needs nothing to be ready.
func (b *Bus) PerShard(ctx context.Context, job, holder string, workspaces []string, work func(ctx context.Context, shard int, l *Lease) error) error {
	return b.Spread(ctx, Job{Name: job, Holder: holder, Workspaces: workspaces, Open: func(shard int) Worker { return unready{shard, work} }})
}

// unready is a worker that starts from nothing.
type unready struct {
	shard int
	work  func(ctx context.Context, shard int, l *Lease) error
}

func (u unready) Stand(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

func (u unready) Own(ctx context.Context, l *Lease) error { return u.work(ctx, u.shard, l) }

func leaseKey(job string, shard int) string { return fmt.Sprintf("%s-%02d", job, shard) }
