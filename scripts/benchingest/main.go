// Command benchingest measures how fast webhooks are taken, durable and synced before the answer:
// `throughline up` itself, with its whole pipeline attached, against a Watermill program
// that does the same job in front of a JetStream server that syncs every message. The two
// take turns on the same machine, as does the load generator, so that the ratio means
// something where the absolute figures wander. While one is measured the other is stopped
// (SIGSTOP), so that what the pipeline still has to work off is in nobody's way but its own:
// from the second turn on, ours is measured with the backlog of those before.
//
// The load is closed: so many connections, each sending signed 2 KB Slack webhooks one
// after another, every body and id another. CPU is that of the processes measured, without
// the generator's, which is printed apart: it has the same processors, so that whatever it
// wastes is taken from both contenders. It therefore fills templates in and reads no more of
// an answer than it must (send.go).
//
// It also watches memory under a steady load (-flat), takes a burst and waits until the whole
// pipeline has worked it off (-burst), watches the pipeline keep up with a steady load
// (-steady), and imports a file of many rows (-rows).
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const secret, token = "bench-signing-secret", "bench-token"

func main() {
	throughline := flag.String("throughline", "bin/throughline", "the binary to measure")
	peer := flag.String("peer", "", "the Watermill program")
	rounds := flag.Int("rounds", 3, "turns of each")
	span := flag.Duration("for", 10*time.Second, "length of a turn")
	connections := flag.Int("connections", 64, "connections that send")
	flat := flag.Duration("flat", 0, "instead of turns, load throughline for so long and print its memory each half minute")
	burst := flag.Int("burst", 0, "instead of turns, send so many webhooks at once and wait until the whole pipeline is through with them")
	steady := flag.Duration("steady", 0, "instead of turns, send what the pipeline can follow for so long and print how fresh briefs are")
	rows := flag.Int("rows", 0, "instead of turns, import a file of so many rows")
	rate := flag.Float64("rate", 0, "requests a second; 0 means 1000 with -flat and 100 with -steady")
	flag.Parse()
	var err error
	switch {
	case *rows > 0:
		err = runRows(*throughline, *rows)
	case *burst > 0:
		err = runBurst(*throughline, *burst, *connections)
	case *flat > 0:
		err = runFlat(*throughline, *flat, cmp.Or(*rate, 1000), *connections)
	case *steady > 0:
		err = runSteady(*throughline, *steady, cmp.Or(*rate, 100), *connections)
	default:
		err = run(*throughline, *peer, *rounds, *span, *connections)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchingest:", err)
		os.Exit(1)
	}
}

func run(throughline, peer string, rounds int, span time.Duration, connections int) error {
	dir, err := os.MkdirTemp("", "bench-ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := startOurs(throughline, dir)
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := startTheirs(throughline, peer, dir)
	if err != nil {
		return err
	}
	defer theirs.stop()
	ours.signal(syscall.SIGSTOP)
	theirs.signal(syscall.SIGSTOP)
	var own, other []figures
	fmt.Printf("%-28s %10s %9s %9s %14s %10s %10s\n", "", "requests/s", "p50", "p99", "CPU us/request", "generator", "RSS MB")
	for range rounds {
		for _, c := range []*contender{theirs, ours} {
			c.signal(syscall.SIGCONT)
			f, err := c.measure(span, connections)
			c.signal(syscall.SIGSTOP)
			if err != nil {
				return err
			}
			f.print(c.name)
			if c == ours {
				own = append(own, f)
			} else {
				other = append(other, f)
			}
		}
	}
	a, b := median(own), median(other)
	a.print("throughline up, median")
	b.print("watermill, median")
	fmt.Printf("\nratio of requests/s: %.2f; CPU us/request of throughline: %.0f, its pipeline and engine included\n", a.rate/b.rate, a.cpu)
	return ours.settle()
}

// contender is one program under test with the processes whose CPU is its own.
type contender struct {
	name, address, path string
	running             []*exec.Cmd
}

// stop ends the processes, politely at first: a peer that waits for its clients would wait
// for ever.
func (c *contender) stop() {
	c.signal(syscall.SIGCONT)
	for _, p := range slices.Backward(c.running) {
		_ = p.Process.Signal(os.Interrupt)
		impatient := time.AfterFunc(5*time.Second, func() { _ = p.Process.Kill() })
		_ = p.Wait()
		impatient.Stop()
	}
}

// signal is sent to all processes of a contender.
func (c *contender) signal(s syscall.Signal) {
	for _, pid := range c.pids() {
		_ = syscall.Kill(pid, s)
	}
}

// launch starts a program and waits for a line of its output to match.
func launch(match string, env []string, name string, args ...string) (*exec.Cmd, string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	pattern := regexp.MustCompile(match)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := pattern.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return cmd, m[1], nil
		}
	}
	return nil, "", fmt.Errorf("%s did not start", filepath.Base(name))
}

func startOurs(binary, dir string) (*contender, error) {
	config := filepath.Join(dir, "throughline.yaml")
	text := "workspaces: [{id: bench, api_tokens: [{name: bench, token: \"env:BENCH_TOKEN\", scopes: [read, ingest]}], connections: [{id: bench-slack, type: slack, signing_secret: \"env:BENCH_SECRET\"}, {id: bench-jira, type: jira, webhook_secret: \"env:BENCH_SECRET\"}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd, address, err := launch(`page, API\s+http://([0-9.:]+)/`, []string{"BENCH_TOKEN=" + token, "BENCH_SECRET=" + secret}, binary, "up", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &contender{name: "throughline up", address: address, path: "/webhooks/bench-slack", running: []*exec.Cmd{cmd}}, nil
}

func startTheirs(binary, peer, dir string) (*contender, error) {
	if peer == "" {
		return nil, errors.New("-peer is required")
	}
	broker, url, err := launch(`listening on (\S+)`, nil, binary, "broker", "--data", filepath.Join(dir, "broker"), "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cmd, address, err := launch(`listening on (\S+)`, nil, peer, "-nats", url, "-secret", secret)
	if err != nil {
		_ = broker.Process.Kill()
		return nil, err
	}
	return &contender{name: "watermill", address: address, path: "/webhooks/slack", running: []*exec.Cmd{broker, cmd}}, nil
}

// settle waits until everything that was taken is decoded, and says how long that took.
func (c *contender) settle() error {
	c.signal(syscall.SIGCONT)
	client, start := &http.Client{Timeout: 10 * time.Second}, time.Now()
	for range 1200 {
		lag, err := lag(client, "http://"+c.address)
		if err != nil {
			return err
		}
		if lag == 0 {
			fmt.Printf("the backlog was decoded within %s\n", time.Since(start).Round(time.Second))
			return nil
		}
		time.Sleep(250 * time.Millisecond)
	}
	return errors.New("what was taken was not decoded within five minutes")
}

// lag asks how many seconds decoding is behind.
func lag(client *http.Client, base string) (float64, error) {
	r, err := http.NewRequest(http.MethodGet, base+"/v1/connections", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var page struct {
		Items []struct {
			Lag float64 `json:"lag_seconds"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		return 0, fmt.Errorf("read connections: %w", err)
	}
	most := 0.0
	for _, c := range page.Items {
		most = max(most, c.Lag)
	}
	return most, nil
}

type figures struct {
	rate, cpu float64 // requests a second, microseconds a request
	generator float64 // microseconds a request of ours
	p50, p99  time.Duration
	rss       float64 // MB
}

func (f figures) print(name string) {
	fmt.Printf("%-28s %10.0f %9s %9s %14.0f %10.0f %10.0f\n", name, f.rate, f.p50.Round(100*time.Microsecond), f.p99.Round(100*time.Microsecond), f.cpu, f.generator, f.rss)
}

func median(all []figures) figures {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b figures) int { return int(a.rate - b.rate) })
	return sorted[len(sorted)/2]
}

// measure loads a contender for a while. Any answer but 200 is an error.
func (c *contender) measure(span time.Duration, connections int) (figures, error) {
	before, own := c.cpu(), processor(os.Getpid())
	start := time.Now()
	var wg sync.WaitGroup
	taken := make([][]time.Duration, connections)
	failed := make(chan error, connections)
	for i := range connections {
		wg.Go(func() {
			var err error
			var refused int
			if taken[i], refused, err = c.send(start.Add(span), 0, always); refused > 0 {
				err = fmt.Errorf("%d requests were answered 503", refused)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	wall := time.Since(start)
	select {
	case err := <-failed:
		return figures{}, fmt.Errorf("%s: %w", c.name, err)
	default:
	}
	all := slices.Concat(taken...)
	slices.Sort(all)
	n := float64(len(all))
	return figures{
		rate: n / wall.Seconds(), cpu: float64((c.cpu() - before).Microseconds()) / n, generator: float64((processor(os.Getpid()) - own).Microseconds()) / n,
		p50: all[len(all)/2], p99: all[len(all)*99/100], rss: sum(c.rss()),
	}, nil
}

// pids are a contender's processes and their children: the engine is one.
func (c *contender) pids() []int {
	var out []int
	for _, p := range c.running {
		out = append(out, p.Process.Pid)
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Process.Pid, p.Process.Pid))
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
		for _, t := range tasks {
			more, _ := os.ReadFile(t)
			b = append(append(b, ' '), more...)
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && !slices.Contains(out, pid) {
				out = append(out, pid)
			}
		}
	}
	return out
}

// cpu is the processor time of a contender so far.
func (c *contender) cpu() (out time.Duration) {
	for _, pid := range c.pids() {
		out += processor(pid)
	}
	return out
}

// processor is the processor time of a process so far; the kernel counts in hundredths of a
// second.
func processor(pid int) (out time.Duration) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	for _, f := range fields[11:13] { // utime, stime
		n, _ := strconv.Atoi(f)
		out += time.Duration(n) * 10 * time.Millisecond
	}
	return out
}

// rss is the memory in MB that the processes we started hold, and what their children do.
func (c *contender) rss() (own, children float64) {
	for _, pid := range c.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
		held := float64(pages) * float64(os.Getpagesize()) / 1e6
		if slices.ContainsFunc(c.running, func(p *exec.Cmd) bool { return p.Process.Pid == pid }) {
			own += held
		} else {
			children += held
		}
	}
	return own, children
}

func sum(a, b float64) float64 { return a + b }
