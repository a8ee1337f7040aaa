package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor"
	"github.com/throughline-dev/throughline/services/standalone/internal/mapping"
	"github.com/throughline-dev/throughline/services/standalone/internal/table"
	"github.com/throughline-dev/throughline/services/standalone/internal/transcript"
	"github.com/throughline-dev/throughline/services/standalone/internal/upload"
)

type importCommand struct {
	serverFlags
	Files     []string          `arg:"" name:"file" help:"Exports (.csv, .tsv, .json, .jsonl, .ndjson) and transcripts of calls (.vtt, .srt, .txt, .md)." type:"existingfile"`
	Map       map[string]string `help:"Which column holds which field, as text=Comment;created_at=Date; text= for none. Fields: id, title, text, author_id, author_name, author_email, account_id, account_name, account_domain, account_value, account_monthly, account_plan, account_segment, url, created_at." placeholder:"FIELD=COLUMN"`
	Ours      []string          `help:"In transcripts: speakers who are ours; everybody else is a customer." placeholder:"NAME"`
	Customers []string          `help:"In transcripts: speakers who are customers; nobody else is." placeholder:"NAME"`
	Yes       bool              `short:"y" help:"Do not ask whether the mapping is right."`
	DryRun    bool              `help:"Show the mapping and the first entry as it would be sent; send nothing."`
	Restart   bool              `help:"Begin anew where an earlier import of the file was cut off."`
	JSON      bool              `help:"Print JSON, one file a line."`
}

// Bounds of one request.
const (
	batchRows  = 200
	batchBytes = 4 << 20
)

// importReport is what became of one file.
type importReport struct {
	File       string               `json:"file"`
	Format     string               `json:"format"`
	Encoding   string               `json:"encoding,omitempty"`
	Delimiter  string               `json:"delimiter,omitempty"`
	Mapping    *mapping.Mapping     `json:"mapping,omitempty"`
	Unused     []string             `json:"unused,omitempty"`
	Speakers   []transcript.Speaker `json:"speakers,omitempty"`
	First      json.RawMessage      `json:"first,omitempty"`
	Rows       int                  `json:"rows"`
	Accepted   int                  `json:"accepted"`
	Resumed    int                  `json:"resumed,omitempty"`
	Empty      int                  `json:"empty,omitempty"`
	Refused    int                  `json:"refused,omitempty"`
	Complaints []complaint          `json:"complaints,omitempty"` // about the first rows refused
}

type complaint struct {
	Row int    `json:"row"`
	Why string `json:"why"`
}

func (c *importCommand) Run(ctx context.Context, s *Streams) error {
	refused := 0
	for _, file := range c.Files {
		r, err := c.file(ctx, s, file)
		if err != nil {
			var u usage
			if errors.As(err, &u) {
				return usage{fmt.Errorf("%s: %w", file, u.error)}
			}
			return fmt.Errorf("%s: %w; %d rows before it are in, and the same command goes on from there", file, err, r.Resumed+r.Rows)
		}
		refused += r.Refused
		if err := c.tell(s, r); err != nil {
			return err
		}
	}
	if refused > 0 {
		return finding{fmt.Errorf("%d rows were refused", refused)}
	}
	return nil
}

func (c *importCommand) tell(s *Streams, r *importReport) error {
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(r)
	}
	if c.DryRun {
		fmt.Fprintf(s.Out, "%s, first entry as it would be sent:\n%s\n", r.File, indented(r.First))
		return nil
	}
	fmt.Fprintf(s.Out, "%s: %d items accepted", r.File, r.Accepted)
	for _, n := range []struct {
		n    int
		what string
	}{{r.Resumed, "were in before"}, {r.Empty, "rows hold no words"}, {r.Refused, "refused"}} {
		if n.n > 0 {
			fmt.Fprintf(s.Out, ", %d %s", n.n, n.what)
		}
	}
	fmt.Fprintln(s.Out)
	for _, x := range r.Complaints {
		fmt.Fprintf(s.Err, "  row %d: %s\n", x.Row, x.Why)
	}
	return nil
}

func indented(raw json.RawMessage) string {
	b, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		return string(raw)
	}
	return string(b)
}

// entries yields what is sent, in order; row is where it came from. raw is nil for a row
// without words.
type entries func() (row int, raw json.RawMessage, err error)

func (c *importCommand) file(ctx context.Context, s *Streams, path string) (*importReport, error) {
	r := &importReport{File: path}
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	var in io.Reader = f
	if isTerminal(s.Err) && !c.DryRun && !c.JSON {
		bar := progressbar.DefaultBytes(info.Size(), filepath.Base(path))
		defer bar.Close()
		in = io.TeeReader(f, bar)
	}
	var next entries
	var how string
	switch strings.ToLower(filepath.Ext(path)) {
	case ".vtt", ".srt", ".txt", ".md":
		next, how, err = c.transcript(s, r, in)
	default:
		next, how, err = c.table(s, r, in)
	}
	if err != nil {
		return r, err
	}
	if c.DryRun {
		for {
			_, raw, err := next()
			if err != nil && !errors.Is(err, io.EOF) {
				return r, err
			}
			if r.First = raw; raw != nil || err != nil {
				return r, nil
			}
		}
	}
	mark, err := c.fingerprint(path, info.Size(), how)
	if err != nil {
		return r, err
	}
	progress := upload.Resume(path, mark)
	if c.Restart {
		progress.Rows = 0
	}
	return r, c.send(ctx, s, r, next, progress)
}

// fingerprint names a file's content, as far as it is cheap to tell, the server and the
// mapping.
func (c *importCommand) fingerprint(path string, size int64, how string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, f, 1<<20); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	token := sha256.Sum256([]byte(c.Token))
	return feedback.ID("imp", c.URL, hex.EncodeToString(token[:]), strconv.FormatInt(size, 10), hex.EncodeToString(h.Sum(nil)), how), nil
}

// send sends what is not in yet, a batch at a time.
func (c *importCommand) send(ctx context.Context, s *Streams, r *importReport, next entries, progress *upload.Progress) error {
	server := upload.Server{URL: c.URL, Token: c.Token, Client: &http.Client{Timeout: time.Minute}, Wait: pause}
	r.Resumed = progress.Rows
	skip := progress.Rows
	var batch []json.RawMessage
	var rows []int
	size, last := 0, 0
	flush := func() error {
		if len(batch) > 0 {
			refused, err := server.Send(ctx, batch)
			if err != nil {
				return err
			}
			r.Accepted += len(batch) - len(refused)
			r.Refused += len(refused)
			for i, row := range rows {
				if why, no := refused[i]; no && len(r.Complaints) < 20 {
					r.Complaints = append(r.Complaints, complaint{row, why})
				}
			}
		}
		if last > progress.Rows {
			progress.Advance(last)
		}
		r.Rows = max(0, last-r.Resumed)
		batch, rows, size = batch[:0], rows[:0], 0
		return nil
	}
	for {
		row, raw, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(flush(), err)
		}
		if row <= skip {
			continue
		}
		if raw == nil {
			r.Empty++
			last = row
			continue
		}
		if len(batch) == batchRows || size+len(raw) > batchBytes && len(batch) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		batch, rows = append(batch, raw), append(rows, row)
		size, last = size+len(raw), row
	}
	if err := flush(); err != nil {
		return err
	}
	progress.Done()
	if !progress.Kept {
		fmt.Fprintf(s.Err, "  the folder of %s cannot be written to: had the import been cut off, it would have begun anew\n", r.File)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ready are the members of an entry as the API takes it: rows that have no others are sent
// as they are.
var ready = []string{"id", "text", "messages", "source", "author", "account", "url", "created_at"}

func isReady(t *table.Table) bool {
	if t.Format != "json" {
		return false
	}
	for _, row := range t.Sample {
		members := table.Members(row.JSON)
		words := slices.Contains(members, "text") || slices.Contains(members, "messages")
		if !words || slices.ContainsFunc(members, func(m string) bool { return !slices.Contains(ready, m) }) {
			return false
		}
	}
	return true
}

func (c *importCommand) table(s *Streams, r *importReport, in io.Reader) (entries, string, error) {
	t, err := table.Open(in)
	if err != nil {
		return nil, "", err
	}
	r.Format, r.Encoding = t.Format, t.Encoding
	if t.Delimiter != 0 {
		r.Delimiter = string(t.Delimiter)
	}
	if isReady(t) && len(c.Map) == 0 {
		return func() (int, json.RawMessage, error) {
			row, err := t.Next()
			if err != nil {
				return 0, nil, err
			}
			raw, err := identified(row.JSON)
			return row.Number, raw, err
		}, "as it is", nil
	}
	m, err := mapping.Guess(t, c.Map)
	if err != nil {
		return nil, "", usage{err}
	}
	r.Mapping, r.Unused = m, m.Unused(t.Columns)
	if !m.Whole() && !m.Has(mapping.Text) {
		return nil, "", usage{fmt.Errorf("no column looks like the customer's words; name it with --map text=COLUMN (columns: %s)", strings.Join(t.Columns, ", "))}
	}
	c.show(s, r, t, m)
	if err := c.confirm(s, "Import with this mapping?"); err != nil {
		return nil, "", err
	}
	return func() (int, json.RawMessage, error) {
		row, err := t.Next()
		if err != nil {
			return 0, nil, err
		}
		e, ok := m.Row(row, ingestor.PlainText)
		if !ok {
			return row.Number, nil, nil
		}
		raw, err := json.Marshal(e)
		return row.Number, raw, err
	}, m.Fingerprint(), nil
}

// identified gives an entry an id made from its content where it has none.
func identified(raw json.RawMessage) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, errors.New("an entry is not a JSON object")
	}
	if members["id"] != nil {
		return raw, nil
	}
	id, err := json.Marshal(feedback.ID("row", string(raw)))
	if err != nil {
		return nil, err
	}
	members["id"] = id
	return json.Marshal(members)
}

// show writes what was guessed, and the first rows as they would be taken.
func (c *importCommand) show(s *Streams, r *importReport, t *table.Table, m *mapping.Mapping) {
	if c.JSON {
		return
	}
	format := r.Format
	if t.Delimiter != 0 {
		format = fmt.Sprintf("%s with %q", r.Format, t.Delimiter)
	}
	fmt.Fprintf(s.Err, "%s: %s, %s, export of: %s\n", r.File, format, r.Encoding, m.Shape)
	for _, line := range m.Lines() {
		fmt.Fprintln(s.Err, "  "+line)
	}
	if m.Whole() {
		fmt.Fprintln(s.Err, "  whole conversations; only what the customer wrote is taken")
	} else if len(r.Unused) > 0 {
		fmt.Fprintf(s.Err, "  not read: %s\n", strings.Join(r.Unused, ", "))
	}
	shown := 0
	for _, row := range t.Sample {
		e, ok := m.Row(row, ingestor.PlainText)
		if !ok {
			continue
		}
		words := e.Text
		if len(e.Messages) > 0 {
			words = e.Messages[0].Text
		}
		fmt.Fprintf(s.Err, "  row %d: %s %.80q\n", row.Number, e.CreatedAt, words)
		if shown++; shown == 3 {
			break
		}
	}
}

// confirm asks on a terminal. A script says --yes, so that nobody imports by accident what
// nobody has looked at.
func (c *importCommand) confirm(s *Streams, question string) error {
	if c.Yes || c.DryRun {
		return nil
	}
	in, ok := s.In.(io.Writer) // a terminal can be written to
	if !ok || !isTerminal(in) {
		return usage{errors.New("the mapping is not confirmed: look at it with --dry-run, then say --yes")}
	}
	return ask(s.In, s.Err, question)
}

func ask(in io.Reader, out io.Writer, question string) error {
	fmt.Fprintf(out, "%s [Y/n] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		return usage{errors.New("there was no answer")}
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "", "y", "yes":
		return nil
	}
	return usage{errors.New("not imported: change the mapping with --map FIELD=COLUMN")}
}

// transcript makes one entry of a call: what its customers said.
func (c *importCommand) transcript(s *Streams, r *importReport, in io.Reader) (entries, string, error) {
	r.Format = "transcript"
	turns, err := transcript.Read(in)
	if err != nil {
		return nil, "", err
	}
	r.Speakers = transcript.Speakers(turns, c.Ours, c.Customers)
	if undecided := transcript.Undecided(r.Speakers); len(undecided) > 0 {
		return nil, "", usage{fmt.Errorf("who is a customer? Say --ours NAME or --customers NAME (speakers: %s)", strings.Join(undecided, ", "))}
	}
	said := transcript.Customers(turns, r.Speakers)
	if !c.JSON {
		fmt.Fprintf(s.Err, "%s: transcript, %d turns\n", r.File, len(turns))
		for _, k := range r.Speakers {
			side := "customer, kept"
			if k.Ours {
				side = "ours, left out"
			}
			fmt.Fprintf(s.Err, "  %-24s %4d turns %6d words  %s (%s)\n", k.Name, k.Turns, k.Words, side, k.Why)
		}
	}
	if len(said) == 0 {
		return nil, "", usage{errors.New("no customer speaks in it")}
	}
	if err := c.confirm(s, "Import the customers' turns?"); err != nil {
		return nil, "", err
	}
	e := mapping.Entry{ID: "transcript:" + strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File)), Source: string(feedback.Import)}
	for _, t := range said {
		e.Messages = append(e.Messages, mapping.Message{From: t.Speaker, Text: t.Text})
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, "", err
	}
	done := false
	return func() (int, json.RawMessage, error) {
		if done {
			return 0, nil, io.EOF
		}
		done = true
		return 1, raw, nil
	}, "transcript", nil
}
