package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"
)

type eraseCommand struct {
	serverFlags
	Customer string `help:"Customer's id, or the e-mail address they are known by." required:"" placeholder:"ID"`
	JSON     bool   `help:"Print the report as JSON."`
}

// erasure is the report as the API answers it.
type erasure struct {
	Customer string    `json:"customer"`
	Items    []string  `json:"items"`
	State    string    `json:"state"`
	Until    time.Time `json:"until"`
	Waiting  string    `json:"waiting"`
	Finished time.Time `json:"finished"`
	Places   []struct {
		Kind    string `json:"kind"`
		Name    string `json:"name"`
		Looked  int    `json:"looked"`
		Cleaned int    `json:"cleaned"`
		Left    int    `json:"left"`
	} `json:"places"`
}

// Run asks for the erasure, waits for its end and prints the report. It ends as "found
// wanting" where words are left.
func (c *eraseCommand) Run(ctx context.Context, s *Streams) error {
	path := "/v1/customers/" + url.PathEscape(c.Customer)
	asked := time.Now().UTC()
	if _, err := c.request(ctx, http.MethodDelete, path, "application/json", nil); err != nil {
		return err
	}
	report, raw, err := c.await(ctx, s, path+"/erasure", asked)
	if err != nil {
		return err
	}
	if c.JSON {
		if _, err := s.Out.Write(raw); err != nil {
			return err
		}
	} else if err := report.print(s); err != nil {
		return err
	}
	if report.State != "done" {
		return finding{errors.New("words are left where the report says so")}
	}
	return nil
}

// await polls until the erasure that was asked for is over, and tells what it waits for.
func (c *eraseCommand) await(ctx context.Context, s *Streams, path string, asked time.Time) (report erasure, raw []byte, err error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	told := ""
	for {
		raw, err = c.request(ctx, http.MethodGet, path, "application/json", nil)
		if err == nil {
			report = erasure{}
			if err := json.Unmarshal(raw, &report); err != nil {
				return erasure{}, nil, fmt.Errorf("read the answer: %w", err)
			}
			// The server's clock may be a little behind ours; an older erasure is much older.
			if report.Until.After(asked.Add(-time.Minute)) && (report.State == "done" || report.State == "left") {
				return report, raw, nil
			}
			if now := report.State + " " + report.Waiting; now != told {
				told = now
				fmt.Fprintln(s.Err, now)
			}
		} else if told == "" {
			told = "accepted"
			fmt.Fprintln(s.Err, told)
		}
		select {
		case <-ctx.Done():
			return erasure{}, nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (r erasure) print(s *Streams) error {
	fmt.Fprintf(s.Out, "%s: %d items erased, finished %s\n", r.Customer, len(r.Items), r.Finished.Local().Format(time.DateTime))
	table := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "PLACE\tNAME\tLOOKED AT\tCLEANED\tLEFT")
	for _, p := range r.Places {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\n", p.Kind, p.Name, p.Looked, p.Cleaned, p.Left)
	}
	return table.Flush()
}

type retentionCommand struct {
	serverFlags
	JSON bool `help:"Print the report as JSON."`
}

// Run prints the newest erasure by age. It ends as "found wanting" where words are left.
func (c *retentionCommand) Run(ctx context.Context, s *Streams) error {
	raw, err := c.request(ctx, http.MethodGet, "/v1/retention", "application/json", nil)
	if err != nil {
		return err
	}
	var report erasure
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch {
	case c.JSON:
		if _, err := s.Out.Write(raw); err != nil {
			return err
		}
	case report.State == "done" || report.State == "left":
		if err := report.print(s); err != nil {
			return err
		}
	default:
		fmt.Fprintln(s.Out, report.State, report.Waiting)
	}
	if report.State == "left" {
		return finding{errors.New("words are left where the report says so")}
	}
	return nil
}
