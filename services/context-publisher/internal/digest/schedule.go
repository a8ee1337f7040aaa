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
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mailpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// Options is what a Scheduler needs. Keep gives the digest of a day, the same for every
// destination (Desk.Keep). Mail may be nil: then what goes to an e-mail address is refused.
type Options struct {
	Bus        *bus.Bus
	Keep       func(ctx context.Context, workspace string, day Day) (Digest, error)
	Workspaces []config.Workspace
	Slack      map[string]*slackpost.Poster // by connection
	Mail       *mailpost.Poster
	Holder     string
	PublicURL  string
	Every      time.Duration // how often it looks; 0 means 20 s
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Scheduler sends each workspace's digest at its hour, once a day and destination. What
// was sent is in the ledger; a crash between the call and its record is mended by Slack's
// own copy of the message's key, and by the same Message-ID of a mail.
type Scheduler struct {
	Options
	clocks map[string]clock
	ledger keyed.Records[keyed.Write]
	sent   *prometheus.CounterVec
}

// Round is what one holder of a shard's lease remembers between looks: how far each
// destination is, and which has asked for a pause. The zero value is ready to use; the
// ledger has what outlives it.
type Round struct {
	newest map[string]string // by destination's marker
	pauses map[string]time.Time
}

// afterFailure is the pause before a destination that failed without asking for one is
// tried again.
const afterFailure = 2 * time.Minute

// NewScheduler checks the options; it starts nothing. A digest time that is not HH:MM and
// a Slack destination without its connection are errors.
func NewScheduler(ctx context.Context, o Options) (*Scheduler, error) {
	s := &Scheduler{Options: o, clocks: map[string]clock{}}
	for _, w := range o.Workspaces {
		if w.Digest.At == "" {
			continue
		}
		c, err := clockOf(w)
		if err != nil {
			return nil, fmt.Errorf("workspace %s: %w", w.ID, err)
		}
		s.clocks[w.ID] = c
		for _, to := range w.Digest.To {
			if to.Slack != nil && o.Slack[to.Slack.Connection] == nil {
				return nil, fmt.Errorf("workspace %s: digest to slack: connection %s has no bot_token", w.ID, to.Slack.Connection)
			}
			if to.Email != "" && o.Mail == nil {
				o.Logger.Warn("digest by e-mail is not sent: "+noMail, "workspace", w.ID)
			}
		}
	}
	if s.Every == 0 {
		s.Every = 20 * time.Second
	}
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
	for _, outcome := range []string{"sent", "delayed", "refused"} {
		s.sent.WithLabelValues(outcome) // a series that begins at one never increased
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
		var round Round
		tick := time.NewTicker(s.Every)
		defer tick.Stop()
		for {
			for _, w := range s.Workspaces {
				if feedback.Shard(w.ID) == n {
					s.Look(ctx, w, &round)
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

// Look sends what is due of one workspace now, to each destination its oldest day first.
// What fails is tried again after a pause, by a later look; one destination does not wait
// for another.
func (s *Scheduler) Look(ctx context.Context, w config.Workspace, round *Round) {
	c, sends := s.clocks[w.ID]
	if !sends {
		return
	}
	if round.newest == nil {
		round.newest, round.pauses = map[string]string{}, map[string]time.Time{}
	}
	now := s.Now()
	for _, to := range w.Digest.To {
		marker := keyed.DigestKey(w.ID, "newest", destination(to))
		if now.Before(round.pauses[marker]) {
			continue
		}
		pause, err := s.destination(ctx, w, c, to, marker, now, round)
		if err != nil && ctx.Err() == nil {
			s.Logger.Warn("digest not sent; will try again", "workspace", w.ID, "error", err)
			pause = afterFailure
		}
		if pause > 0 {
			round.pauses[marker] = now.Add(pause)
			s.sent.WithLabelValues("delayed").Inc()
		}
	}
}

// destination sends one destination the days that are due there. A positive pause means
// later.
func (s *Scheduler) destination(ctx context.Context, w config.Workspace, c clock, to config.Destination, marker string, now time.Time, round *Round) (time.Duration, error) {
	if _, known := round.newest[marker]; !known {
		newest, _, err := s.ledger.Get(ctx, marker)
		if err != nil {
			return 0, err
		}
		round.newest[marker] = newest.Hash
	}
	for _, day := range Due(now, c.hour, c.minute, c.zone, round.newest[marker]) {
		pause, err := s.send(ctx, w, day, to)
		if err != nil || pause > 0 {
			return pause, err
		}
		if err := s.mark(ctx, marker, w.ID, day.Date); err != nil {
			return 0, err
		}
		round.newest[marker] = day.Date
	}
	return 0, nil
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
	refuse := func(problem string) error {
		s.sent.WithLabelValues("refused").Inc()
		s.Logger.Warn("the digest was refused", "workspace", w.ID, "problem", problem)
		return put(keyed.Refused, problem)
	}
	if to.Slack == nil && s.Mail == nil {
		return 0, refuse(noMail)
	}
	d, err := s.Keep(ctx, w.ID, day)
	if err != nil {
		return 0, err
	}
	if err := put(keyed.Writing, ""); err != nil {
		return 0, err
	}
	state := keyed.Written
	if to.Slack != nil {
		state, err = s.slack(ctx, w, d, to.Slack, &entry)
	} else {
		err = s.Mail.Send(ctx, mailpost.Message{Key: w.ID + "/" + d.Date, To: to.Email, Subject: Title(d), Text: Text(d), HTML: HTML(d, s.url(d)), At: s.Now()})
	}
	if tracker.IsPermanent(err) {
		return 0, refuse(err.Error())
	}
	if wait, ok := tracker.RetryAfter(err); ok {
		return wait, nil
	}
	if err != nil {
		return 0, err
	}
	s.sent.WithLabelValues("sent").Inc()
	return 0, put(state, "")
}

// noMail is what to do about a digest by e-mail without a mail server.
const noMail = "no mail server is configured: set smtp, or send the digest to Slack, or read it at /v1/digests"

// url is where the whole digest is, "" where nobody said what addresses begin with.
func (s *Scheduler) url(d Digest) string {
	if s.PublicURL == "" {
		return ""
	}
	return s.PublicURL + "/digest/" + d.Date
}

// slack makes a channel show a digest, and notes in the entry where.
func (s *Scheduler) slack(ctx context.Context, w config.Workspace, d Digest, to *config.SlackDestination, entry *keyed.Write) (state string, err error) {
	var known *slackpost.Posted
	if entry.Message != "" {
		known = &slackpost.Posted{}
		if err := json.Unmarshal([]byte(entry.Message), known); err != nil {
			return "", fmt.Errorf("read ledger: %w", err)
		}
	}
	posted, outcome, err := s.Slack[to.Connection].Post(ctx, to.Channel, known, slackpost.Message{
		Key: w.ID + "/" + d.Date, Title: Title(d), Markdown: Subset(d), URL: s.url(d), Hash: feedback.ID("dig", d.Date, fmt.Sprint(d.GeneratedAt.UnixMicro()))})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(posted)
	if err != nil {
		return "", fmt.Errorf("write ledger: %w", err)
	}
	entry.Message = string(body)
	if outcome == slackpost.Gone {
		return keyed.Gone, nil
	}
	return keyed.Written, nil
}

// failed says what a query was for; what the store cannot answer now is Unavailable.
func failed(doing string, err error) error { return query.Failed(doing, err) }
