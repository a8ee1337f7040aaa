package engine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/store"
)

// parentEnv makes this binary a process that starts an engine in the folder
// named, prints its address and process id, and waits to be killed.
const parentEnv = "ENGINE_TEST_PARENT"

func TestMain(m *testing.M) {
	engine.Main()
	if dir := os.Getenv(parentEnv); dir != "" {
		e, err := engine.Start(context.Background(), engine.Options{Dir: dir})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println(e.Addr(), e.PID())
		select {}
	}
	os.Exit(m.Run())
}

// within is how long a test waits for something that should happen soon: wide,
// because the machine may be busy with other tests.
const within = 60 * time.Second

// start starts an engine that the test's end stops.
func start(t testing.TB, o engine.Options) *engine.Engine {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	e, err := engine.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t testing.TB, e *engine.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// open opens a store over e that the test's end closes.
func open(t testing.TB, e *engine.Engine, o store.Options) *store.DB {
	t.Helper()
	o.Addr, o.Username, o.Password = []string{e.Addr()}, engine.Username, e.Password()
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// eventually polls until met says yes.
func eventually(t testing.TB, what string, met func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-deadline:
			t.Fatalf("waited %s for %s", within, what)
		case <-tick.C:
		}
	}
}

func createWords(t testing.TB, db *store.DB) {
	t.Helper()
	err := db.Conn().Exec(t.Context(), `CREATE TABLE IF NOT EXISTS words (id UInt64, word String)
		ENGINE = MergeTree ORDER BY id
		SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000`)
	if err != nil {
		t.Fatal(err)
	}
}

func insertWord(ctx context.Context, db *store.DB, id uint64) error {
	return db.Insert(ctx, "words", []string{"id", "word"}, [][]any{{id, "w"}}, fmt.Sprint("word-", id))
}

func countWords(t testing.TB, db *store.DB) (n uint64) {
	t.Helper()
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM words").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStartStopAndStartAgainKeepsRows(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there yet & <odd>")
	begun := time.Now()
	e := start(t, engine.Options{Dir: dir})
	t.Logf("ready after %s", time.Since(begun))
	if err := e.Healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := open(t, e, store.Options{})
	createWords(t, db)
	if err := insertWord(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	pid := e.PID()
	begun = time.Now()
	stop(t, e)
	t.Logf("stopped after %s", time.Since(begun))
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the engine's process is still there after Stop: %v", err)
	}
	if err := e.Healthy(t.Context()); err == nil {
		t.Error("a stopped engine says it is healthy")
	}
	stop(t, e) // the second Stop does nothing

	again := start(t, engine.Options{Dir: dir})
	if again.Password() != e.Password() {
		t.Error("the folder's password changed with a restart")
	}
	if n := countWords(t, open(t, again, store.Options{})); n != 1 {
		t.Errorf("%d rows after a restart, want 1", n)
	}
}

func TestAcknowledgedRowsSurviveAKillAndTheEngineComesBack(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Options{})
	registry := prometheus.NewPedanticRegistry()
	db := open(t, e, store.Options{Registerer: registry, RetryFor: within})
	createWords(t, db)
	const kills, rowsEach = 3, 5
	for kill := range kills {
		for i := range rowsEach {
			if err := insertWord(t.Context(), db, uint64(kill*rowsEach+i)); err != nil {
				t.Fatal(err)
			}
		}
		addr := e.Addr()
		if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the restart", func() bool { return e.Restarts() == kill+1 && e.Healthy(t.Context()) == nil })
		if e.Addr() != addr {
			t.Fatalf("the address moved from %s to %s", addr, e.Addr())
		}
	}
	// The pool's connections are to a dead process: Insert gets past them.
	if err := insertWord(t.Context(), db, kills*rowsEach); err != nil {
		t.Fatal(err)
	}
	if n := countWords(t, db); n != kills*rowsEach+1 {
		t.Errorf("%d rows, want %d", n, kills*rowsEach+1)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestAcknowledgedInsertWasSynced(t *testing.T) {
	t.Parallel()
	db := open(t, start(t, engine.Options{}), store.Options{})
	createWords(t, db)
	syncs := func() (n uint64) {
		t.Helper()
		err := db.Conn().QueryRow(t.Context(), "SELECT sum(value) FROM system.events WHERE event = 'FileSync'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := syncs()
	if err := insertWord(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if after := syncs(); after <= before {
		t.Errorf("%d file syncs before the insert, %d after it", before, after)
	}
}

func TestInsertWaitsOutACrash(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Options{})
	registry := prometheus.NewPedanticRegistry()
	db := open(t, e, store.Options{Registerer: registry, RetryFor: within})
	createWords(t, db)
	if err := insertWord(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := insertWord(t.Context(), db, 2); err != nil {
		t.Fatal(err)
	}
	if n := countWords(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if n, err := testutil.GatherAndCount(registry, "throughline_store_insert_errors_total"); err != nil || n == 0 {
		t.Errorf("the failed tries were not counted: %d %v", n, err)
	}
}

func TestKillOfTheParentLeavesNoEngineBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), executable)
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var addr string
	var pid int
	if _, err := fmt.Sscan(line, &addr, &pid); err != nil {
		t.Fatalf("parent said %q: %v", line, err)
	}

	// While the parent lives, nobody else gets the folder.
	if _, err := engine.Start(t.Context(), engine.Options{Dir: dir}); !errors.Is(err, engine.ErrLocked) {
		t.Fatalf("start on another process's folder: %v, want ErrLocked", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Fatal("the parent ended well after a SIGKILL")
	}
	// An orphan's end is reaped by whoever adopts it, or stays as a zombie: its
	// closed port is the sign that does not depend on that, and its lock's
	// release, which Start waits for, is another.
	eventually(t, "the orphaned engine's end", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	e := start(t, engine.Options{Dir: dir})
	if e.PID() == pid {
		t.Error("the new engine has the old one's process id")
	}
}

func TestPoliteSignalsToTheEngineAreLeftToItsParent(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Options{})
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(e.PID(), s); err != nil {
			t.Fatal(err)
		}
		// A query's answer after the signal shows that it was taken and survived.
		if err := e.Healthy(t.Context()); err != nil {
			t.Errorf("after %v: %v", s, err)
		}
	}
	stop(t, e)
	if e.Restarts() != 0 {
		t.Errorf("the engine ended by a signal: %d restarts", e.Restarts())
	}
}

func TestTwoEnginesOnOneFolderAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, engine.Options{Dir: dir})
	begun := time.Now()
	_, err := engine.Start(t.Context(), engine.Options{Dir: dir})
	if !errors.Is(err, engine.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v, want ErrLocked naming the folder", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the refusal took %s", took)
	}
	if err := e.Healthy(t.Context()); err != nil {
		t.Errorf("the first engine suffered: %v", err)
	}
}

func TestOnlyThePasswordOpensTheTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, engine.Options{Dir: dir})
	db := open(t, e, store.Options{})
	createWords(t, db)

	query := func(username, password, statement string) error {
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{e.Addr()},
			Auth: clickhouse.Auth{Username: username, Password: password},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.Exec(t.Context(), statement)
	}
	for _, statement := range []string{
		"SELECT * FROM throughline.words",
		"DROP DATABASE throughline",
		"SELECT * FROM file('" + os.Args[0] + "', 'LineAsString')",
	} {
		var refused *clickhouse.Exception
		if err := query("default", "", statement); !errors.As(err, &refused) || refused.Code != 497 {
			t.Errorf("the user without a password may run %q: %v", statement, err)
		}
	}

	// The library takes a wrong password so badly that it ends; what counts is
	// that nobody got in and that it is back.
	if err := query(engine.Username, "wrong", "SELECT 1"); err == nil {
		t.Error("a wrong password got in")
	}
	eventually(t, "a healthy engine", func() bool { return e.Healthy(t.Context()) == nil })

	for _, name := range []string{"password", "engine.xml", "users.xml", "engine.log", "engine.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, info.Mode())
		}
	}
}

func TestLogHasNoQueryText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, engine.Options{Dir: dir})
	db := open(t, e, store.Options{})
	const secret = "the-words-of-a-customer"
	for _, statement := range []string{
		"SELECT toUInt64('" + secret + "')",
		"SELECT syntax error '" + secret + "'",
		"SELECT * FROM missing WHERE x = '" + secret + "'",
	} {
		if err := db.Conn().Exec(t.Context(), statement); err == nil {
			t.Fatalf("%q should fail", statement)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	stop(t, e)
	log, err := os.ReadFile(filepath.Join(dir, "engine.log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), secret) {
		t.Errorf("the log quotes a query:\n%s", log)
	}
}

func TestMemoryLimitFailsTheQueryAndNotTheEngine(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Options{MemoryLimit: 700 << 20})
	db := open(t, e, store.Options{})
	err := db.Conn().Exec(t.Context(), "SELECT groupArray(number) FROM numbers(500000000) FORMAT Null")
	if !store.Retryable(err) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("a query larger than the limit: %v", err)
	}
	if err := e.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if e.Restarts() != 0 {
		t.Error("the engine was restarted")
	}
}

func TestServeOwnsAPortUntilTold(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := engine.ServeOptions{Options: engine.Options{Dir: t.TempDir(), Port: port, Logger: slog.New(slog.DiscardHandler)}}
	if err := engine.Serve(ctx, o); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("serve on a busy port: %v, want address already in use", err)
	}
	l.Close()

	ready := make(chan *engine.Engine, 1)
	o.Ready = func(e *engine.Engine) { ready <- e }
	ended := make(chan error, 1)
	go func() { ended <- engine.Serve(ctx, o) }()
	select {
	case e := <-ready:
		if e.Addr() != l.Addr().String() {
			t.Errorf("serves %s, want %s", e.Addr(), l.Addr())
		}
		if err := open(t, e, store.Options{}).Close(); err != nil {
			t.Error(err)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("something still listens after Serve returned")
	}
}

func TestMissingLibraryNamesTheRemedy(t *testing.T) {
	t.Parallel()
	_, err := engine.Start(t.Context(), engine.Options{Dir: t.TempDir(), Library: filepath.Join(t.TempDir(), "gone.so")})
	var missing *engine.MissingLibraryError
	if !errors.As(err, &missing) {
		t.Fatalf("start without a library: %v", err)
	}
	for _, words := range []string{"make engine", "THROUGHLINE_ENGINE", "gone.so"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the error does not mention %q: %v", words, err)
		}
	}
}

func TestLibraryIsFoundByEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.so")
	t.Setenv(engine.LibraryEnv, path)
	if _, err := engine.FindLibrary(""); err == nil {
		t.Error("a missing file named by the environment was passed over")
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := engine.FindLibrary(""); err != nil || found != path {
		t.Errorf("found %q %v, want %q", found, err, path)
	}
}

func TestBrokenLibraryIsAnErrorAndFreesTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.so")
	if err := os.WriteFile(broken, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := engine.Start(t.Context(), engine.Options{Dir: dir, Library: broken})
	if err == nil || !strings.Contains(err.Error(), "load engine library") {
		t.Fatalf("start with a broken library: %v", err)
	}
	start(t, engine.Options{Dir: dir})
}
