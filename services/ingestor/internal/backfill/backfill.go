// Package backfill reads a connection's history through the vendor's API, compares it with
// what is known, and repairs the difference: what webhooks did not bring is brought, what
// the vendor has no longer is taken back. Every vendor documents that webhooks get lost.
//
// What is missing becomes a delivery in the form of the webhook that would have told of
// it, stored and decoded like any other; so a backfill can be repeated, and replayed. How
// far it has come is kept in the event log after each page, so that a crash costs a page.
// Vendors' limits are obeyed: their pace, and when they say to come back.
package backfill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/fold"
)

// State says how far a backfill is.
type State string

// The states of a backfill. Failed ones say in Problem what a person has to do.
const (
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Job is one backfill of a connection, with where it goes on and what it found.
type Job struct {
	Workspace  string    `json:"workspace"`
	Connection string    `json:"connection"`
	Since      time.Time `json:"since"`
	Asked      time.Time `json:"asked"`
	Cursor     string    `json:"cursor,omitempty"`
	State      State     `json:"state"`
	Problem    string    `json:"problem,omitempty"`
	Again      time.Time `json:"again,omitzero"` // when this one ends, another begins that reaches back to here
	Finished   time.Time `json:"finished,omitzero"`
	Report     Report    `json:"report"`
}

// Report counts messages of customers, or tickets: what the vendor has, and what was done so that we
// have the same.
type Report struct {
	Pages         int `json:"pages"`
	Conversations int `json:"conversations"`
	Messages      int `json:"messages"` // customers' words at the vendor, each time it shows them
	Known         int `json:"known"`    // of them, as they are
	Missing       int `json:"missing"`  // repaired: we did not have them
	Outdated      int `json:"outdated"` // repaired: we had an older wording
	Removed       int `json:"removed"`  // repaired: the vendor has them no longer
	ask.Counts
}

// Appender stores a message and returns when it is durable; bus.Committer is one.
type Appender interface {
	Append(ctx context.Context, m *nats.Msg, msgID string) (seq uint64, dup bool, err error)
}

// Runner carries backfills out, one after another. One process runs it at a time: hold a
// lease. Its fields are set once.
type Runner struct {
	Bus         *bus.Bus
	Appender    Appender
	Store       *store.DB                    // where tickets are known
	Connections map[string]config.Connection // by id
	Workspaces  map[string]string            // of the connections
	Decode      func(config.Connection, event.Delivery) ([]change.Change, error)
	HTTP        *http.Client
	Wait        func(context.Context, time.Duration) error // nil means to wait by the clock
	Now         func() time.Time
	Logger      *slog.Logger
}

// How often a connection is reconciled without being asked, and how far back: as long as
// vendors retry, and a day to spare.
const (
	reconcileEvery = 24 * time.Hour
	reconcileBack  = 72 * time.Hour
	look           = time.Minute
)

const prefix = "backfill."

// Key of a connection's backfill in the bucket of cursors.
func Key(workspace, connection string) string { return prefix + workspace + "." + connection }

// Read returns a connection's newest backfill with its revision, 0 if there is none.
func Read(ctx context.Context, kv jetstream.KeyValue, workspace, connection string) (Job, uint64, error) {
	entry, err := kv.Get(ctx, Key(workspace, connection))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Job{}, 0, nil
	}
	if err != nil {
		return Job{}, 0, fmt.Errorf("read backfill: %w", bus.Unavailable(err))
	}
	var j Job
	if err := json.Unmarshal(entry.Value(), &j); err != nil {
		return Job{}, 0, fmt.Errorf("read backfill: malformed record")
	}
	return j, entry.Revision(), nil
}

func save(ctx context.Context, kv jetstream.KeyValue, j Job, revision uint64) (uint64, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return 0, fmt.Errorf("save backfill: %w", err)
	}
	if revision == 0 {
		revision, err = kv.Create(ctx, Key(j.Workspace, j.Connection), b)
	} else {
		revision, err = kv.Update(ctx, Key(j.Workspace, j.Connection), b, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("save backfill: %w", bus.Unavailable(err))
	}
	return revision, nil
}

// Begin asks for a backfill of a connection since then. Where one is under way it ends first.
func Begin(ctx context.Context, kv jetstream.KeyValue, workspace, connection string, since, now time.Time) error {
	j, revision, err := Read(ctx, kv, workspace, connection)
	if err != nil {
		return err
	}
	if j.State == Running {
		if j.Again.IsZero() || since.Before(j.Again) {
			j.Again = since.UTC()
		}
	} else {
		j = Job{Workspace: workspace, Connection: connection, Since: since.UTC(), Asked: now.UTC(), State: Running}
	}
	_, err = save(ctx, kv, j, revision)
	return err
}

// Run works until ctx ends, which is not an error; what is running then goes on with the
// next Run.
func (r *Runner) Run(ctx context.Context) error {
	kv, err := r.Bus.Bucket(ctx, bus.BucketCursors)
	if err != nil {
		return err
	}
	watch, err := kv.Watch(ctx, prefix+">")
	if err != nil {
		return fmt.Errorf("watch backfills: %w", bus.Unavailable(err))
	}
	defer watch.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.reconcile(ctx, kv); err != nil && ctx.Err() == nil {
				return err
			}
		case entry, open := <-watch.Updates():
			if !open {
				return nil
			}
			if entry == nil {
				continue // everything that was there has been told
			}
			workspace, connection, _ := strings.Cut(strings.TrimPrefix(entry.Key(), prefix), ".")
			if err := r.one(ctx, kv, workspace, connection); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// reconcile begins a backfill of the last days for every connection that had none in a day.
func (r *Runner) reconcile(ctx context.Context, kv jetstream.KeyValue) error {
	for id, c := range r.Connections {
		if _, ok := open(c, &ask.Client{}); !ok {
			continue
		}
		j, revision, err := Read(ctx, kv, r.Workspaces[id], id)
		if err != nil {
			return err
		}
		if j.State == Running || r.Now().Sub(j.Asked) < reconcileEvery {
			continue
		}
		now := r.Now().UTC()
		if _, err := save(ctx, kv, Job{Workspace: r.Workspaces[id], Connection: id, Since: now.Add(-reconcileBack), Asked: now, State: Running}, revision); err != nil {
			return err
		}
	}
	return nil
}

// one works a connection's backfill off, from where it is.
func (r *Runner) one(ctx context.Context, kv jetstream.KeyValue, workspace, connection string) error {
	j, revision, err := Read(ctx, kv, workspace, connection)
	if err != nil || revision == 0 || j.State != Running {
		return err
	}
	c, known := r.Connections[connection]
	client := &ask.Client{HTTP: r.HTTP, Wait: r.Wait, Counts: &j.Report.Counts, Sign: func(*http.Request) {}}
	if client.Wait == nil {
		client.Wait = ask.Wait
	}
	v, ok := open(c, client)
	if !known || !ok {
		j.State, j.Problem = Failed, "the connection has no credentials for the vendor's API: set bot_token (slack), api_token (intercom), email, api_token and base_url (zendesk, jira), api_key (linear) or token (github)"
		_, err = save(ctx, kv, j, revision)
		return err
	}
	states, err := r.Bus.Bucket(ctx, bus.BucketItems)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		page, next, err := v.page(ctx, j.Since, j.Cursor)
		if err == nil {
			err = r.repair(ctx, states, c, v, &j, page)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ask.ErrRefused):
			j.State, j.Problem, j.Finished = Failed, err.Error(), r.Now().UTC()
		case err != nil:
			r.Logger.Warn("backfill goes on later", "connection", connection, "error", err)
			if err := client.Wait(ctx, ask.Longest); err != nil {
				return nil
			}
			continue
		default:
			j.Cursor = next
			if j.Report.Pages++; next == "" {
				j.State, j.Finished = Done, r.Now().UTC()
			}
		}
		if !j.Again.IsZero() && j.State != Running {
			j = Job{Workspace: workspace, Connection: connection, Since: j.Again, Asked: r.Now().UTC(), State: Running}
		}
		if revision, err = save(ctx, kv, j, revision); err != nil {
			return err
		}
		if j.State != Running {
			r.Logger.Info("backfill ended", "connection", connection, "state", j.State, "missing", j.Report.Missing, "outdated", j.Report.Outdated, "removed", j.Report.Removed)
			return nil
		}
	}
	return nil
}

// repair compares a page with what is known and stores what differs.
func (r *Runner) repair(ctx context.Context, states jetstream.KeyValue, c config.Connection, v vendor, j *Job, page []conversation) error {
	counted := j.Report
	for _, conv := range page {
		counted.Conversations++
		seen := map[string]map[string]bool{} // by the vendor's identity of the conversation
		known := map[string]*fold.State{}
		for _, body := range conv.bodies {
			d := Delivery(c, body, r.Now())
			changes, err := r.Decode(c, d)
			if err != nil {
				return fmt.Errorf("read history of %s: %w", c.ID, err)
			}
			before, differs := counted, false
			for _, ch := range changes {
				if t, is := ch.(change.TicketChanged); is {
					news, err := r.ticket(ctx, &counted, j.Workspace, t)
					if err != nil {
						return err
					}
					differs = news || differs
					continue
				}
				place, ok := fold.Place(ch)
				if !ok {
					continue
				}
				s, err := r.state(ctx, states, j.Workspace, place, known)
				if err != nil {
					return err
				}
				if seen[place.External] == nil {
					seen[place.External] = map[string]bool{}
				}
				differs = compare(&counted, s, ch, seen[place.External]) || differs
			}
			if !differs {
				continue
			}
			again, err := Store(ctx, r.Appender, j.Workspace, d)
			if err != nil {
				return err
			}
			if again { // an earlier page had it, and it waits to be decoded
				counted.Missing, counted.Outdated, counted.Removed = before.Missing, before.Outdated, before.Removed
				counted.Known = before.Known + counted.Messages - before.Messages
			}
		}
		for external, ids := range seen {
			for id, m := range known[external].Messages {
				if !conv.complete || ids[id] || m.Gone {
					continue
				}
				if body := v.gone(external, id, r.Now().UTC()); body != nil {
					counted.Removed++
					if _, err := Store(ctx, r.Appender, j.Workspace, Delivery(c, body, r.Now())); err != nil {
						return err
					}
				}
			}
		}
	}
	counted.Counts = j.Report.Counts
	j.Report = counted
	return nil
}

// compare counts what a change of the vendor's is to us, and reports whether it is news.
func compare(report *Report, s *fold.State, c change.Change, seen map[string]bool) bool {
	switch c := c.(type) {
	case change.MessageUpserted:
		report.Messages++
		seen[c.ID] = true
		m, known := s.Messages[c.ID]
		switch {
		case (!known || m.With) && !s.Deleted:
			report.Missing++
			return true
		case known && !m.Gone && m.Version < c.Version:
			report.Outdated++
			return true
		}
		report.Known++
	case change.MessageDeleted:
		seen[c.ID] = true
		if m, known := s.Messages[c.ID]; known && !m.Gone {
			report.Removed++
			return true
		}
	case change.ConversationDeleted:
		if !s.Deleted && len(s.Messages) > 0 {
			report.Removed++
			return true
		}
	}
	return false
}

func (r *Runner) state(ctx context.Context, states jetstream.KeyValue, workspace string, place change.Place, known map[string]*fold.State) (*fold.State, error) {
	if s, ok := known[place.External]; ok {
		return s, nil
	}
	s := &fold.State{}
	entry, err := states.Get(ctx, workspace+"."+feedback.ConversationID(workspace, place.Source, place.External))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return nil, fmt.Errorf("read conversation: %w", bus.Unavailable(err))
	default:
		if err := json.Unmarshal(entry.Value(), s); err != nil {
			return nil, fmt.Errorf("read conversation: malformed state")
		}
	}
	known[place.External] = s
	return s, nil
}

// Delivery is a webhook that a vendor would have sent, made of what its API answered.
func Delivery(c config.Connection, body []byte, at time.Time) event.Delivery {
	sum := sha256.Sum256(body)
	return event.Delivery{
		ID: feedback.ID("dlv", c.ID, "backfill", hex.EncodeToString(sum[:])), Connection: c.ID, Kind: c.Type,
		ReceivedAt: at.UTC(), Headers: map[string]string{"content-type": "application/json"}, Body: body,
	}
}

// Store makes a delivery durable, as the webhook would have been, and tells whether it was
// already.
func Store(ctx context.Context, to Appender, workspace string, d event.Delivery) (again bool, err error) {
	e, err := event.New(event.DeliveryAccepted, "ingestor", workspace, d.ID, d.ID, d.ReceivedAt, d)
	if err != nil {
		return false, err
	}
	body, err := event.Encode(e)
	if err != nil {
		return false, err
	}
	m := nats.NewMsg(bus.Subject("deliveries", workspace, d.Connection))
	m.Data = body
	m.Header.Set("Type", string(e.Type))
	if _, again, err = to.Append(ctx, m, d.ID); err != nil {
		return false, fmt.Errorf("store history: %w", bus.Unavailable(err))
	}
	return again, nil
}
