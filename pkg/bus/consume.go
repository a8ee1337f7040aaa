package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/event"
)

// Message is an event as a handler receives it. Sequence is its place in the
// stream; Attempt counts deliveries from 1; StoredAt is when the server stored it.
type Message struct {
	event.Envelope
	Subject  string
	Sequence uint64
	Attempt  int
	StoredAt time.Time
	Trace    Trace // its span, for what is published or asked because of it
}

// Handler processes a batch in order and answers one error per message, or nil for
// "all done". What an error means is said in error.go.
type Handler func(ctx context.Context, batch []Message) []error

// Each makes a Handler of a function for single messages. Its context stands in the trace
// of the message.
func Each(f func(context.Context, Message) error) Handler {
	return func(ctx context.Context, batch []Message) []error {
		errs := make([]error, len(batch))
		for i, m := range batch {
			if errs[i] = f(m.Trace.Within(ctx), m); errs[i] != nil && ctx.Err() != nil {
				for j := i + 1; j < len(batch); j++ {
					errs[j] = ctx.Err()
				}
				break
			}
		}
		return errs
	}
}

// All answers the same error for every message of a batch.
func All(batch []Message, err error) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, len(batch))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// Consumer is one durable reading of a stream.
type Consumer struct {
	Durable string   // the name under which progress is kept
	Stream  string   // a stream of the topology
	Filters []string // subjects; empty means all of the stream
	Batch   int      // at most this many messages a handler call; 0 means 256
	// Linger is how long the loop waits for a batch to fill once it has a message;
	// 0 hands over what is there.
	Linger time.Duration
	// Attempts is how often a message is tried before it becomes a dead letter; 0
	// means 5. Unavailable and RetryAfter do not count, nor does what another process
	// tried.
	Attempts int
	// AckWait is how long the server waits for a sign of life; 0 means 15 s. The
	// loop gives one every third of it while a handler works.
	AckWait time.Duration
	// Ordered keeps the order of the stream: a message that fails is retried in
	// place while the rest wait, and at start the durable is rewound to what was
	// acknowledged last. Only one process may run an ordered consumer: hold a Lease.
	Ordered bool
}

// backoff is the wait before attempt n+1 of a message that failed n times.
var backoff = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

func backoffFor(attempt int) time.Duration {
	return backoff[min(max(attempt-1, 0), len(backoff)-1)]
}

// Consume runs the loop until ctx ends (it then returns nil, leaving what it has not
// settled to be delivered again) or the durable cannot be created.
func (b *Bus) Consume(ctx context.Context, c Consumer, handle Handler) error {
	if c.Batch == 0 {
		c.Batch = 256
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.AckWait == 0 {
		c.AckWait = 15 * time.Second
	}
	cons, err := b.durable(ctx, c)
	if err != nil {
		return unless(ctx, err)
	}
	l := &loop{bus: b, Consumer: c, handle: handle, worked: slice}
	b.metrics.expect(c.Durable)
	for ctx.Err() == nil {
		batch, err := l.fetch(ctx, cons)
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			if cons, err = b.durable(ctx, c); err != nil {
				return unless(ctx, err)
			}
			continue
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("fetch failed; will try again", "durable", c.Durable, "error", err)
			pause(ctx, time.Second)
			continue
		}
		if len(batch) == 0 {
			b.metrics.rest(c.Durable)
			continue
		}
		b.metrics.pending.WithLabelValues(c.Durable).Set(float64(batch[len(batch)-1].behind) + float64(len(batch)))
		l.process(ctx, batch)
	}
	return nil
}

// How consumers share the machine with what is more urgent: each works for a slice, in as
// many batches as fit, and then rests nineteen times as long as that took, which leaves it a
// twentieth of the time. It never rests longer than longestRest, so that it moves on at a
// pace that can be foretold.
const (
	slice       = 500 * time.Millisecond
	restPerWork = 19
	longestRest = 30 * time.Second
	glance      = 20 * time.Millisecond // how often one that rests looks whether it still has to
)

// giveWay puts a batch that is in hand off while the process is busy. The server hears that
// it is being worked on meanwhile.
func (l *loop) giveWay(ctx context.Context, batch []pending) {
	if !l.bus.busy() {
		l.worked = slice // whoever comes to be urgent goes first
		return
	}
	if l.worked < slice {
		return
	}
	stop := l.beat(ctx, batch)
	defer stop()
	rested := time.Now().Add(min(restPerWork*l.worked, longestRest))
	for l.bus.busy() && ctx.Err() == nil && time.Now().Before(rested) {
		pause(ctx, glance)
	}
	l.worked = 0
}

// unless drops an error that comes of ctx having ended.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// durable opens the consumer, for as long as it takes servers of a cluster to agree on who
// leads them.
func (b *Bus) durable(ctx context.Context, c Consumer) (jetstream.Consumer, error) {
	for {
		cons, err := b.open(ctx, c)
		if err == nil || ctx.Err() != nil || !leaderless(err) {
			return cons, err
		}
		b.log.Warn("durable not opened; will try again", "durable", c.Durable, "error", err)
		pause(ctx, time.Second)
	}
}

// open creates or updates the consumer. An ordered one is deleted and made again
// at its acknowledgement floor: JetStream would otherwise hand out new messages
// before the ones that a dead process had taken.
func (b *Bus) open(ctx context.Context, c Consumer) (jetstream.Consumer, error) {
	s, err := b.js.Stream(ctx, c.Stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", c.Stream, err)
	}
	cfg := jetstream.ConsumerConfig{
		Durable: c.Durable, FilterSubjects: c.Filters, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.AckWait, MaxDeliver: -1, MaxAckPending: max(1000, 4*c.Batch),
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if c.Ordered {
		old, err := s.Consumer(ctx, c.Durable)
		if err == nil {
			info, err := old.Info(ctx)
			if err != nil {
				return nil, fmt.Errorf("inspect durable %s: %w", c.Durable, err)
			}
			if info.AckFloor.Stream > 0 {
				cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
				cfg.OptStartSeq = info.AckFloor.Stream + 1
			}
			if err := s.DeleteConsumer(ctx, c.Durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil, fmt.Errorf("rewind durable %s: %w", c.Durable, err)
			}
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, fmt.Errorf("open durable %s: %w", c.Durable, err)
		}
	}
	cons, err := s.CreateOrUpdateConsumer(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("create durable %s: %w", c.Durable, err)
	}
	if err := b.sync.Sync(ctx); err != nil {
		return nil, fmt.Errorf("keep durable %s: %w", c.Durable, err)
	}
	return cons, nil
}

// pending is a message taken but not settled.
type pending struct {
	Message
	raw    jetstream.Msg
	behind uint64 // messages of the durable after this one, as it was fetched
}

type loop struct {
	Consumer
	bus    *Bus
	handle Handler
	worked time.Duration        // since it last gave way
	failed map[uint64]time.Time // when messages failed first, by sequence, since the loop began
}

// remembered bounds failed: a message that another process settles is never taken out.
const remembered = 10_000

// firstFailure notes that a message failed, and tells when it did so first.
func (l *loop) firstFailure(p pending) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, p.raw.Headers().Get(headerFirst)); err == nil {
		return t // it was a dead letter before
	}
	if l.failed == nil || len(l.failed) >= remembered {
		l.failed = map[uint64]time.Time{}
	}
	if _, known := l.failed[p.Sequence]; !known {
		l.failed[p.Sequence] = l.bus.now().UTC()
	}
	return l.failed[p.Sequence]
}

// fetch waits for a message, lets the batch fill for Linger, and takes what is there. It
// never leaves a pull open: messages that come to an abandoned one would be out of order.
func (l *loop) fetch(ctx context.Context, cons jetstream.Consumer) ([]pending, error) {
	first, err := cons.Fetch(1, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return nil, err
	}
	batch := l.drain(ctx, first, nil)
	if err := ignoreEmpty(first.Error()); err != nil || len(batch) == 0 {
		return batch, err
	}
	l.giveWay(ctx, batch)
	if l.Linger > 0 {
		pause(ctx, l.Linger)
	}
	if l.Batch == 1 {
		return batch, nil
	}
	rest, err := cons.FetchNoWait(l.Batch - 1)
	if err != nil {
		return batch, nil // the next fetch reports what is wrong
	}
	return l.drain(ctx, rest, batch), nil
}

func (l *loop) drain(ctx context.Context, from jetstream.MessageBatch, batch []pending) []pending {
	for m := range from.Messages() {
		if p, ok := l.decode(ctx, m); ok {
			batch = append(batch, p)
		}
	}
	return batch
}

func ignoreEmpty(err error) error {
	if errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// decode reads the envelope. What is not an event can never be handled: it becomes a
// dead letter at once.
func (l *loop) decode(ctx context.Context, raw jetstream.Msg) (pending, bool) {
	meta, err := raw.Metadata()
	if err != nil {
		l.bus.log.Error("message without metadata", "durable", l.Durable, "error", err)
		return pending{}, false
	}
	p := pending{raw: raw, behind: meta.NumPending, Message: Message{
		Subject: raw.Subject(), Sequence: meta.Sequence.Stream, Attempt: int(meta.NumDelivered), StoredAt: meta.Timestamp,
	}}
	p.Envelope, err = event.Decode(raw.Data())
	if err != nil {
		l.settle(ctx, p, Permanent(err))
		return pending{}, false
	}
	return p, true
}

// process hands a batch to the handler and settles it. An ordered loop stays with
// the messages that failed until they are done, dead or the process ends.
func (l *loop) process(ctx context.Context, batch []pending) {
	for attempt := 1; len(batch) > 0; attempt++ {
		stop := l.beat(ctx, batch)
		l.begin(ctx, batch)
		l.bus.metrics.lag.WithLabelValues(l.Durable).Set(time.Since(batch[0].StoredAt).Seconds())
		start := time.Now()
		errs := l.handle(together(ctx, batch), messages(batch))
		took := time.Since(start)
		l.worked += took
		l.bus.metrics.seconds.WithLabelValues(l.Durable).Observe(took.Seconds())
		if err := l.bus.sync.Sync(ctx); err != nil {
			errs = failAll(errs, len(batch), Unavailable(fmt.Errorf("sync: %w", err)))
		}
		if !l.Ordered {
			stop()
			for i, p := range batch {
				l.settle(ctx, p, at(errs, i))
			}
			return
		}
		failed := 0
		for failed < len(batch) && l.final(at(errs, failed), attempt) {
			batch[failed].Attempt = attempt
			l.settle(ctx, batch[failed], l.verdict(at(errs, failed), attempt))
			failed++
		}
		batch = batch[failed:]
		if failed > 0 {
			attempt = 0
		}
		if len(batch) > 0 {
			err := at(errs, failed)
			if ctx.Err() != nil {
				stop()
				interrupt(batch)
				return
			}
			l.firstFailure(batch[0])
			l.bus.metrics.settled.WithLabelValues(l.Durable, "retry").Inc()
			wait := backoffFor(attempt)
			if d, ok := AfterOf(err); ok {
				wait = d
			}
			l.bus.log.Warn("will try again", "durable", l.Durable, "type", batch[0].Type, "id", batch[0].ID, "attempt", attempt, "wait", wait, "error", err)
			pause(ctx, wait)
			if ctx.Err() != nil {
				stop()
				interrupt(batch)
				return
			}
		}
		stop()
	}
}

// final reports whether an ordered loop is done with a message that got err.
func (l *loop) final(err error, attempt int) bool {
	if err == nil || IsPermanent(err) {
		return true
	}
	_, after := AfterOf(err)
	return !after && !IsUnavailable(err) && !errors.Is(err, context.Canceled) && attempt >= l.Attempts
}

func (l *loop) verdict(err error, attempt int) error {
	if err != nil && attempt >= l.Attempts {
		return Permanent(err)
	}
	return err
}

// beat tells the server at a third of AckWait that the batch is being worked on.
func (l *loop) beat(ctx context.Context, batch []pending) (stop func()) {
	done := make(chan struct{})
	var once sync.Once
	go func() {
		t := time.NewTicker(l.AckWait / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				for _, p := range batch {
					_ = p.raw.InProgress()
				}
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { once.Do(func() { close(done) }) }
}

// settle is the only place where a message is acknowledged.
func (l *loop) settle(ctx context.Context, p pending, err error) {
	m := l.bus.metrics
	after, delayed := AfterOf(err)
	counts := err != nil && ctx.Err() == nil && !delayed && !IsUnavailable(err)
	failed := 0
	if counts {
		failed = l.bus.failures.add(l.Durable, p.Sequence)
	}
	switch {
	case err == nil:
		delete(l.failed, p.Sequence)
		m.settled.WithLabelValues(l.Durable, "ok").Inc()
		p.finish("ok")
		l.bus.failures.forget(l.Durable, p.Sequence)
		l.report(p, p.raw.Ack())
	case ctx.Err() != nil:
		// Handed back: the next process need not wait until AckWait is over.
		m.settled.WithLabelValues(l.Durable, "interrupted").Inc()
		p.finish("interrupted")
		_ = p.raw.Nak()
	case delayed:
		l.firstFailure(p)
		m.settled.WithLabelValues(l.Durable, "retry").Inc()
		p.finish("retry")
		l.report(p, p.raw.NakWithDelay(after))
	case IsUnavailable(err):
		l.again(p, min(backoffFor(p.Attempt), longestOutage), err)
	case !IsPermanent(err) && failed < l.Attempts:
		l.again(p, backoffFor(failed), err)
	default:
		if derr := l.bus.bury(ctx, l.Durable, l.Stream, p, l.firstFailure(p), err); derr != nil {
			// Not recorded, so not given up: it comes again.
			p.finish("retry")
			l.bus.log.Error("dead letter not stored", "durable", l.Durable, "id", p.ID, "error", derr)
			l.report(p, p.raw.NakWithDelay(backoffFor(p.Attempt)))
			return
		}
		delete(l.failed, p.Sequence)
		m.settled.WithLabelValues(l.Durable, "dead").Inc()
		p.finish("dead")
		l.bus.failures.forget(l.Durable, p.Sequence)
		l.bus.log.Error("gave up; kept as a dead letter", "durable", l.Durable, "type", p.Type, "id", p.ID, "attempt", p.Attempt, "error", err)
		l.report(p, p.raw.TermWithReason("dead letter"))
	}
}

// again has a message delivered once more after a while.
func (l *loop) again(p pending, wait time.Duration, err error) {
	l.firstFailure(p)
	l.bus.metrics.settled.WithLabelValues(l.Durable, "retry").Inc()
	p.finish("retry")
	l.bus.log.Warn("will try again", "durable", l.Durable, "type", p.Type, "id", p.ID, "attempt", p.Attempt, "wait", wait, "error", err)
	l.report(p, p.raw.NakWithDelay(wait))
}

func (l *loop) report(p pending, err error) {
	if err != nil {
		l.bus.log.Warn("settling failed; the message will come again", "durable", l.Durable, "id", p.ID, "error", err)
	}
}

func messages(batch []pending) []Message {
	out := make([]Message, len(batch))
	for i, p := range batch {
		out[i] = p.Message
	}
	return out
}

func at(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}

func failAll(errs []error, n int, err error) []error {
	out := make([]error, n)
	for i := range out {
		if out[i] = at(errs, i); out[i] == nil {
			out[i] = err
		}
	}
	return out
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
