package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go"

	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/schemas"
)

// users of deploy/compose/nats.conf, and their passwords in these tests.
var brokerUsers = []string{"ingestor", "classifier", "clusterer", "context-publisher"}

// TestBrokerUsersHearOnlyThemselves tries what a service's user may listen to, on a real server
// with the configuration that is deployed: the answers to its own requests, and nothing of a
// workspace's subjects, of buckets, or of the answers that another service gets.
func TestBrokerUsersHearOnlyThemselves(t *testing.T) {
	t.Parallel()
	passwords := []string{"NATS_ADMIN_PASSWORD=of-admin"}
	for _, u := range brokerUsers {
		passwords = append(passwords, "NATS_"+strings.ToUpper(strings.ReplaceAll(u, "-", "_"))+"_PASSWORD=of-"+u)
	}
	_, address := run(t, passwords, `Listening for client connections on (\S+)`, natsServer(t), "-c", natsConfiguration(t))
	for _, user := range brokerUsers {
		nc, err := nats.Connect("nats://"+address, nats.UserInfo(user, "of-"+user), nats.CustomInboxPrefix("_INBOX."+user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		hears := func(subject string, may bool) {
			t.Helper()
			before := nc.LastError()
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil { // a refusal has come when this is answered
				t.Fatal(err)
			}
			if got := nc.LastError() == before; got != may {
				t.Errorf("%s listening to %s: allowed is %v, and should be %v", user, subject, got, may)
			}
		}
		hears("_INBOX."+user+".x", true)
		for _, subject := range []string{">", "*.*.demo", "deliveries.>", "items.05.demo", "signals.>", "decisions.>", "deadletters.>", "$KV.sessions.>", "$KV.>", "$O.>", "$JS.>", "$SYS.>", "_INBOX.>", "_INBOX.*"} {
			hears(subject, false)
		}
		for _, other := range brokerUsers {
			if other != user {
				hears("_INBOX."+other+".>", false)
			}
		}
	}
	for what, option := range map[string]nats.Option{"nobody": nats.UserInfo("", ""), "a wrong password": nats.UserInfo("ingestor", "of-classifier"), "an unknown user": nats.UserInfo("demo", "of-admin")} {
		if nc, err := nats.Connect("nats://"+address, option); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s comes in: %v", what, err)
			nc.Close()
		}
	}
}

// TestStoreUsersDoOnlyTheirs gives an engine the users of deploy/compose and tries their grants:
// the services' user does what the services do, the reader reads, neither reaches another
// database, a file or the network, and nobody comes in without a password.
func TestStoreUsersDoOnlyTheirs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "compose", "clickhouse-users.xml"))
	if err != nil {
		t.Fatal(err)
	}
	users := regexp.MustCompile(`(?s)<users>(.*)</users>`).FindStringSubmatch(string(b))
	profiles := regexp.MustCompile(`(?s)<profiles>(.*)</profiles>`).FindStringSubmatch(string(b))
	if users == nil || profiles == nil || !strings.Contains(users[1], `<default remove="remove"/>`) {
		t.Fatal("deploy/compose/clickhouse-users.xml does not remove the default user any more")
	}
	// The engine's own user is called throughline as well, and its default one opens its port.
	deployed := strings.NewReplacer(`<default remove="remove"/>`, "", "throughline>", "deployed>").Replace(users[1])
	dir := t.TempDir()
	engine, address := start(t, []string{"CLICKHOUSE_PASSWORD=of-the-services", "CLICKHOUSE_READER_PASSWORD=of-the-reader"}, `listening on (\S+)`, "throughline", "engine", "--data", dir)
	own, err := store.Open(deadline(t), store.Options{Addr: []string{address}, Database: "throughline", Username: "throughline", Password: password(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	file := filepath.Join(dir, "users.xml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "</users>", deployed+"</users>", 1)
	with = strings.Replace(with, "<profiles>", "<profiles>"+profiles[1], 1)
	if err := os.WriteFile(file, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := own.Conn().Exec(deadline(t), "CREATE DATABASE other"); err != nil {
		t.Fatal(err)
	}
	if err := own.Conn().Exec(deadline(t), "CREATE TABLE other.secrets (x String) ENGINE = MergeTree ORDER BY x"); err != nil {
		t.Fatal(err)
	}
	engine.killEngine(t) // users are read when it comes back
	var services *store.DB
	(&shape{}).until(t, "the engine with the deployed users", func() bool {
		services, err = store.Open(deadline(t), store.Options{Addr: []string{address}, Database: "throughline", Username: "deployed", Password: "of-the-services"})
		return err == nil
	})
	t.Cleanup(func() { services.Close() })
	migrations, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	if err := services.Migrate(deadline(t), migrations); err != nil {
		t.Errorf("the services may not make their tables: %v", err)
	}
	for _, query := range []string{
		"CREATE TABLE t (workspace String, x UInt64) ENGINE = MergeTree ORDER BY x", "INSERT INTO t VALUES ('demo', 1)", "ALTER TABLE t ADD COLUMN y UInt64", "ALTER TABLE t DELETE WHERE x = 2",
		"CREATE VIEW v AS SELECT x FROM t", "OPTIMIZE TABLE t", "SELECT count() FROM system.parts", "TRUNCATE TABLE t",
	} {
		if err := services.Conn().Exec(deadline(t), query); err != nil {
			t.Errorf("the services may not: %s: %v", query, err)
		}
	}
	beyond := []string{
		"SELECT * FROM other.secrets", "INSERT INTO other.secrets VALUES ('x')", "DROP DATABASE other", "CREATE USER intruder", "GRANT SELECT ON *.* TO deployed", "SYSTEM SHUTDOWN",
		"SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "SELECT * FROM remote('127.0.0.1:1', 'system', 'one')", "INSERT INTO FUNCTION file('x', 'CSV', 'a UInt8') VALUES (1)",
	}
	refused := func(who string, db *store.DB, queries []string) {
		t.Helper()
		for _, query := range queries {
			if err := db.Conn().Exec(deadline(t), query); err == nil || !strings.Contains(err.Error(), "Not enough privileges") && !strings.Contains(err.Error(), "readonly mode") {
				t.Errorf("%s: %s: %v", who, query, err)
			}
		}
	}
	refused("the services", services, beyond)
	// store.Open makes sure of the database, which the reader may not: by the driver itself.
	reader := readerOf(t, address)
	if err := reader.Exec(deadline(t), "SELECT count() FROM throughline.t"); err != nil {
		t.Errorf("the reader may not read: %v", err)
	}
	for _, query := range append(beyond, "INSERT INTO throughline.t VALUES ('demo', 2, 2)", "ALTER TABLE throughline.t DELETE WHERE 1", "TRUNCATE TABLE throughline.t", "CREATE TABLE throughline.u (x UInt8) ENGINE = Memory", "DROP TABLE throughline.t", "SET readonly = 0") {
		if err := reader.Exec(deadline(t), query); err == nil {
			t.Errorf("the reader may: %s", query)
		}
	}
	for user, secret := range map[string]string{"deployed": "", "reader": "of-the-services", "nobody": ""} {
		ctx, cancel := context.WithCancel(deadline(t))
		if db, err := store.Open(ctx, store.Options{Addr: []string{address}, Database: "throughline", Username: user, Password: secret}); err == nil {
			t.Errorf("%s comes in with the password %q", user, secret)
			db.Close()
		}
		cancel()
	}
}

// killEngine ends the process that has the engine in it; the one around it starts another.
func (p *program) killEngine(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(p.Printed)
	if err != nil {
		t.Fatal(err)
	}
	pid := regexp.MustCompile(`msg="engine ready".* pid=(\d+)`).FindSubmatch(b)
	if pid == nil {
		t.Fatal("the engine does not say which process it is")
	}
	n, err := strconv.Atoi(string(pid[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// readerOf connects as the reader.
func readerOf(t *testing.T, address string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, Auth: clickhouse.Auth{Username: "reader", Password: "of-the-reader"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
