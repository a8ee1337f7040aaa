package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// brokers is how many NATS servers the replicated shape has.
const brokers = 3

// cluster starts NATS servers that are one cluster, each with the accounts of deploy/compose,
// and returns the address of each.
func (s *shape) cluster(t *testing.T) []string {
	t.Helper()
	var routes []string
	for range brokers {
		// A server has to know the others' addresses before any of them listens.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var urls []string
	for n, route := range routes {
		name := fmt.Sprintf("broker-%d", n)
		p, url := run(t, passwords(), `Listening for client connections on (\S+)`, natsServer(t), "-c", natsConfiguration(t),
			"--name", name, "--cluster_name", "throughline", "--cluster", "nats://"+route, "--routes", "nats://"+strings.Join(routes, ",nats://"))
		s.programs[name] = p
		urls = append(urls, url)
	}
	return urls
}

// connect gives the administrator's view of the broker.
func (s *shape) connect(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.sql.nats)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// replicas starts three brokers that are one cluster, an engine, and two processes of each
// service, each with an address of its own, behind a proxy that asks them in turn. While the
// script sends its webhooks, one of each is killed and stays away, the one that has the work
// where one has it; the other classifier is killed before and started again, and so is the engine.
func replicas(t *testing.T, webhooks int, options ...func(*shape)) *shape {
	t.Helper()
	k := trackers(t)
	s := &shape{trackers: k, env: k.Environment(), programs: map[string]*program{}, quiet: 2 * bus.LeaseTerm}
	for _, o := range options {
		o(s)
	}
	engineDir := t.TempDir()
	urls := s.cluster(t)
	var engineAddr string
	s.programs["engine"], engineAddr = start(t, nil, `listening on (\S+)`, "throughline", "engine", "--data", engineDir)
	s.sql = storeAccess{engineAddr, password(t, engineDir), "nats://admin:of-admin@" + strings.Join(urls, ",nats://admin:of-admin@")}
	s.env = append(s.env, s.over("nats://"+strings.Join(urls, ",nats://"), engineAddr)...)
	s.env = append(s.env, "THROUGHLINE_NATS_REPLICAS=3")
	file := configuration(t)
	upstreams := map[string]*upstream{}
	for _, name := range users[1:] {
		upstreams[name] = &upstream{}
		for n := range 2 {
			p, address := s.service(t, name, file, "127.0.0.1:0")
			s.programs[fmt.Sprintf("%s-%d", name, n)] = p
			upstreams[name].addresses = append(upstreams[name].addresses, address)
		}
	}
	again := func(name string) {
		s.programs[name+"-0"], _ = s.service(t, name, file, upstreams[name].addresses[0])
	}
	_, port, _ := net.SplitHostPort(engineAddr)
	faults := []func(){
		func() { s.kill(t, "ingestor", "ingestor-decode") },
		func() { s.kill(t, "classifier", ""); again("classifier") },
		func() { s.kill(t, "clusterer", "clusterer-"+feedback.ShardToken("demo")) },
		func() { s.killBroker(t) },
		func() { s.end(t, "classifier-1") },
		func() { s.kill(t, "context-publisher", "publisher-"+feedback.ShardToken("demo")) },
		func() {
			s.programs["engine"].kill()
			s.programs["engine"], _ = start(t, nil, `listening on (\S+)`, "throughline", "engine", "--data", engineDir, "--port", port)
		},
	}
	s.url = serveProxy(t, upstreams, s.during(t, webhooks, faults))
	return s
}

// during returns what hears of every webhook, and makes the faults happen in turn, spread over
// the first half of those that a script sends. A test that ends before all of them did fails.
func (s *shape) during(t *testing.T, webhooks int, faults []func()) func() {
	t.Helper()
	every := max(1, webhooks/2/(len(faults)+1))
	var sent atomic.Int64
	due := make(chan func(), len(faults))
	var happening sync.WaitGroup
	happening.Go(func() {
		for range faults {
			if f, ok := <-due; ok {
				f()
			}
		}
	})
	t.Cleanup(func() {
		if int(sent.Load()) < every*len(faults) {
			t.Errorf("the script sent %d webhooks, and %d were to come before everything was killed", sent.Load(), every*len(faults))
			close(due)
		}
		happening.Wait()
	})
	return func() {
		if n := int(sent.Add(1)); n%every == 0 && n/every <= len(faults) {
			due <- faults[n/every-1]
		}
	}
}

// kill ends the process of a service that holds a lease, or any of its processes where no lease
// is named, and keeps it away.
func (s *shape) kill(t *testing.T, service, lease string) {
	victim := service + "-0"
	if lease != "" {
		victim = s.holder(t, service, lease)
	}
	s.end(t, victim)
}

// end kills a process.
func (s *shape) end(t *testing.T, name string) {
	t.Logf("killing %s", name)
	s.programs[name].kill()
}

// holder is the process that has a lease. Where a broker was just killed, the answer takes its
// time.
func (s *shape) holder(t *testing.T, service, lease string) string {
	js := s.connect(t)
	for until := time.Now().Add(patience); time.Now().Before(until); {
		kv, err := js.KeyValue(t.Context(), bus.BucketLeases)
		if err != nil {
			continue
		}
		var record struct{ Holder string }
		if e, err := kv.Get(t.Context(), lease); err == nil && json.Unmarshal(e.Value(), &record) == nil {
			for n := range 2 {
				name := fmt.Sprintf("%s-%d", service, n)
				if strings.Contains(record.Holder, fmt.Sprintf("-%d-", s.programs[name].PID())) {
					return name
				}
			}
		}
	}
	t.Errorf("nobody holds %s", lease)
	return service + "-0"
}

// killBroker ends the broker that leads the stream of deliveries.
func (s *shape) killBroker(t *testing.T) {
	victim := "broker-0"
	stream, err := s.connect(t).Stream(t.Context(), bus.Deliveries)
	if err != nil {
		t.Error(err)
	} else if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader != "" {
		victim = cluster.Leader
	}
	s.end(t, victim)
}

// eachOnce holds what several processes did to once each: one result for every event of the
// items stream, one input of each result, one assignment for every signal, one row for every item.
func (s *shape) eachOnce(t *testing.T) {
	t.Helper()
	js := s.connect(t)
	items, err := js.Stream(t.Context(), bus.Items)
	if err != nil {
		t.Fatal(err)
	}
	results, err := js.Stream(t.Context(), bus.Signals)
	if err != nil {
		t.Fatal(err)
	}
	info, err := results.Info(t.Context(), jetstream.WithSubjectFilter("signals.>"))
	if err != nil {
		t.Fatal(err)
	}
	var told uint64
	for _, n := range info.State.Subjects {
		told += n
	}
	if asked := items.CachedInfo().State.Msgs; told != asked {
		t.Errorf("%d results of %d events", told, asked)
	}
	db := s.store(t)
	defer db.Close()
	for _, table := range []struct{ name, key string }{{"assignments", "signal"}, {"inputs", "kind, id, sequence"}, {"items", "id"}} {
		var rows, distinct uint64
		query := fmt.Sprintf("SELECT count(), uniqExact(%s) FROM %s FINAL", table.key, table.name)
		if err := db.Conn().QueryRow(t.Context(), query).Scan(&rows, &distinct); err != nil {
			t.Fatal(err)
		}
		if rows == 0 || rows != distinct {
			t.Errorf("%d rows of %s for %d", rows, table.name, distinct)
		}
	}
}
