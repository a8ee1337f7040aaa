package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

const printed = `goos: linux
goarch: amd64
pkg: github.com/throughline-dev/throughline/services/ingestor
cpu: a processor
BenchmarkWebhook-2   	    3000	    160000 ns/op	        91.50 refs/item	    6250 requests/s	   21000 B/op	     210 allocs/op
BenchmarkWebhook-2   	    3000	    150000 ns/op	        90.00 refs/item	    6100 requests/s	   21000 B/op	     211 allocs/op
BenchmarkWebhook-2   	    3000	    170000 ns/op	        99.00 refs/item	    6000 requests/s	   21000 B/op	     211 allocs/op
PASS
pkg: github.com/throughline-dev/throughline/pkg/embed
BenchmarkLexical/short-2   	    300	    1600 ns/op	        2.0 refs/item	   0 B/op	     0 allocs/op
`

func TestTheBestAndTheUsualAreKept(t *testing.T) {
	t.Parallel()
	m, err := Read(strings.NewReader(printed), "printed")
	if err != nil {
		t.Fatal(err)
	}
	w := m["services/ingestor Webhook"]
	if len(m) != 2 || w["ns/op"].Best != 150000 || w["refs/item"] != (Figure{90, 91.5}) || w["requests/s"].Best != 6250 || w["allocs/op"].Best != 210 || m["pkg/embed Lexical/short"]["refs/item"] != (Figure{2, 2}) {
		t.Errorf("%v", m)
	}
	if _, err := Read(strings.NewReader("PASS\n"), "nothing"); err == nil {
		t.Error("no results are no error")
	}
}

func TestWhatBecameDearerFails(t *testing.T) {
	t.Parallel()
	baseline, err := Read(strings.NewReader(printed), "printed")
	if err != nil {
		t.Fatal(err)
	}
	record := Record{Commit: "abc", At: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), Benchmarks: baseline}
	for about, c := range map[string]struct {
		from, to string
		fails    string
	}{
		"the same":             {"", "", ""},
		"nine percent more":    {"90.00 refs", "98.00 refs", ""},
		"twelve percent more":  {"90.00 refs", "101.0 refs", ""}, // the other repetition is still good
		"more allocations":     {"211 allocs", "211 allocs", ""},
		"a dearer item":        {"2.0 refs", "2.3 refs", "15 % more"},
		"one allocation":       {"     0 allocs", "     1 allocs", "pkg/embed Lexical/short: 1 allocs/op"},
		"a benchmark is gone":  {"BenchmarkLexical/short", "BenchmarkLexical/long", "record anew"},
		"a slower wall clock":  {"1600 ns/op", "9900 ns/op", ""},
		"more bytes, as often": {"0 B/op", "9 B/op", ""},
	} {
		now, err := Read(strings.NewReader(strings.ReplaceAll(printed, c.from, c.to)), "now")
		if c.from == "" {
			now, err = Read(strings.NewReader(printed), "now")
		}
		if err != nil {
			t.Fatal(err)
		}
		err = Compare(io.Discard, record, now)
		if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

// The records that are kept can be read, and the plot beside them is of these records.
func TestThePlotIsOfTheHistory(t *testing.T) {
	t.Parallel()
	all, err := load("history")
	if err != nil {
		t.Fatal(err)
	}
	drawn := Draw(all)
	for d := xml.NewDecoder(strings.NewReader(drawn)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
	b, err := os.ReadFile("history.svg")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != drawn {
		t.Error("history.svg is not of the records: run make bench-record")
	}
	if !strings.Contains(drawn, "prefers-color-scheme: dark") || len(all) == 0 {
		t.Errorf("%d records", len(all))
	}
}
