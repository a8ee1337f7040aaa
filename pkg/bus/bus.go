package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/event"
)

// Options is what New needs besides the connection.
type Options struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Syncer     Syncer           // makes stored messages survive a power cut; ServerSync{} for an external server
	Replicas   int              // of streams and buckets; 0 means 1
	MaxBytes   int64            // of the deliveries stream, which refuses new messages when full; 0 means no limit
	Now        func() time.Time // the clock; nil means time.Now
	// Tracer makes a span of every message that a consumer takes; nil means that none is made.
	Tracer trace.TracerProvider
	// Busy tells consumers in this process that something more urgent needs the machine.
	// While it does, each of them works for a twentieth of the time at most, and is kept from
	// it no longer than half a minute. nil means never.
	Busy func() bool
}

// Bus is a connection to the event log. It is safe for concurrent use.
type Bus struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	sync     Syncer
	replicas int
	maxBytes int64
	now      func() time.Time
	busy     func() bool
	tracer   trace.Tracer // nil while nothing traces
	metrics  *metrics
	failures *failures
}

// New wraps a connection. It talks to the server only to prepare its JetStream
// context; Ensure creates what is missing.
func New(nc *nats.Conn, o Options) (*Bus, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256), jetstream.WithPublishAsyncTimeout(10*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	if o.Syncer == nil || o.Logger == nil || o.Registerer == nil {
		return nil, errors.New("open bus: Syncer, Logger and Registerer are required")
	}
	b := &Bus{nc: nc, js: js, log: o.Logger, sync: o.Syncer, replicas: max(o.Replicas, 1), maxBytes: o.MaxBytes, now: o.Now, failures: newFailures()}
	if b.now == nil {
		b.now = time.Now
	}
	if b.busy = o.Busy; b.busy == nil {
		b.busy = func() bool { return false }
	}
	if o.Tracer != nil {
		b.tracer = o.Tracer.Tracer(instrumentation)
	}
	if b.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	if err := o.Registerer.Register(newStreams(js)); err != nil {
		return nil, fmt.Errorf("register bus metrics: %w", err)
	}
	return b, nil
}

// JetStream returns the underlying context, for what this package does not wrap.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Syncer returns what makes stored messages durable.
func (b *Bus) Syncer() Syncer { return b.sync }

// SessionAge is how long the bucket sessions keeps an entry: no session lasts longer.
const SessionAge = 7 * 24 * time.Hour

// electionWait is how long Ensure waits for servers that have not agreed on a leader yet.
const electionWait = time.Minute

// Ensure creates or updates every stream and bucket of the topology. It is safe to
// run by every service at every start. Servers that have just started, and that lost
// one of theirs, need some seconds to agree on who leads them: it waits for them.
func (b *Bus) Ensure(ctx context.Context) error {
	for begun := time.Now(); ; {
		err := b.ensure(ctx)
		if err == nil || ctx.Err() != nil || !leaderless(err) || time.Since(begun) > electionWait {
			return err
		}
		b.log.Warn("the event log is not ready; will try again", "error", err)
		pause(ctx, time.Second)
	}
}

// leaderless reports whether an error says that nobody leads, or that nobody answered.
func leaderless(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.As(err, &api) && api.Code == 503
}

func (b *Bus) ensure(ctx context.Context) error {
	for _, s := range Topology {
		cfg := jetstream.StreamConfig{
			Name: s.Name, Subjects: s.Subjects, Description: s.Holds,
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
			MaxAge: s.MaxAge, Duplicates: s.Window, Replicas: b.replicas,
			Discard: jetstream.DiscardOld, Compression: jetstream.S2Compression,
			AllowDirect: true,
		}
		if s.Name == Deliveries {
			cfg.Discard = jetstream.DiscardNew
			cfg.MaxBytes = b.maxBytes
		}
		if cfg.MaxBytes == 0 {
			cfg.MaxBytes = -1
		}
		if _, err := b.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("ensure stream %s: %w", s.Name, err)
		}
	}
	for _, k := range Buckets {
		cfg := jetstream.KeyValueConfig{
			Bucket: k.Name, Description: k.Holds, History: 1, Storage: jetstream.FileStorage, Replicas: b.replicas,
		}
		if k.Name == BucketSessions {
			cfg.TTL = SessionAge
		}
		if _, err := b.js.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("ensure bucket %s: %w", k.Name, err)
		}
	}
	_, err := b.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: SnapshotStore, Description: "snapshots of clusters", Storage: jetstream.FileStorage, Replicas: b.replicas,
	})
	if err != nil {
		return fmt.Errorf("ensure object store %s: %w", SnapshotStore, err)
	}
	return nil
}

// Bucket opens a key-value bucket of the topology.
func (b *Bus) Bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := b.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, Unavailable(err))
	}
	return kv, nil
}

// Publish stores an event on a subject and returns its stream sequence once the
// server has it. The envelope's id is the message id: publishing the same event
// again within the stream's window stores nothing and returns the first sequence.
func (b *Bus) Publish(ctx context.Context, subject string, e event.Envelope) (uint64, error) {
	msg, err := message(ctx, subject, e)
	if err != nil {
		return 0, err
	}
	ack, err := b.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", e.Type, Unavailable(err))
	}
	return ack.Sequence, nil
}

// PublishFenced stores an event only if the newest message on its subject has the
// sequence last (0: there is none). ErrFenced means that somebody else published
// meanwhile: the caller no longer owns the shard.
func (b *Bus) PublishFenced(ctx context.Context, subject string, e event.Envelope, last uint64) (uint64, error) {
	msg, err := message(ctx, subject, e)
	if err != nil {
		return 0, err
	}
	ack, err := b.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(last))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return b.published(ctx, subject, msg.Data, e.Type)
	}
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", e.Type, Unavailable(err))
	}
	return ack.Sequence, nil
}

// published says of an event that was refused whether it is there already, as it is: stored
// before, with an answer that got lost when the broker changed its leader.
func (b *Bus) published(ctx context.Context, subject string, body []byte, t event.Type) (uint64, error) {
	newest, sequence, err := b.last(ctx, streamOf(subject), subject)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", t, err)
	}
	if !bytes.Equal(newest, body) {
		return 0, fmt.Errorf("publish %s: %w", t, ErrFenced)
	}
	return sequence, nil
}

// ErrFenced is returned when a newer owner has written since.
var ErrFenced = errors.New("a newer owner has written")

// Outgoing is an event and where it goes. Trace is that of the message it comes of, where
// a batch has several; without it the event belongs to the trace of the context.
type Outgoing struct {
	Subject string
	Event   event.Envelope
	Trace   Trace
}

// PublishAll stores events in order and returns when the server has all of them.
// After an error any number of them may be stored; publishing them again is safe.
func (b *Bus) PublishAll(ctx context.Context, out []Outgoing) error {
	futures := make([]jetstream.PubAckFuture, 0, len(out))
	for _, o := range out {
		msg, err := message(o.Trace.Within(ctx), o.Subject, o.Event)
		if err != nil {
			return err
		}
		f, err := b.js.PublishMsgAsync(msg, jetstream.WithStallWait(5*time.Second))
		if err != nil {
			return fmt.Errorf("publish %s: %w", o.Event.Type, Unavailable(err))
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return fmt.Errorf("publish %s: %w", out[i].Event.Type, Unavailable(err))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// LastSequence returns the sequence of the newest message on a subject, 0 if there
// is none.
func (b *Bus) LastSequence(ctx context.Context, stream, subject string) (uint64, error) {
	_, sequence, err := b.last(ctx, stream, subject)
	return sequence, err
}

// Last returns the newest event on a subject with its sequence, which is 0 if there is none.
func (b *Bus) Last(ctx context.Context, stream, subject string) (event.Envelope, uint64, error) {
	body, sequence, err := b.last(ctx, stream, subject)
	if err != nil || sequence == 0 {
		return event.Envelope{}, 0, err
	}
	e, err := event.Decode(body)
	return e, sequence, err
}

// last asks the stream's leader. A direct get may be answered by a server that has not heard
// of the newest message yet.
func (b *Bus) last(ctx context.Context, stream, subject string) (body []byte, sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ask, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, 0, err
	}
	answer, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, ask)
	if err != nil {
		return nil, 0, fmt.Errorf("read last message: %w", Unavailable(err))
	}
	var got struct {
		Message struct {
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return nil, 0, fmt.Errorf("read last message: %w", err)
	}
	if got.Error != nil && got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, 0, nil
	}
	if got.Error != nil {
		return nil, 0, fmt.Errorf("read last message: %w", Unavailable(got.Error))
	}
	return got.Message.Data, got.Message.Sequence, nil
}

func message(ctx context.Context, subject string, e event.Envelope) (*nats.Msg, error) {
	body, err := event.Encode(e)
	if err != nil {
		return nil, Permanent(err)
	}
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(jetstream.MsgIDHeader, e.ID)
	m.Header.Set("Type", string(e.Type))
	inject(ctx, m.Header)
	return m, nil
}
