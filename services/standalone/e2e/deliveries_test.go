package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// deliveries is how many webhooks the test below sends to each of its two runs: `make soak`
// sends twenty thousand.
var deliveries = flag.Int("deliveries", 1500, "webhooks sent to each run of TestThreeKillsChangeNoItem")

// The same conversations, once in order and once each, and once shuffled, doubled, by many
// connections at a time and with three kill -9s, come to the same items, byte for byte.
func TestThreeKillsChangeNoItem(t *testing.T) {
	t.Parallel()
	tidy := conversations(*deliveries)
	messy := disorder(tidy)

	calm := allInOne(t, lexical)
	calm.sendFrom(t, tidy, 8, func(int) {})
	want := calm.items(t)

	t.Logf("clean run: %d items", len(want))
	rough := allInOne(t, lexical)
	for life := range 4 {
		t.Logf("life %d of 4 of the run with kills", life+1)
		from, to := len(messy)*life/4, len(messy)*(life+1)/4
		part := messy[from:to]
		if life == 3 {
			rough.sendFrom(t, part, 32, func(int) {})
			break
		}
		// The kill strikes while senders are at work; what was not answered is sent again
		// to the next life, as vendors do.
		var once sync.Once
		killed := make(chan struct{})
		rough.sendFrom(t, part, 32, func(accepted int) {
			if accepted < len(part)*2/3 {
				return
			}
			once.Do(func() {
				go func() {
					defer close(killed)
					rough.programs["throughline"].kill()
					rough.restart(t, "throughline")
				}()
			})
		})
		<-killed
	}
	got := rough.items(t)

	if len(want) < *deliveries/10 {
		t.Fatalf("only %d items from %d deliveries", len(want), *deliveries)
	}
	if len(got) != len(want) {
		t.Errorf("%d items, and %d in the clean run", len(got), len(want))
	}
	differing := 0
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			if differing++; differing <= 3 {
				t.Errorf("item %d differs:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
	}
	t.Logf("%d deliveries, %d of them extra copies, 3 kills: %d items, %d differ", len(messy), len(messy)-len(tidy), len(got), differing)
}

// lexical spares the tests that look at items alone the work of the embedding model.
func lexical(s *shape) { s.env = append(s.env, "THROUGHLINE_MODELS_EMBEDDINGS_PROVIDER=lexical") }

// sendFrom posts webhooks from n connections and sends each until it is accepted, through
// refusals for lack of room and through the end of the process.
func (s *shape) sendFrom(t *testing.T, all []demo.Request, n int, accepted func(so int)) {
	t.Helper()
	ctx := unhurried(t)
	sender := s.play(0).Sender
	sender.Client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer sender.Client.CloseIdleConnections()
	next, done := make(chan demo.Request), atomic.Int64{}
	failed := make(chan error, n)
	step := int64(max(len(all)/5, 1))
	var senders sync.WaitGroup
	for range n {
		senders.Go(func() {
			for d := range next {
				if err := persist(ctx, sender, d); err != nil {
					failed <- err
					return
				}
				so := done.Add(1)
				if so%step == 0 {
					t.Logf("%d of %d webhooks are accepted", so, len(all))
				}
				accepted(int(so))
			}
		})
	}
	func() {
		defer close(next)
		for _, d := range all {
			select {
			case next <- d:
			case err := <-failed:
				t.Error(err)
				return
			}
		}
	}()
	senders.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

// unhurried bounds a wait by how many webhooks there are.
func unhurried(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience*time.Duration(1+*deliveries/5000))
	t.Cleanup(cancel)
	return ctx
}

func persist(ctx context.Context, sender *demo.Sender, d demo.Request) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := sender.Send(ctx, d)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// connection is what the API tells of one, as far as it is needed here.
type connection struct {
	Lag float64 `json:"lag_seconds"`
}

// items waits until everything is decoded, stops the process and reads, from the engine's
// files, every item as a line: all that it says, and nothing of how it came.
func (s *shape) items(t *testing.T) []string {
	t.Helper()
	ctx := unhurried(t)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for waiting, looks := true, 1; waiting; looks++ {
		var page struct {
			Items []connection
		}
		if err := s.play(0).Sender.Get(ctx, "/v1/connections", &page); err != nil {
			t.Fatal(err)
		}
		waiting = slices.ContainsFunc(page.Items, func(c connection) bool { return c.Lag > 0 })
		if looks%100 == 0 {
			t.Logf("decoding: what is taken now came up to %.0f s ago", slices.MaxFunc(page.Items, func(a, b connection) int { return cmp.Compare(a.Lag, b.Lag) }).Lag)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("not everything was decoded in time")
		}
	}
	s.programs["throughline"].stop(t)
	dir := filepath.Join(s.data, "clickhouse")
	_, addr := start(t, nil, `listening on (\S+)`, "throughline", "engine", "--data", dir)
	db, err := store.Open(ctx, store.Options{Addr: []string{addr}, Database: "throughline", Username: "throughline", Password: password(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Conn().Query(ctx, `SELECT toString(tuple(id, source, connection, conversation, customer, customer_name, customer_email,
		account_id, account_name, text, messages, url, created_at, updated_at)) FROM items FINAL ORDER BY workspace, id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// conversations makes n webhooks of the three sources and a tracker, in order: threads that
// customers open, answer, correct and take back, while tickets move.
func conversations(n int) []demo.Request {
	random := rand.New(rand.NewPCG(3, 1415))
	w := &writer{random: random, at: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)}
	for c := 0; len(w.out) < n; c++ {
		switch c % 7 {
		case 0, 1, 2:
			w.slackThread(c)
		case 3, 4:
			w.intercomConversation(c)
		case 5:
			w.zendeskTicket(c)
		default:
			w.out = append(w.out, demo.Move(demo.Tickets()[c%2], demo.Todo, demo.InProgress, w.tick()))
		}
	}
	return w.out[:n]
}

type writer struct {
	random *rand.Rand
	at     time.Time
	out    []demo.Request
}

type object = map[string]any

func (w *writer) tick() time.Time {
	w.at = w.at.Add(time.Duration(1+w.random.IntN(40)) * time.Second)
	return w.at
}

var vocabulary = strings.Fields("the export of invoices fails half way since Monday please add a dark mode 日本語 on slow pages “quoted” naïve 🚨 billing search never finds what I typed why does login loop")

func (w *writer) words() string {
	out := make([]string, 6+w.random.IntN(20))
	for i := range out {
		out[i] = vocabulary[w.random.IntN(len(vocabulary))]
	}
	return strings.Join(out, " ")
}

func (w *writer) send(vendor string, body object) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	w.out = append(w.out, demo.Request{Connection: "demo-" + vendor, Vendor: vendor, ContentType: "application/json", Body: b})
}

func (w *writer) slackThread(c int) {
	event := func(e object) {
		e["type"], e["channel"] = "message", fmt.Sprintf("C%03d", c%40)
		w.send("slack", object{"type": "event_callback", "team_id": "T1", "event_id": fmt.Sprintf("Ev%08d", len(w.out)), "event": e})
	}
	stamp := func() string { return fmt.Sprintf("%d.%06d", w.tick().Unix(), len(w.out)) }
	thread := stamp()
	ts := thread
	for range 1 + w.random.IntN(5) {
		user, text := fmt.Sprintf("U%d", w.random.IntN(200)), w.words()
		event(object{"user": user, "ts": ts, "thread_ts": thread, "text": text})
		for w.random.IntN(3) == 0 {
			old := text
			text = w.words()
			event(object{"subtype": "message_changed", "event_ts": stamp(), "message": object{"user": user, "ts": ts, "thread_ts": thread, "text": text, "edited": object{"user": user, "ts": stamp()}}, "previous_message": object{"ts": ts, "thread_ts": thread, "text": old}})
		}
		if w.random.IntN(8) == 0 {
			event(object{"subtype": "message_deleted", "deleted_ts": ts, "event_ts": stamp(), "previous_message": object{"ts": ts, "thread_ts": thread, "text": text}})
		}
		ts = stamp()
	}
}

func (w *writer) intercomConversation(c int) {
	notify := func(topic string, item object) {
		item["type"], item["id"] = "conversation", fmt.Sprint(5000+c)
		w.send("intercom", object{"type": "notification_event", "app_id": "app", "id": fmt.Sprintf("notif_%d", len(w.out)), "topic": topic, "created_at": w.tick().Unix(), "data": object{"item": item}})
	}
	n := w.random.IntN(200)
	author := object{"type": "user", "id": fmt.Sprintf("c%d", n), "name": fmt.Sprintf("Customer %d", n), "email": fmt.Sprintf("c%d@company%d.example", n, n%20)}
	notify("conversation.user.created", object{"created_at": w.tick().Unix(), "source": object{"id": fmt.Sprint("s", c), "body": "<p>" + w.words() + "</p>", "author": author}})
	for range w.random.IntN(4) {
		id, at := fmt.Sprintf("p%d-%d", c, len(w.out)), w.tick().Unix()
		part := object{"id": id, "part_type": "comment", "body": "<p>" + w.words() + "</p>", "author": author, "created_at": at, "updated_at": at}
		notify("conversation.user.replied", object{"conversation_parts": object{"conversation_parts": []object{part}}})
		if w.random.IntN(10) == 0 {
			part["redacted"], part["body"] = true, ""
			notify("conversation_part.redacted", object{"conversation_parts": object{"conversation_parts": []object{part}}})
		}
	}
}

func (w *writer) zendeskTicket(c int) {
	event := func(kind string, comment object) {
		at := w.tick().Format("2006-01-02T15:04:05.000000000Z")
		w.send("zendesk", object{"account_id": 1, "id": fmt.Sprintf("zd-%d", len(w.out)), "type": "zen:event-type:ticket." + kind, "time": at, "detail": object{"id": fmt.Sprint(9000 + c)}, "event": object{"comment": comment}})
	}
	for range 1 + w.random.IntN(4) {
		id := fmt.Sprint(700000 + len(w.out))
		event("comment_added", object{"id": id, "body": w.words(), "is_public": true, "author": object{"id": fmt.Sprint(w.random.IntN(200)), "is_staff": false, "name": "Ada"}})
		if w.random.IntN(10) == 0 {
			event("comment_redacted", object{"id": id})
		}
	}
}

// disorder moves every webhook up to fifty places, and sends one in eight again, soon or
// much later.
func disorder(tidy []demo.Request) []demo.Request {
	random := rand.New(rand.NewPCG(2, 7182))
	type placed struct {
		demo.Request
		at int
	}
	var all []placed
	for i, d := range tidy {
		all = append(all, placed{d, i + random.IntN(100)})
		switch random.IntN(16) {
		case 0:
			all = append(all, placed{d, i + random.IntN(100)})
		case 1:
			all = append(all, placed{d, i + random.IntN(len(tidy))})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.at - b.at })
	out := make([]demo.Request, len(all))
	for i, p := range all {
		out[i] = p.Request
	}
	return out
}
