package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// blockFormat is part of every block's hash: a change of how blocks are rendered writes
// them again.
const blockFormat = "2"

// longestPause bounds the wait before a tracker that failed without saying how long to wait
// is tried again: Options.Pause, doubled with each attempt.
const longestPause = 5 * time.Minute

// side by side, at most so many blocks are written for one batch of events.
const sideBlocks = 8

// order is a ticket whose block is to show its newest brief, with the events that say so.
type order struct {
	address
	events []int // in the batch
}

// blocks makes tickets show their newest briefs; first changes are written before those that
// were gathered. The ledger is written before (the intent) and after (what the vendor gave),
// each by compare-and-set, so that a crash between finds the block that is there instead of
// writing a second one.
func (s *shard) blocks(ctx context.Context, batch []bus.Message) []error {
	errs := make([]error, len(batch))
	told := make([]event.Brief, len(batch))
	of := map[address]*order{}
	var orders []*order
	for i, m := range batch {
		if !s.index.knows(m.Workspace) {
			continue
		}
		in, err := event.Payload[event.Brief](m.Envelope)
		if err != nil {
			errs[i] = bus.Permanent(err)
			continue
		}
		told[i] = in
		a := address{m.Workspace, in.Tracker, in.Ticket}
		if of[a] == nil {
			of[a] = &order{address: a}
			orders = append(orders, of[a])
		}
		of[a].events = append(of[a].events, i)
	}
	slices.SortStableFunc(orders, func(a, b *order) int {
		return cmp.Compare(rank(told, a), rank(told, b))
	})
	var g errgroup.Group
	g.SetLimit(sideBlocks)
	for _, o := range orders {
		g.Go(func() error {
			within := batch[o.events[0]].Trace.Within(ctx)
			newest := uint64(0)
			for _, i := range o.events {
				newest = max(newest, uint64(max(told[i].Revision, 0)))
			}
			written, err := s.block(within, o.address, newest)
			for _, i := range o.events {
				errs[i] = err
				if written {
					s.fresh("tracker", told[i].Gathered, told[i].AcceptedAt)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // each event has its own error
	return errs
}

// rank puts tickets with a first change before those whose changes were all gathered.
func rank(told []event.Brief, o *order) int {
	for _, i := range o.events {
		if !told[i].Gathered {
			return 0
		}
	}
	return 1
}

// block makes one ticket show its newest brief, of a revision that is at least newest, and
// tells whether there was something to write.
func (s *shard) block(ctx context.Context, a address, newest uint64) (written bool, err error) {
	defer s.writing.take(a)()
	st, _, err := s.tickets.Get(ctx, keyed.TicketKey(a.workspace, a.tracker, a.key))
	if err != nil {
		return false, err
	}
	w, revision, err := s.ledger.Get(ctx, keyed.TicketKey(a.workspace, a.tracker, a.key))
	if err != nil {
		return false, err
	}
	entry := &entry{shard: s, address: a, connection: st.Connection, Write: w, revision: revision}
	entry.Workspace, entry.Tracker, entry.Ticket = a.workspace, a.tracker, a.key
	t, ok := s.Trackers[st.Connection]
	if !ok {
		return false, entry.end(ctx, keyed.Refused, "refused", "the ticket's connection is not configured for writing")
	}
	if st.Closed {
		return false, entry.remove(ctx, t)
	}
	// The newest brief counts, not the event's: what came between needs no write.
	content, err := s.content(ctx, a, st, max(st.Revision, newest), w)
	if err != nil || content == nil || w.State == keyed.Gone || w.State == keyed.Written && w.Hash == content.Hash {
		return false, err
	}
	err = entry.upsert(ctx, t, *content)
	return err == nil && entry.State == keyed.Written, err
}

// content renders a ticket's newest brief as a block, with what came since the ticket's last
// turn; nil where there is none, or nothing to show.
func (s *shard) content(ctx context.Context, a address, st keyed.Ticket, newest uint64, w keyed.Write) (*tracker.Block, error) {
	now, then := revision{a, newest}, revision{a, turned(st)}
	asked := []revision{now}
	if then.number > 0 && then.number < newest {
		asked = append(asked, then)
	}
	stored, err := s.stored(ctx, a.workspace, asked)
	if err != nil {
		return nil, err
	}
	b, found := stored[now]
	if !found || len(b.Clusters) == 0 && (w.State == "" || w.State == keyed.Removed) {
		return nil, nil
	}
	var since *brief.Changes
	if old, known := stored[then]; known && then.number < b.Revision {
		c := brief.Diff(old, b, nil)
		since = &c
	}
	title, text := brief.Block(b, since, s.Block)
	out := &tracker.Block{Title: title, Markdown: text, Revision: int(b.Revision),
		Hash: feedback.ID("blk", blockFormat, b.Hash, fmt.Sprint(then.number))}
	if s.PublicURL != "" {
		out.URL = s.PublicURL + "/tickets/" + string(a.tracker) + "/" + url.PathEscape(a.key)
	}
	return out, nil
}

// turned is the revision of the brief at which a ticket last turned: it was picked up, or
// it was done. What came after is what whoever works on it, has it blocked or opens it again
// has not read.
func turned(st keyed.Ticket) uint64 {
	if st.Category == feedback.Done {
		return st.DoneAt
	}
	return max(st.PickedUp, st.DoneAt)
}

// entry is a line of the ledger while it is worked on.
type entry struct {
	*shard
	address
	connection string
	keyed.Write
	revision uint64
}

func (e *entry) put(ctx context.Context) error {
	e.At = e.Now().UTC()
	revision, err := e.ledger.Put(ctx, keyed.TicketKey(e.address.workspace, e.address.tracker, e.address.key), e.Write, e.revision)
	if errors.Is(err, keyed.ErrConflict) {
		// Another publisher writes this block right now; what it writes is looked at again.
		return bus.RetryAfter(fmt.Errorf("write ledger: %w", err), time.Second)
	}
	e.revision = revision
	return err
}

// end records an outcome.
func (e *entry) end(ctx context.Context, state, outcome, problem string) error {
	e.State, e.Problem = state, problem
	if err := e.put(ctx); err != nil {
		return err
	}
	e.metrics.blocks.WithLabelValues(e.connection, outcome).Inc()
	return nil
}

func (e *entry) upsert(ctx context.Context, t tracker.Tracker, b tracker.Block) error {
	e.State, e.Hash, e.Write.Revision, e.Problem = keyed.Writing, b.Hash, uint64(b.Revision), ""
	if err := e.put(ctx); err != nil {
		return err
	}
	start := e.Now()
	ref, outcome, err := t.Upsert(ctx, e.address.key, e.Ref, b)
	e.metrics.calls.WithLabelValues(e.connection).Observe(e.Now().Sub(start).Seconds())
	switch {
	case err != nil:
		return e.failed(ctx, ref, err)
	case outcome == tracker.Gone:
		return e.end(ctx, keyed.Gone, string(outcome), "a person deleted the block")
	}
	e.Ref, e.Failures = &ref, 0
	return e.end(ctx, keyed.Written, string(outcome), "")
}

func (e *entry) remove(ctx context.Context, t tracker.Tracker) error {
	if e.State == keyed.Removed || e.State == keyed.Gone || e.State == "" {
		return nil
	}
	var ref tracker.Ref
	if e.Ref != nil {
		ref = *e.Ref
	}
	left, err := t.Remove(ctx, e.address.key, ref)
	if err != nil {
		return e.failed(ctx, left, err)
	}
	e.Ref, e.Hash, e.Failures = nil, "", 0
	return e.end(ctx, keyed.Removed, "removed", "")
}

// failed records how far the write came, so that the next attempt goes on from there. It
// waits as long as the vendor asks, or longer with each attempt that came no further; what
// a person has to fix is recorded, and the next revision tries again.
func (e *entry) failed(ctx context.Context, ref tracker.Ref, err error) error {
	if ctx.Err() != nil {
		return err
	}
	further := e.Ref == nil || e.Ref.ID != ref.ID || !maps.Equal(e.Ref.Extra, ref.Extra)
	e.Ref, e.Failures = &ref, e.Failures+1
	if further {
		e.Failures = 1
	}
	if tracker.IsPermanent(err) {
		e.Logger.Warn("tracker refused the block", "workspace", e.address.workspace, "connection", e.connection, "ticket", e.address.key, "error", err)
		return e.end(ctx, keyed.Refused, "refused", err.Error())
	}
	if err := e.put(ctx); err != nil {
		return err
	}
	e.metrics.blocks.WithLabelValues(e.connection, "delayed").Inc()
	pause, asked := tracker.RetryAfter(err)
	if !asked {
		pause = min(e.Pause<<min(e.Failures-1, 10), longestPause)
	}
	return bus.RetryAfter(err, pause)
}
