package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

type replayCommand struct {
	serverFlags
	From string `help:"From when: a day as YYYY-MM-DD, an RFC 3339 time, or how long ago (72h)." required:"" placeholder:"T"`
	JSON bool   `help:"Print the outcome as JSON."`
}

// Run begins a replay, waits until all is put back and says how much it was. An interrupt
// ends the waiting, not the replay.
func (c *replayCommand) Run(ctx context.Context, s *Streams) error {
	from, err := since(c.From, time.Now())
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]time.Time{"from": from.UTC()})
	if err != nil {
		return err
	}
	if _, err := c.request(ctx, http.MethodPost, "/v1/replay", "application/json", bytes.NewReader(body)); err != nil {
		return err
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := c.request(ctx, http.MethodGet, "/v1/replay", "application/json", nil)
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
