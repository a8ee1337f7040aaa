package clusterer

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/clusterer/internal/journal"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// A standby takes the inputs that the owner of a shard has told, from the owner's log, so that
// its worlds are the owner's a moment later. What was not told it leaves alone: a former owner
// that woke up may have written it, and lose it to the owner.

// followEvery is the least time between two looks at the log: inputs that come meanwhile are
// read together.
const followEvery = 250 * time.Millisecond

// checked bounds how many of the newest inputs are compared with the log, which says under
// which epoch each stands: what a former owner wrote late can only be among them.
const checked = 10_000

// Stand keeps the worlds of the shard as its owner has them, until ctx ends.
func (sh *shard) Stand(ctx context.Context, ready func()) error {
	news := make(chan map[string]uint64, 1)
	hearing, stop := context.WithCancel(ctx)
	heard := make(chan struct{})
	go func() { defer close(heard); sh.hear(hearing, news) }()
	defer func() { stop(); <-heard }()

	told := map[string]uint64{} // position by workspace
	for behind := true; ctx.Err() == nil; {
		if behind {
			err := sh.catchUp(ctx, told)
			switch {
			case ctx.Err() != nil:
				return nil
			case passes(err):
				sh.Logger.Warn("cannot follow the shard; will try again", "shard", sh.number, "error", err)
				rest(ctx, time.Second)
				continue
			case err != nil:
				return err
			}
			behind = false
			ready()
			rest(ctx, followEvery)
		}
		select {
		case positions := <-news:
			for w, p := range positions {
				told[w] = max(told[w], p)
			}
			behind = true
		case <-ctx.Done():
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// hear says which positions the owner tells, as they come.
func (sh *shard) hear(ctx context.Context, news chan map[string]uint64) {
	_ = sh.follow(ctx, bus.Worlds, fmt.Sprintf("worlds.%02d.*", sh.number), time.Now().Add(-clocksDiffer), time.Time{}, func(m jetstream.Msg, _ uint64) error {
		e, err := event.Decode(m.Data())
		if err != nil {
			return nil // another version's
		}
		w, err := event.Payload[event.World](e)
		if err != nil || sh.tenants[e.Workspace] == nil {
			return nil
		}
		all := map[string]uint64{}
		select {
		case all = <-news: // not taken yet: told together
		default:
		}
		all[e.Workspace] = w.Position
		news <- all
		return nil
	})
}

// catchUp takes what is told of every world.
func (sh *shard) catchUp(ctx context.Context, told map[string]uint64) error {
	for _, w := range slices.Sorted(maps.Keys(sh.tenants)) {
		t := sh.tenants[w]
		if t.world == nil || told[w] == 0 {
			position, _, err := t.told(ctx)
			if err != nil {
				return err
			}
			told[w] = max(told[w], position)
		}
		if err := t.follow(ctx, told[w]); err != nil {
			return err
		}
	}
	return nil
}

// follow takes the inputs of the log up to a position. Where somebody else has written under
// a new epoch, what was taken before is compared.
func (t *tenant) follow(ctx context.Context, upTo uint64) error {
	t.restore(ctx)
	reigns := len(t.reigns)
	if t.world.Position() < upTo {
		if err := t.read(ctx, upTo, func(journal.Entry) {}); err != nil {
			return err
		}
	}
	if reigns == 0 || len(t.reigns) == reigns {
		return nil
	}
	same, err := t.agrees(ctx)
	if err != nil || same {
		return err
	}
	t.forget()
	return t.follow(ctx, upTo)
}

// forget drops the world, which is then restored when it is needed.
func (t *tenant) forget() {
	t.world, t.reigns, t.pending, t.written, t.traces = nil, nil, nil, 0, nil
}

// restore makes a world of the newest snapshot, if there is none.
func (t *tenant) restore(ctx context.Context) {
	if t.world != nil {
		return
	}
	t.forget()
	t.world = t.journal.Restore(ctx, options(t.Ranks[t.workspace]))
	t.restored = t.world.Position()
	t.saved = t.restored
}

// read takes the inputs of the log after the world's position, up to another.
func (t *tenant) read(ctx context.Context, upTo uint64, taken func(journal.Entry)) error {
	err := t.journal.Between(ctx, t.world.Position(), upTo, func(epoch uint64, in world.Input) error {
		out, err := t.world.Take(in)
		if err != nil {
			return fmt.Errorf("replay input %d of %s: %w", t.world.Position()+1, t.workspace, err)
		}
		if n := len(t.reigns); n > 0 && t.reigns[n-1].Epoch == epoch {
			t.reigns[n-1].To = out.Position
		} else {
			t.reigns = append(t.reigns, journal.Reign{Epoch: epoch, From: out.Position, To: out.Position})
		}
		taken(journal.Entry{Input: in, Outcome: out})
		return nil
	})
	if err != nil {
		t.forget() // it may stand in the middle of an input
	}
	return err
}

// agrees reports whether the newest inputs that the world took still stand in the log.
func (t *tenant) agrees(ctx context.Context) (bool, error) {
	after := t.restored
	if p := t.world.Position(); p > checked {
		after = max(after, p-checked)
	}
	var took []journal.Reign
	for _, r := range t.reigns {
		if r.To > after {
			took = append(took, journal.Reign{Epoch: r.Epoch, From: max(r.From, after+1), To: r.To})
		}
	}
	stand, err := t.journal.Reigns(ctx, after, t.world.Position())
	if err != nil {
		return false, err
	}
	if !slices.Equal(took, stand) {
		t.Logger.Warn("followed inputs that do not stand; the world is restored", "workspace", t.workspace, "took", took, "stand", stand)
		return false, nil
	}
	return true, nil
}

// takeOver makes the world that of the log, and tells what a former owner wrote but did not
// live to tell.
func (t *tenant) takeOver(ctx context.Context, lease *bus.Lease) error {
	start := time.Now()
	told, sequence, err := t.told(ctx)
	if err != nil {
		return err
	}
	t.lease, t.published, t.traces = lease, sequence, map[uint64]bus.Trace{}
	t.journal = journal.New(t.Store, t.Bus, t.workspace, lease.Epoch)
	if t.world != nil {
		if same, err := t.agrees(ctx); err != nil {
			return err
		} else if !same || t.world.Position() > told {
			t.forget()
		}
	}
	warm := t.world != nil
	t.restore(ctx)
	t.traces = map[uint64]bus.Trace{}
	before := t.world.Position()
	err = t.read(ctx, math.MaxUint64, func(e journal.Entry) {
		if e.Outcome.Position > told {
			t.pending = append(t.pending, e)
		}
	})
	if err != nil {
		return err
	}
	t.Logger.Info("world taken over", "workspace", t.workspace, "position", t.world.Position(), "replayed", t.world.Position()-before, "warm", warm, "epoch", lease.Epoch, "took", time.Since(start).Round(time.Millisecond))
	if err := t.flush(ctx); err != nil {
		return err
	}
	// What is taken from here on stands under our epoch.
	t.reigns, t.restored = nil, t.world.Position()
	return nil
}

// told reads which position was last told on the stream.
func (t *tenant) told(ctx context.Context) (position, sequence uint64, err error) {
	e, sequence, err := t.Bus.Last(ctx, bus.Worlds, t.subject)
	if err != nil || sequence == 0 {
		return 0, 0, err
	}
	w, err := event.Payload[event.World](e)
	return w.Position, sequence, err
}
