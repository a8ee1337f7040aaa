package table_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/throughline-dev/throughline/services/standalone/internal/table"
)

func all(t *testing.T, r io.Reader) (*table.Table, [][]string) {
	t.Helper()
	tb, err := table.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for {
		row, err := tb.Next()
		if errors.Is(err, io.EOF) {
			return tb, out
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Number != len(out)+1 {
			t.Fatalf("row %d is numbered %d", len(out)+1, row.Number)
		}
		out = append(out, row.Values)
	}
}

func TestEveryEncodingAndDelimiterIsRead(t *testing.T) {
	t.Parallel()
	want := [][]string{{"1", "Ä, ö; ü|\t€ “x”", "a\nb"}, {"2", "schlägt fehl", ""}}
	for _, d := range []string{",", ";", "\t", "|"} {
		text := strings.Join([]string{"id", "Text", "more"}, d) + "\r\n" +
			"1" + d + "\"Ä, ö; ü|\t€ “x”\"" + d + "\"a\nb\"\r\n" + "2" + d + "schlägt fehl" + d + "\r\n"
		for name, e := range map[string]encoding.Encoding{
			"utf-8": unicode.UTF8, "utf-8 ": unicode.UTF8BOM, "windows-1252": charmap.Windows1252,
			"utf-16le": unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "utf-16be": unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
			"utf-16le ": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "utf-16be ": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
		} {
			b, err := e.NewEncoder().String(text)
			if err != nil {
				t.Fatal(err)
			}
			tb, got := all(t, strings.NewReader(b))
			if !reflect.DeepEqual(got, want) || tb.Encoding != strings.TrimSpace(name) || string(tb.Delimiter) != d || !reflect.DeepEqual(tb.Columns, []string{"id", "Text", "more"}) {
				t.Errorf("%s with %q: taken as %s with %q, columns %q\n%q", name, d, tb.Encoding, tb.Delimiter, tb.Columns, got)
			}
		}
	}
}

func TestOddTablesAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		columns []string
		rows    [][]string
	}{
		"Excel's line":         {"sep=;\na;b\n1;2\n", []string{"a", "b"}, [][]string{{"1", "2"}}},
		"remarks before":       {"Report of May\n\nid,text,at\n1,x,2\n2,y,3\n", []string{"id", "text", "at"}, [][]string{{"1", "x", "2"}, {"2", "y", "3"}}},
		"short and long rows":  {"a,b,c\n1\n1,2,3,4\n1,2,3\n", []string{"a", "b", "c"}, [][]string{{"1", "", ""}, {"1", "2", "3"}, {"1", "2", "3"}}},
		"names twice, or none": {"a,a,\n1,2,3\n", []string{"a", "a (2)", "column 3"}, [][]string{{"1", "2", "3"}}},
		"bare quotes":          {"a,b\n1,he said \"no\" twice\n", []string{"a", "b"}, [][]string{{"1", `he said "no" twice`}}},
		"one column":           {"text\nhello there\n", []string{"text"}, [][]string{{"hello there"}}},
		"commas in words":      {"id;text\n1;a, b, c, d\n2;e, f\n", []string{"id", "text"}, [][]string{{"1", "a, b, c, d"}, {"2", "e, f"}}},
		"JSON lines":           {"{\"id\":1,\"a\":{\"b\":\"x\",\"n\":null},\"tags\":[\"p\",2]}\n\n{\"id\":12345678901234567890}\n", []string{"id", "a.b", "a.n", "tags"}, [][]string{{"1", "x", "", "p, 2"}, {"12345678901234567890", "", "", ""}}},
		"a JSON array":         {"[{\"id\":1},\n{\"id\":2}]", []string{"id"}, [][]string{{"1"}, {"2"}}},
		"a wrapped array":      {"{\"tickets\":[{\"id\":1},{\"id\":2}],\"next\":null}", []string{"id"}, [][]string{{"1"}, {"2"}}},
		"a stray byte late on": {"id,text\n" + strings.Repeat("1,plain words\n", 8000) + "2,caf\xe9\n", []string{"id", "text"}, append(repeated(8000, "1", "plain words"), []string{"2", "café"})},
	} {
		tb, rows := all(t, strings.NewReader(c.text))
		if !reflect.DeepEqual(tb.Columns, c.columns) || !reflect.DeepEqual(rows, c.rows) {
			t.Errorf("%s: columns %q, %d rows, the last %q", name, tb.Columns, len(rows), rows[len(rows)-1])
		}
	}
}

func repeated(n int, values ...string) (out [][]string) {
	for range n {
		out = append(out, values)
	}
	return out
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "blanks": " \n ", "a header alone": "a,b\n", "broken JSON": "{\"a\":", "a list of numbers": "[1,2]",
	} {
		if tb, err := table.Open(strings.NewReader(text)); err == nil {
			t.Errorf("%s: taken as %+v", name, tb)
		}
	}
	open := io.MultiReader(strings.NewReader("id,text\n1,\""), io.LimitReader(letters{}, 64<<20))
	if _, err := table.Open(open); err == nil || !strings.Contains(err.Error(), "quote") {
		t.Errorf("a quote that is not closed: %v", err)
	}
}

// letters never ends.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// lines makes a table of n rows without holding it.
type lines struct {
	n, at int
	left  []byte
}

func (l *lines) Read(p []byte) (int, error) {
	if len(l.left) == 0 {
		if l.at > l.n {
			return 0, io.EOF
		}
		l.left = fmt.Appendf(nil, "%d,\"the export of report %d fails, again\",2026-01-02\n", l.at, l.at)
		if l.at == 0 {
			l.left = []byte("id,text,date\n")
		}
		l.at++
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func TestRowsAreStreamed(t *testing.T) {
	t.Parallel()
	tb, err := table.Open(&lines{n: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	rows, most := 0, uint64(0)
	for ; ; rows++ {
		if _, err := tb.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if rows%20_000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if rows != 100_000 || most > 64<<20 {
		t.Errorf("%d rows, %d bytes held", rows, most)
	}
}

// BenchmarkMillionRows reads a CSV file of a million rows.
func BenchmarkMillionRows(b *testing.B) {
	for b.Loop() {
		tb, err := table.Open(&lines{n: 1_000_000})
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		for ; ; rows++ {
			if _, err := tb.Next(); err != nil {
				break
			}
		}
		if rows != 1_000_000 {
			b.Fatal(rows)
		}
	}
}
