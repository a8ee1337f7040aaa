package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// freshWithin is what 95 of 100 briefs must be refreshed within, and asked how often a
// customer asks for what a new ticket is about.
const (
	freshWithin = 2.0 // seconds
	asked       = 2 * time.Second
)

// runSteady sends what the pipeline is to follow for ever, and a ticket and a customer who
// names it every few seconds besides. It reads from /metrics how long it took from a
// customer's 2xx to the ticket's refreshed brief, and fails where that is too long.
func runSteady(throughline string, span time.Duration, rate float64, connections int) error {
	if span < 4*between {
		return fmt.Errorf("a run of %s tells nothing: take at least %s", span, 4*between)
	}
	return withOurs(throughline, func(c *contender) error {
		first, err := c.metrics()
		if err != nil {
			return err
		}
		start, load := time.Now(), c.load(span, rate, connections)
		memory := newMemory()
		ask, look := time.NewTicker(asked), time.NewTicker(between)
		defer ask.Stop()
		defer look.Stop()
		before := first
		for n := 1; time.Since(start) < span-between/2; {
			select {
			case <-load.failed:
				return load.err()
			case <-ask.C:
				if err := c.ticket(n, n > 1); err != nil {
					return err
				}
				n++
			case <-look.C:
				if err := memory.look(c, time.Since(start)); err != nil {
					return err
				}
				now, err := c.metrics()
				if err != nil {
					return err
				}
				fresh, briefs := now.quantile(.95, before, "throughline_freshness_seconds", firstTold)
				oldest := 0.0
				for _, s := range now.by("throughline_bus_lag_seconds", "durable", "") {
					oldest = max(oldest, s)
				}
				fmt.Printf("   95 %% of %.0f briefs within %.2f s; a message in hand is %.1f s old at most\n", briefs, fresh, oldest)
				before = now
			}
		}
		taken, refused, err := load.wait()
		if err != nil {
			return err
		}
		last, err := c.metrics()
		if err != nil {
			return err
		}
		fresh, briefs := last.quantile(.95, first, "throughline_freshness_seconds", firstTold)
		median, _ := last.quantile(.5, first, "throughline_freshness_seconds", firstTold)
		fmt.Printf("\n%.1f webhooks/s were accepted, %d in all were answered 503; from the 2xx to the brief, of %.0f: median %.2f s, 95 %% within %.2f s\n",
			float64(taken)/span.Seconds(), refused, briefs, median, fresh)
		memory.grew()
		if !(fresh < freshWithin) {
			return errors.New("briefs were not fresh")
		}
		return nil
	})
}

const firstTold = `change="first",stage="context"`

// ticket tells of a new ticket, as Jira does, and has a customer name the one before it, if
// there is one: by now it has a brief.
func (c *contender) ticket(n int, before bool) error {
	now := time.Now()
	stamp := now.UTC().Format("2006-01-02T15:04:05.000-0700")
	key := func(n int) string { return "LOAD-" + strconv.Itoa(n) }
	issue := fmt.Appendf(nil, `{"timestamp":%d,"webhookEvent":"jira:issue_created","issue_event_type_name":"issue_created","user":{"accountId":"5c5f880629be9642ba529340","displayName":"Lead"},"issue":{"id":"%d","key":%q,"self":"https://load.example/rest/api/2/issue/%d","fields":{"summary":"Work number %d","description":"","project":{"key":"LOAD"},"created":%q,"updated":%q,"labels":[],"issuetype":{"name":"Story"},"status":{"id":"1","name":"To do","statusCategory":{"key":"new"}}}},"changelog":{"id":"%d","items":[]}}`,
		now.UnixMilli(), 10000+n, key(n), 10000+n, n, stamp, stamp, now.UnixMilli())
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(issue)
	if err := c.post("/webhooks/bench-jira", issue, map[string]string{"X-Hub-Signature": "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-Atlassian-Webhook-Identifier": key(n)}); err != nil || !before {
		return err
	}
	said := fmt.Appendf(nil, `{"team_id":"T0BENCH","api_app_id":"A0BENCH","event":{"type":"message","text":"%s (%d). What about %s?","user":"U9%06d","ts":"%d.%06d","team":"T0BENCH","channel":"C9","channel_type":"channel"},"type":"event_callback","event_id":"EvAsked%d","event_time":%d}`,
		said[n%len(said)], n, key(n-1), n, now.Unix(), n%1000000, n, now.Unix())
	at := strconv.FormatInt(now.Unix(), 10)
	mac.Reset()
	mac.Write([]byte("v0:" + at + ":"))
	mac.Write(said)
	return c.post(c.path, said, map[string]string{"X-Slack-Request-Timestamp": at, "X-Slack-Signature": "v0=" + hex.EncodeToString(mac.Sum(nil))})
}

func (c *contender) post(path string, body []byte, header map[string]string) error {
	r, err := http.NewRequest(http.MethodPost, "http://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", path, res.Status)
	}
	return nil
}
