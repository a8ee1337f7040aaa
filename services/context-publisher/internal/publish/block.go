package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

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

// block makes a ticket show its newest brief. The ledger is written before (the intent)
// and after (what the vendor gave), each by compare-and-set, so that a crash between finds
// the block that is there instead of writing a second one.
func (s *shard) block(ctx context.Context, m bus.Message) error {
	in, err := event.Payload[event.Brief](m.Envelope)
	if err != nil {
		return bus.Permanent(err)
	}
	a := address{m.Workspace, in.Tracker, in.Ticket}
	defer s.locks.lock(a)()
	st, _, err := s.tickets.Get(ctx, keyed.TicketKey(a.workspace, a.tracker, a.key))
	if err != nil {
		return err
	}
	w, revision, err := s.ledger.Get(ctx, keyed.TicketKey(a.workspace, a.tracker, a.key))
	if err != nil {
		return err
	}
	entry := &entry{shard: s, address: a, connection: st.Connection, Write: w, revision: revision}
	entry.Workspace, entry.Tracker, entry.Ticket = a.workspace, a.tracker, a.key
	t, ok := s.Trackers[st.Connection]
	if !ok {
		return entry.end(ctx, keyed.Refused, "refused", "the ticket's connection is not configured for writing")
	}
	if st.Closed {
		return entry.remove(ctx, t)
	}
	// The newest brief counts, not the event's: what came between needs no write.
	b, found, err := s.stored(ctx, a, max(st.Revision, uint64(in.Revision)))
	if err != nil {
		return err
	}
	if !found || len(b.Clusters) == 0 && (w.State == "" || w.State == keyed.Removed) {
		return nil
	}
	content, err := s.content(ctx, a, st, b)
	if err != nil {
		return err
	}
	if w.State == keyed.Gone || w.State == keyed.Written && w.Hash == content.Hash {
		return nil
	}
	if err := entry.upsert(ctx, t, content); err != nil {
		return err
	}
	s.fresh("tracker", in.Gathered, in.AcceptedAt)
	return nil
}

// content renders a brief as a block, with what came since the ticket's last turn.
func (s *shard) content(ctx context.Context, a address, st keyed.Ticket, b brief.Brief) (tracker.Block, error) {
	var since *brief.Changes
	turn := turned(st)
	if turn > 0 && turn < b.Revision {
		old, found, err := s.stored(ctx, a, turn)
		if err != nil {
			return tracker.Block{}, err
		}
		if found {
			c := brief.Diff(old, b, nil)
			since = &c
		}
	}
	title, text := brief.Block(b, since, s.Block)
	out := tracker.Block{Title: title, Markdown: text, Revision: int(b.Revision),
		Hash: feedback.ID("blk", blockFormat, b.Hash, fmt.Sprint(turn))}
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
