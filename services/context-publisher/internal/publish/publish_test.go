package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/broker/brokertest"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/publish"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) {
	if servers := os.Getenv(childVariable); servers != "" {
		if err := child(servers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

// clock is a clock that a test turns.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.nanos.Add(int64(d)) }

// bench is a publisher with everything real around it but the vendor's cloud.
type bench struct {
	*worldtest.World
	bus     *bus.Bus
	jira    *vendortest.Jira
	jiraURL string
	read    *read.Reader
	decide  *decide.Decider
	clock   *clock
	briefs  <-chan bus.Message
	tracker tracker.Tracker
	start   func() (stop func())
}

var said = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func setUp(t *testing.T) *bench {
	t.Helper()
	return over(t, brokertest.New(t), storetest.New(t))
}

// over is a bench over a broker and a store.
func over(t *testing.T, server *broker.Server, db *store.DB) *bench {
	t.Helper()
	b, err := bus.New(brokertest.Dial(t, server), bus.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry(), Syncer: server})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	jira := vendortest.NewJira(vendortest.JiraOptions{Email: "bot@acme.example", APIToken: "jira-token"})
	url, err := jira.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = jira.Close() })
	writes, err := tracker.NewJira(tracker.JiraConfig{BaseURL: url, Email: "bot@acme.example", APIToken: "jira-token"}, tracker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := read.New(t.Context(), db, b)
	if err != nil {
		t.Fatal(err)
	}
	x := &bench{World: worldtest.New("acme", db, b), bus: b, jira: jira, jiraURL: url, read: r, clock: &clock{}, tracker: writes}
	x.clock.nanos.Store(said.Add(48 * time.Hour).UnixNano())
	if x.decide, err = decide.New(t.Context(), b, db, x.clock.now); err != nil {
		t.Fatal(err)
	}
	x.briefs = bustest.Collect(t, b, bus.Briefs, "briefs.*.acme")
	x.start = func() func() {
		p, err := publish.New(t.Context(), publish.Options{
			Bus: b, Store: db, Embedder: embed.Lexical(), Trackers: map[string]tracker.Tracker{"acme-jira": writes}, Workspaces: []string{"acme"},
			Holder: "test", PublicURL: "https://throughline.example", Gather: 200 * time.Millisecond, Pause: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Registerer: prometheus.NewRegistry(), Now: x.clock.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		var once atomic.Bool
		stop := func() {
			if once.CompareAndSwap(false, true) {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		t.Cleanup(stop)
		return stop
	}
	return x
}

// ticket publishes what the tracker said of a ticket.
func (x *bench) ticket(t *testing.T, kind event.Type, ticket feedback.Ticket) {
	t.Helper()
	ticket.Workspace, ticket.Tracker, ticket.Connection = "acme", feedback.Jira, "acme-jira"
	ticket.CreatedAt, ticket.UpdatedAt = said, said.Add(time.Duration(ticket.Version)*time.Second)
	e, err := event.New(kind, "ingestor", "acme", ticket.Key, feedback.ID("evt", string(kind), ticket.Key, fmt.Sprint(ticket.Version)), ticket.UpdatedAt,
		event.Ticket{Origin: event.Origin{Delivery: "dlv_9", Sequence: 9, AcceptedAt: x.clock.now()}, Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.bus.Publish(t.Context(), bus.Subject("tickets", "acme"), e); err != nil {
		t.Fatal(err)
	}
}

// again puts the newest message of a subject on it once more, as a redelivery would.
func (x *bench) again(t *testing.T, stream, subject string) {
	t.Helper()
	s, err := x.bus.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.bus.JetStream().Publish(t.Context(), subject, m.Data); err != nil {
		t.Fatal(err)
	}
}

// revised waits for the next revision of a brief.
func (x *bench) revised(t *testing.T) event.Brief {
	t.Helper()
	b, err := event.Payload[event.Brief](bustest.Await(t, x.briefs).Envelope)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until waits for a condition, checked whenever a settled moment may have come.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	within(t, 30*time.Second, what, holds)
}

func within(t *testing.T, most time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(most / 1000)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", most, what)
		}
	}
}

// quiet waits until every event that was published is settled.
func (x *bench) quiet(t *testing.T) {
	t.Helper()
	until(t, "every event is settled", func() bool { return x.settled(t) })
}

func (x *bench) settled(t *testing.T) bool {
	t.Helper()
	for _, n := range x.left(t) {
		if n > 0 {
			return false
		}
	}
	return true
}

func (x *bench) exports(t *testing.T) {
	t.Helper()
	x.jira.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "CSV export stops", Status: "To Do", Category: "new"})
	x.Account(t, "a1", "Nordhaven Retail", 48000, "Enterprise")
	x.Account(t, "a2", "Quillmark Media", 21600, "Business")
	x.Name("clu_exports", "CSV export stops half way")
	x.Say(t,
		worldtest.Saying{Cluster: "clu_exports", Customer: "Ingrid Solvang", Account: "a1", At: said, Severity: 0.7, URL: "https://help.example/1",
			Text: "The CSV export stops half way on large boards. We are on version 8.14.2 and use Firefox."},
		worldtest.Saying{Cluster: "clu_exports", Customer: "Dario Venn", Account: "a2", At: said.Add(time.Hour), Severity: 0.5,
			Text: "CSV export stops after 10,000 rows, only when a filter is set."},
		worldtest.Saying{Cluster: "clu_login", Customer: "Suki Amaral", At: said.Add(2 * time.Hour), Severity: 0.4,
			Text: "Two factor codes arrive too late to sign in."},
		worldtest.Saying{Cluster: "clu_dark", Customer: "Lonnie Abara", At: said.Add(3 * time.Hour), Kind: feedback.FeatureRequest,
			Text: "Please add a dark mode for the office television."},
	)
}

var exports = feedback.Ticket{Key: "PROJ-1", ExternalID: "10001", Title: "CSV export stops half way on large boards",
	Body: "The export of a large board to CSV stops after some rows.", Status: "To Do", Category: feedback.Open, Version: 1}

// own are the comments that our credentials wrote.
func (x *bench) own(key string) []vendortest.JiraComment { return x.jira.Comments(key) }

func TestATicketGetsItsClustersItsBriefAndOneBlock(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	first := x.revised(t)
	if first.Revision != 1 || !first.Material || first.AcceptedAt.IsZero() {
		t.Errorf("first revision is %+v", first)
	}
	x.quiet(t)

	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(detail.Attachments) != 1 || detail.Attachments[0].Cluster != "clu_exports" || detail.Attachments[0].Mode != feedback.Automatic {
		t.Fatalf("attachments are %+v", detail.Attachments)
	}
	if a := detail.Attachments[0]; a.Terms["words"] == 0 || len(a.Reasons) < 2 || a.Name != "CSV export stops half way" {
		t.Errorf("the attachment does not say why: %+v", a)
	}
	if detail.Block == nil || detail.Block.State != "written" || detail.Block.Revision != 1 {
		t.Errorf("block is %+v", detail.Block)
	}
	b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.Asking.Voices != 2 || b.Asking.Accounts != 2 || len(b.Asking.Worth) != 1 || b.Asking.Worth[0].Amount != 69600 {
		t.Errorf("asking is %+v", b.Asking)
	}
	if got := len(x.own("PROJ-1")); got != 1 {
		t.Fatalf("%d comments", got)
	}
	if text := x.own("PROJ-1")[0].Text; !strings.Contains(text, "8.14.2") || !strings.Contains(text, "69,600 EUR") {
		t.Errorf("the block does not hold the context: %s", text)
	}
	if strings.Contains(brief.Markdown(b, nil), "Two factor") {
		t.Error("words of another cluster are in the brief")
	}

	for range 3 {
		x.again(t, bus.Tickets, bus.Subject("tickets", "acme"))
		x.again(t, bus.Briefs, bus.Subject("briefs", "acme"))
		x.again(t, bus.Worlds, bus.Subject("worlds", "acme"))
	}
	x.quiet(t)
	if got := x.own("PROJ-1"); len(got) != 1 || got[0].Edits != 0 {
		t.Errorf("after redeliveries: %d comments, the first edited %d times", len(got), got[0].Edits)
	}
	if again, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", 0); err != nil || again.Revision != 1 {
		t.Errorf("after redeliveries the revision is %d (%v)", again.Revision, err)
	}
}

func TestAMoveToInProgressPinsTheRevisionAndLaterChangesAreTold(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	started := exports
	started.Version, started.Status, started.Category = 2, "In Progress", feedback.InProgress
	x.ticket(t, event.TicketMoved, started)
	picked := x.revised(t)
	x.quiet(t)

	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
	if err != nil {
		t.Fatal(err)
	}
	if int64(detail.PickedUp) != picked.Revision || len(detail.Moves) != 2 || detail.Changed {
		t.Fatalf("picked up at %d, want %d; moves %+v; changed %v", detail.PickedUp, picked.Revision, detail.Moves, detail.Changed)
	}
	if c, err := x.read.Changes(t.Context(), "acme", feedback.Jira, "PROJ-1", read.Since{PickUp: true}); err != nil || len(c.Lines) != 0 {
		t.Fatalf("changes right after the pick-up: %+v, %v", c.Lines, err)
	}

	x.clock.forward(time.Minute)
	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Gethin Prosser", Account: "a5", At: said.Add(24 * time.Hour), Severity: 0.9,
		Text: "CSV export stops on large boards since version 9.1.0, only in the Frankfurt region."})
	x.revised(t)
	x.quiet(t)
	c, err := x.read.Changes(t.Context(), "acme", feedback.Jira, "PROJ-1", read.Since{PickUp: true})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Material || c.NewVoices != 1 || int64(c.From) != picked.Revision || !strings.Contains(brief.ChangesMarkdown(c.Changes), "Frankfurt") {
		t.Errorf("changes are %+v", c)
	}
	if detail, err = x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1"); err != nil || !detail.Changed {
		t.Errorf("the ticket in progress is not flagged as changed (%v)", err)
	}
	if text := x.own("PROJ-1")[0].Text; !strings.Contains(text, "What changed since") || !strings.Contains(text, "Frankfurt") || len(x.own("PROJ-1")) != 1 {
		t.Errorf("the block does not tell what changed: %s", text)
	}

	older := exports
	older.Version, older.Title = 1, "An older title"
	x.ticket(t, event.TicketEdited, older)
	x.quiet(t)
	if detail, err = x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1"); err != nil || detail.Title != exports.Title || detail.Category != feedback.InProgress {
		t.Errorf("an older version won: %q %s (%v)", detail.Title, detail.Category, err)
	}
}

func TestTheClustererIsToldHowFarTheTicketOfAClusterIs(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	told := bustest.Collect(t, x.bus, bus.Signals, "attached.*.acme")
	next := func() event.Attached {
		t.Helper()
		a, err := event.Payload[event.Attached](bustest.Await(t, told).Envelope)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	if a := next(); a.Category != feedback.Open || !slices.Equal(a.Clusters, []string{"clu_exports"}) || a.Ticket != "PROJ-1" {
		t.Errorf("first told %+v", a)
	}
	x.ticket(t, event.TicketEdited, exports) // nothing new: nothing is told
	started := exports
	started.Version, started.Status, started.Category = 2, "In Progress", feedback.InProgress
	x.ticket(t, event.TicketMoved, started)
	if a := next(); a.Category != feedback.InProgress || !a.At.Equal(said.Add(2*time.Second)) {
		t.Errorf("after the move told %+v", a)
	}
	x.quiet(t)
	if _, err := x.decide.Decide(t.Context(), feedback.Decision{Workspace: "acme", Action: feedback.Reject, Cluster: "clu_exports", Tracker: feedback.Jira, Ticket: "PROJ-1", By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if a := next(); len(a.Clusters) != 0 {
		t.Errorf("after a rejection told %+v", a)
	}
}

func TestADoneTicketSaysWhomToTellAndThenWhatWasHeardAgain(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.start()
	move := func(version int64, status string, category feedback.StatusCategory) {
		t.Helper()
		to := exports
		to.Version, to.Status, to.Category = version, status, category
		x.ticket(t, event.TicketMoved, to)
		x.revised(t)
		x.quiet(t)
	}
	has := func(when string, want ...string) {
		t.Helper()
		text := x.own("PROJ-1")[0].Text
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s the block lacks %q: %s", when, w, text)
			}
		}
	}
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	// A version is the second after what was said first: done an hour after the last of it.
	done := int64(2 * 60 * 60)
	move(done, "Done", feedback.Done)
	has("done,", "To be told that it is done", "Ingrid Solvang, Nordhaven Retail (Enterprise, 48,000 EUR a year), zendesk (1)", brief.Reply)
	if strings.Contains(x.own("PROJ-1")[0].Text, "Possible regression") {
		t.Error("a regression before anybody spoke")
	}

	x.clock.forward(time.Minute)
	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Gethin Prosser", Account: "a5", At: said.Add(48 * time.Hour), Severity: 0.9,
		Text: "CSV export stops again on large boards since version 9.1.0."})
	if again := x.revised(t); !again.Material || !strings.Contains(strings.Join(again.Changes, "\n"), "possible regression: 1 person") {
		t.Errorf("the revision tells %v", again.Changes)
	}
	x.quiet(t)
	has("heard again,", "Possible regression", "1 person spoke of it", "since version 9.1.0", "What changed since")

	x.clock.forward(time.Minute)
	move(done+60, "Blocked", feedback.Open)
	has("reopened and blocked,", "What changed since", "since version 9.1.0")
	if text := x.own("PROJ-1")[0].Text; strings.Contains(text, "To be told") || len(x.own("PROJ-1")) != 1 {
		t.Errorf("an open ticket says whom to tell: %s", text)
	}
}

func TestChangesAreGatheredIntoOneWriteAlsoAcrossARestart(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	stop := x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	for i := range 5 {
		x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: fmt.Sprint("Customer ", i), At: said.Add(24 * time.Hour), Severity: 0.5,
			Text: fmt.Sprintf("CSV export stops for me too, after %d00 rows.", i+1)})
	}
	x.quiet(t)
	select {
	case m := <-x.briefs:
		t.Fatalf("written before it was due: %s", m.Data)
	default:
	}
	stop()
	x.clock.forward(time.Second)
	x.start()
	second := x.revised(t)
	if second.Revision != 2 {
		t.Errorf("revision %d, want 2", second.Revision)
	}
	x.quiet(t)
	b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", 0)
	if err != nil || b.Revision != 2 || b.Asking.Voices != 7 {
		t.Errorf("brief %d has %d voices (%v)", b.Revision, b.Asking.Voices, err)
	}
	if got := x.own("PROJ-1"); len(got) != 1 || got[0].Edits != 1 {
		t.Errorf("%d comments, edited %d times", len(got), got[0].Edits)
	}
}

func TestAClusterThatComesLaterFindsItsTicket(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.jira.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "CSV export stops", Status: "To Do", Category: "new"})
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	if b := x.revised(t); b.Material {
		t.Error("a brief without clusters is material")
	}
	x.quiet(t)
	if got := x.own("PROJ-1"); len(got) != 0 {
		t.Fatalf("a block was written for a ticket that nobody asks for: %+v", got)
	}
	x.clock.forward(time.Minute)
	x.Say(t,
		worldtest.Saying{Cluster: "clu_exports", Customer: "Ingrid Solvang", At: said, Text: "CSV export stops half way on large boards.", Severity: 0.6},
		worldtest.Saying{Cluster: "clu_login", Customer: "Suki Amaral", At: said, Text: "Two factor codes arrive too late to sign in."},
		worldtest.Saying{Cluster: "clu_named", Customer: "Petter Aune", At: said, Text: "Any news on PROJ-1? My boss keeps asking."})
	x.revised(t)
	x.quiet(t)
	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]feedback.Mode{}
	for _, a := range detail.Attachments {
		modes[a.Cluster] = a.Mode
	}
	if modes["clu_exports"] != feedback.Automatic || modes["clu_named"] != feedback.Automatic || modes["clu_login"] != "" {
		t.Errorf("attachments are %v", modes)
	}
	if got := x.own("PROJ-1"); len(got) != 1 {
		t.Errorf("%d comments", len(got))
	}
}

// A large cluster's typical quotes are not all that is said in it.
func TestOneOfManyVoicesThatNamesATicketAttachesItsCluster(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	for _, key := range []string{"PROJ-1", "PROJ-2"} {
		x.jira.AddIssue(vendortest.JiraIssue{Key: key, Summary: "Rotate the certificates", Status: "To Do", Category: "new"})
	}
	var many []worldtest.Saying
	for n := range 20 {
		many = append(many, worldtest.Saying{Cluster: "clu_exports", Customer: fmt.Sprint("Customer ", n), At: said, Text: fmt.Sprintf("CSV export stops half way, %d rows in.", n)})
	}
	many[7].Text += " Is that PROJ-2?" // before the ticket is there
	x.Say(t, many...)
	x.start()
	for n, key := range []string{"PROJ-1", "PROJ-2"} {
		x.ticket(t, event.TicketCreated, feedback.Ticket{Key: key, Title: "Rotate the certificates", Status: "To Do", Category: feedback.Open, Version: int64(n + 1)})
		x.revised(t)
	}
	x.quiet(t)
	attached := func(key string, want int) {
		t.Helper()
		detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, key)
		if err != nil || len(detail.Attachments) != want || len(x.own(key)) != want {
			t.Errorf("%s has %d blocks and attachments %+v (%v), want %d", key, len(x.own(key)), detail.Attachments, err, want)
		}
	}
	attached("PROJ-1", 0)
	attached("PROJ-2", 1)

	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Ingrid Solvang", At: said.Add(time.Hour), Text: "Wondering whether PROJ-1 is about me."})
	x.revised(t)
	x.quiet(t)
	attached("PROJ-1", 1)

	// It stays when the next voice, which names nothing, has the context built again.
	x.clock.forward(time.Minute)
	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Dario Venn", At: said.Add(2 * time.Hour), Text: "CSV export stops half way for me too, on Linux."})
	x.revised(t)
	x.quiet(t)
	attached("PROJ-1", 1)
}

func TestATrackerThatFailsDelaysAndNeverLosesOrDoubles(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	write := func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/comment")
	}
	x.jira.LoseAnswers(1, write)
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	x.quiet(t)
	if got := x.own("PROJ-1"); len(got) != 1 {
		t.Errorf("%d comments after a lost answer", len(got))
	}
	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
	if err != nil || detail.Block == nil || detail.Block.State != "written" {
		t.Errorf("block is %+v (%v)", detail.Block, err)
	}
}

func TestATrackerThatRefusesIsARecordedOutcomeAndNoDeadLetter(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.jira.RemoveIssue("PROJ-1")
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	x.quiet(t)
	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
	if err != nil || detail.Block == nil || detail.Block.State != "refused" || detail.Block.Problem == "" {
		t.Errorf("block is %+v (%v)", detail.Block, err)
	}
	dead, err := x.bus.DeadLetters(t.Context(), "acme", "", 10)
	if err != nil || len(dead) != 0 {
		t.Errorf("dead letters %+v (%v)", dead, err)
	}
}

func TestARestrictedOrDeletedTicketIsCleanedUp(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*feedback.Ticket){
		"restricted": func(t *feedback.Ticket) { t.Restricted = true },
		"deleted":    func(t *feedback.Ticket) { t.Deleted = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := setUp(t)
			x.exports(t)
			x.start()
			x.ticket(t, event.TicketCreated, exports)
			x.revised(t)
			x.quiet(t)
			closed := exports
			closed.Version = 2
			change(&closed)
			x.ticket(t, event.TicketEdited, closed)
			if b := x.revised(t); !b.Closed {
				t.Errorf("event %+v", b)
			}
			x.quiet(t)
			if got := x.own("PROJ-1"); len(got) != 0 {
				t.Errorf("%d comments are left", len(got))
			}
			if _, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1"); err != read.ErrNotFound {
				t.Errorf("the ticket is still shown: %v", err)
			}
			if _, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", 0); err != read.ErrNotFound {
				t.Errorf("its brief is still shown: %v", err)
			}
			c, err := x.read.Cluster(t.Context(), "acme", "clu_exports")
			if err != nil || len(c.Tickets) != 0 {
				t.Errorf("the cluster still names it: %+v (%v)", c.Tickets, err)
			}
		})
	}
}

func TestAPinAndARejectionAreFinalUntilTakenBack(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	decide := func(action feedback.Action, cluster string) feedback.Decision {
		t.Helper()
		d, err := x.decide.Decide(t.Context(), feedback.Decision{Workspace: "acme", Action: action, Cluster: cluster, Tracker: feedback.Jira, Ticket: "PROJ-1", By: "pm", Reason: "sure"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	modes := func() map[string]feedback.Mode {
		t.Helper()
		detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-1")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]feedback.Mode{}
		for _, a := range detail.Attachments {
			out[a.Cluster] = a.Mode
		}
		return out
	}
	rejection := decide(feedback.Reject, "clu_exports")
	if m := modes()["clu_exports"]; m != feedback.Rejected {
		t.Errorf("right after the decision the mode is %q", m)
	}
	x.revised(t)
	decide(feedback.Pin, "clu_login")
	x.revised(t)
	x.quiet(t)
	b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", 0)
	if err != nil || len(b.Clusters) != 1 || b.Clusters[0].ID != "clu_login" || b.Clusters[0].Mode != feedback.Pinned || len(b.Decisions) != 2 {
		t.Fatalf("clusters %+v, decisions %v (%v)", b.Clusters, b.Decisions, err)
	}
	x.clock.forward(time.Minute)
	x.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Gethin Prosser", At: said.Add(time.Hour), Text: "CSV export stops half way on large boards again."})
	x.quiet(t)
	if m := modes(); m["clu_exports"] != feedback.Rejected || m["clu_login"] != feedback.Pinned {
		t.Errorf("a later change overruled a person: %v", m)
	}
	x.Merge(t, "clu_login", "clu_dark")
	x.quiet(t)
	x.clock.forward(time.Minute)
	until(t, "the pin follows the merge", func() bool { return modes()["clu_dark"] == feedback.Pinned })

	if _, err := x.decide.Undo(t.Context(), "acme", rejection.ID, "pm", "was wrong"); err != nil {
		t.Fatal(err)
	}
	until(t, "the rejection is taken back", func() bool { return modes()["clu_exports"] == feedback.Automatic })
	if _, err := x.decide.Undo(t.Context(), "acme", rejection.ID, "pm", "twice"); err != nil {
		t.Errorf("taking back twice: %v", err)
	}
	d, undone, err := x.read.Decision(t.Context(), "acme", rejection.ID)
	if err != nil || d.By != "pm" || undone == "" {
		t.Errorf("decision %+v undone by %q (%v)", d, undone, err)
	}
	if _, err := x.decide.Undo(t.Context(), "other", rejection.ID, "pm", ""); err != read.ErrNotFound {
		t.Errorf("another workspace could take it back: %v", err)
	}
}

func TestWithdrawnWordsLeaveEveryRevision(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	x.exports(t)
	x.start()
	x.ticket(t, event.TicketCreated, exports)
	x.revised(t)
	x.quiet(t)
	x.clock.forward(time.Minute)
	x.Withdraw(t, 0)
	x.revised(t)
	x.quiet(t)
	for _, revision := range []uint64{0, 1, 2} {
		b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-1", revision)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "8.14.2") || strings.Contains(string(body), "Firefox") {
			t.Errorf("revision %d still shows withdrawn words: %s", revision, body)
		}
	}
	c, err := x.read.Changes(t.Context(), "acme", feedback.Jira, "PROJ-1", read.Since{Revision: 1})
	if err != nil || len(c.Withdrawn) == 0 || !c.Material {
		t.Errorf("changes %+v (%v)", c, err)
	}
	if text := x.own("PROJ-1")[0].Text; strings.Contains(text, "Firefox") {
		t.Error("the block still shows withdrawn words")
	}
}

func TestATicketIsOfferedALargeClusterThatAFewQuotesNearItAreIn(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	var sayings []worldtest.Saying
	for i := range 30 {
		sayings = append(sayings, worldtest.Saying{Cluster: "clu_big", Customer: fmt.Sprint("c", i), Text: fmt.Sprintf("the app is bad and sad and slow, version %d", i), At: said})
	}
	sayings = append(sayings, worldtest.Saying{Cluster: "clu_big", Customer: "ann", Text: "downloaded songs will not play offline in the train", At: said})
	x.Say(t, sayings...)
	x.start()
	x.ticket(t, event.TicketCreated, feedback.Ticket{Key: "PROJ-8", Version: 1, Title: "Downloaded songs will not play offline", Status: "To Do", Category: feedback.Open})
	x.revised(t)
	detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-8")
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]feedback.Mode{}
	for _, a := range detail.Attachments {
		modes[a.Signal] = a.Mode
	}
	if len(modes) != 2 || modes[""] != feedback.Suggested || modes[x.SignalID(30)] != feedback.Automatic {
		t.Errorf("attachments %+v", detail.Attachments)
	}
}

func TestATicketIsOfferedASingleSignalThatAPersonRulesOnForGood(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	var sayings []worldtest.Saying
	for i := range 60 {
		sayings = append(sayings, worldtest.Saying{Cluster: "clu_big", Customer: fmt.Sprint("c", i), Text: fmt.Sprintf("the app is bad and sad and slow, version %d", i), At: said})
	}
	sayings = append(sayings, worldtest.Saying{Cluster: "clu_big", Customer: "ann", Text: "offline songs stay silent in the train since version 8.14.2, and my seat neighbour says the same", At: said})
	x.Say(t, sayings...)
	near, far := x.SignalID(60), x.SignalID(0)
	x.start()
	x.ticket(t, event.TicketCreated, feedback.Ticket{Key: "PROJ-8", Version: 1, Title: "Downloaded songs will not play offline", Status: "To Do", Category: feedback.Open})
	x.revised(t)
	attachments := func() map[string]read.Attachment {
		t.Helper()
		detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-8")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]read.Attachment{}
		for _, a := range detail.Attachments {
			id := a.Signal
			if id == "" {
				id = a.Cluster
			}
			out[id] = a
		}
		return out
	}
	a := attachments()
	if a[near].Mode != feedback.Suggested || len(a) != 1 {
		t.Fatalf("attachments %+v", a)
	}
	if one := a[near]; one.Cluster != "clu_big" || one.Item != x.ItemID(60) || !strings.Contains(one.Name, "songs") || one.Terms["chance"] < 0.1 {
		t.Errorf("the signal by itself is %+v", one)
	}

	decide := func(action feedback.Action, signal string) feedback.Decision {
		t.Helper()
		d, err := x.decide.Decide(t.Context(), feedback.Decision{Workspace: "acme", Action: action, Signals: []string{signal}, Tracker: feedback.Jira, Ticket: "PROJ-8", By: "pm"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	pin := decide(feedback.Pin, near)
	until(t, "the pin is shown", func() bool { return attachments()[near].Mode == feedback.Pinned })
	x.revised(t)
	x.quiet(t)
	b, err := x.read.Brief(t.Context(), "acme", feedback.Jira, "PROJ-8", 0)
	if err != nil || len(b.Clusters) != 1 || !b.Clusters[0].Single || b.Clusters[0].ID != near || b.Asking.Voices != 1 {
		t.Fatalf("the brief is of %+v, voices %d (%v)", b.Clusters, b.Asking.Voices, err)
	}
	text := brief.Markdown(b, nil)
	if !strings.Contains(text, "8.14.2") || strings.Contains(text, "bad and sad") {
		t.Errorf("the brief tells not what the one said, or what the others of its cluster did:\n%s", text)
	}
	decide(feedback.Reject, far)
	x.clock.forward(time.Minute)
	if _, err := x.decide.Undo(t.Context(), "acme", pin.ID, "pm", "was wrong"); err != nil {
		t.Fatal(err)
	}
	until(t, "the pin is taken back and the rejection stands", func() bool {
		a := attachments()
		return a[near].Mode == feedback.Suggested && a[far].Mode == feedback.Rejected
	})
	for _, d := range []feedback.Decision{
		{Signals: []string{near, far}}, {Cluster: "clu_big", Signals: []string{near}}, {}, {Signals: []string{"sig_none"}},
	} {
		d.Workspace, d.Action, d.Tracker, d.Ticket, d.By = "acme", feedback.Pin, feedback.Jira, "PROJ-8", "pm"
		if _, err := x.decide.Decide(t.Context(), d); err == nil {
			t.Errorf("pinned %q and %v", d.Cluster, d.Signals)
		}
	}
}

func TestASignalThatComesLaterFindsItsTicketByItself(t *testing.T) {
	t.Parallel()
	x := setUp(t)
	var sayings []worldtest.Saying
	for i := range 60 {
		sayings = append(sayings, worldtest.Saying{Cluster: "clu_big", Customer: fmt.Sprint("c", i), Text: fmt.Sprintf("the app is bad and sad and slow, version %d", i), At: said})
	}
	x.Say(t, sayings...)
	x.start()
	x.ticket(t, event.TicketCreated, feedback.Ticket{Key: "PROJ-8", Version: 1, Title: "Downloaded songs will not play offline", Status: "To Do", Category: feedback.Open})
	x.revised(t)
	x.quiet(t)
	x.clock.forward(time.Minute)
	x.Say(t, worldtest.Saying{Cluster: "clu_big", Customer: "ann", Text: "offline songs stay silent in the train since this morning, and my seat neighbour says the same", At: said.Add(time.Hour)})
	late := x.SignalID(60)
	until(t, "the signal is offered", func() bool {
		detail, err := x.read.Ticket(t.Context(), "acme", feedback.Jira, "PROJ-8")
		return err == nil && slices.ContainsFunc(detail.Attachments, func(a read.Attachment) bool { return a.Signal == late && a.Mode == feedback.Suggested })
	})
}
