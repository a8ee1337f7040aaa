package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

type replayCommand struct {
	URL    string `help:"Address of a running Throughline." env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080"`
	Token  string `help:"API token; its workspace is the one that is asked. Not for --shadow." env:"THROUGHLINE_TOKEN"`
	From   string `help:"From when: a day as YYYY-MM-DD, an RFC 3339 time, or how long ago (72h). With --shadow the whole log is taken, whatever this says." placeholder:"T"`
	Shadow bool   `help:"Make a second world of the log, with the settings of --with, print how it differs and change nothing. Works beside a running Throughline."`
	JSON   bool   `help:"Print the outcome as JSON."`
	shadowFlags
}

// Run begins a replay, waits until all is put back and says how much it was. An interrupt
// ends the waiting, not the replay.
func (c *replayCommand) Run(ctx context.Context, s *Streams) error {
	switch {
	case c.Shadow:
		return c.shadow(ctx, s, c.JSON)
	case c.From == "" || c.Token == "":
		return usage{errors.New("--from and --token are required without --shadow")}
	}
	server := serverFlags{URL: c.URL, Token: c.Token}
	from, err := since(c.From, time.Now())
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]time.Time{"from": from.UTC()})
	if err != nil {
		return err
	}
	if _, err := server.request(ctx, http.MethodPost, "/v1/replay", "application/json", bytes.NewReader(body)); err != nil {
		return err
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := server.request(ctx, http.MethodGet, "/v1/replay", "application/json", nil)
		if err != nil {
			return err
		}
		var j struct {
			State string `json:"state"`
			Count int    `json:"count"`
		}
		if err := json.Unmarshal(raw, &j); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		switch {
		case j.State == "done" && c.JSON:
			_, err := s.Out.Write(raw)
			return err
		case j.State == "done":
			_, err := fmt.Fprintf(s.Out, "%d deliveries are decoded again\n", j.Count)
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
