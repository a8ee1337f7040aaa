// Package table reads files of rows with named columns, whatever tool wrote them: CSV with
// any usual delimiter, JSON lines, or a JSON array, in UTF-8, UTF-16 or Windows-1252. It
// reads one row at a time and holds no more than the first rows. It refuses a row that is
// larger than MaxRow, which is what an unclosed quote looks like.
package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Bounds of what is held at a time.
const (
	MaxRow    = 8 << 20 // bytes of one row
	SampleMax = 200     // rows that are read ahead
	peek      = 64 << 10
)

// Row is one row. Values are in the order of the table's columns; a column that the row
// lacks is "". JSON is the row's object where the file is JSON, else nil.
type Row struct {
	Number int // counted from 1, without the header
	Values []string
	JSON   json.RawMessage
}

// Table is an open file.
type Table struct {
	Format    string // csv or json
	Encoding  string // utf-8, utf-16le, utf-16be or windows-1252
	Delimiter rune   // of CSV
	Columns   []string
	Sample    []Row // the first rows; Next returns them too

	read    func() (Row, error)
	pending []Row
	err     error // that ended the sample
}

// Open looks at the beginning of a file and reads its sample. It fails on a file without
// rows, and on one that is neither CSV nor JSON.
func Open(r io.Reader) (*Table, error) {
	t := &Table{}
	text, err := t.text(r)
	if err != nil {
		return nil, err
	}
	head, err := text.Peek(peek)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("read: %w", err)
	}
	switch start := bytes.TrimLeft(head, " \t\r\n"); {
	case len(start) == 0:
		return nil, errors.New("the file is empty")
	case start[0] == '{' || start[0] == '[':
		err = t.openJSON(text, head)
	default:
		err = t.openCSV(text, head)
	}
	if err != nil {
		return nil, err
	}
	for len(t.Sample) < SampleMax && t.err == nil {
		var row Row
		if row, t.err = t.read(); t.err == nil {
			t.Sample = append(t.Sample, row)
		}
	}
	if t.err != nil && !errors.Is(t.err, io.EOF) && len(t.Sample) == 0 {
		return nil, t.err
	}
	if len(t.Sample) == 0 {
		return nil, errors.New("the file has no rows")
	}
	if t.Format == "json" {
		t.columnsOfSample()
	}
	t.pending = t.Sample
	return t, nil
}

// Next returns the next row, io.EOF after the last.
func (t *Table) Next() (Row, error) {
	if len(t.pending) > 0 {
		row := t.pending[0]
		t.pending = t.pending[1:]
		return row, nil
	}
	if t.err != nil {
		return Row{}, t.err
	}
	row, err := t.read()
	if t.err = err; err != nil {
		return Row{}, err
	}
	if t.Format == "json" {
		row.Values = t.valuesOf(row.JSON)
	}
	return row, nil
}

// text makes UTF-8 of the file.
func (t *Table) text(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, peek)
	head, err := in.Peek(peek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	var d transform.Transformer
	switch t.Encoding = encodingOf(head); t.Encoding {
	case "utf-16le":
		d = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()
	case "utf-16be":
		d = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder()
	case "windows-1252":
		d = charmap.Windows1252.NewDecoder()
	default:
		d = transform.Chain(unicode.BOMOverride(transform.Nop), stray{})
	}
	return bufio.NewReaderSize(transform.NewReader(in, d), peek), nil
}

func encodingOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		return "utf-16le"
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return "utf-16be"
	}
	zeros := [2]int{}
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch n := len(head); {
	case zeros[1] > n/5 && zeros[1] > 3*zeros[0]:
		return "utf-16le"
	case zeros[0] > n/5 && zeros[0] > 3*zeros[1]:
		return "utf-16be"
	}
	whole := head
	for range utf8.UTFMax { // the end may be cut through a character
		if utf8.Valid(whole) {
			return "utf-8"
		}
		if len(head) < peek || len(whole) == 0 {
			break
		}
		whole = whole[:len(whole)-1]
	}
	return "windows-1252"
}

// stray reads single bytes that are no UTF-8, in a file that began as UTF-8, as
// Windows-1252: exports are pasted together from several sources.
type stray struct{ transform.NopResetter }

func (stray) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		r, size := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && size == 1 {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r = charmap.Windows1252.DecodeByte(src[nSrc])
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// guard fails a read that goes on for more than MaxRow bytes within one row.
type guard struct {
	r io.Reader
	n int
}

func (g *guard) Read(p []byte) (int, error) {
	if g.n > MaxRow {
		return 0, fmt.Errorf("a row is larger than %d MiB: is a quote not closed?", MaxRow>>20)
	}
	n, err := g.r.Read(p)
	g.n += n
	return n, err
}

var delimiters = []rune{',', ';', '\t', '|'}

var separator = regexp.MustCompile(`^sep=(.)\r?\n`)

func (t *Table) openCSV(text *bufio.Reader, head []byte) error {
	t.Format = "csv"
	if m := separator.FindSubmatch(head); m != nil { // Excel's own line
		t.Delimiter = rune(m[1][0])
		if _, err := text.Discard(len(m[0])); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		head = head[len(m[0]):]
	}
	skip := 0
	if t.Delimiter == 0 {
		t.Delimiter, skip = delimiterOf(head)
	} else {
		skip = preamble(records(head, t.Delimiter))
	}
	g := &guard{r: text}
	r := csv.NewReader(g)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = t.Delimiter, -1, true
	for range skip {
		if _, err := r.Read(); err != nil {
			return fmt.Errorf("read what is before the header: %w", err)
		}
	}
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	seen := map[string]int{}
	for i, h := range header {
		h = strings.TrimSpace(h)
		if h == "" {
			h = fmt.Sprintf("column %d", i+1)
		}
		if seen[h]++; seen[h] > 1 {
			h = fmt.Sprintf("%s (%d)", h, seen[h])
		}
		t.Columns = append(t.Columns, h)
	}
	number := 0
	t.read = func() (Row, error) {
		for {
			g.n = 0
			values, err := r.Read()
			if err != nil {
				if errors.Is(err, io.EOF) {
					return Row{}, io.EOF
				}
				return Row{}, fmt.Errorf("row %d: %w", number+1, err)
			}
			if len(values) == 1 && strings.TrimSpace(values[0]) == "" && len(t.Columns) > 1 {
				continue
			}
			number++
			for len(values) < len(t.Columns) {
				values = append(values, "")
			}
			return Row{Number: number, Values: values[:len(t.Columns)]}, nil
		}
	}
	return nil
}

// records parses the beginning of a file; what is cut off at its end is left out.
func records(head []byte, comma rune) [][]string {
	r := csv.NewReader(bytes.NewReader(head))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = comma, -1, true
	var out [][]string
	for len(out) < 50 {
		rec, err := r.Read()
		if err != nil {
			break
		}
		out = append(out, rec)
	}
	if len(out) > 2 && len(head) >= peek {
		out = out[:len(out)-1]
	}
	return out
}

// delimiterOf chooses the delimiter under which most rows have as many fields as the
// others, and more than one; skip is how many records come before the header.
func delimiterOf(head []byte) (best rune, skip int) {
	best, top := ',', 0.0
	for _, d := range delimiters {
		all := records(head, d)
		n := preamble(all)
		all = all[n:]
		if len(all) == 0 || len(all[0]) < 2 {
			continue
		}
		same := 0
		for _, r := range all {
			if len(r) == len(all[0]) {
				same++
			}
		}
		// How even the rows are counts most, then how many columns there are.
		score := float64(same)/float64(len(all)) + 0.01*float64(min(len(all[0]), 30))
		if score > top {
			best, top, skip = d, score, n
		}
	}
	return best, skip
}

// preamble counts the records before the header: titles and remarks, which have few fields.
func preamble(all [][]string) int {
	widths := map[int]int{}
	usual := 0
	for _, r := range all {
		if widths[len(r)]++; widths[len(r)] > widths[usual] || widths[len(r)] == widths[usual] && len(r) > usual {
			usual = len(r)
		}
	}
	n := 0
	for n < len(all)-1 && usual > 2 && len(all[n]) <= usual/2 {
		n++
	}
	return n
}

// wrapped is an object whose first member holds all rows: {"tickets":[…]}.
var wrapped = regexp.MustCompile(`^\s*\{\s*"(conversations|tickets|posts|notes|reviews|feedback|items|entries|results|data|records)"\s*:\s*\[`)

func (t *Table) openJSON(text *bufio.Reader, head []byte) error {
	t.Format = "json"
	g := &guard{r: text}
	d := json.NewDecoder(g)
	inside := false
	tokens := 0
	switch {
	case wrapped.Match(head):
		tokens, inside = 3, true
	case bytes.TrimLeft(head, " \t\r\n")[0] == '[':
		tokens, inside = 1, true
	}
	for range tokens {
		if _, err := d.Token(); err != nil {
			return errors.New("the file is not well-formed JSON")
		}
	}
	number := 0
	t.read = func() (Row, error) {
		if inside && !d.More() {
			return Row{}, io.EOF
		}
		g.n = 0
		var raw json.RawMessage
		err := d.Decode(&raw)
		switch {
		case errors.Is(err, io.EOF):
			return Row{}, io.EOF
		case err != nil:
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
				return Row{}, fmt.Errorf("row %d is not well-formed JSON", number+1)
			}
			return Row{}, fmt.Errorf("row %d: %w", number+1, err)
		case len(raw) == 0 || raw[0] != '{':
			return Row{}, fmt.Errorf("row %d is not a JSON object", number+1)
		}
		number++
		return Row{Number: number, JSON: raw}, nil
	}
	return nil
}

// columnsOfSample names a column for each path to a value that occurs in the sample.
func (t *Table) columnsOfSample() {
	for _, row := range t.Sample {
		for _, path := range Flatten(row.JSON).paths {
			if !slices.Contains(t.Columns, path) && len(t.Columns) < 500 {
				t.Columns = append(t.Columns, path)
			}
		}
	}
	for i := range t.Sample {
		t.Sample[i].Values = t.valuesOf(t.Sample[i].JSON)
	}
}

func (t *Table) valuesOf(raw json.RawMessage) []string {
	f := Flatten(raw)
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = f.values[c]
	}
	return out
}
