package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Syncer makes stored messages survive a power cut. JetStream acknowledges a
// message when it is written, not when it is on the disk.
type Syncer interface {
	// Sync returns nil when everything that the named streams acknowledged
	// before the call is on the disk; without names, everything that was stored
	// in any stream or bucket, and the durables. It is cheap when nothing changed, and
	// safe for concurrent use. After an error the messages may or may not be
	// durable, so nothing may be acknowledged on their account.
	Sync(ctx context.Context, streams ...string) error
	// Mode says how, for the start banner and /readyz: "barrier" (synced here,
	// on demand), "always" (the server syncs before it acknowledges),
	// "interval" and "none" (a power cut loses acknowledged messages), or
	// "server" (whatever the server that we connect to is configured to do).
	Mode() string
}

// ServerSync is the Syncer for a server that is not ours. It does nothing: the
// server's acknowledgement has to mean durability. It does only with
// `sync_interval: always` in the server's configuration, and survives the loss
// of a machine only with three replicas besides (which is also faster: Raft
// syncs in batches, a replica-1 stream syncs message by message). Neither the
// JetStream API nor the connection tells what sync_interval a server has, so
// this cannot be checked from here and the operator has to know it.
type ServerSync struct{}

// Sync returns nil.
func (ServerSync) Sync(context.Context, ...string) error { return nil }

// Mode is "server".
func (ServerSync) Mode() string { return "server" }

var (
	// ErrCommitterClosed is returned by Append once Close was called.
	ErrCommitterClosed = errors.New("committer is closed")
	// ErrCommitterBusy is returned by Append while MaxQueued messages wait.
	ErrCommitterBusy = errors.New("too many messages wait to be committed")
	// errNoAck is a message whose fate is unknown.
	errNoAck = errors.New("no acknowledgement in time")
)

// CommitterOptions tune a Committer. The zero value is the default of each.
type CommitterOptions struct {
	// MaxGroup is the most messages that share one sync. Default 256, where
	// the throughput of asynchronous publishing peaks; more only adds latency.
	MaxGroup int
	// MaxQueued is the most messages that wait for their group; beyond it
	// Append refuses at once. Default 4096.
	MaxQueued int
	// MaxWait is how long a group waits for the server's acknowledgements.
	// Default 5 s.
	MaxWait time.Duration
	// Admit is asked before each group; its error is the answer to the whole
	// group, and nothing is published. Meant for a check of free space. May be
	// nil.
	Admit func() error
	// Registerer receives the metrics. May be nil. Committers may share one,
	// and then share its metrics.
	Registerer prometheus.Registerer
}

// Committer stores messages in JetStream and answers when they are on the disk.
// Messages of concurrent callers share one sync: it takes whoever waits,
// publishes them all, waits for the server's acknowledgements, syncs once and
// answers everybody, while the next group gathers. It never waits for a group
// to fill, so that a single caller is answered as fast as the disk allows.
//
// Messages are published in the order in which Append was called.
type Committer struct {
	js      jetstream.JetStream
	syncer  Syncer
	options CommitterOptions
	metrics commitMetrics

	wake    chan struct{} // holds one token while the queue is not empty or closing
	drained chan struct{}
	// abort is cancelled when Close gives up waiting.
	abort  context.Context
	giveUp context.CancelCauseFunc

	inFlight atomic.Int64
	pressure pressure

	mu     sync.Mutex
	queue  []*appending
	closed bool
}

// appending is one caller's message on its way.
type appending struct {
	ctx context.Context
	msg *nats.Msg
	ack *jetstream.PubAck
	err error
	// done is closed when ack or err is set.
	done chan struct{}
}

// NewCommitter starts a committer over js, which may be shared; js should have
// been made with WithPublishAsyncMaxPending of at least options.MaxGroup, and
// with WithPublishAsyncTimeout, so that messages that are never acknowledged do
// not use up that window. End it with Close.
func NewCommitter(js jetstream.JetStream, syncer Syncer, options CommitterOptions) *Committer {
	if options.MaxGroup <= 0 {
		options.MaxGroup = 256
	}
	if options.MaxQueued <= 0 {
		options.MaxQueued = 4096
	}
	if options.MaxWait <= 0 {
		options.MaxWait = 5 * time.Second
	}
	if options.Admit == nil {
		options.Admit = func() error { return nil }
	}
	abort, giveUp := context.WithCancelCause(context.Background())
	c := &Committer{
		js:      js,
		syncer:  syncer,
		options: options,
		metrics: newCommitMetrics(options.Registerer),
		wake:    make(chan struct{}, 1),
		drained: make(chan struct{}),
		abort:   abort,
		giveUp:  giveUp,
	}
	go c.run()
	return c
}

// Append returns when msg is stored and synced: its sequence in the stream, and
// whether msgID was stored before within the stream's duplicate window (then
// the sequence is that of the first one, which is synced too). msgID may be
// empty. msg is not modified; it must not be modified either until Append has
// returned without ctx's error.
//
// An error concerns this message only, unless the sync or the whole group
// failed. After a refusal by the server (payload too large, stream full) and
// after ErrCommitterClosed and ErrCommitterBusy the message is not stored.
// After any other error, ctx's included, it may be: append it again with the
// same msgID. A caller whose ctx ends does not hurt the others.
func (c *Committer) Append(ctx context.Context, msg *nats.Msg, msgID string) (seq uint64, duplicate bool, err error) {
	c.pressure.note(time.Now(), int(c.inFlight.Add(1)))
	defer c.inFlight.Add(-1)
	a := &appending{ctx: ctx, msg: prepared(ctx, msg, msgID), done: make(chan struct{})}
	if err := c.enqueue(a); err != nil {
		return 0, false, err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return 0, false, fmt.Errorf("commit message: %w", context.Cause(ctx))
	}
	if a.err != nil {
		return 0, false, fmt.Errorf("commit message: %w", a.err)
	}
	return a.ack.Sequence, a.ack.Duplicate, nil
}

// prepared copies msg, because publishing writes to its header, and adds its id and its
// place in the trace of ctx.
func prepared(ctx context.Context, msg *nats.Msg, id string) *nats.Msg {
	header := maps.Clone(msg.Header)
	if header == nil {
		header = nats.Header{}
	}
	if id != "" {
		header[jetstream.MsgIDHeader] = []string{id}
	}
	inject(ctx, header)
	return &nats.Msg{Subject: msg.Subject, Header: header, Data: msg.Data}
}

func (c *Committer) enqueue(a *appending) error {
	if err := a.ctx.Err(); err != nil {
		return fmt.Errorf("commit message: %w", context.Cause(a.ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrCommitterClosed
	}
	if len(c.queue) >= c.options.MaxQueued {
		return ErrCommitterBusy
	}
	c.queue = append(c.queue, a)
	c.wakeUp()
	return nil
}

func (c *Committer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Waiting is the number of messages that are not yet part of a group.
func (c *Committer) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// InFlight is the number of callers that wait for their message to be durable.
func (c *Committer) InFlight() int { return int(c.inFlight.Load()) }

// Pressed reports whether, within the last second, at least so many callers waited at once
// and at least rate came per second: more than a moment's crowd, and more than a slow disk.
func (c *Committer) Pressed(waiting int, rate float64) bool {
	return c.pressure.over(time.Now(), waiting, rate)
}

// Close lets the messages that wait be committed and refuses new ones. When ctx
// ends first the rest is given up on: their callers get ctx's error, and so
// does Close. It may be called more than once.
func (c *Committer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.wakeUp()
	c.mu.Unlock()
	select {
	case <-c.drained:
		return nil
	case <-ctx.Done():
	}
	err := fmt.Errorf("close committer: %w", context.Cause(ctx))
	c.giveUp(err)
	<-c.drained
	return err
}

// run commits group after group until the committer is closed and drained.
func (c *Committer) run() {
	defer close(c.drained)
	defer c.giveUp(nil)
	for range c.wake {
		for {
			group, closed := c.take()
			if len(group) == 0 && closed {
				return
			}
			if len(group) == 0 {
				break
			}
			c.commit(group)
		}
	}
}

// take removes the next group from the queue, without those whose callers have
// left.
func (c *Committer) take() (group []*appending, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && len(group) < c.options.MaxGroup {
		a := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		if a.ctx.Err() == nil {
			group = append(group, a)
		}
	}
	return group, c.closed && len(c.queue) == 0
}

// commit stores a group, syncs it and answers its callers.
func (c *Committer) commit(group []*appending) {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(c.abort, c.options.MaxWait, errNoAck)
	defer cancel()
	streams := c.publish(ctx, group)
	stored := time.Now()
	if len(streams) > 0 {
		// A slow disk is waited for: the callers' own deadlines bound it.
		if err := c.syncer.Sync(c.abort, streams...); err != nil {
			c.refuse(group, err)
		}
		c.metrics.seconds.WithLabelValues("sync").Observe(time.Since(stored).Seconds())
	}
	c.metrics.seconds.WithLabelValues("publish").Observe(stored.Sub(start).Seconds())
	c.metrics.size.Observe(float64(len(group)))
	for _, a := range group {
		c.metrics.messages.WithLabelValues(a.outcome()).Inc()
		close(a.done)
	}
}

// publish stores the group and returns the streams it went to.
func (c *Committer) publish(ctx context.Context, group []*appending) (streams []string) {
	if err := c.options.Admit(); err != nil {
		c.refuse(group, err)
		return nil
	}
	futures := make([]jetstream.PubAckFuture, len(group))
	for i, a := range group {
		if a.err = context.Cause(ctx); a.err == nil {
			futures[i], a.err = c.js.PublishMsgAsync(a.msg, jetstream.WithStallWait(c.options.MaxWait))
		}
	}
	for i, a := range group {
		if a.err != nil {
			continue
		}
		select {
		case a.ack = <-futures[i].Ok():
			if !slices.Contains(streams, a.ack.Stream) {
				streams = append(streams, a.ack.Stream)
			}
		case a.err = <-futures[i].Err():
		case <-ctx.Done():
			a.err = context.Cause(ctx)
		}
	}
	return streams
}

// refuse answers err to all of the group that have no error of their own.
func (c *Committer) refuse(group []*appending, err error) {
	for _, a := range group {
		if a.err == nil {
			a.err = err
		}
	}
}

func (a *appending) outcome() string {
	switch {
	case a.err != nil:
		return "failed"
	case a.ack.Duplicate:
		return "duplicate"
	default:
		return "stored"
	}
}

type commitMetrics struct {
	size     prometheus.Histogram
	seconds  *prometheus.HistogramVec
	messages *prometheus.CounterVec
}

func newCommitMetrics(registerer prometheus.Registerer) commitMetrics {
	return commitMetrics{
		size: registered(registerer, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_commit_group_size",
			Help:    "Messages that shared one sync.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9), // 1 to 256
		})),
		seconds: registered(registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_commit_seconds",
			Help:    "Time of a group's two steps: publish (until the server has it) and sync (until the disk has it).",
			Buckets: prometheus.ExponentialBuckets(0.000_1, 2.5, 12), // 100 µs to 2.4 s
		}, []string{"step"})),
		messages: registered(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_commit_messages_total",
			Help: "Messages by outcome: stored, duplicate, failed.",
		}, []string{"outcome"})),
	}
}

// registered registers collector, or returns the one that is registered under
// its name already.
func registered[C prometheus.Collector](registerer prometheus.Registerer, collector C) C {
	if registerer == nil {
		return collector
	}
	var already prometheus.AlreadyRegisteredError
	if err := registerer.Register(collector); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return collector
}
