package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// endless gives as many bytes as one likes, and counts those that were taken.
type endless struct {
	head  string
	left  int64
	taken atomic.Int64 // a transport may still read while the answer is looked at
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.head) > 0 {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = 'a'
	}
	e.left -= int64(n)
	e.taken.Add(int64(n))
	return n, nil
}

// bomb is one request that is made to hurt.
type bomb struct {
	method, path string
	vendor       string // that signs it
	header       http.Header
	body         func() io.Reader
	want         []int
}

// bombs are compression, depth, width, length and headers, at every door that takes a body.
func bombs(t *testing.T) map[string]bomb {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.Copy(z, io.LimitReader(zeros{}, 100<<20)); err != nil { // ten to the fifth in one
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	of := func(b []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(b) } }
	deep := append(bytes.Repeat([]byte(`{"a":`), 100_000), bytes.Repeat([]byte("}"), 100_000)...)
	brackets := append(bytes.Repeat([]byte("["), 100_000), bytes.Repeat([]byte("]"), 100_000)...)
	var wide, full bytes.Buffer
	wide.WriteString("{")
	for i := range 1_000_000 {
		fmt.Fprintf(&wide, `"k%d":0,`, i)
	}
	wide.WriteString(`"end":0}`)
	full.WriteString(`{"type":"event_callback"`) // as many as a webhook may hold
	for i := 0; full.Len() < 1_000_000; i++ {
		fmt.Fprintf(&full, `,"%x":0`, i)
	}
	full.WriteString("}")
	gigabyte := func(head string) func() io.Reader {
		return func() io.Reader { return &endless{head: head, left: 1 << 30} }
	}
	token := http.Header{"Authorization": {"Bearer " + demo.Secrets["DEMO_TOKEN"]}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	json := http.Header{"Content-Type": {"application/json"}}
	with := func(h http.Header, name, value string) http.Header {
		h = h.Clone()
		h.Set(name, value)
		return h
	}
	flood := json.Clone()
	for i := range 20_000 {
		flood.Add(fmt.Sprint("X-", i), "flood")
	}
	refused := []int{400, 413, 415, 422, 431}
	return map[string]bomb{
		"compressed webhook":             {"POST", "/webhooks/demo-slack", "slack", with(json, "Content-Encoding", "gzip"), of(packed.Bytes()), refused},
		"compressed feedback":            {"POST", "/v1/feedback", "", with(token, "Content-Encoding", "gzip"), of(packed.Bytes()), refused},
		"100,000 deep webhook":           {"POST", "/webhooks/demo-slack", "slack", json, of(deep), refused},
		"100,000 deep feedback":          {"POST", "/v1/feedback", "", token, of(deep), refused},
		"100,000 brackets of accounts":   {"PUT", "/v1/accounts", "", token, of(brackets), refused},
		"100,000 deep decision":          {"POST", "/v1/clusters/clu_x/decisions", "", token, of(deep), refused},
		"100,000 deep MCP":               {"POST", "/mcp", "", with(token, "Mcp-Protocol-Version", "2025-11-25"), of(deep), refused},
		"a million keys to a webhook":    {"POST", "/webhooks/demo-slack", "slack", json, of(wide.Bytes()), refused},
		"a million keys of feedback":     {"POST", "/v1/feedback", "", token, of(wide.Bytes()), refused},
		"a webhook full of keys":         {"POST", "/webhooks/demo-slack", "slack", json, of(full.Bytes()), append(refused, 200)},
		"a gigabyte, chunked, unsigned":  {"POST", "/webhooks/demo-slack", "", json, gigabyte(`{"text":"`), append(refused, 401)},
		"a gigabyte, chunked, of mail":   {"POST", "/webhooks/demo-github", "", json, gigabyte(`{"text":"`), append(refused, 401)},
		"a gigabyte, chunked, feedback":  {"POST", "/v1/feedback", "", token, gigabyte(`[{"id":"`), refused},
		"a gigabyte, chunked, accounts":  {"PUT", "/v1/accounts", "", token, gigabyte(`[{"id":"`), refused},
		"a gigabyte, chunked, decision":  {"POST", "/v1/clusters/clu_x/decisions", "", token, gigabyte(`{"reason":"`), refused},
		"a gigabyte, chunked, replay":    {"POST", "/v1/replay", "", token, gigabyte(`{"from":"`), refused},
		"a gigabyte, chunked, MCP":       {"POST", "/mcp", "", with(token, "Mcp-Protocol-Version", "2025-11-25"), gigabyte(`{"jsonrpc":"`), refused},
		"a gigabyte, chunked, a form":    {"POST", "/login", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, gigabyte("token="), append(refused, 401)},
		"20,000 headers":                 {"POST", "/webhooks/demo-slack", "", flood, of([]byte("{}")), refused},
		"a header of a megabyte":         {"GET", "/v1/clusters", "", with(token, "X-Long", strings.Repeat("a", 1<<20)), of(nil), refused},
		"an address of a megabyte":       {"GET", "/v1/clusters?q=" + strings.Repeat("a", 1<<20), "", token, of(nil), refused},
		"a search of ten thousand bytes": {"GET", "/v1/feedback?q=" + strings.Repeat("%25", 3000), "", token, of(nil), append(refused, 200)},
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// memory is what a process holds and the most that it ever held, in bytes.
func memory(t *testing.T, p *program) (now, most int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string) int64 {
		m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("the kernel does not say %s", name)
		}
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n << 10
	}
	return of("VmRSS"), of("VmHWM")
}

// TestBombsAreRefusedAtOnce throws each bomb alone, which is answered within a second and costs
// at most 64 MB, and then all at the same time, four of each: the memory stays bounded, and
// honest deliveries are taken.
func TestBombsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := allInOne(t, lexical)
	honest := func() {
		t.Helper()
		if err := s.play(0).Sender.Send(deadline(t), demo.Feedback(0, demo.Text{ID: "honest", Text: "The export is slow."}, at, demo.Accounts())); err != nil {
			t.Errorf("an honest delivery: %v", err)
		}
	}
	honest()
	all := bombs(t)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(client.CloseIdleConnections)
	throw := func(name string, b bomb) (took time.Duration) {
		body := b.body()
		r, err := http.NewRequestWithContext(t.Context(), b.method, s.url+b.path, body)
		if err != nil {
			t.Error(err)
			return 0
		}
		r.Header = b.header.Clone()
		if b.vendor != "" {
			whole, _ := io.ReadAll(b.body())
			s.play(0).Sender.Sign(r, demo.Request{Vendor: b.vendor}, whole)
		}
		begun := time.Now()
		res, err := client.Do(r)
		took = time.Since(begun)
		switch {
		case err != nil:
			// A server that has answered and hangs up while more is sent is heard as a broken pipe, or as the end.
			if e, long := body.(*endless); !long && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || long && e.taken.Load() > 64<<20 {
				t.Errorf("%s: %v", name, err)
			}
		default:
			defer res.Body.Close()
			if !slices.Contains(b.want, res.StatusCode) && res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
		}
		if e, long := body.(*endless); long && e.taken.Load() > 64<<20 {
			t.Errorf("%s: %d MB were taken in", name, e.taken.Load()>>20)
		}
		return took
	}
	before, mostBefore := memory(t, s.programs["throughline"])
	for name, b := range all {
		if took := throw(name, b); took > time.Second {
			t.Errorf("%s: answered after %v", name, took)
		}
	}
	honest()
	_, alone := memory(t, s.programs["throughline"])
	if beyond := alone - max(before, mostBefore); beyond > 64<<20 {
		t.Errorf("one bomb at a time: the process held %d MB more than before", beyond>>20)
	}
	var throwers sync.WaitGroup
	for name, b := range all {
		for range 4 {
			throwers.Go(func() { throw(name, b) })
		}
	}
	throwers.Wait()
	honest()
	_, most := memory(t, s.programs["throughline"])
	// What comes in is bounded to 64 MB; beside it is what is being parsed, and the collector's share.
	if beyond := most - max(before, mostBefore); beyond > 320<<20 {
		t.Errorf("%d bombs at once: the process held %d MB more than before", 4*len(all), beyond>>20)
	}
	t.Logf("%d MB before, at most %d MB with one bomb at a time and %d MB with %d at once", before>>20, alone>>20, most>>20, 4*len(all))
}

// TestConnectionsAreKeptFromInternalAddresses points every tracker's base_url at this machine
// and allows another network: no request arrives, and the ticket says what to do.
func TestConnectionsAreKeptFromInternalAddresses(t *testing.T) {
	t.Parallel()
	s := allInOne(t, lexical, with("THROUGHLINE_OUTBOUND_ALLOW=192.0.2.0/24"))
	ctx, sender := deadline(t), s.play(0).Sender
	for _, ticket := range demo.Tickets() {
		if err := sender.Send(ctx, demo.Create(ticket, at.Add(-time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	for i, word := range []string{"The", "Our", "My", "Every"} {
		if err := sender.Send(ctx, demo.Feedback(3*i, demo.Text{ID: word, Text: word + " downloaded songs will not play without internet."}, at, demo.Accounts())); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "a cluster", func() bool {
		var page struct{ Items []demo.Cluster }
		return sender.Get(ctx, "/v1/clusters", &page) == nil && len(page.Items) > 0
	})
	for _, ticket := range []demo.Ticket{demo.Tickets()[0], demo.Tickets()[2], demo.Tickets()[4]} { // one of each tracker
		ticket.Key = url.PathEscape(ticket.Key)
		path := "/v1/tickets/" + ticket.Tracker + "/" + ticket.Key
		s.until(t, "ticket "+ticket.Key, func() bool { return sender.Get(ctx, path, new(any)) == nil })
		s.pinAll(t, ticket)
		s.until(t, "the refusal to call "+ticket.Tracker, func() bool {
			var told struct{ Block struct{ Problem string } }
			return sender.Get(ctx, path, &told) == nil && strings.Contains(told.Block.Problem, "outbound.allow")
		})
	}
	blocks, err := s.trackers.Blocks()
	if err != nil || len(blocks) > 0 {
		t.Errorf("%d blocks were written behind the firewall (%v)", len(blocks), err)
	}
}

// slow are how many connections each kind of slowness opens at once.
const slow = 1500

// TestSlowConnectionsAreClosed opens thousands of connections that send a byte now and then: in
// the head of a request, in a webhook's body, and nothing at all. Meanwhile honest deliveries are
// taken as ever, and all of the slow ones are closed.
func TestSlowConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := allInOne(t, lexical)
	address := strings.TrimPrefix(s.url, "http://")
	var closed sync.WaitGroup
	within := make(chan time.Duration, 3*slow)
	drip := func(head string) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		closed.Go(func() {
			defer c.Close()
			begun := time.Now()
			_ = c.SetDeadline(begun.Add(patience))
			if _, err := io.WriteString(c, head); err != nil {
				return
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, bufio.NewReader(c)) // until the server hangs up
			}()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					within <- time.Since(begun)
					return
				case <-tick.C:
					_, _ = io.WriteString(c, "a")
				}
			}
		})
	}
	var opened sync.WaitGroup
	for _, head := range []string{
		"POST /webhooks/demo-slack HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /webhooks/demo-slack HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"",
	} {
		opened.Go(func() {
			for range slow {
				drip(head)
			}
		})
	}
	opened.Wait()
	var worst time.Duration
	for i := range 50 {
		begun := time.Now()
		if err := s.play(0).Sender.Send(deadline(t), demo.Feedback(i, demo.Text{ID: fmt.Sprint("honest", i), Text: fmt.Sprint("The export is slow, number ", i)}, at, demo.Accounts())); err != nil {
			t.Fatalf("an honest delivery among %d slow connections: %v", 3*slow, err)
		}
		worst = max(worst, time.Since(begun))
	}
	if worst > 3*time.Second { // what Slack waits
		t.Errorf("an honest delivery took %v", worst)
	}
	closed.Wait()
	close(within)
	n, last := 0, time.Duration(0)
	for took := range within {
		n, last = n+1, max(last, took)
	}
	if n != 3*slow || last > 20*time.Second {
		t.Errorf("%d of %d slow connections were closed, the last after %v", n, 3*slow, last)
	}
	t.Logf("the slowest of 50 honest deliveries took %v; %d slow connections were closed, the last after %v", worst, n, last)
}
