package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/trace"
)

// look is how often the eraser looks for work and for what it waits for.
const look = 500 * time.Millisecond

// Eraser carries erasures out, one after another. One process runs it at a time: hold a
// lease. Its fields are set once.
type Eraser struct {
	Bus         *bus.Bus
	Store       *store.DB
	Connections map[string]config.Connection // by id
	Decode      func(config.Connection, event.Delivery) ([]change.Change, error)
	Logger      *slog.Logger
	Now         func() time.Time
}

// Run works until ctx ends, which is not an error.
func (e *Eraser) Run(ctx context.Context) error {
	kv, err := e.Bus.Bucket(ctx, bus.BucketErasures)
	if err != nil {
		return err
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch erasures: %w", bus.Unavailable(err))
	}
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watch.Updates():
			if !open {
				return nil
			}
			if entry == nil {
				continue // everything that was there has been told
			}
			workspace, customer, _ := strings.Cut(entry.Key(), ".")
			if err := e.one(ctx, kv, workspace, customer); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// one carries out a customer's erasure if it is not done. It is tried until it succeeds.
func (e *Eraser) one(ctx context.Context, kv jetstream.KeyValue, workspace, customer string) error {
	for ctx.Err() == nil {
		j, revision, err := Read(ctx, kv, workspace, customer)
		if err != nil {
			return err
		}
		if revision == 0 || j.State == Done || j.State == Left {
			return nil
		}
		if err = e.erase(ctx, kv, &j); err == nil {
			e.Logger.Info("customer erased", "workspace", workspace, "customer", customer, "state", j.State)
			return nil
		}
		if ctx.Err() == nil {
			e.Logger.Warn("erasure will be tried again", "workspace", workspace, "customer", customer, "error", err)
			pause(ctx, 4*look)
		}
	}
	return nil
}

// errOvertaken is returned when the customer was erased again meanwhile.
var errOvertaken = errors.New("a newer erasure of the same customer was asked for")

func (e *Eraser) note(ctx context.Context, kv jetstream.KeyValue, j *Job) error {
	now, revision, err := Read(ctx, kv, j.Workspace, j.Customer)
	if err != nil {
		return err
	}
	if now.Sequence != j.Sequence {
		return errOvertaken
	}
	return save(ctx, kv, *j, revision)
}

// erase does the whole of it: wait for the pipeline to have forgotten, learn what to look
// for, clean what is derived, then what it is derived from, and look again.
func (e *Eraser) erase(ctx context.Context, kv jetstream.KeyValue, j *Job) error {
	reached, err := e.settled(ctx, kv, j)
	if err != nil {
		return err
	}
	j.State, j.Waiting = Erasing, ""
	if err := e.note(ctx, kv, j); err != nil {
		return err
	}
	t, err := e.learn(ctx, *j)
	if err != nil {
		return err
	}
	if err := e.forget(ctx, *j, reached); err != nil {
		return err
	}
	w := &sweep{eraser: e, job: *j, trace: t}
	for _, clean := range []func(context.Context, bool) ([]Place, error){w.streams, w.buckets, w.snapshots, w.derived, w.sources} {
		places, err := clean(ctx, true)
		if err != nil {
			return err
		}
		w.places = append(w.places, places...)
	}
	if err := e.compact(ctx); err != nil {
		return err
	}
	if err := w.prove(ctx); err != nil {
		return err
	}
	j.Places, j.Finished, j.State = w.places, e.Now().UTC(), Done
	if slices.ContainsFunc(w.places, func(p Place) bool { return p.Left > 0 }) {
		j.State = Left
	}
	return e.note(ctx, kv, j)
}

// stages are the streams in the order in which a change runs through them.
var stages = []string{bus.Deliveries, bus.Items, bus.Signals, bus.Worlds, bus.Briefs}

// settled waits until every durable has worked off what the erasure caused, stage by
// stage, and returns how far each stage had come by then.
func (e *Eraser) settled(ctx context.Context, kv jetstream.KeyValue, j *Job) (map[string]uint64, error) {
	reached := map[string]uint64{bus.Deliveries: j.Sequence}
	for _, stage := range stages {
		s, err := e.Bus.JetStream().Stream(ctx, stage)
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", stage, bus.Unavailable(err))
		}
		if reached[stage] == 0 {
			reached[stage] = s.CachedInfo().State.LastSeq
		}
		for {
			behind, err := lagging(ctx, s, reached[stage], feedback.ShardToken(j.Workspace))
			if err != nil {
				return nil, err
			}
			if behind == "" {
				break
			}
			if j.Waiting != behind {
				j.State, j.Waiting = Waiting, behind
				if err := e.note(ctx, kv, j); err != nil {
					return nil, err
				}
			}
			if pause(ctx, look); ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		if stage == bus.Worlds {
			if err := e.gathered(ctx, kv, j); err != nil {
				return nil, err
			}
		}
	}
	return reached, nil
}

// gathered waits for the tickets whose changes are being gathered: their briefs are written
// anew when that is over.
func (e *Eraser) gathered(ctx context.Context, kv jetstream.KeyValue, j *Job) error {
	tickets, err := e.Bus.Bucket(ctx, bus.BucketTickets)
	if err != nil {
		return err
	}
	lister, err := tickets.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("list tickets: %w", bus.Unavailable(err))
	}
	for k := range lister.Keys() {
		if !strings.HasPrefix(k, j.Workspace+".") {
			continue
		}
		for first := (time.Time{}); ctx.Err() == nil; pause(ctx, look) {
			due, err := dueOf(ctx, tickets, k)
			if err != nil {
				return err
			}
			if first.IsZero() {
				first = due
			}
			if due.IsZero() || !due.Equal(first) {
				break
			}
			if j.Waiting != "briefs" {
				j.State, j.Waiting = Waiting, "briefs"
				if err := e.note(ctx, kv, j); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// dueOf is when a ticket's brief will be written anew, zero if nothing is gathered.
func dueOf(ctx context.Context, tickets jetstream.KeyValue, key string) (time.Time, error) {
	entry, err := tickets.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read ticket: %w", bus.Unavailable(err))
	}
	var state struct {
		Due time.Time `json:"due"`
	}
	if err := json.Unmarshal(entry.Value(), &state); err != nil {
		return time.Time{}, fmt.Errorf("read ticket: malformed state")
	}
	return state.Due, nil
}

// lagging names a durable of the stream that has yet to settle a message up to seq, ""
// for none. Durables of other shards do not count.
func lagging(ctx context.Context, s jetstream.Stream, seq uint64, shard string) (string, error) {
	all := s.ListConsumers(ctx)
	behind := ""
	for c := range all.Info() {
		if c.Config.Durable == "" || !concerns(c.Config, shard) {
			continue
		}
		if c.AckFloor.Stream < seq && (c.NumPending > 0 || c.NumAckPending > 0) {
			behind = c.Config.Durable
		}
	}
	if err := all.Err(); err != nil {
		return "", fmt.Errorf("list durables: %w", bus.Unavailable(err))
	}
	return behind, nil
}

func concerns(c jetstream.ConsumerConfig, shard string) bool {
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(filters, c.FilterSubject)
	}
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool {
		token := strings.Split(f, ".")
		return len(token) < 2 || token[1] == shard || token[1] == "*" || token[1] == ">"
	})
}

// learn reads, from the archive, everything that the customer said and is called, and
// takes out what others say too.
func (e *Eraser) learn(ctx context.Context, j Job) (*trace.Trace, error) {
	t := trace.New()
	if j.Customer != ByAge {
		t.Identify(j.Customer)
	}
	t.Identify(j.Items...)
	signals, err := e.column(ctx, "SELECT DISTINCT id FROM signals WHERE workspace = ? AND item IN (?)", j.Workspace, j.Items)
	if err != nil {
		return nil, err
	}
	t.Identify(signals...)
	items := map[string]bool{}
	for _, id := range j.Items {
		items[id] = true
	}
	err = e.deliveries(ctx, j.Workspace, func(d event.Delivery) {
		changes, err := e.Decode(e.Connections[d.Connection], d)
		if err != nil {
			return // a dead letter, which is looked through as it is
		}
		for _, c := range changes {
			heard(t, j, items, d, c)
		}
	})
	if err != nil {
		return nil, err
	}
	// The words of items as they were published, for what the archive has no longer.
	own, err := e.column(ctx, "SELECT DISTINCT text FROM items WHERE workspace = ? AND id IN (?) AND sequence <= ?", j.Workspace, j.Items, j.Sequence)
	if err != nil {
		return nil, err
	}
	for _, text := range own {
		t.Said(text)
	}
	rows, err := e.Store.Conn().Query(ctx, "SELECT text FROM items FINAL WHERE workspace = ? AND NOT "+j.own("id")+`
		UNION ALL SELECT concat(title, ' ', body) FROM tickets FINAL WHERE workspace = ?`, j.Workspace, j.owner(), j.Workspace)
	if err != nil {
		return nil, fmt.Errorf("read what others say: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read what others say: %w", bus.Unavailable(err))
		}
		t.Spare(text)
	}
	return t, rows.Err()
}

// heard adds what a change tells of the customer, or of what the items said.
func heard(t *trace.Trace, j Job, items map[string]bool, d event.Delivery, c change.Change) {
	switch c := c.(type) {
	case change.MessageUpserted:
		who := []string{feedback.CustomerID(j.Workspace, c.Place.Source, c.Author.ID, c.Author.Email), feedback.CustomerID(j.Workspace, c.Place.Source, c.Author.ID, "")}
		if at(c, d).After(j.Until) {
			return
		}
		if j.Customer == ByAge {
			conversation := feedback.ConversationID(j.Workspace, c.Place.Source, c.Place.External)
			if items[feedback.ItemID(j.Workspace, conversation, who[0])] || items[feedback.ItemID(j.Workspace, conversation, who[1])] {
				t.Said(c.Text)
			}
			return
		}
		if !slices.Contains(who, j.Customer) {
			return
		}
		t.Said(c.Text)
		t.Person(c.Author.Email)
		if c.Author.Name != "" && strings.Contains(c.Author.Name, " ") {
			t.Said(c.Author.Name)
		}
		if id := c.Author.ID[strings.LastIndex(c.Author.ID, ":")+1:]; id != "" {
			t.Person(id)
		}
	case change.ConversationStated:
		for _, m := range c.Messages {
			m.Place = c.Place
			heard(t, j, items, d, m)
		}
	}
}

func at(m change.MessageUpserted, d event.Delivery) time.Time {
	if m.At.IsZero() {
		return d.ReceivedAt
	}
	return m.At
}

// deliveries reads a workspace's archive, in order.
func (e *Eraser) deliveries(ctx context.Context, workspace string, each func(event.Delivery)) error {
	rows, err := e.Store.Conn().Query(ctx, "SELECT id, connection, kind, received_at, headers, body FROM deliveries FINAL WHERE workspace = ? ORDER BY sequence", workspace)
	if err != nil {
		return fmt.Errorf("read archive: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	for rows.Next() {
		var d event.Delivery
		var body string
		if err := rows.Scan(&d.ID, &d.Connection, &d.Kind, &d.ReceivedAt, &d.Headers, &body); err != nil {
			return fmt.Errorf("read archive: %w", bus.Unavailable(err))
		}
		d.Body = []byte(body)
		each(d)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read archive: %w", bus.Unavailable(err))
	}
	return nil
}

func (e *Eraser) column(ctx context.Context, query string, arguments ...any) ([]string, error) {
	rows, err := e.Store.Conn().Query(ctx, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("read store: %w", bus.Unavailable(err))
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("read store: %w", bus.Unavailable(err))
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read store: %w", bus.Unavailable(err))
	}
	return out, nil
}

// forget empties the rows that are what is erased, whatever is in them: old revisions
// of items and signals, with the numbers that stand for their meaning.
func (e *Eraser) forget(ctx context.Context, j Job, reached map[string]uint64) error {
	for _, m := range []struct {
		sql       string
		arguments []any
	}{
		{e.Store.Rewrites("items") + " UPDATE text = '', messages = '[]', url = '', customer_name = '', customer_email = '' WHERE workspace = ? AND " + j.own("id") + " AND sequence <= ? AND text != ''", []any{j.Workspace, j.owner(), j.Sequence}},
		{e.Store.Rewrites("signals") + " UPDATE quote = '', vector = [] WHERE workspace = ? AND " + j.own("item") + " AND version <= ? AND quote != ''", []any{j.Workspace, j.owner(), reached[bus.Items]}},
	} {
		if err := e.mutate(ctx, m.sql, m.arguments...); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
