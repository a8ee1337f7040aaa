package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/throughline-dev/throughline/pkg/problem"
)

// request asks a running server; accept is the wanted media type. A problem document becomes
// an error that says what it says.
func (f serverFlags) request(ctx context.Context, method, path, accept string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(f.URL, "/")+path, body)
	if err != nil {
		return nil, usage{fmt.Errorf("--url is not an address: %w", err)}
	}
	r.Header.Set("Authorization", "Bearer "+f.Token)
	r.Header.Set("Accept", accept)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Timeout: time.Minute}
	res, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w; is it running?", f.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return b, nil
	}
	var p problem.Document
	if json.Unmarshal(b, &p) == nil && p.Title != "" {
		return nil, fmt.Errorf("%s (%d) %s", p.Title, p.Status, p.Detail)
	}
	return nil, fmt.Errorf("%s answered %s", f.URL, res.Status)
}

type digestCommand struct {
	serverFlags
	Date   string `help:"Day as YYYY-MM-DD; default today in the workspace." placeholder:"DATE"`
	Format string `help:"${enum}" enum:"md,html,slack,json" default:"md"`
}

func (d *digestCommand) Run(ctx context.Context, s *Streams) error {
	date := d.Date
	if date == "" {
		date = "today"
	}
	accept := map[string]string{"md": "text/markdown", "html": "text/html", "slack": "application/vnd.slack+json", "json": "application/json"}[d.Format]
	b, err := d.request(ctx, http.MethodGet, "/v1/digests/"+url.PathEscape(date), accept, nil)
	if err != nil {
		return err
	}
	_, err = s.Out.Write(append(bytes.TrimRight(b, "\n"), '\n'))
	return err
}

type deadLetterCommand struct {
	Ls    deadLetterLs    `cmd:"" help:"List dead letters, oldest first."`
	Show  deadLetterShow  `cmd:"" help:"Show one with its event. The event may hold customers' words."`
	Retry deadLetterRetry `cmd:"" help:"Put the event back where it came from."`
	Drop  deadLetterDrop  `cmd:"" help:"Remove it for good."`
}

type deadLetterLs struct {
	serverFlags
	JSON bool `help:"Print JSON, one dead letter a line."`
}

type deadLetter struct {
	ID       string    `json:"id"`
	Durable  string    `json:"durable"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Type     string    `json:"type"`
	FirstAt  time.Time `json:"first_failure,omitzero"`
	At       time.Time `json:"at"`
}

func (l *deadLetterLs) Run(ctx context.Context, s *Streams) error {
	table := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	n := 0
	for cursor := ""; ; {
		b, err := l.request(ctx, http.MethodGet, "/v1/dead-letters?limit=200&cursor="+url.QueryEscape(cursor), "application/json", nil)
		if err != nil {
			return err
		}
		var page struct {
			Items      []deadLetter `json:"items"`
			NextCursor string       `json:"next_cursor"`
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		for _, d := range page.Items {
			if n++; l.JSON {
				if err := json.NewEncoder(s.Out).Encode(d); err != nil {
					return err
				}
				continue
			}
			if n == 1 {
				fmt.Fprintln(table, "ID\tFIRST FAILURE\tLAST FAILURE\tGIVEN UP BY\tATTEMPTS\tTYPE\tREASON")
			}
			first := "?"
			if !d.FirstAt.IsZero() {
				first = d.FirstAt.Local().Format(time.DateTime)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.ID, first, d.At.Local().Format(time.DateTime), d.Durable, d.Attempts, d.Type, d.Reason)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if n == 0 && !l.JSON {
		fmt.Fprintln(s.Out, "no dead letters")
	}
	return table.Flush()
}

type deadLetterShow struct {
	serverFlags
	ID string `arg:"" help:"Id as listed."`
}

func (d *deadLetterShow) Run(ctx context.Context, s *Streams) error {
	b, err := d.request(ctx, http.MethodGet, "/v1/dead-letters/"+url.PathEscape(d.ID), "application/json", nil)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err = fmt.Fprintln(s.Out, out.String())
	return err
}

type deadLetterRetry struct {
	serverFlags
	IDs []string `arg:"" name:"id" help:"Ids as listed."`
}

func (d *deadLetterRetry) Run(ctx context.Context, s *Streams) error {
	return d.each(ctx, s, d.IDs, http.MethodPost, "/retry", "retried")
}

type deadLetterDrop struct {
	serverFlags
	IDs []string `arg:"" name:"id" help:"Ids as listed."`
}

func (d *deadLetterDrop) Run(ctx context.Context, s *Streams) error {
	return d.each(ctx, s, d.IDs, http.MethodDelete, "", "dropped")
}

func (f serverFlags) each(ctx context.Context, s *Streams, ids []string, method, suffix, done string) error {
	var errs []error
	for _, id := range ids {
		if _, err := f.request(ctx, method, "/v1/dead-letters/"+url.PathEscape(id)+suffix, "application/json", nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
			continue
		}
		fmt.Fprintln(s.Out, done, id)
	}
	return errors.Join(errs...)
}
