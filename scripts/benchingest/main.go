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
// the generator's.
//
// It also watches memory under a steady load (-flat), imports a file of many rows (-rows) and
// tells what a webhook costs with everything that comes of it (-cost).
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	rows := flag.Int("rows", 0, "instead of turns, import a file of so many rows")
	cost := flag.Int("cost", 0, "instead of turns, send so many webhooks and print what one costs, everything that comes of it included")
	rate := flag.Float64("rate", 1000, "with -flat, requests a second")
	flag.Parse()
	var err error
	switch {
	case *rows > 0:
		err = runRows(*throughline, *rows)
	case *cost > 0:
		err = runCost(*throughline, *cost)
	case *flat > 0:
		err = runFlat(*throughline, *flat, *rate, *connections)
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
	fmt.Printf("%-28s %10s %9s %9s %14s %10s\n", "", "requests/s", "p50", "p99", "CPU us/request", "RSS MB")
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
	fmt.Printf("\nratio of requests/s: %.2f\n", a.rate/b.rate)
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
	text := "workspaces: [{id: bench, api_tokens: [{name: bench, token: \"env:BENCH_TOKEN\", scopes: [read, ingest]}], connections: [{id: bench-slack, type: slack, signing_secret: \"env:BENCH_SECRET\"}]}]\n"
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
	if len(page.Items) != 1 {
		return 0, fmt.Errorf("%d connections", len(page.Items))
	}
	return page.Items[0].Lag, nil
}

type figures struct {
	rate, cpu float64 // requests a second, microseconds a request
	p50, p99  time.Duration
	rss       float64 // MB
}

func (f figures) print(name string) {
	fmt.Printf("%-28s %10.0f %9s %9s %14.0f %10.0f\n", name, f.rate, f.p50.Round(100*time.Microsecond), f.p99.Round(100*time.Microsecond), f.cpu, f.rss)
}

func median(all []figures) figures {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b figures) int { return int(a.rate - b.rate) })
	return sorted[len(sorted)/2]
}

// measure loads a contender for a while. Any answer but 200 is an error.
func (c *contender) measure(span time.Duration, connections int) (figures, error) {
	before := c.cpu()
	start := time.Now()
	var wg sync.WaitGroup
	taken := make([][]time.Duration, connections)
	failed := make(chan error, connections)
	for i := range connections {
		wg.Go(func() {
			var err error
			var refused int
			if taken[i], refused, err = c.send(start.Add(span), 0); refused > 0 {
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
	return figures{rate: n / wall.Seconds(), cpu: float64((c.cpu() - before).Microseconds()) / n, p50: all[len(all)/2], p99: all[len(all)*99/100], rss: c.rss()}, nil
}

var sent atomic.Int64

// send posts one webhook after another on a connection of its own until the end, not sooner
// after each other than every, and returns how long each took that was accepted, and how many
// were answered 503.
func (c *contender) send(end time.Time, every time.Duration) (out []time.Duration, refused int, err error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	var request bytes.Buffer
	for time.Now().Before(end) {
		body := webhook(sent.Add(1))
		now := time.Now()
		stamp := strconv.FormatInt(now.Unix(), 10)
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte("v0:" + stamp + ":"))
		m.Write(body)
		request.Reset()
		fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-Slack-Request-Timestamp: %s\r\nX-Slack-Signature: v0=%s\r\nContent-Length: %d\r\n\r\n",
			c.path, c.address, stamp, hex.EncodeToString(m.Sum(nil)), len(body))
		request.Write(body)
		if _, err := conn.Write(request.Bytes()); err != nil {
			return nil, 0, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil, 0, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		took := time.Since(now)
		switch res.StatusCode {
		case http.StatusOK:
			out = append(out, took)
		case http.StatusServiceUnavailable:
			refused++
		default:
			return nil, 0, fmt.Errorf("answered %s", res.Status)
		}
		time.Sleep(every - took)
	}
	return out, refused, nil
}

// said are what customers write in the load; each message says one of them and its number.
var said = []string{
	"The export of invoices stops half way since Monday", "Please let us sort the board by due date", "Search never finds what I typed yesterday",
	"Dark mode would help our night shift a lot", "Login asks for the code twice on my phone", "Love the new report, thank you",
}

// webhook is a Slack message event of about 2 KB, as Slack sends them: few words and much
// around them.
func webhook(n int64) []byte {
	return webhookOf(n, fmt.Sprintf("%s (%d)", said[n%int64(len(said))], n))
}

// webhookOf is the same with another text.
func webhookOf(n int64, text string) []byte {
	ts := fmt.Sprintf("%d.%06d", 1790000000+n/100, n%1000000)
	return fmt.Appendf(nil, `{"token":"verification-token","team_id":"T0BENCH","context_team_id":"T0BENCH","context_enterprise_id":null,"api_app_id":"A0BENCH","event":{"client_msg_id":"%08x-0000-4000-8000-%012x","type":"message","text":%q,"user":"U%07d","ts":%q,"team":"T0BENCH","channel":"C0%05d","event_ts":%q,"channel_type":"channel","blocks":[{"type":"rich_text","block_id":"b%d","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":%q}]}]}],"user_profile":{"avatar_hash":"%032x","image_72":"https://avatars.example/%032x_72.png","first_name":"Ada","real_name":"Ada Lovelace","display_name":"ada","team":"T0BENCH","name":"ada","is_restricted":false,"is_ultra_restricted":false},"padding":%q},"type":"event_callback","event_id":"Ev%010d","event_time":%d,"authorizations":[{"enterprise_id":null,"team_id":"T0BENCH","user_id":"U0BOT","is_bot":true,"is_enterprise_install":false}],"is_ext_shared_channel":false,"event_context":"4-%064x"}`,
		n, n, text, n%5000, ts, n%200, ts, n, text, n, n, strings.Repeat(fmt.Sprintf("%08x", n*2654435761%4294967296), 96), n, 1790000000+n/100, n)
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

// cpu is the processor time of a contender so far; the kernel counts in hundredths of a
// second.
func (c *contender) cpu() time.Duration {
	var ticks int
	for _, pid := range c.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, f := range fields[11:13] { // utime, stime
			n, _ := strconv.Atoi(f)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (c *contender) rss() float64 {
	pages := 0
	for _, pid := range c.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		n, _ := strconv.Atoi(strings.Fields(string(b))[1])
		pages += n
	}
	return float64(pages) * float64(os.Getpagesize()) / 1e6
}
