// Package storetest gives tests a real ClickHouse: one engine for the test
// binary, started by the first test that asks, and a database of its own for
// each test.
//
// A package that uses it has, in one of its test files:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
package storetest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/schemas"
)

// shared is the test binary's engine. It is the package's only state, as long
// lived as the process: TestMain has no other way to hand it to tests.
var shared struct {
	sync.Mutex
	engine    *engine.Engine
	dir       string
	databases int
}

// Main runs the tests and exits with their status, after stopping the engine if
// one was started. It is also what makes the test binary able to be the engine:
// without it every New fails.
func Main(m *testing.M) {
	engine.Main()
	status := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// New returns a store over an empty database with the repository's migrations
// applied. The database is dropped and the store closed when the test ends. It
// may be used in parallel tests. A missing library fails the test, naming the
// remedy.
func New(t testing.TB) *store.DB {
	t.Helper()
	db := NewEmpty(t)
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	return db
}

// NewEmpty is New without the migrations.
func NewEmpty(t testing.TB) *store.DB {
	t.Helper()
	options := Options(t)
	db, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := db.Conn().Exec(ctx, "DROP DATABASE IF EXISTS "+options.Database+" SYNC"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Options are those of a store over a database name that no other test has, for
// tests that open it themselves (a service's own wiring, two at once). The
// database does not exist yet and goes with the engine.
func Options(t testing.TB) store.Options {
	t.Helper()
	e, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared.Lock()
	defer shared.Unlock()
	shared.databases++
	return store.Options{
		Addr:     []string{e.Addr()},
		Database: fmt.Sprintf("test_%d", shared.databases),
		Username: engine.Username,
		Password: e.Password(),
	}
}

// start returns the test binary's engine, starting it on the first call.
func start(ctx context.Context) (*engine.Engine, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.engine != nil {
		return shared.engine, nil
	}
	dir, err := os.MkdirTemp("", "throughline-engine-")
	if err != nil {
		return nil, fmt.Errorf("make engine folder: %w", err)
	}
	e, err := engine.Start(ctx, engine.Options{Dir: dir})
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	shared.engine, shared.dir = e, dir
	return e, nil
}

// stop ends the engine, if there is one, and removes its folder.
func stop() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := shared.engine.Stop(ctx)
	if removed := os.RemoveAll(shared.dir); err == nil && removed != nil {
		err = fmt.Errorf("remove engine folder: %w", removed)
	}
	return err
}
