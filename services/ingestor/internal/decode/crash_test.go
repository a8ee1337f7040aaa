package decode_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var errKilled = errors.New("killed here")

// fuse lets n effects through and then fails for ever: what a kill leaves behind.
type fuse struct {
	mu   sync.Mutex
	left int
}

func (f *fuse) burn() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return errKilled
	}
	return nil
}

// eventLog keeps what was published, once per id, and insists that the same id is the same
// event.
type eventLog struct {
	mu   sync.Mutex
	ids  []string
	body map[string]string
}

func (l *eventLog) add(o bus.Outgoing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := event.Encode(o.Event)
	if err != nil {
		return err
	}
	if old, known := l.body[o.Event.ID]; known {
		if old != string(b) {
			return fmt.Errorf("%s was published as\n%s\nand again as\n%s", o.Event.ID, old, b)
		}
		return nil
	}
	l.ids = append(l.ids, o.Event.ID)
	l.body[o.Event.ID] = string(b)
	return nil
}

// faulty wires a handler's three effects through one fuse.
type faulty struct {
	*fuse
	log   *eventLog
	store *store.DB
}

func (f faulty) PublishAll(_ context.Context, out []bus.Outgoing) error {
	for _, o := range out {
		if err := f.burn(); err != nil {
			return err
		}
		if err := f.log.add(o); err != nil {
			return err
		}
	}
	return nil
}

func (f faulty) Insert(ctx context.Context, table string, columns []string, rows [][]any, token string) error {
	if err := f.burn(); err != nil {
		return err
	}
	return f.store.Insert(ctx, table, columns, rows, token)
}

type faultyStates struct {
	jetstream.KeyValue
	*fuse
}

func (f faultyStates) Create(ctx context.Context, k string, v []byte, o ...jetstream.KVCreateOpt) (uint64, error) {
	if err := f.burn(); err != nil {
		return 0, err
	}
	return f.KeyValue.Create(ctx, k, v, o...)
}

func (f faultyStates) Update(ctx context.Context, k string, v []byte, r uint64) (uint64, error) {
	if err := f.burn(); err != nil {
		return 0, err
	}
	return f.KeyValue.Update(ctx, k, v, r)
}

func (f faultyStates) PutString(ctx context.Context, k, v string) (uint64, error) {
	if err := f.burn(); err != nil {
		return 0, err
	}
	return f.KeyValue.PutString(ctx, k, v)
}

// story is a stream of deliveries with everything in it: threads, edits out of order,
// duplicates, deletions, a withdrawal, an erasure, tickets, accounts and an undecodable.
func story(t *testing.T) []bus.Message {
	t.Helper()
	slack := func(ts, thread, user, text string) string {
		return fmt.Sprintf(`{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","user":%q,"ts":%q,"thread_ts":%q,"text":%q}}`, user, ts, thread, text)
	}
	edit := func(ts, thread, user, text, edited string) string {
		return fmt.Sprintf(`{"type":"event_callback","team_id":"T1","event":{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":%q,"ts":%q,"thread_ts":%q,"text":%q,"edited":{"ts":%q}}}}`, user, ts, thread, text, edited)
	}
	bodies := []struct{ kind, body string }{
		{"slack", slack("100.1", "100.1", "U1", "Export fails")},
		{"slack", slack("100.2", "100.1", "U2", "Here too")},
		{"slack", edit("100.1", "100.1", "U1", "Export fails with 500", "100.9")},
		{"slack", slack("100.1", "100.1", "U1", "Export fails")},
		{"intercom", intercom("conversation.user.created", `"type":"conversation","id":"7","source":{"id":"s1","body":"<p>Slow</p>","author":{"type":"user","id":"c1","email":"u@x.example"}}`)},
		{"jira", jiraUpdate(`{"field":"status","fromString":"To Do","toString":"Done"}`, `"status":{"name":"Done","statusCategory":{"key":"done"}}`)},
		{"slack", `not json`},
		{"accounts", `[{"id":"initech","name":"Initech","value":120000,"currency":"EUR"}]`},
		{"slack", edit("100.2", "100.1", "U2", "Here too, since Monday", "100.95")},
		{"slack", slack("100.4", "100.1", "U1", "And PDF")},
		{"feedback", `[{"id":"f1","text":"Dark mode please","author":{"id":"u9"}},{"id":"f2","text":"Thanks","author":{"id":"u9"}}]`},
		{"slack", `{"type":"event_callback","team_id":"T1","event":{"type":"message","subtype":"message_deleted","channel":"C1","deleted_ts":"100.2","event_ts":"101.0","previous_message":{"ts":"100.2","thread_ts":"100.1"}}}`},
		{"intercom", intercom("contact.deleted", `"type":"contact","id":"c1"`)},
		{"slack", slack("100.5", "100.1", "U2", "Back again")},
		{"feedback", `[{"id":"f1","text":"Dark mode, please!","author":{"id":"u9"}}]`},
	}
	var out []bus.Message
	for i, b := range bodies {
		connection := "acme-" + b.kind
		d := event.Delivery{ID: fmt.Sprintf("dlv_%02d", i), Connection: connection, Kind: b.kind, ReceivedAt: received.Add(time.Duration(i) * time.Second), Headers: map[string]string{}, Body: []byte(b.body)}
		e, err := event.New(event.DeliveryAccepted, "ingestor", "acme", d.ID, d.ID, d.ReceivedAt, d)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bus.Message{Envelope: e, Sequence: uint64(i + 1), StoredAt: d.ReceivedAt})
	}
	return out
}

// result is everything that the story leaves behind.
type result struct {
	events []string
	rows   []string
	states map[string]string
}

// run tells the story in batches, killed and started again whenever the fuse burns out.
// kills says how many effects each life has; the last one lives on.
func run(t *testing.T, db *store.DB, batch int, kills ...int) result {
	t.Helper()
	states, erasures := buckets(t)
	published := &eventLog{body: map[string]string{}}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decoded"}, []string{"kind", "outcome"})
	all := story(t)
	for at := 0; at < len(all); {
		life := &fuse{left: 1 << 30}
		if len(kills) > 0 {
			life.left, kills = kills[0], kills[1:]
		}
		f := faulty{life, published, db}
		h := &decode.Handler{Publisher: f, Store: f, States: faultyStates{states, life}, Erasures: erasures, Held: func() bool { return true }, Outcomes: outcomes, Logger: slog.New(slog.DiscardHandler)}
		for at < len(all) {
			b := all[at:min(at+batch, len(all))]
			if killed := slices.ContainsFunc(h.Handle(t.Context(), b), func(err error) bool {
				if err != nil && !bus.IsPermanent(err) && !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				return errors.Is(err, errKilled)
			}); killed {
				break
			}
			at += batch
		}
	}
	return result{published.ids, rowsOf(t, db), statesOf(t, states)}
}

// buckets are those of a broker of the test's own.
func buckets(t *testing.T) (states, erasures jetstream.KeyValue) {
	t.Helper()
	b := bustest.New(t)
	for name, kv := range map[string]*jetstream.KeyValue{bus.BucketItems: &states, bus.BucketErasures: &erasures} {
		var err error
		if *kv, err = b.Bucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return states, erasures
}

func rowsOf(t *testing.T, db *store.DB) []string {
	t.Helper()
	rows, err := db.Conn().Query(t.Context(), `SELECT row FROM (
		SELECT toString(tuple(id, revision, customer, customer_name, text, messages, deleted, sequence)) AS row FROM items FINAL
		UNION ALL SELECT toString(tuple(id, name, value, version)) AS row FROM accounts FINAL) ORDER BY row`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func statesOf(t *testing.T, kv jetstream.KeyValue) map[string]string {
	t.Helper()
	lister, err := kv.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k := range lister.Keys() {
		e, err := kv.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		out[k] = string(e.Value())
	}
	return out
}

func TestAKillBetweenAnyTwoEffectsChangesNothing(t *testing.T) {
	t.Parallel()
	clean := run(t, storetest.New(t), 4)
	if len(clean.events) < 14 || len(clean.rows) < 5 {
		t.Fatalf("the story is too short: %v\n%v", clean.events, clean.rows)
	}
	other := run(t, storetest.New(t), 1)
	if !reflect.DeepEqual(clean, other) {
		t.Fatalf("batches of 1 differ from batches of 4:\n%v\n%v", clean, other)
	}
	for _, n := range []int{0, 1, 2, 3, 5, 7, 9, 11, 13, 16, 18, 22} {
		t.Run(fmt.Sprint("after ", n), func(t *testing.T) {
			t.Parallel()
			got := run(t, storetest.New(t), 4, n, n+3, 2*n, n)
			if !reflect.DeepEqual(got, clean) {
				t.Errorf("\n got %v\n     %v\nwant %v\n     %v", got.events, got.rows, clean.events, clean.rows)
			}
		})
	}
}

func TestTheStorysEvents(t *testing.T) {
	t.Parallel()
	got := run(t, storetest.New(t), 5)
	var kinds []string
	for _, id := range got.events {
		stage, _, _ := strings.Cut(id, ":")
		kinds = append(kinds, stage+id[strings.LastIndex(id, ":"):])
	}
	want := []string{
		"item:1", "item:1", // U1 and U2
		"item:2",           // U1's edit; its late original is nothing
		"item:1",           // Intercom
		"ticket:dlv_05",    //
		"account:dlv_07",   //
		"item:2",           // U2's edit
		"item:3",           // U1's second message
		"item:1", "item:1", // f1, f2
		"item:3",                   // U2's message is deleted
		"erasure:dlv_12", "item:2", // the contact, found by an id that its item is not keyed by
		"item:4", // U2 speaks again
		"item:2", // f1 is restated
	}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("got %v\nwant %v", kinds, want)
	}
	words, _ := json.Marshal(got.states)
	if strings.Contains(string(words), "Slow") || strings.Contains(string(words), "u@x.example") || strings.Contains(string(words), "Here too") {
		t.Error("the states still hold what was erased or deleted")
	}
}

func TestALostLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	states, erasures := buckets(t)
	published := &eventLog{body: map[string]string{}}
	f := faulty{&fuse{left: 1 << 30}, published, storetest.New(t)}
	h := &decode.Handler{Publisher: f, Store: f, States: states, Erasures: erasures, Held: func() bool { return false }, Logger: slog.New(slog.DiscardHandler),
		Outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decoded"}, []string{"kind", "outcome"})}
	errs := h.Handle(t.Context(), story(t)[:3])
	for _, err := range errs {
		if !errors.Is(err, decode.ErrNotHeld) || !bus.IsUnavailable(err) {
			t.Errorf("got %v", err)
		}
	}
	if len(published.ids) > 0 || len(statesOf(t, states)) > 0 {
		t.Error("something was published or remembered")
	}
}

func TestTwoDecodersAtOnceConflictInsteadOfMixing(t *testing.T) {
	t.Parallel()
	states, erasures := buckets(t)
	db := storetest.New(t)
	published := &eventLog{body: map[string]string{}}
	f := faulty{&fuse{left: 1 << 30}, published, db}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decoded"}, []string{"kind", "outcome"})
	all := story(t)
	second := &decode.Handler{Publisher: f, Store: f, States: states, Erasures: erasures, Held: func() bool { return true }, Outcomes: outcomes, Logger: slog.New(slog.DiscardHandler)}
	first := &decode.Handler{Publisher: f, Store: f, States: states, Erasures: erasures, Outcomes: outcomes, Logger: slog.New(slog.DiscardHandler),
		Held: func() bool { // the other one overtakes right here
			second.Handle(t.Context(), all[:4])
			return true
		}}
	if errs := first.Handle(t.Context(), all[:3]); !bus.IsUnavailable(errs[0]) {
		t.Errorf("the slower one did not notice: %v", errs)
	}
	if errs := second.Handle(t.Context(), all[:6]); slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		t.Errorf("the faster one: %v", errs)
	}
	if len(published.ids) != 5 {
		t.Errorf("%d events: %v", len(published.ids), published.ids)
	}
}
