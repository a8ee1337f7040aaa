package bge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPiecesAreThoseOfThePublishedTokeniser(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", ".cache", "models")
	if given := os.Getenv("THROUGHLINE_MODELS"); given != "" {
		dir = given
	}
	files, err := readPinned(dir)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := newTokenizer(files[vocabularyFile])
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
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
	if len(references) < 20 {
		t.Fatalf("%d references", len(references))
	}
	for _, want := range references {
		got, _ := tokenizer.pieces(want.Text, 1<<20)
		if !slices.Equal(got, want.Pieces) {
			t.Errorf("%q: %v, want %v", want.Text, got, want.Pieces)
		}
		if cut, _ := tokenizer.pieces(want.Text, 3); !slices.Equal(cut, want.Pieces[:min(3, len(want.Pieces))]) {
			t.Errorf("%q: its first three are %v", want.Text, cut)
		}
	}
}

func TestNamesOfSpecialPiecesAreText(t *testing.T) {
	t.Parallel()
	if got := split("a [SEP] b"); !slices.Equal(got, []string{"a", "[", "sep", "]", "b"}) {
		t.Errorf("%q", got)
	}
}

func TestFilesThatAreNotTheirsAreErrors(t *testing.T) {
	t.Parallel()
	for _, file := range [][]byte{{}, []byte("no protobuf"), {0x3a, 0x7f}, {0x3a, 2, 0x2a, 0x50}} {
		if _, err := assemble(file); err == nil {
			t.Errorf("%q was taken for the weights", file)
		}
	}
	for _, file := range []string{"", "[]", `{"model":{"vocab":{"a":30522}}}`} {
		if _, err := newTokenizer([]byte(file)); err == nil {
			t.Errorf("%q was taken for the vocabulary", file)
		}
	}
}
