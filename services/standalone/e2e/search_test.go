package e2e

import (
	"bytes"
	"encoding/base64"
	wire "encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// search looks for words in everything that a running or stopped Throughline leaves: every
// byte of its data folder, in the engine's and the broker's compressed forms too, what it
// printed, what its API and page answer, and what it wrote to the trackers. A thing that
// keeps customers' words in a new place adds that place here.
type search struct {
	words []string
}

// found is where each word was found, "" nowhere.
type found map[string][]string

func (f found) add(place string, words []string) {
	for _, w := range words {
		if !slices.Contains(f[w], place) {
			f[w] = append(f[w], place)
		}
	}
}

// in tells which words a text holds, as they are, in any case, or in base64.
func (s search) in(b []byte) []string {
	var out []string
	lower := bytes.ToLower(b)
	for _, w := range s.words {
		hit := bytes.Contains(lower, []byte(strings.ToLower(w)))
		for shift := range 3 {
			// Without the characters that bytes before and after the word have a part in.
			enc := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + w))
			hit = hit || bytes.Contains(b, []byte(enc[(8*shift+5)/6:8*(shift+len(w))/6]))
		}
		if hit {
			out = append(out, w)
		}
	}
	return out
}

// folder searches every file below dir.
func (s search) folder(t *testing.T, dir string, into found) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if os.IsNotExist(err) {
				return nil // an engine that runs removes files
			}
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		name := strings.TrimPrefix(path, dir)
		into.add(name, s.in(b))
		switch filepath.Ext(path) {
		case ".blk":
			into.add(name, s.in(block(b)))
		case ".bin":
			into.add(name, s.in(frames(t, name, b)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// block is what a full block of the broker holds: "cmp", the algorithm, the size, S2.
func block(b []byte) []byte {
	if len(b) < 5 || string(b[:3]) != "cmp" {
		return nil
	}
	_, n := wire.Uvarint(b[4:])
	plain, err := s2.Decode(nil, b[4+n:len(b)-8]) // a checksum ends it
	if err != nil {
		return []byte(fmt.Sprint("unreadable block: ", err))
	}
	return plain
}

// frames is what the engine's file of a column or of a compact part holds: frames of a
// checksum (16 bytes), a method, the size with this header (9 bytes), the size within.
func frames(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var out []byte
	for len(b) > 25 {
		method, size, raw := b[16], int(wire.LittleEndian.Uint32(b[17:])), int(wire.LittleEndian.Uint32(b[21:]))
		if size < 9 || 16+size > len(b) || raw > 1<<30 {
			t.Fatalf("%s is not made of frames", name)
		}
		data := b[25 : 16+size]
		switch method {
		case 0x02:
			out = append(out, data...)
		case 0x82:
			plain := make([]byte, raw)
			n, err := lz4.UncompressBlock(data, plain)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out = append(out, plain[:n]...)
		case 0x90:
			if out, err = dec.DecodeAll(data, out); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		default:
			t.Fatalf("%s is compressed with method %#x, which this search cannot read", name, method)
		}
		b = b[16+size:]
	}
	return out
}

// everywhere searches a shape: its folder, its logs, its trackers and, while it runs, what
// it answers.
func (s search) everywhere(t *testing.T, in *shape) found {
	t.Helper()
	out := found{}
	s.folder(t, in.data, out)
	for name, p := range in.programs {
		b, err := os.ReadFile(p.Printed)
		if err != nil {
			t.Fatal(err)
		}
		out.add("log of "+name, s.in(b))
	}
	for _, address := range in.trackers.URLs {
		res, err := http.Get(address + "/_written")
		if err != nil {
			t.Fatal(err)
		}
		var written any
		if err := json.NewDecoder(res.Body).Decode(&written); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		b, _ := json.Marshal(written)
		out.add("tracker "+address, s.in(b))
	}
	return out
}

// answers searches what a running shape answers to a reader.
func (s search) answers(t *testing.T, in *shape) found {
	t.Helper()
	out := found{}
	for _, path := range []string{"/v1/feedback?limit=200", "/v1/clusters?limit=200", "/v1/tickets", "/v1/tickets/jira/PLAY-101", "/v1/tickets/jira/PLAY-101/brief", "/v1/dead-letters"} {
		var answer any
		if err := in.play(0).Sender.Get(t.Context(), path, &answer); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		b, _ := json.Marshal(answer)
		out.add(path, s.in(b))
	}
	return out
}
