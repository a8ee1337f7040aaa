package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type backfillCommand struct {
	serverFlags
	Connection string `arg:"" help:"Id of a connection with credentials for its API: Slack, Intercom, Zendesk, Jira, Linear or GitHub."`
	Since      string `help:"From when: a day as YYYY-MM-DD, an RFC 3339 time, or how long ago (72h)." required:"" placeholder:"T"`
	JSON       bool   `help:"Print the report as JSON."`
}

// backfillJob is a backfill as the API answers it.
type backfillJob struct {
	State   string `json:"state"`
	Problem string `json:"problem"`
	Report  struct {
		Pages, Conversations, Messages, Known, Missing, Outdated, Removed, Requests, Limited, Retries int
	} `json:"report"`
}

// since reads a moment in any of the forms that commands take.
func since(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usage{fmt.Errorf("%q is neither a day, nor a time, nor how long ago", text)}
}

// Run begins a backfill, shows how it comes on and prints what was repaired. An interrupt
// ends the watching, not the backfill.
func (c *backfillCommand) Run(ctx context.Context, s *Streams) error {
	from, err := since(c.Since, time.Now())
	if err != nil {
		return err
	}
	path := "/v1/connections/" + url.PathEscape(c.Connection) + "/backfill"
	body, err := json.Marshal(map[string]time.Time{"since": from.UTC()})
	if err != nil {
		return err
	}
	if _, err := c.request(ctx, http.MethodPost, path, "application/json", bytes.NewReader(body)); err != nil {
		return err
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := c.request(ctx, http.MethodGet, path, "application/json", nil)
		if err != nil {
			return err
		}
		var j backfillJob
		if err := json.Unmarshal(raw, &j); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if isTerminal(s.Err) {
			fmt.Fprintf(s.Err, "\r%d conversations, %d messages, %d repaired ", j.Report.Conversations, j.Report.Messages, j.Report.Missing+j.Report.Outdated+j.Report.Removed)
		}
		if j.State != "running" {
			if isTerminal(s.Err) {
				fmt.Fprintln(s.Err)
			}
			return c.print(s, j, raw)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *backfillCommand) print(s *Streams, j backfillJob, raw []byte) error {
	if c.JSON {
		if _, err := s.Out.Write(raw); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.Out, "%d messages in %d conversations: %d known, %d were missing, %d outdated, %d gone at the vendor; repaired\n",
			j.Report.Messages, j.Report.Conversations, j.Report.Known, j.Report.Missing, j.Report.Outdated, j.Report.Removed)
		fmt.Fprintf(s.Out, "%d requests, %d limited by the vendor, %d tried again\n", j.Report.Requests, j.Report.Limited, j.Report.Retries)
	}
	if j.State != "done" {
		return errors.New(j.Problem)
	}
	return nil
}
