package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// runCost sends so many webhooks with words of real customers, waits until everything that comes of
// them is done, and prints what one cost: processor time of all processes, engine included, and
// bytes on the disk.
func runCost(throughline string, items int) error {
	dir, err := os.MkdirTemp("", "bench-ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := startOurs(throughline, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	said, err := texts()
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second}
	if err := c.atRest(client); err != nil {
		return err
	}
	cpu, start := c.cpu(), time.Now()
	nats, engine := size(filepath.Join(dir, "data", "nats")), size(filepath.Join(dir, "data", "clickhouse"))
	for n := range items {
		if err := c.insist(client, message(n, said)); err != nil {
			return err
		}
		if (n+1)%max(1, items/10) == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d webhooks are accepted\n", n+1, items)
		}
	}
	accepted := c.cpu() - cpu
	if err := c.atRest(client); err != nil {
		return err
	}
	each := func(n int64) float64 { return float64(n) / float64(items) }
	fmt.Printf("%d webhooks of 2 KB, everything done after %s\n", items, time.Since(start).Round(time.Second))
	fmt.Printf("processor time of an item: %.2f ms (%.2f ms until the last was accepted)\n", float64((c.cpu()-cpu).Microseconds())/1000/float64(items), float64(accepted.Microseconds())/1000/float64(items))
	fmt.Printf("bytes on the disk of an item: %.0f of the event log, %.0f of the store\n", each(size(filepath.Join(dir, "data", "nats"))-nats), each(size(filepath.Join(dir, "data", "clickhouse"))-engine))
	own, children := c.rss()
	fmt.Printf("memory at the end: %.0f MB, and %.0f MB of the engine\n", own, children)
	return nil
}

// texts reads what real customers wrote: the demo's feedback.
func texts() ([]string, error) {
	f, err := os.Open(filepath.Join("services", "standalone", "internal", "demo", "feedback.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("read what customers say (run it from the repository's root): %w", err)
	}
	defer f.Close()
	var out []string
	for lines := json.NewDecoder(f); ; {
		var one struct{ Text string }
		if err := lines.Decode(&one); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what customers say: %w", err)
		}
		out = append(out, one.Text)
	}
}

// message is a Slack message of about 2 KB with a customer's words. Beyond the first round of
// them, they are told apart by a number.
func message(n int, said []string) []byte {
	text := said[n%len(said)]
	if n >= len(said) {
		text += fmt.Sprintf(" That makes %d.", n)
	}
	ts := fmt.Sprintf("%d.%06d", 1790000000+n/100, n%1000000)
	return fmt.Appendf(nil, `{"type":"event_callback","team_id":"T0BENCH","api_app_id":"A0BENCH","event_id":"Ev%010d","event_time":%d,"event":{"type":"message","channel":"C0%05d","user":"U%07d","ts":%q,"text":%q,"padding":%q}}`,
		n, 1790000000+n/100, n%200, n%5000, ts, text, strings.Repeat(fmt.Sprintf("%08x", n), 180))
}

// insist sends one signed webhook until it is accepted.
func (c *contender) insist(client *http.Client, body []byte) error {
	for {
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte("v0:" + stamp + ":"))
		m.Write(body)
		r, err := http.NewRequest(http.MethodPost, "http://"+c.address+c.path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Slack-Request-Timestamp", stamp)
		r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(m.Sum(nil)))
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusServiceUnavailable:
			time.Sleep(100 * time.Millisecond)
		default:
			return fmt.Errorf("answered %s", res.Status)
		}
	}
}

var pending = regexp.MustCompile(`(?m)^throughline_bus_pending\{[^}]*\} (\S+)$`)

// atRest waits until nothing has waited in any stream for five seconds.
func (c *contender) atRest(client *http.Client) error {
	quiet := 0
	for range 7200 {
		res, err := client.Get("http://" + c.address + "/metrics")
		if err != nil {
			return err
		}
		waiting := 0.0
		b, err := io.ReadAll(bufio.NewReader(res.Body))
		res.Body.Close()
		if err != nil {
			return err
		}
		for _, m := range pending.FindAllSubmatch(b, -1) {
			n, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				return fmt.Errorf("read metrics: %w", err)
			}
			waiting += n
		}
		if quiet++; waiting > 0 {
			quiet = 0
		}
		if quiet == 20 {
			return nil
		}
		time.Sleep(250 * time.Millisecond)
	}
	return errors.New("there is still work after half an hour")
}

// size is what the files below a folder take on the disk.
func size(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil { // merged away meanwhile
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
