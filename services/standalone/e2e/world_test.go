// Package e2e plays the demo's story against real processes, once as the all-in-one and once
// as four services over a broker and an engine of their own, and holds both to the same
// promises. It uses the binaries in bin/, as an operator would.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
	"github.com/throughline-dev/throughline/services/standalone/internal/programtest"
)

// patience bounds every wait; it is reached only when something is broken.
const patience = programtest.Patience

// program is a running process of ours.
type program struct{ *programtest.Program }

// start runs one of our programs: run, with its path found.
func start(t *testing.T, env []string, match string, name string, args ...string) (*program, string) {
	t.Helper()
	return run(t, env, match, programtest.Binary(t, name), args...)
}

// run runs a program and waits for a line of its output to match; it returns the first
// submatch. What it prints is shown when the test fails.
func run(t *testing.T, env []string, match, path string, args ...string) (*program, string) {
	t.Helper()
	p, found := programtest.Run(t, env, match, path, args...)
	return &program{p}, found
}

// binary finds a program that `make build` made.
func binary(t *testing.T, name string) string {
	t.Helper()
	return programtest.Binary(t, name)
}

// natsServer finds the NATS server that `make nats-server` built.
func natsServer(t *testing.T) string {
	t.Helper()
	return programtest.NATSServer(t)
}

// stop ends a program politely and holds it to the ten seconds it promises.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.Stop(t)
}

// kill ends a program as a power button would.
func (p *program) kill() { p.Kill() }

// shape is a way to run Throughline. Both have an address that serves everything.
type shape struct {
	url      string
	data     string // folder of the all-in-one
	trackers *demo.Trackers
	env      []string
	programs map[string]*program
	restart  func(t *testing.T, name string)
	sql      storeAccess
}

// storeAccess is how to reach the engine from outside; empty for the all-in-one, whose engine
// is its own.
type storeAccess struct{ addr, password, nats string }

func trackers(t *testing.T) *demo.Trackers {
	t.Helper()
	k, err := demo.StartTrackers()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func configuration(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	if err := os.WriteFile(file, demo.Configuration, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// natsConfiguration is the one of deploy/compose, its users and their rights included, with a
// free port of this machine and a folder of the test's.
func natsConfiguration(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "compose", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	text := string(b)
	for deployed, here := range map[string]string{
		"port: 4222": "host: 127.0.0.1\nport: -1", "http: 127.0.0.1:8222": "", "store_dir: /data": fmt.Sprintf("store_dir: %q", dir),
	} {
		if !strings.Contains(text, deployed) {
			t.Fatalf("deploy/compose/nats.conf does not say %q any more", deployed)
		}
		text = strings.Replace(text, deployed, here, 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// allInOne starts `throughline up`, after the options have changed what it starts with.
func allInOne(t *testing.T, options ...func(*shape)) *shape {
	t.Helper()
	k := trackers(t)
	s := &shape{trackers: k, env: k.Environment(), data: t.TempDir(), programs: map[string]*program{}}
	for _, o := range options {
		o(s)
	}
	file := configuration(t)
	listen := "127.0.0.1:0"
	s.restart = func(t *testing.T, name string) {
		t.Helper()
		p, addr := start(t, s.env, `page, API\s+http://([0-9.:]+)/`, "throughline", "up", "--config", file, "--data", s.data, "--listen", listen)
		s.programs[name], s.url, listen = p, "http://"+addr, addr
	}
	s.restart(t, "throughline")
	return s
}

// with adds settings, NAME=value, to the environment.
func with(settings ...string) func(*shape) {
	return func(s *shape) { s.env = append(s.env, settings...) }
}

// fourServices starts a NATS server, an engine and the four binaries, joined by a proxy with the
// rules of deploy/.
func fourServices(t *testing.T) *shape {
	t.Helper()
	k := trackers(t)
	s := &shape{trackers: k, programs: map[string]*program{}}
	engineDir := t.TempDir()
	var natsURL, engineAddr string
	var passwords []string
	for _, user := range []string{"ADMIN", "INGESTOR", "CLASSIFIER", "CLUSTERER", "CONTEXT_PUBLISHER"} {
		passwords = append(passwords, "NATS_"+user+"_PASSWORD=of-"+strings.ToLower(user))
	}
	s.programs["broker"], natsURL = run(t, passwords, `Listening for client connections on (\S+)`, natsServer(t), "-c", natsConfiguration(t))
	s.programs["engine"], engineAddr = start(t, nil, `listening on (\S+)`, "throughline", "engine", "--data", engineDir)
	s.sql = storeAccess{engineAddr, password(t, engineDir), "nats://admin:of-admin@" + natsURL}
	s.env = append(append(k.Environment(), passwords...),
		"THROUGHLINE_NATS_URL=nats://"+natsURL, "THROUGHLINE_CLICKHOUSE_ADDR="+engineAddr, "THROUGHLINE_CLICKHOUSE_USERNAME=throughline",
		"E2E_CLICKHOUSE_PASSWORD="+s.sql.password, "THROUGHLINE_CLICKHOUSE_PASSWORD=env:E2E_CLICKHOUSE_PASSWORD",
	)
	file := configuration(t)
	addresses := map[string]string{}
	s.restart = func(t *testing.T, name string) {
		t.Helper()
		listen := addresses[name]
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		user := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		env := append(slices.Clone(s.env), "THROUGHLINE_NATS_USERNAME="+name, "THROUGHLINE_NATS_PASSWORD=env:NATS_"+user+"_PASSWORD")
		s.programs[name], addresses[name] = start(t, env, `msg=serving .*address=([0-9.:]+)`, name, "--config", file, "--listen", listen)
	}
	for _, name := range []string{"ingestor", "classifier", "clusterer", "context-publisher"} {
		s.restart(t, name)
	}
	upstreams := map[string]http.Handler{}
	for name, address := range addresses {
		upstreams[name] = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	}
	rules := readProxy(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upstreams[rules.serves(r.Method, r.URL.Path)].ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	s.url = proxy.URL
	return s
}

// password is that of the engine whose folder is dir.
func password(t *testing.T, dir string) string {
	t.Helper()
	return programtest.EnginePassword(t, dir)
}

// at is the demo's time in every test, so that every run sends the same webhooks.
var at = time.Now().UTC().Truncate(time.Hour)

func (s *shape) play(texts int) *demo.Play {
	return &demo.Play{
		Sender:   &demo.Sender{URL: s.url, Client: &http.Client{Timeout: 30 * time.Second}, Now: time.Now},
		Trackers: s.trackers, At: at, Texts: texts,
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	return ctx
}
