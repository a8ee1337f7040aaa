package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// roster is who shares the shards of a job, as one of them knows it. Each process has an entry
// in the bucket of leases, which says which shards it stands by for; one without a sign of
// life for LeaseTerm has gone.
type roster struct {
	bus         *Bus
	job, holder string
	shards      []int
	seen        *board

	mu       sync.Mutex
	ready    map[int]bool
	shared   map[string]map[int]string // what share said, by members
	news     chan struct{}             // holds a token while ready is to be told
	key      string                    // of our entry, "" while there is none
	revision uint64
}

type member struct {
	Holder string `json:"holder"`
	Ready  []int  `json:"ready"` // the shards that it can take over quickly
}

// How long one who may take a free shard leaves it to one who should.
const (
	forNext = 2 * time.Second // the one that it was given up for
	forHome = time.Second     // the one whose it is to be, and who said that it is ready
)

func (r *roster) prefix() string { return r.job + ".member." }

// join enters a process into the roster and hears of the others.
func (b *Bus) join(ctx context.Context, job, holder string, shards []int) (*roster, error) {
	r := &roster{bus: b, job: job, holder: holder, shards: shards, ready: map[int]bool{}, shared: map[string]map[int]string{}, news: make(chan struct{}, 1)}
	keys := []string{r.prefix() + "*"}
	for _, s := range shards {
		keys = append(keys, leaseKey(job, s))
	}
	var err error
	if r.seen, err = b.watch(ctx, keys...); err != nil {
		return nil, err
	}
	return r, r.announce(ctx)
}

// keep says that this process is there, and what it stands by for, until ctx ends.
func (r *roster) keep(ctx context.Context) {
	for wait := renewEvery; ; {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-r.news:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
		if wait = renewEvery; r.announce(ctx) != nil {
			wait = renewAgain
		}
	}
}

// announce writes our entry, a new one where somebody took ours for left behind.
func (r *roster) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	kv, err := r.bus.Bucket(ctx, BucketLeases)
	if err != nil {
		return err
	}
	r.mu.Lock()
	m := member{Holder: r.holder, Ready: []int{}}
	for _, s := range r.shards {
		if r.ready[s] {
			m.Ready = append(m.Ready, s)
		}
	}
	r.mu.Unlock()
	if r.key != "" {
		revision, err := put(ctx, kv, r.key, m, r.revision)
		if err == nil {
			r.revision = revision
			return nil
		}
		if !isConflict(err) {
			return err
		}
		r.key = ""
	}
	for n := 0; ; n++ {
		key := fmt.Sprintf("%s%d", r.prefix(), n)
		var revision uint64
		switch e, err := kv.Get(ctx, key); {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return fmt.Errorf("read the roster of %s: %w", r.job, Unavailable(err))
		default:
			var old member
			if json.Unmarshal(e.Value(), &old) == nil && old.Holder != "" && old.Holder != r.holder && e.Created().Add(LeaseTerm).After(r.seen.now()) {
				continue
			}
			revision = e.Revision()
		}
		revision, err := put(ctx, kv, key, m, revision)
		if isConflict(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("join the roster of %s: %w", r.job, Unavailable(err))
		}
		r.key, r.revision = key, revision
		return nil
	}
}

// leave takes our entry out; what is not taken out expires.
func (r *roster) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	if kv, err := r.bus.Bucket(ctx, BucketLeases); err == nil && r.key != "" {
		_, _ = put(ctx, kv, r.key, member{}, r.revision)
	}
}

// stands notes whether this process is ready to take a shard over.
func (r *roster) stands(shard int, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready[shard] == ready {
		return
	}
	r.ready[shard] = ready
	if change := r.bus.metrics.shards.WithLabelValues(r.job, "ready"); ready {
		change.Inc()
	} else {
		change.Dec()
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// present are the processes that are there, with the shards that each is ready for.
func (r *roster) present() map[string][]int {
	out := map[string][]int{r.holder: nil}
	for _, value := range r.seen.starting(r.prefix()) {
		var m member
		if json.Unmarshal(value, &m) == nil && m.Holder != "" {
			out[m.Holder] = m.Ready
		}
	}
	return out
}

// parts says whose a shard is to be, and who stands by for it while owner has it: who it
// would be next if owner went.
func (r *roster) parts(shard int, owner string) (home, heir string, present map[string][]int) {
	present = r.present()
	var all, others []string
	for m := range present {
		all = append(all, m)
		if m != owner {
			others = append(others, m)
		}
	}
	return r.share(all)[shard], r.share(others)[shard], present
}

// share is share, remembered: it is asked again and again, and members seldom change.
func (r *roster) share(members []string) map[int]string {
	slices.Sort(members)
	key := strings.Join(members, "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.shared[key]; !known {
		if len(r.shared) > 100 {
			clear(r.shared)
		}
		r.shared[key] = share(members, r.shards)
	}
	return r.shared[key]
}

// share deals shards out to members: each has as many as any other or one more, and each
// shard goes to the member that a hash of both likes best among those who have room, so that
// most stay where they are when a member comes or goes.
func share(members []string, shards []int) map[int]string {
	if len(members) == 0 {
		return map[int]string{}
	}
	members = slices.Sorted(slices.Values(members))
	each, more := len(shards)/len(members), len(shards)%len(members)
	held := map[string]int{}
	out := map[int]string{}
	for _, s := range shards {
		best, most := "", uint64(0)
		for _, m := range members {
			if held[m] > each || held[m] == each && more == 0 {
				continue
			}
			if l := liking(m, s); best == "" || l > most {
				best, most = m, l
			}
		}
		if held[best]++; held[best] > each {
			more--
		}
		out[s] = best
	}
	return out
}

func liking(member string, shard int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", shard, member)
	x := h.Sum64() // whose last bytes hardly spread: finished as splitmix64 is
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// attend stands by for a shard, owns it when it is this process's turn, and stands by again.
func (r *roster) attend(ctx context.Context, shard int, w Worker) error {
	for ctx.Err() == nil {
		l, err := r.stand(ctx, shard, w)
		if err == nil && l != nil {
			err = r.own(ctx, shard, w, l)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case IsUnavailable(err):
			r.bus.log.Warn("a shard waits for what it needs", "job", r.job, "shard", shard, "error", err)
			pause(ctx, time.Second)
		default:
			return err
		}
	}
	return nil
}

// stand waits for the shard's lease. Meanwhile the worker stands by, if the shard is to be
// ours or would be next.
func (r *roster) stand(ctx context.Context, shard int, w Worker) (*Lease, error) {
	s := &standing{worker: w, told: func(ready bool) { r.stands(shard, ready) }}
	defer func() { _ = s.stop() }() // its error was seen, or the process ends
	var free time.Time              // since when nobody has it
	for {
		changed := r.seen.changed()
		lease, revision, expires := r.seen.lease(leaseKey(r.job, shard))
		if lease.Holder != "" && lease.Holder != r.holder && expires.After(r.seen.now()) {
			free = time.Time{}
		} else if free.IsZero() {
			free = time.Now()
		}
		home, heir, present := r.parts(shard, lease.Holder)
		ours := home == r.holder || heir == r.holder || lease.Next == r.holder
		var waited time.Duration
		if !free.IsZero() {
			waited = time.Since(free)
		}
		if err := s.keep(ctx, ours || waited > LeaseTerm); err != nil {
			return nil, err
		}
		if !free.IsZero() && s.ready() && r.turn(shard, lease, home, heir, present, waited) {
			if err := s.stop(); err != nil {
				return nil, err
			}
			if l, err := r.bus.take(ctx, leaseKey(r.job, shard), r.holder, lease, revision); err != nil || l != nil {
				return l, err
			}
		}
		if err := r.seen.wait(ctx, changed); err != nil {
			return nil, nil
		}
	}
}

// turn says whether it is for us to take a shard that has been free for so long.
func (r *roster) turn(shard int, lease leaseRecord, home, heir string, present map[string][]int, waited time.Duration) bool {
	if _, there := present[lease.Next]; lease.Next != r.holder && there && waited < forNext {
		return false
	}
	switch r.holder {
	case lease.Next, home:
		return true
	case heir:
		return waited >= forHome || !slices.Contains(present[home], shard)
	}
	return waited > LeaseTerm
}

// own has the worker work until the lease is lost, the shard is to change hands, or ctx ends.
func (r *roster) own(ctx context.Context, shard int, w Worker, l *Lease) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	l.next = func() string { return r.next(shard) }
	go func() {
		defer stop()
		for {
			changed := r.seen.changed()
			if home, _, present := r.parts(shard, r.holder); home != r.holder && slices.Contains(present[home], shard) {
				return
			}
			select {
			case <-changed:
			case <-l.Lost():
				return
			case <-working.Done():
				return
			}
		}
	}()
	owned := r.bus.metrics.shards.WithLabelValues(r.job, "owned")
	owned.Inc()
	err := w.Own(working, l)
	owned.Dec()
	ended := working.Err() != nil
	l.Release(context.WithoutCancel(ctx))
	if ended {
		return nil
	}
	pause(ctx, time.Second) // it let go by itself: not at once again
	return err
}

// next is who is to have a shard that we let go of: whose it is to be or who stands by, if one
// of them is ready.
func (r *roster) next(shard int) string {
	home, heir, present := r.parts(shard, r.holder)
	for _, m := range []string{home, heir} {
		if m != r.holder && slices.Contains(present[m], shard) {
			return m
		}
	}
	return ""
}

// standing is a worker's standing by, which can be begun and stopped.
type standing struct {
	worker Worker
	told   func(ready bool)

	mu     sync.Mutex
	is     bool // ready
	cancel context.CancelFunc
	ended  chan error
}

// keep has the worker stand by if it is wanted, and not otherwise. The error is one that it
// ended with.
func (s *standing) keep(ctx context.Context, wanted bool) error {
	if !wanted {
		return s.stop()
	}
	if s.cancel == nil {
		ctx, s.cancel = context.WithCancel(ctx)
		s.ended = make(chan error, 1)
		go func() { s.ended <- s.worker.Stand(ctx, s.announce) }()
		return nil
	}
	select {
	case err := <-s.ended:
		s.cancel()
		s.cancel = nil
		s.unready()
		return err
	default:
		return nil
	}
}

func (s *standing) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = true
	s.told(true)
}

func (s *standing) unready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = false
	s.told(false)
}

func (s *standing) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// stop ends the standing by and waits for it.
func (s *standing) stop() error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.cancel = nil
	err := <-s.ended
	s.unready()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
