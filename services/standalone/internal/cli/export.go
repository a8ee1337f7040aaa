package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/throughline-dev/throughline/pkg/problem"
)

type exportCommand struct {
	serverFlags
	What   string `arg:"" help:"${enum}." enum:"items,signals,clusters"`
	Format string `help:"${enum}. In CSV, words that a spreadsheet would take for a formula begin with an apostrophe." enum:"jsonl,csv" default:"jsonl"`
	Since  string `help:"From when: a day as YYYY-MM-DD, an RFC 3339 time, or how long ago (72h); default everything." placeholder:"T"`
	Output string `help:"File; it appears when it is whole. Default standard output." short:"o" placeholder:"FILE"`
}

// Run streams an export. What broke off is an error, and leaves no file.
func (c *exportCommand) Run(ctx context.Context, s *Streams) error {
	query := url.Values{"format": {c.Format}}
	if c.Since != "" {
		from, err := since(c.Since, time.Now())
		if err != nil {
			return err
		}
		query.Set("since", from.UTC().Format(time.RFC3339))
	}
	if c.Output == "" {
		return c.stream(ctx, s, "/v1/export/"+c.What+"?"+query.Encode(), s.Out)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), "."+filepath.Base(c.Output)+".*")
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	defer os.Remove(f.Name())
	if err := errors.Join(c.stream(ctx, s, "/v1/export/"+c.What+"?"+query.Encode(), f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.Output)
}

// stream copies an export as it comes, with a bar where progress is seen. The server ends a
// whole one with how many rows it was.
func (c *exportCommand) stream(ctx context.Context, s *Streams, path string, out io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.URL, "/")+path, nil)
	if err != nil {
		return usage{fmt.Errorf("--url is not an address: %w", err)}
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	client := &http.Client{} // without a limit of time: an export may take long
	res, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask %s: %w; is it running?", c.URL, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var p problem.Document
		if b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)); json.Unmarshal(b, &p) == nil && p.Title != "" {
			return fmt.Errorf("%s (%d) %s", p.Title, p.Status, p.Detail)
		}
		return fmt.Errorf("%s answered %s", c.URL, res.Status)
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(io.Discard))
	if total, err := strconv.Atoi(res.Header.Get("Throughline-Total")); err == nil && isTerminal(s.Err) {
		bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription(c.What), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	in, buffered := bufio.NewReaderSize(res.Body, 64<<10), bufio.NewWriterSize(out, 64<<10)
	for {
		part, err := in.ReadSlice('\n')
		if _, werr := buffered.Write(part); werr != nil {
			return fmt.Errorf("write the export: %w", werr)
		}
		switch {
		case err == nil:
			_ = bar.Add(1)
		case errors.Is(err, bufio.ErrBufferFull): // a long line goes on
		case errors.Is(err, io.EOF):
			_ = bar.Finish()
			if err := buffered.Flush(); err != nil {
				return fmt.Errorf("write the export: %w", err)
			}
			rows := res.Trailer.Get("Throughline-Rows")
			if rows == "" {
				return errors.New("the export broke off; try again")
			}
			fmt.Fprintln(s.Err, rows, c.What)
			return nil
		default:
			return fmt.Errorf("read the export: %w", err)
		}
	}
}
