package doctor_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/standalone/internal/doctor"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// patient is an installation that a fault is planted into.
type patient struct {
	dir    string
	vendor http.HandlerFunc // Jira
	texts  []string         // lines of the configuration besides those of every patient
	listen string
	public string
	models string
	// provider of embeddings: lexical, which needs no weights, but where they are the matter.
	provider string
	token    fs.FileMode
	signed   string // the file of Slack's secret
	allowed  string // the network that requests may go to
	change   func(*doctor.Doctor)
}

// examine writes the patient's configuration and looks at it.
func (p *patient) examine(t *testing.T) []doctor.Check {
	t.Helper()
	jira := httptest.NewServer(p.vendor)
	t.Cleanup(jira.Close)
	secret := filepath.Join(p.dir, "token")
	write(t, secret, "hunter2", p.token)
	text := fmt.Sprintf(`listen: %s
public_url: %s
outbound: {allow: [%s]}
data: %s
models: {dir: %q, embeddings: {provider: %s}}
workspaces:
  - id: acme
    api_tokens: [{name: ci, token: "file:%s", scopes: [read]}]
    connections:
      - {id: acme-slack, type: slack, signing_secret: %q}
      - {id: acme-jira, type: jira, webhook_secret: "file:%s", base_url: %q, email: bot@acme.example, api_token: "file:%s"}
%s`, p.listen, p.public, p.allowed, filepath.Join(p.dir, "data"), p.models, p.provider, secret, p.signed, secret, jira.URL, secret, strings.Join(p.texts, "\n"))
	file := filepath.Join(p.dir, "throughline.yaml")
	write(t, file, text, 0o600)
	d := doctor.New(file)
	d.Space = func(string) (int64, int64, error) { return 100 << 30, 50 << 30, nil }
	if p.change != nil {
		p.change(d)
	}
	return d.Examine(t.Context())
}

func write(t *testing.T, file, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// healthy makes a patient without a fault.
func healthy(t *testing.T) *patient {
	t.Helper()
	p := &patient{
		dir: t.TempDir(), vendor: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"accountId":"1"}`) },
		listen: "127.0.0.1:0", public: "http://127.0.0.1:0", allowed: "127.0.0.0/8", token: 0o600, provider: "lexical",
	}
	p.signed = "file:" + filepath.Join(p.dir, "token")
	if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

// weights is what `make models` installed, without packages beside it.
func weights(t *testing.T) fs.FS {
	t.Helper()
	const folder = "bge-small-en-v1.5-q"
	out := fstest.MapFS{}
	from := os.DirFS(filepath.Join("..", "..", "..", "..", ".cache", "models"))
	names, err := fs.Glob(from, folder+"/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no weights (%v): run `make models` first", err)
	}
	for _, name := range names {
		b, err := fs.ReadFile(from, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: b, Mode: 0o600}
	}
	return out
}

// nowhere is an address that nothing listens on.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// external points the patient at a ClickHouse whose tables are those of some files.
func external(t *testing.T, p *patient, files fs.FS) {
	t.Helper()
	o := storetest.Options(t)
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(p.dir, "password")
	write(t, password, o.Password, 0o600)
	p.texts = append(p.texts, fmt.Sprintf("clickhouse: {addr: [%q], database: %s, username: %s, password: \"file:%s\"}", o.Addr[0], o.Database, o.Username, password))
}

// migrations are the first n files.
func migrations(t *testing.T, n int) fstest.MapFS {
	t.Helper()
	names, err := fs.Glob(schemas.ClickHouse, "clickhouse/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	out := fstest.MapFS{}
	for _, name := range names[:n] {
		b, err := fs.ReadFile(schemas.ClickHouse, name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = &fstest.MapFile{Data: b}
	}
	return out
}

// running is what a process of ours answers to whoever tries it: ready, and a handshake
// with the headers of Slack is accepted.
func running(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/readyz":
		_, _ = io.WriteString(w, `{"ready":true,"parts":[{"name":"store","ready":true}]}`)
	case r.URL.Path == "/webhooks/acme-slack" && strings.HasPrefix(r.Header.Get("X-Slack-Signature"), "v0=") && r.Header.Get("X-Slack-Request-Timestamp") != "":
		_, _ = io.WriteString(w, `{"challenge":"doctor"}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Every fault that is planted is found by the check that is for it, alone, with what to do.
func TestTheDoctorFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault         string
		plant         func(t *testing.T, p *patient)
		check         string
		found, remedy string // parts of what is said
	}{
		{"a misspelt key", func(_ *testing.T, p *patient) { p.texts = append(p.texts, "listn: nowhere") },
			"configuration", `unknown key "listn"`, "mend what is named"},
		{"a missing secret", func(_ *testing.T, p *patient) { p.signed = "env:NO_SUCH_VARIABLE_OF_ACME" },
			"configuration", "NO_SUCH_VARIABLE_OF_ACME is not set", "EnvironmentFile"},
		{"a missing secret file", func(_ *testing.T, p *patient) { p.signed = "file:" + filepath.Join(p.dir, "gone") },
			"configuration", "gone", "readable by the user"},
		{"a vendor behind the firewall", func(_ *testing.T, p *patient) { p.allowed = "192.0.2.0/24" },
			"token", "acme-jira (jira): refuse to call the internal address 127.0.0.1", "add its network to outbound.allow"},
		{"a connection without a secret", func(_ *testing.T, p *patient) { p.signed = "" },
			"connection", "acme-slack (slack) has no secret", "its vendor shows"},
		{"an unreachable broker", func(t *testing.T, p *patient) { p.texts = append(p.texts, "nats: {url: \"nats://"+nowhere(t)+"\"}") },
			"broker", "connect to NATS", "check nats.url"},
		{"an unreachable store", func(t *testing.T, p *patient) {
			p.texts = append(p.texts, "clickhouse: {addr: [\""+nowhere(t)+"\"]}")
		},
			"store", "refused", "check clickhouse.addr"},
		{"a stale schema", func(t *testing.T, p *patient) { external(t, p, migrations(t, 3)) },
			"schema", "migrations are not applied", "throughline migrate"},
		{"a schema of a newer build", func(t *testing.T, p *patient) {
			files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
			if err != nil {
				t.Fatal(err)
			}
			names, err := fs.Glob(files, "*.sql")
			if err != nil {
				t.Fatal(err)
			}
			all := migrations(t, len(names))
			all["9999_future.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE IF NOT EXISTS future {{on_cluster}} (a UInt8) ENGINE = {{merge}} ORDER BY a {{settings}};\n")}
			external(t, p, all)
		}, "schema", "9999_future.sql is of a newer build", "newer build"},
		{"no engine", func(_ *testing.T, p *patient) {
			p.change = func(d *doctor.Doctor) { d.Engine = filepath.Join(p.dir, "libchdb.so") }
		},
			"engine", "libchdb.so", "make engine"},
		{"another version of the engine", func(t *testing.T, p *patient) {
			write(t, filepath.Join(p.dir, "libchdb.so"), "", 0o600)
			write(t, filepath.Join(p.dir, "package.json"), `{"version":"1.2.3"}`, 0o600)
			p.change = func(d *doctor.Doctor) { d.Engine = filepath.Join(p.dir, "libchdb.so") }
		}, "engine", "is version 1.2.3, and this build was tested with " + engine.LibraryVersion, "make engine"},
		{"no model", func(_ *testing.T, p *patient) { p.models, p.provider = p.dir, "local" },
			"model", "missing", "make models"},
		{"an altered model", func(t *testing.T, p *patient) {
			p.models, p.provider = filepath.Join(p.dir, "models"), "local"
			if err := os.CopyFS(p.models, weights(t)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(p.models, "bge-small-en-v1.5-q", "bge-small-en-v1.5-q-tokenizer.json")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, strings.Replace(string(b), "the", "teh", 1), 0o600)
		}, "model", "is not the file of", "make models"},
		{"a clock that is off", func(_ *testing.T, p *patient) {
			p.vendor = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
				_, _ = io.WriteString(w, "{}")
			}
		}, "clock", "from ours", "NTP"},
		{"a disk that is nearly full", func(_ *testing.T, p *patient) {
			p.change = func(d *doctor.Doctor) {
				d.Space = func(string) (int64, int64, error) { return 100 << 30, 6 << 30, nil }
			}
		}, "disk", "6144 MB are free of 102400 MB", "free some space"},
		{"a port that is taken", func(t *testing.T, p *patient) {
			other := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(other.Close)
			p.listen = strings.TrimPrefix(other.URL, "http://")
		}, "address", "cannot be listened on", "stop the other program"},
		{"a token that its vendor refuses", func(_ *testing.T, p *patient) {
			p.vendor = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
		}, "token", "acme-jira (jira): the token is refused", "make a new token"},
		{"a vendor that is away", func(_ *testing.T, p *patient) {
			p.vendor = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		}, "token", "answers 502", "check base_url"},
		{"a secret that everybody can read", func(_ *testing.T, p *patient) { p.token = 0o644 },
			"permissions", "token has the mode 0644", "chmod 600"},
		{"a data folder that everybody can read", func(t *testing.T, p *patient) {
			if err := os.Chmod(filepath.Join(p.dir, "data"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "permissions", "data has the mode 0755", "chmod 700"},
		{"a proxy that strips headers", func(t *testing.T, p *patient) {
			up := httptest.NewServer(http.HandlerFunc(running))
			t.Cleanup(up.Close)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("X-Slack-Signature")
				running(w, r)
			}))
			t.Cleanup(proxy.Close)
			p.listen, p.public = strings.TrimPrefix(up.URL, "http://"), proxy.URL
		}, "proxy", "comes through", "pass the headers X-Slack-Request-Timestamp, X-Slack-Signature"},
		{"a process with another secret", func(t *testing.T, p *patient) {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("X-Slack-Signature")
				running(w, r)
			}))
			t.Cleanup(up.Close)
			p.listen, p.public = strings.TrimPrefix(up.URL, "http://"), up.URL
		}, "webhooks", "answers 401", "start it again with this configuration"},
	} {
		t.Run(strings.ReplaceAll(c.fault, " ", "_"), func(t *testing.T) {
			t.Parallel()
			p := healthy(t)
			c.plant(t, p)
			var bad []doctor.Check
			for _, k := range p.examine(t) {
				if strings.Contains(k.Found+k.Remedy, "hunter2") {
					t.Errorf("%s tells a secret: %+v", k.Name, k)
				}
				if k.OK {
					continue
				}
				if k.Remedy == "" {
					t.Errorf("%s does not say what to do", k.Name)
				}
				if len(bad) == 0 || bad[len(bad)-1].Name != k.Name { // one fault may show at several places of a kind
					bad = append(bad, k)
				}
			}
			if len(bad) != 1 || bad[0].Name != c.check || !strings.Contains(bad[0].Found, c.found) || !strings.Contains(bad[0].Remedy, c.remedy) {
				t.Errorf("found %+v", bad)
			}
		})
	}
}

func TestTheDoctorFindsNothingInHealth(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(running))
	t.Cleanup(up.Close)
	proxy := httptest.NewServer(http.HandlerFunc(running))
	t.Cleanup(proxy.Close)
	p := healthy(t)
	p.listen, p.public = strings.TrimPrefix(up.URL, "http://"), proxy.URL
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	external(t, p, files)
	names := map[string]bool{}
	for _, k := range p.examine(t) {
		names[k.Name] = true
		if !k.OK || k.Found == "" {
			t.Errorf("%+v", k)
		}
	}
	for _, want := range []string{"configuration", "workspaces", "connection", "permissions", "data folder", "disk", "address", "readiness", "proxy", "model", "store", "schema", "token", "clock"} {
		if !names[want] {
			t.Errorf("%s was not looked at", want)
		}
	}
	left, err := filepath.Glob(filepath.Join(p.dir, "data", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Examine ends when it is told to, also while nothing answers.
func TestTheDoctorDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := healthy(t)
	p.vendor = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}
	jira := httptest.NewServer(p.vendor)
	t.Cleanup(jira.Close)
	file := filepath.Join(p.dir, "throughline.yaml")
	write(t, filepath.Join(p.dir, "token"), "hunter2", 0o600)
	write(t, file, fmt.Sprintf("listen: 127.0.0.1:0\noutbound: {allow: [127.0.0.0/8]}\ndata: %s\nmodels: {embeddings: {provider: lexical}}\nworkspaces: [{id: acme, connections: [{id: j, type: jira, webhook_secret: \"file:%s\", base_url: %q, email: e, api_token: \"file:%s\"}]}]\n",
		p.dir, filepath.Join(p.dir, "token"), jira.URL, filepath.Join(p.dir, "token")), 0o600)
	checks := doctor.New(file).Examine(ctx)
	if !slices.ContainsFunc(checks, func(c doctor.Check) bool { return c.Name == "token" && !c.OK }) {
		t.Errorf("%+v", checks)
	}
}
