package clusterer_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/clusterer"
)

// kills is how often the clusterer is killed: make kill does it a hundred times.
var kills = flag.Int("kills", 4, "how often the clusterer is killed")

// childVariable, where set, makes the test binary a clusterer over the servers it names.
const childVariable = "CLUSTERER_CHILD"

type childServers struct {
	NATS                         string
	Addr                         []string
	Database, Username, Password string
	Holder                       string
}

// child is a clusterer process that runs until it is ended.
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
	s, err := clusterer.New(clusterer.Config{Workspaces: []string{workspace}, GapWait: time.Minute, SnapshotEvery: 25}, clusterer.Deps{
		Bus: b, Store: db, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Holder: c.Holder,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return s.Run(ctx)
}

// spawner makes surroundings that processes can share, and starts clusterers in them.
func spawner(t testing.TB) (f *fixture, spawn func(holder string) *exec.Cmd) {
	t.Helper()
	options := storetest.Options(t)
	db, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // its engine ends with the tests
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
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, bus.Options{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Syncer: server, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	f = &fixture{b, db, bustest.Collect(t, b, bus.Worlds, "worlds.>"), rand.New(rand.NewPCG(1, 1))}
	return f, func(holder string) *exec.Cmd {
		servers, err := json.Marshal(childServers{server.ClientURL(), options.Addr, options.Database, options.Username, options.Password, holder})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+string(servers))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was ended already, but for a failure
		return cmd
	}
}

// A clusterer that is killed at any moment, again and again, gives each signal one
// assignment, tells each input once, and ends with the clusters of one that never was.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const perRound = 15
	undisturbed := setup(t)
	undisturbed.run(t, "one")
	f, spawn := spawner(t)
	// A restarted container has the name of the one before: it need not wait for the lease.
	start := func() *exec.Cmd { return spawn("clusterer-0") }
	when := rand.New(rand.NewPCG(5, 5))
	told, total := uint64(0), 0
	for range *kills {
		for range perRound {
			f.result(t, total, f.item(t, total))
			undisturbed.result(t, total, undisturbed.item(t, total))
			total++
		}
		cmd := start()
		until := told + 1 + uint64(when.IntN(total-int(told)))
		f.await(t, told+1, until) // somewhere in the middle of what it has to do
		told = until
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says that it was killed
	}
	start()
	f.await(t, told+1, uint64(total))
	undisturbed.await(t, 1, uint64(total))
	f.hasEachOnce(t, total)
	f.isAs(t, undisturbed)
}

// hasEachOnce holds that the log has so many inputs, each of another item, and each signal one
// assignment.
func (f *fixture) hasEachOnce(t testing.TB, total int) {
	t.Helper()
	var inputs, distinct, assigned, signals uint64
	if err := f.db.Conn().QueryRow(t.Context(), "SELECT count(), uniqExact(id) FROM inputs FINAL WHERE workspace = ?", workspace).Scan(&inputs, &distinct); err != nil {
		t.Fatal(err)
	}
	if err := f.db.Conn().QueryRow(t.Context(), "SELECT count(), uniqExact(signal) FROM assignments FINAL WHERE workspace = ?", workspace).Scan(&assigned, &signals); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(total, total, total, total); fmt.Sprint(inputs, distinct, assigned, signals) != want {
		t.Errorf("%d inputs of %d items, %d assignments of %d signals; %d were sent", inputs, distinct, assigned, signals, total)
	}
}

// isAs holds that clusters and ranking are those of a clusterer that nobody disturbed.
func (f *fixture) isAs(t *testing.T, undisturbed *fixture) {
	t.Helper()
	if !reflect.DeepEqual(f.clusters(t), undisturbed.clusters(t)) {
		t.Error("the clusters are not those of a clusterer that was left alone")
	}
	if !reflect.DeepEqual(f.ranking(t), undisturbed.ranking(t)) {
		t.Error("the ranking is not that of a clusterer that was left alone")
	}
}
