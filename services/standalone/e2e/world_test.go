// Package e2e plays the demo's story against real processes: as the all-in-one, as four
// services over a broker and an engine of their own, and as two replicas of each service over
// three brokers while one of each is killed. It holds all shapes to the same promises, and uses
// the binaries in bin/, as an operator would.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http"
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

// shape is a way to run Throughline. Each has an address that serves everything.
type shape struct {
	url      string
	data     string // folder of the all-in-one
	trackers *demo.Trackers
	env      []string
	programs map[string]*program
	restart  func(t *testing.T, name string)
	sql      storeAccess
	quiet    time.Duration // how long nothing happens while something is taken over; 0 where nothing is
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

// shapeFlag is the shape that scripts run against which do not name theirs; `make topologies`
// runs them against each.
var shapeFlag = flag.String("shape", "all-in-one", "what scripts run against: all-in-one, four-services or replicas")

// begin starts the shape of the flag. webhooks is about how many the script sends: where the
// shape has things killed in the middle, that is where the middle is.
func begin(t *testing.T, webhooks int, options ...func(*shape)) *shape {
	t.Helper()
	switch *shapeFlag {
	case "all-in-one":
		return allInOne(t, options...)
	case "four-services":
		return fourServices(t, options...)
	case "replicas":
		return replicas(t, webhooks, options...)
	}
	t.Fatalf("there is no shape %q", *shapeFlag)
	return nil
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

// users are whom deploy/compose/nats.conf knows.
var users = []string{"admin", "ingestor", "classifier", "clusterer", "context-publisher"}

// passwordOf names the variable of a user's password, as deploy/ does.
func passwordOf(user string) string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}

// passwords are those of the users of NATS, as variables.
func passwords() []string {
	var out []string
	for _, u := range users {
		out = append(out, passwordOf(u)+"=of-"+u)
	}
	return out
}

// over is what services are told of their broker and their engine.
func (s *shape) over(natsURL, engineAddr string) []string {
	return slices.Concat(passwords(), []string{
		"THROUGHLINE_NATS_URL=" + natsURL, "THROUGHLINE_CLICKHOUSE_ADDR=" + engineAddr, "THROUGHLINE_CLICKHOUSE_USERNAME=throughline",
		"E2E_CLICKHOUSE_PASSWORD=" + s.sql.password, "THROUGHLINE_CLICKHOUSE_PASSWORD=env:E2E_CLICKHOUSE_PASSWORD",
	})
}

// service starts one of the four binaries under its own user and returns its address.
func (s *shape) service(t *testing.T, name, file, listen string) (*program, string) {
	t.Helper()
	env := append(slices.Clone(s.env), "THROUGHLINE_NATS_USERNAME="+name, "THROUGHLINE_NATS_PASSWORD=env:"+passwordOf(name))
	return start(t, env, `msg=serving .*address=([0-9.:]+)`, name, "--config", file, "--listen", listen)
}

// fourServices starts a NATS server, an engine and the four binaries, joined by a proxy with the
// rules of deploy/.
func fourServices(t *testing.T, options ...func(*shape)) *shape {
	t.Helper()
	k := trackers(t)
	s := &shape{trackers: k, env: k.Environment(), programs: map[string]*program{}}
	for _, o := range options {
		o(s)
	}
	engineDir := t.TempDir()
	var natsURL, engineAddr string
	s.programs["broker"], natsURL = run(t, passwords(), `Listening for client connections on (\S+)`, natsServer(t), "-c", natsConfiguration(t))
	s.programs["engine"], engineAddr = start(t, nil, `listening on (\S+)`, "throughline", "engine", "--data", engineDir)
	s.sql = storeAccess{engineAddr, password(t, engineDir), "nats://admin:of-admin@" + natsURL}
	s.env = append(s.env, s.over("nats://"+natsURL, engineAddr)...)
	file := configuration(t)
	addresses := map[string]string{}
	s.restart = func(t *testing.T, name string) {
		t.Helper()
		listen := addresses[name]
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		s.programs[name], addresses[name] = s.service(t, name, file, listen)
	}
	upstreams := map[string]*upstream{}
	for _, name := range users[1:] {
		s.restart(t, name)
		upstreams[name] = &upstream{addresses: []string{addresses[name]}}
	}
	s.url = serveProxy(t, upstreams, func() {})
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
		Sender:   &demo.Sender{URL: s.url, Client: &http.Client{Timeout: 2 * patience, Transport: insistent{}}, Now: time.Now},
		Trackers: s.trackers, At: at, Texts: texts, Quiet: s.quiet,
	}
}

// insistent asks again what could not be answered for now, as vendors do whose deliveries are
// not accepted, and as people do.
type insistent struct{}

// RoundTrip sends a request until it is answered with anything but "not now".
func (insistent) RoundTrip(r *http.Request) (*http.Response, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && res.StatusCode < 500 || r.Body != nil && r.GetBody == nil {
			return res, err
		}
		select {
		case <-again.C:
		case <-r.Context().Done():
			return res, err
		}
		if err == nil {
			res.Body.Close()
		}
		r = r.Clone(r.Context())
		if r.Body != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	return ctx
}
