package uselite

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func published(t testing.TB) *tokenizer {
	t.Helper()
	dir := os.Getenv("THROUGHLINE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", ".cache", "models")
	}
	files, err := readPinned(dir)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := newTokenizer(files[vocabularyFile])
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestPiecesAreThoseOfTheOfficialTokenizer(t *testing.T) {
	t.Parallel()
	tok := published(t)
	content, err := os.ReadFile(filepath.Join("testdata", "official.json"))
	if err != nil {
		t.Fatal(err)
	}
	var references []struct {
		Text   string  `json:"text"`
		Pieces []int32 `json:"pieces"`
	}
	if err := json.Unmarshal(content, &references); err != nil {
		t.Fatal(err)
	}
	if len(references) == 0 {
		t.Fatal("no references")
	}
	for _, want := range references {
		if got, _, _ := tok.pieces(want.Text); !slices.Equal(got, want.Pieces) {
			t.Errorf("%q: pieces %v, want %v", want.Text, got, want.Pieces)
		}
	}
}

func TestVocabularyIsChecked(t *testing.T) {
	t.Parallel()
	for name, vocabulary := range map[string]string{
		"not JSON":         `{`,
		"no pieces":        `[]`,
		"only reserved":    `[["a",0],["b",0],["c",0],["d",0],["e",0],["f",0]]`,
		"a piece no text":  `[["a",0],["b",0],["c",0],["d",0],["e",0],["f",0],[7,0]]`,
		"a score no value": `[["a",0],["b",0],["c",0],["d",0],["e",0],["f",0],["g","h"]]`,
		"too many":         "[" + strings.Repeat(`["a",0],`, vocabularySize) + `["a",0]]`,
	} {
		if _, err := newTokenizer([]byte(vocabulary)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzPieces(f *testing.F) {
	for _, seed := range []string{"", " ", "a", "\x00", "\xff", "▁", "東京 works", "ﬁ", strings.Repeat("ab ", 300)} {
		f.Add(seed)
	}
	tok := published(f)
	f.Fuzz(func(t *testing.T, text string) {
		ids, covered, total := tok.pieces(text)
		if covered < 0 || covered > total {
			t.Fatalf("%d of %d symbols covered", covered, total)
		}
		if (len(ids) == 0) != (text == "") {
			t.Fatalf("%d pieces", len(ids))
		}
		for i, id := range ids {
			if id < 0 || int(id) >= len(tok.scores) || id > unknown && id < reserved {
				t.Fatalf("piece %d is %d", i, id)
			}
			if i > 0 && id == unknown && ids[i-1] == unknown {
				t.Fatal("unknown pieces were not joined")
			}
		}
	})
}
