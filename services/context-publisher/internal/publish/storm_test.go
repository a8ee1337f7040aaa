package publish_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/publish"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

// The size of the storm; `make storm` plays 1,000 moves with ten kills.
var (
	moves = flag.Int("moves", 30, "ticket moves of the storm")
	kills = flag.Int("kills", 2, "how often the publisher is killed in the storm")
)

// childVariable, where set, makes the test binary a publisher over the servers it names.
const childVariable = "PUBLISHER_CHILD"

type childServers struct {
	NATS, Jira                   string
	Addr                         []string
	Database, Username, Password string
}

// child is a publisher process that runs until it is killed. Its holder has the name of the
// one before, as a restarted container has: it need not wait for the lease to expire.
func child(servers string) error {
	var c childServers
	if err := json.Unmarshal([]byte(servers), &c); err != nil {
		return err
	}
	nc, err := nats.Connect(c.NATS)
	if err != nil {
		return err
	}
	b, err := bus.New(nc, bus.Options{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: bus.ServerSync{}, Now: time.Now})
	if err != nil {
		return err
	}
	db, err := store.Open(context.Background(), store.Options{Addr: c.Addr, Database: c.Database, Username: c.Username, Password: c.Password})
	if err != nil {
		return err
	}
	writes, err := tracker.NewJira(tracker.JiraConfig{BaseURL: c.Jira, Email: "bot@acme.example", APIToken: "jira-token"}, tracker.Options{})
	if err != nil {
		return err
	}
	p, err := publish.New(context.Background(), publish.Options{
		Bus: b, Store: db, Embedder: embed.Lexical(), Trackers: map[string]tracker.Tracker{"acme-jira": writes}, Workspaces: []string{"acme"},
		Holder: "publisher-0", PublicURL: "https://throughline.example", Gather: 200 * time.Millisecond, Pause: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		return err
	}
	return p.Run(context.Background())
}

// shielded is an address at which a store answers as at addr, and keeps answering when a
// client dies in the middle of an answer: the embedded engine ends with a client that is
// killed then, which a server of its own does not.
func shielded(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client) // until the client is gone
				_ = server.(*net.TCPConn).CloseWrite()
			}()
			go func() {
				_, _ = io.Copy(client, server)
				_, _ = io.Copy(io.Discard, server) // what the client did not live to read
				_, _ = client.Close(), server.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// listening is a bench whose broker and store a process of its own can reach, with how to
// start a publisher there.
func listening(t *testing.T) (*bench, func() *exec.Cmd) {
	t.Helper()
	options := storetest.Options(t)
	db, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	server, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir(), MaxStore: 1 << 40, Reserve: broker.Reserve{Bytes: 16 << 20}, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	x := over(t, server, db)
	servers, err := json.Marshal(childServers{server.ClientURL(), x.jiraURL, []string{shielded(t, options.Addr[0])}, options.Database, options.Username, options.Password})
	if err != nil {
		t.Fatal(err)
	}
	return x, func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+string(servers))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed already, but for a failure
		return cmd
	}
}

// Tickets move and customers speak while strictly every third request to the tracker fails,
// some answers are lost, and the publisher is killed again and again. In the end each ticket
// shows one block, of the newest revision of its brief.
func TestAStormOfMovesEndsInOneBlockPerTicketWithTheNewestRevision(t *testing.T) {
	t.Parallel()
	x, start := listening(t)
	x.clock.nanos.Store(time.Now().UnixNano())
	tickets := max(6, *moves/40)
	key := func(n int) string { return fmt.Sprintf("PROJ-%d", n%tickets) }
	x.Name("clu_exports", "CSV export stops half way")
	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Ingrid Solvang", At: said, Severity: 0.6, Text: "CSV export of large boards stops half way."})
	for n := range tickets {
		x.jira.AddIssue(vendortest.JiraIssue{Key: key(n), Summary: "CSV export", Status: "To Do", Category: "new"})
	}
	x.jira.FailEvery(3, vendortest.Unavailable())
	x.jira.LoseAnswers(*moves/20, func(r *http.Request) bool {
		return r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/comment")
	})
	states := []feedback.StatusCategory{feedback.Open, feedback.InProgress, feedback.InProgress, feedback.Open}
	move := func(n int) {
		kind := event.TicketMoved
		if n < tickets {
			kind = event.TicketCreated
		}
		x.ticket(t, kind, feedback.Ticket{Key: key(n), Title: "CSV export of large boards stops half way", Status: fmt.Sprintf("Step %d", n), Category: states[n/tickets%len(states)], Version: int64(n + 1)})
	}
	publisher := start()
	for n := range tickets {
		move(n)
		bustest.Await(t, x.briefs)
	}
	for n := range tickets {
		// Tickets of one title are nobody's to tell apart: a person attaches.
		if _, err := x.decide.Decide(t.Context(), feedback.Decision{Workspace: "acme", Action: feedback.Pin, Cluster: "clu_exports",
			Tracker: feedback.Jira, Ticket: key(n), By: "pm", Reason: "storm"}); err != nil {
			t.Fatal(err)
		}
	}
	when := rand.New(rand.NewPCG(7, 8))
	done := tickets
	for k := range *kills {
		for end := tickets + *moves*(k+1)/(*kills); done < end; done++ {
			move(done)
		}
		x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: fmt.Sprint("Customer ", k), At: said.Add(time.Duration(k) * time.Hour), Severity: 0.5,
			Text: fmt.Sprintf("CSV export stops for me too, after %d00 rows.", k+1)})
		for range 1 + when.IntN(tickets/2) { // somewhere in the middle of what it has to do
			bustest.Await(t, x.briefs)
		}
		if err := publisher.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = publisher.Wait() // says that it was killed
		publisher = start()
	}
	go func() {
		for range x.briefs { // so that the collector goes on
		}
	}()
	defer func() {
		if t.Failed() {
			t.Logf("left to do: %v", x.left(t))
		}
	}()
	within(t, time.Minute+time.Duration(*moves)*time.Second/2, "each ticket shows the newest revision", func() bool {
		for n := range tickets {
			if x.shown(t, key(n)) == "" {
				return false
			}
		}
		return true
	})
	for n := range tickets {
		if got := x.own(key(n)); len(got) != 1 || !strings.Contains(got[0].Text, fmt.Sprintf("%d voices", *kills+1)) {
			t.Errorf("%s has %d blocks; the first does not tell of %d voices", key(n), len(got), *kills+1)
		}
	}
}

// left is what each durable has yet to settle.
func (x *bench) left(t *testing.T) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	n := feedback.Shard("acme")
	for _, d := range []struct{ stream, durable string }{
		{bus.Tickets, bus.PublisherTickets}, {bus.Worlds, bus.PublisherWorlds}, {bus.Signals, publish.Decisions}, {bus.Briefs, bus.PublisherBriefs},
	} {
		out[d.durable] = bustest.Pending(t, x.bus, d.stream, fmt.Sprintf("%s-%02d", d.durable, n))
	}
	return out
}

// shown is the text of a ticket's block where nothing is left to write: no event waits, no
// change is gathered, and the block has the newest revision. Otherwise it is empty.
func (x *bench) shown(t *testing.T, key string) string {
	t.Helper()
	if !x.settled(t) {
		return ""
	}
	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := x.own(key)
	if len(got) == 0 || detail.Block == nil || detail.Block.State != "written" || detail.Block.Revision != b.Revision || b.Asking.Voices != *kills+1 {
		return ""
	}
	return got[0].Text
}
