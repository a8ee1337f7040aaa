package digest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// Options is what a Scheduler needs.
type Options struct {
	Bus        *bus.Bus
	Store      *store.DB
	Workspaces []config.Workspace
	Slack      map[string]*slackpost.Poster // by connection
	Holder     string
	PublicURL  string
	Every      time.Duration // how often it looks; 0 means 20 s
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Scheduler sends each workspace's digest at its hour, once a day and destination. What
// was sent is in the ledger; a crash between the call and its record is mended by Slack's
// own copy of the message's key.
type Scheduler struct {
	Options
	ledger keyed.Records[keyed.Write]
	sent   *prometheus.CounterVec
}

// NewScheduler checks the options; it starts nothing. A digest time that is not HH:MM and
// a Slack destination without its connection are errors.
func NewScheduler(ctx context.Context, o Options) (*Scheduler, error) {
	for _, w := range o.Workspaces {
		if w.Digest.At == "" {
			continue
		}
		if _, _, err := ParseAt(w.Digest.At); err != nil {
			return nil, fmt.Errorf("workspace %s: %w", w.ID, err)
		}
		for _, to := range w.Digest.To {
			if to.Slack != nil && o.Slack[to.Slack.Connection] == nil {
				return nil, fmt.Errorf("workspace %s: digest to slack: connection %s has no bot_token", w.ID, to.Slack.Connection)
			}
			if to.Email != "" {
				o.Logger.Warn("digest by e-mail is not sent: no mail server can be configured yet", "workspace", w.ID)
			}
		}
	}
	if o.Every == 0 {
		o.Every = 20 * time.Second
	}
	s := &Scheduler{Options: o}
	var err error
	if s.ledger, err = keyed.Open[keyed.Write](ctx, o.Bus, bus.BucketLedger); err != nil {
		return nil, err
	}
	s.sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "throughline_publisher_digests_total", Help: "Digests by outcome (sent, delayed, refused).",
	}, []string{"outcome"})
	if err := o.Registerer.Register(s.sent); err != nil {
		return nil, fmt.Errorf("register digest metrics: %w", err)
	}
	return s, nil
}

// Run sends what is due until ctx ends, under a lease per shard.
func (s *Scheduler) Run(ctx context.Context) error {
	var ids []string
	for _, w := range s.Workspaces {
		if w.Digest.At != "" {
			ids = append(ids, w.ID)
		}
	}
	return s.Bus.PerShard(ctx, "digest", s.Holder, ids, func(ctx context.Context, n int, _ *bus.Lease) error {
		pauses := map[string]time.Time{}
		tick := time.NewTicker(s.Every)
		defer tick.Stop()
		for {
			for _, w := range s.Workspaces {
				if w.Digest.At == "" || feedback.Shard(w.ID) != n {
					continue
				}
				if err := s.workspace(ctx, w, pauses); err != nil && ctx.Err() == nil {
					s.Logger.Warn("digest not sent; will try again", "workspace", w.ID, "error", err)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

// workspace sends one workspace's due digests to each destination, oldest day first.
func (s *Scheduler) workspace(ctx context.Context, w config.Workspace, pauses map[string]time.Time) error {
	hour, minute, err := ParseAt(w.Digest.At)
	if err != nil {
		return err
	}
	now := s.Now()
	for _, to := range w.Digest.To {
		name := destination(to)
		marker := keyed.DigestKey(w.ID, "newest", name)
		newest, _, err := s.ledger.Get(ctx, marker)
		if err != nil {
			return err
		}
		for _, day := range Due(now, hour, minute, w.Location(), newest.Hash) {
			if now.Before(pauses[name]) {
				break
			}
			pause, err := s.send(ctx, w, day, to)
			if err != nil {
				return err
			}
			if pause > 0 {
				pauses[name] = now.Add(pause)
				s.sent.WithLabelValues("delayed").Inc()
				break
			}
			if err := s.mark(ctx, marker, w.ID, day.Date); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark keeps the newest day that a destination is done with.
func (s *Scheduler) mark(ctx context.Context, key, ws, date string) error {
	for {
		w, revision, err := s.ledger.Get(ctx, key)
		if err != nil || w.Hash >= date {
			return err
		}
		w.Workspace, w.State, w.Hash, w.At = ws, keyed.Written, date, s.Now().UTC()
		if _, err = s.ledger.Put(ctx, key, w, revision); !errors.Is(err, keyed.ErrConflict) {
			return err
		}
	}
}

func destination(to config.Destination) string {
	if to.Slack != nil {
		return "slack:" + to.Slack.Connection + ":" + to.Slack.Channel
	}
	return "email:" + to.Email
}

// send makes one destination show one day's digest. A positive pause means later.
func (s *Scheduler) send(ctx context.Context, w config.Workspace, day Day, to config.Destination) (pause time.Duration, err error) {
	key := keyed.DigestKey(w.ID, day.Date, destination(to))
	entry, revision, err := s.ledger.Get(ctx, key)
	if err != nil || entry.State == keyed.Written || entry.State == keyed.Gone || entry.State == keyed.Refused {
		return 0, err
	}
	put := func(state, problem string) error {
		entry.Workspace, entry.State, entry.Problem, entry.At, entry.Hash = w.ID, state, problem, s.Now().UTC(), day.Date
		revision, err = s.ledger.Put(ctx, key, entry, revision)
		return err
	}
	if to.Slack == nil {
		s.sent.WithLabelValues("refused").Inc()
		return 0, put(keyed.Refused, "no mail server can be configured yet: send the digest to Slack or read it at /v1/digests")
	}
	d, found, err := Stored(ctx, s.Store, w.ID, day.Date)
	if err != nil {
		return 0, err
	}
	if !found {
		if d, err = Build(ctx, s.Store, w.ID, day, s.Now()); err != nil {
			return 0, err
		}
		if err := Keep(ctx, s.Store, d); err != nil {
			return 0, err
		}
	}
	if err := put(keyed.Writing, ""); err != nil {
		return 0, err
	}
	var known *slackpost.Posted
	if entry.Message != "" {
		known = &slackpost.Posted{}
		if err := json.Unmarshal([]byte(entry.Message), known); err != nil {
			return 0, fmt.Errorf("read ledger: %w", err)
		}
	}
	message := slackpost.Message{Key: w.ID + "/" + day.Date, Title: Title(d), Markdown: Subset(d), Hash: feedback.ID("dig", day.Date, fmt.Sprint(d.GeneratedAt.UnixMicro()))}
	if s.PublicURL != "" {
		message.URL = s.PublicURL + "/digest/" + day.Date
	}
	posted, outcome, err := s.Slack[to.Slack.Connection].Post(ctx, to.Slack.Channel, known, message)
	if err != nil {
		if tracker.IsPermanent(err) {
			s.sent.WithLabelValues("refused").Inc()
			s.Logger.Warn("slack refused the digest", "workspace", w.ID, "connection", to.Slack.Connection, "error", err)
			return 0, put(keyed.Refused, err.Error())
		}
		if wait, ok := tracker.RetryAfter(err); ok {
			return wait, nil
		}
		return 0, err
	}
	body, err := json.Marshal(posted)
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	entry.Message = string(body)
	state := keyed.Written
	if outcome == slackpost.Gone {
		state = keyed.Gone
	}
	s.sent.WithLabelValues("sent").Inc()
	return 0, put(state, "")
}

// failed says what a query was for; what the store cannot answer now is Unavailable.
func failed(doing string, err error) error { return query.Failed(doing, err) }
