package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

type importCommand struct {
	serverFlags
	Files  []string          `arg:"" name:"file" help:"Files: .jsonl, .ndjson or .csv with a header." type:"existingfile"`
	Map    map[string]string `help:"For CSV: which column holds which field, as text=Comment;created_at=Date. Fields: id, text, author_name, author_email, account_id, account_name, url, created_at." placeholder:"FIELD=COLUMN"`
	DryRun bool              `help:"Show the mapping and the first row as it would be sent; send nothing."`
}

// batchSize is how many rows go in one request.
const batchSize = 200

func (c *importCommand) Run(ctx context.Context, s *Streams) error {
	for _, file := range c.Files {
		n, err := c.file(ctx, s, file)
		if err != nil {
			return fmt.Errorf("%s: %w; %d rows before it are in, and sending them again changes nothing", file, err, n)
		}
		if !c.DryRun {
			fmt.Fprintf(s.Out, "%s: %d items accepted\n", file, n)
		}
	}
	return nil
}

// file sends one file in batches. A row's id is made from its content where it has none, so
// that a second import adds nothing.
func (c *importCommand) file(ctx context.Context, s *Streams, path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var in io.Reader = f
	if isTerminal(s.Err) && !c.DryRun {
		bar := progressbar.DefaultBytes(info.Size(), filepath.Base(path))
		in = io.TeeReader(f, bar)
	}
	next, err := c.rows(s, path, in)
	if err != nil {
		return 0, err
	}
	sent := 0
	var batch []json.RawMessage
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		b, err := json.Marshal(batch)
		if err != nil {
			return err
		}
		if _, err := c.request(ctx, http.MethodPost, "/v1/feedback", "application/json", bytes.NewReader(b)); err != nil {
			return err
		}
		sent += len(batch)
		batch = batch[:0]
		return nil
	}
	for {
		row, err := next()
		if errors.Is(err, io.EOF) {
			return sent, flush()
		}
		if err != nil {
			return sent, err
		}
		if c.DryRun {
			var out bytes.Buffer
			if err := json.Indent(&out, row, "", "  "); err != nil {
				return 0, err
			}
			fmt.Fprintf(s.Out, "%s, first row as it would be sent:\n%s\n", path, out.String())
			return 0, nil
		}
		if batch = append(batch, row); len(batch) == batchSize {
			if err := flush(); err != nil {
				return sent, err
			}
		}
	}
}

// rows reads a file row by row as the JSON that POST /v1/feedback takes.
func (c *importCommand) rows(s *Streams, path string, in io.Reader) (func() (json.RawMessage, error), error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		return jsonRows(in), nil
	case ".csv":
		return c.csvRows(s, in)
	}
	return nil, errors.New("is none of .jsonl, .ndjson, .csv")
}

func jsonRows(in io.Reader) func() (json.RawMessage, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	n := 0
	return func() (json.RawMessage, error) {
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(line, &fields); err != nil {
				return nil, fmt.Errorf("line %d is not a JSON object", n)
			}
			if fields["id"] == nil {
				id, _ := json.Marshal(feedback.ID("row", string(line)))
				fields["id"] = id
			}
			return json.Marshal(fields)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		return nil, io.EOF
	}
}

// guesses are the column names that exports use for each field, tried in order.
var guesses = map[string][]string{
	"id":           {"id", "ticket id", "conversation id", "review id", "post id", "note id"},
	"text":         {"text", "body", "comment", "feedback", "message", "review", "content", "description", "details", "note", "title"},
	"author_name":  {"author", "name", "author name", "customer", "user", "requester", "requester name"},
	"author_email": {"email", "author email", "customer email", "user email", "requester email"},
	"account_id":   {"account id", "company id", "organization id"},
	"account_name": {"account", "company", "organization", "company name"},
	"url":          {"url", "link", "permalink"},
	"created_at":   {"created_at", "created at", "created", "date", "submitted at", "timestamp"},
}

func (c *importCommand) csvRows(s *Streams, in io.Reader) (func() (json.RawMessage, error), error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("has no header: %w", err)
	}
	column := map[string]int{}
	for i, h := range header {
		column[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))] = i
	}
	mapping := map[string]int{}
	for field, names := range guesses {
		if chosen, ok := c.Map[field]; ok {
			i, known := column[strings.ToLower(chosen)]
			if !known {
				return nil, usage{fmt.Errorf("has no column %q", chosen)}
			}
			mapping[field] = i
			continue
		}
		for _, name := range names {
			if i, ok := column[name]; ok {
				mapping[field] = i
				break
			}
		}
	}
	if _, ok := mapping["text"]; !ok {
		return nil, usage{fmt.Errorf("no column looks like the customer's words; name it with --map text=COLUMN (columns: %s)", strings.Join(header, ", "))}
	}
	for field, i := range mapping {
		fmt.Fprintf(s.Err, "  %-12s from column %q\n", field, header[i])
	}
	return func() (json.RawMessage, error) {
		record, err := r.Read()
		if err != nil {
			return nil, err
		}
		get := func(field string) string {
			if i, ok := mapping[field]; ok && i < len(record) {
				return strings.TrimSpace(record[i])
			}
			return ""
		}
		row := map[string]any{"id": get("id"), "text": get("text"), "source": string(feedback.Import)}
		if row["id"] == "" {
			row["id"] = feedback.ID("row", record...)
		}
		author := map[string]string{"name": get("author_name"), "email": get("author_email")}
		author["id"] = author["email"]
		if author["id"] == "" {
			author["id"] = author["name"]
		}
		if author["id"] != "" {
			row["author"] = author
		}
		if id, name := get("account_id"), get("account_name"); id+name != "" {
			row["account"] = map[string]string{"id": id, "name": name}
		}
		for _, field := range []string{"url", "created_at"} {
			if v := get(field); v != "" {
				row[field] = v
			}
		}
		return json.Marshal(row)
	}, nil
}
