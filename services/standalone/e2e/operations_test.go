package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// otlp is a collector of traces.
type otlp struct {
	*httptest.Server
	mu     sync.Mutex
	traces map[string][]*spans.Span
	raw    bytes.Buffer
}

func startOTLP(t *testing.T) *otlp {
	t.Helper()
	o := &otlp{traces: map[string][]*spans.Span{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.raw.Write(body)
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					o.traces[string(s.TraceId)] = append(o.traces[string(s.TraceId)], s)
				}
			}
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// hops are what one delivery of feedback passes on its way into a ticket.
var hops = []string{
	"POST /webhooks/{connection}",
	"process DELIVERIES ingestor-decode",
	"process ITEMS classifier",
	"process ITEMS clusterer",
	"process WORLDS publisher-worlds",
	"process BRIEFS publisher-briefs",
	"PUT 127.0.0.1", // the block that is there is updated
}

// hop is what a span is called in the table: its name, with who took the message or which
// host was asked.
func hop(s *spans.Span) string {
	who := ""
	for _, a := range s.Attributes {
		if a.Key == "messaging.consumer.group.name" || a.Key == "server.address" {
			who = a.Value.GetStringValue()
		}
	}
	return regexp.MustCompile(`-\d\d$`).ReplaceAllString(strings.TrimSpace(s.Name+" "+who), "")
}

// whole returns the trace that has every hop, each but the first below another of it.
func (o *otlp) whole() []*spans.Span {
	o.mu.Lock()
	defer o.mu.Unlock()
next:
	for _, all := range o.traces {
		seen, ids, roots := map[string]bool{}, map[string]bool{}, 0
		for _, s := range all {
			seen[hop(s)], ids[string(s.SpanId)] = true, true
		}
		for _, h := range hops {
			if !seen[h] {
				continue next
			}
		}
		for _, s := range all {
			if len(s.ParentSpanId) == 0 {
				roots++
			} else if !ids[string(s.ParentSpanId)] {
				continue next
			}
		}
		if roots == 1 {
			return all
		}
	}
	return nil
}

// tell lists what has come, for a failure.
func (o *otlp) tell() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for id, all := range o.traces {
		fmt.Fprintf(&b, "%x", id)
		for _, s := range all {
			fmt.Fprintf(&b, " [%s]", hop(s))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// prometheus starts the server of Debian's package on what operators get: the scrape of one
// all-in-one, with the alert rules. It returns its address.
func prometheus(t *testing.T, target string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".cache", "prometheus", "usr", "bin", "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("Prometheus is missing: run `make prometheus` first")
	}
	rules, err := filepath.Abs(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: throughline, static_configs: [{targets: [%q]}]}]
`, rules, target)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := run(t, nil, `msg="Listening on" address=(\S+)`, path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	return "http://" + address
}

var monitoring = filepath.Join("..", "..", "..", "deploy", "monitoring")

// named lists the metrics that the alert rules and the dashboards ask for.
func named(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(monitoring, "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	seen := map[string]bool{}
	var out []string
	for _, f := range append(files, filepath.Join(monitoring, "alerts.yml")) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:throughline|process|go)_[a-z0-9_]+`).FindAllString(string(b), -1) {
			if !seen[m] {
				seen[m] = true
				out = append(out, m)
			}
		}
	}
	if len(out) < 30 {
		t.Fatalf("found only %d metrics", len(out))
	}
	return out
}

// answer asks Prometheus.
func answer(t *testing.T, url string, into any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// What operators watch is there: one delivery's trace has a span for every hop and no word of
// a customer, and a real Prometheus finds every metric that alerts and dashboards name.
func TestOperatorsSeeWhatHappens(t *testing.T) {
	t.Parallel()
	traces := startOTLP(t)
	s := allInOne(t, lexical, with("THROUGHLINE_TRACES_ENDPOINT="+traces.URL+"/v1/traces"))
	watcher := prometheus(t, strings.TrimPrefix(s.url, "http://"))
	ctx, sender := deadline(t), s.play(0).Sender
	slack := func(user, ts, text string) {
		t.Helper()
		b, err := json.Marshal(object{"type": "event_callback", "team_id": "T1", "event_id": "Ev" + ts, "event": object{
			"type": "message", "channel": "C1", "user": user, "ts": fmt.Sprintf("%d.%s", at.Unix(), ts), "text": text,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(ctx, demo.Request{Connection: "demo-slack", Vendor: "slack", ContentType: "application/json", Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	ticket := demo.Tickets()[0]
	if err := sender.Send(ctx, demo.Create(ticket, at)); err != nil {
		t.Fatal(err)
	}
	const words = "vanish whenever my train enters a tunnel"
	slack("U1", "000100", "Downloaded songs "+words+".")
	cluster := s.clusterOf(t, ctx, words, func(c demo.Cluster) bool { return c.Signals == 1 })
	path := "/v1/tickets/" + ticket.Tracker + "/" + ticket.Key
	s.until(t, "the ticket", func() bool { return sender.Get(ctx, path, &struct{}{}) == nil })
	if err := sender.Post(ctx, path+"/attachments", map[string]string{"action": "pin", "cluster": cluster.ID, "reason": "this is it"}); err != nil {
		t.Fatal(err)
	}
	blocks := func() bool {
		b, err := s.trackers.Blocks()
		return err == nil && len(b) == 1
	}
	s.until(t, "the first block", blocks)
	slack("U3", "000300", "Die App stürzt immer ab, sobald ich ein Lied herunterladen möchte.")
	slack("U4", "000400", "Thanks a lot!")
	var trace []*spans.Span
	defer func() {
		if t.Failed() {
			t.Logf("the traces that came:\n%s", traces.tell())
		}
	}()
	// What comes while a brief is gathered continues the trace of what came first, which may be
	// the decision: more is said until a delivery is the first.
	said, asked := 0, 0
	s.until(t, "a trace with every hop", func() bool {
		if asked++; asked%20 == 1 {
			said++
			slack(fmt.Sprint("U1", said), fmt.Sprintf("0010%02d", said), fmt.Sprintf("For %d weeks downloaded songs %s.", said+1, words))
		}
		trace = traces.whole()
		return trace != nil
	})
	if len(trace) > 4*len(hops) {
		t.Errorf("one delivery left %d spans", len(trace))
	}
	for _, private := range []string{"tunnel", "Downloaded", "U1", "demo-token"} {
		if bytes.Contains(traces.raw.Bytes(), []byte(private)) {
			t.Errorf("the traces hold %q", private)
		}
	}
	var known struct{ Data []string }
	var absent []string
	defer func() {
		if len(absent) > 0 {
			t.Logf("Prometheus does not know %v", absent)
		}
	}()
	missing := func() bool {
		absent = nil
		answer(t, watcher+"/api/v1/label/__name__/values", &known)
		have := map[string]bool{}
		for _, m := range known.Data {
			have[m] = true
		}
		for _, m := range named(t) {
			if !have[m] {
				absent = append(absent, m)
			}
		}
		return len(absent) > 0
	}
	s.until(t, "the metrics that alerts and dashboards name", func() bool { return !missing() })
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	s.until(t, "the alert rules", func() bool {
		answer(t, watcher+"/api/v1/rules", &rules)
		for _, g := range rules.Data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return false
				}
			}
		}
		return len(rules.Data.Groups) > 0
	})
}

var parenthesis = regexp.MustCompile(`\([^)]*\)`)

// With the users of deploy/compose/nats.conf a service publishes to the stages that it owns in
// the topology, and to no other; the ingestor, which puts dead letters back, to all of them.
func TestServicesMayPublishWhatTheyOwn(t *testing.T) {
	t.Parallel()
	users := []string{"ingestor", "classifier", "clusterer", "context-publisher"}
	var passwords []string
	for _, u := range append([]string{"admin"}, users...) {
		passwords = append(passwords, "NATS_"+strings.ToUpper(strings.ReplaceAll(u, "-", "_"))+"_PASSWORD=of-"+u)
	}
	_, address := run(t, passwords, `Listening for client connections on (\S+)`, natsServer(t), "-c", natsConfiguration(t))
	for _, user := range users {
		nc, err := nats.Connect("nats://"+address, nats.UserInfo(user, "of-"+user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		allows := func(subject string, may bool) {
			before := nc.LastError()
			if err := nc.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil { // a refusal has come when this is answered
				t.Fatal(err)
			}
			if got := nc.LastError() == before; got != may {
				t.Errorf("%s publishing to %s: allowed is %v, and should be %v", user, subject, got, may)
			}
		}
		for _, stream := range bus.Topology {
			for _, subject := range stream.Subjects {
				stage, _, _ := strings.Cut(subject, ".")
				// An owner with stages in parentheses owns those, one without the rest of the stream.
				may := user == "ingestor" || stream.Owner == "every service"
				named := strings.Contains(strings.Join(parenthesis.FindAllString(stream.Owner, -1), " "), stage)
				for owner := range strings.SplitSeq(stream.Owner, "; ") {
					name, of, limited := strings.Cut(owner, " (")
					may = may || name == user && (limited && strings.Contains(of, stage) || !limited && !named)
				}
				allows(stage+".05.demo.x", may)
			}
		}
		for _, bucket := range bus.Buckets {
			if slices.Contains(users, bucket.Owner) {
				allows("$KV."+bucket.Name+".x", user == bucket.Owner || user == "ingestor")
			}
		}
		allows("$JS.API.STREAM.DELETE.DELIVERIES", false)
	}
}
