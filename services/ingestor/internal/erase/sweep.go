package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/trace"
)

// sweep goes through every place for one erasure, first to clean and then to prove.
type sweep struct {
	eraser *Eraser
	job    Job
	trace  *trace.Trace
	places []Place
}

// prove looks at every place once more, without cleaning, and writes into the report what
// is left.
func (w *sweep) prove(ctx context.Context) error {
	for _, look := range []func(context.Context, bool) ([]Place, error){w.streams, w.buckets, w.derived, w.sources} {
		found, err := look(ctx, false)
		if err != nil {
			return err
		}
		for _, f := range found {
			i := slices.IndexFunc(w.places, func(p Place) bool { return p.Kind == f.Kind && p.Name == f.Name })
			if i < 0 {
				w.places = append(w.places, f)
				continue
			}
			w.places[i].Left = f.Left
		}
	}
	return nil
}

// unread are the streams that hold no customers' words: what is in them was written by
// the team, in its tracker.
var unread = []string{bus.Tickets}

// streams overwrites every message of the workspace that holds a trace. What the
// deliveries among them said of others is in the archive by now.
func (w *sweep) streams(ctx context.Context, clean bool) ([]Place, error) {
	var out []Place
	for _, s := range bus.Topology {
		if slices.Contains(unread, s.Name) {
			continue
		}
		p := Place{Kind: "stream", Name: s.Name}
		for _, subject := range s.Subjects {
			if err := w.stream(ctx, s.Name, subject, clean, &p); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
		if err := w.eraser.Bus.Syncer().Sync(ctx, s.Name); err != nil {
			return nil, fmt.Errorf("erase from stream %s: %w", s.Name, bus.Unavailable(err))
		}
	}
	return out, nil
}

// filter narrows a stream's subject, <stage>.*.*[.*], to the workspace.
func (w *sweep) filter(subject string) string {
	tokens := strings.Split(subject, ".")
	tokens[1], tokens[2] = feedback.ShardToken(w.job.Workspace), w.job.Workspace
	return strings.Join(tokens, ".")
}

func (w *sweep) stream(ctx context.Context, name, subject string, clean bool, p *Place) error {
	s, err := w.eraser.Bus.JetStream().Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", name, bus.Unavailable(err))
	}
	filter, last := w.filter(subject), s.CachedInfo().State.LastSeq
	for seq := uint64(1); seq <= last; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, bus.Unavailable(err))
		}
		seq = m.Sequence + 1
		p.Looked++
		if !w.holds(m.Data) {
			continue
		}
		if !clean {
			p.Left++
			continue
		}
		if err := s.SecureDeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("erase from stream %s: %w", name, bus.Unavailable(err))
		}
		p.Cleaned++
	}
	return nil
}

// holds reports whether a message holds a trace; what a delivery carries is looked at as
// it came.
func (w *sweep) holds(data []byte) bool {
	e, err := event.Decode(data)
	if err != nil {
		_, found := w.trace.Blank(string(data))
		return found
	}
	d, err := event.Payload[event.Delivery](e)
	if err != nil {
		_, found := w.trace.Blank(string(e.Data))
		return found
	}
	_, found := w.trace.Blank(string(d.Body))
	return found
}

// buckets looks through every bucket, and renews that of conversations, whose blocks still
// hold what was overwritten in them.
func (w *sweep) buckets(ctx context.Context, clean bool) ([]Place, error) {
	var out []Place
	for _, b := range bus.Buckets {
		kv, err := w.eraser.Bus.Bucket(ctx, b.Name)
		if err != nil {
			return nil, err
		}
		p := Place{Kind: "bucket", Name: b.Name}
		lister, err := kv.ListKeys(ctx)
		if err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", b.Name, bus.Unavailable(err))
		}
		for k := range lister.Keys() {
			if b.Name == bus.BucketItems && !strings.HasPrefix(k, w.job.Workspace+".") {
				continue
			}
			entry, err := kv.Get(ctx, k)
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read bucket %s: %w", b.Name, bus.Unavailable(err))
			}
			p.Looked++
			if v := string(entry.Value()); strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[") {
				if _, found := w.trace.Blank(v); found {
					p.Left++
				}
			}
		}
		if clean && b.Name == bus.BucketItems {
			if p.Cleaned, err = renew(ctx, kv); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, w.eraser.Bus.Syncer().Sync(ctx, "KV_"+bus.BucketItems)
}

// filler is written into a bucket until its server begins a new block: a server that keeps
// one value a key forgets the older ones but leaves their bytes in the block, and removes
// a block only when nothing in it is current any more. Blocks are at most 8 MB.
const (
	fillerKey   = "renewal"
	fillerSize  = 512 << 10
	fillerCount = 18
)

// renew writes every value of a bucket anew into fresh blocks, so that the old ones go
// with all that was overwritten in them. A value that its owner writes meanwhile is fresh
// already.
func renew(ctx context.Context, kv jetstream.KeyValue) (int, error) {
	var fresh uint64
	filler := make([]byte, fillerSize)
	for range fillerCount {
		revision, err := kv.Put(ctx, fillerKey, filler)
		if err != nil {
			return 0, fmt.Errorf("renew bucket: %w", bus.Unavailable(err))
		}
		fresh = max(fresh, revision)
	}
	lister, err := kv.ListKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("renew bucket: %w", bus.Unavailable(err))
	}
	n := 0
	for k := range lister.Keys() {
		entry, err := kv.Get(ctx, k)
		if err != nil {
			return 0, fmt.Errorf("renew bucket: %w", bus.Unavailable(err))
		}
		if k == fillerKey || entry.Revision() > fresh {
			continue
		}
		_, err = kv.Update(ctx, k, entry.Value(), entry.Revision())
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("renew bucket: %w", bus.Unavailable(err))
		}
		n++
	}
	if err := kv.Purge(ctx, fillerKey); err != nil {
		return 0, fmt.Errorf("renew bucket: %w", bus.Unavailable(err))
	}
	return n, nil
}

// snapshots drops the clusterer's snapshots: they can be made again from its inputs, and
// will be.
func (w *sweep) snapshots(ctx context.Context, _ bool) ([]Place, error) {
	kv, err := w.eraser.Bus.Bucket(ctx, bus.BucketSnapshots)
	if err != nil {
		return nil, err
	}
	lister, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", bus.Unavailable(err))
	}
	p := Place{Kind: "snapshots", Name: bus.SnapshotStore}
	for k := range lister.Keys() {
		if err := kv.Purge(ctx, k); err != nil {
			return nil, fmt.Errorf("drop snapshot: %w", bus.Unavailable(err))
		}
		p.Looked++
		p.Cleaned++
	}
	s, err := w.eraser.Bus.JetStream().Stream(ctx, "OBJ_"+bus.SnapshotStore)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", bus.Unavailable(err))
	}
	if err := s.Purge(ctx); err != nil {
		return nil, fmt.Errorf("drop snapshots: %w", bus.Unavailable(err))
	}
	return []Place{p}, nil
}
