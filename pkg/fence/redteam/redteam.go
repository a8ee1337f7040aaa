// Package redteam is a set of feedback texts that attack whatever shows them: orders to
// an agent, closing fences, fake tool results, markup, mentions, links and remote images,
// hidden and reordered characters, look-alikes, and questions made to draw another
// customer's identity out of a summary.
//
// It is data for tests of every surface, written for this repository (Apache-2.0). A
// surface passes when the canary of each text stands only where that surface keeps
// customers' words. It promises that canaries are unique and stand in the part of a text
// that tries to leave. It refuses to judge a surface: each knows its own fences.
package redteam

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

//go:embed texts.jsonl
var texts []byte

// Text is one hostile feedback. Canary is a word of plain letters and digits in Text
// that occurs in no other.
type Text struct {
	Class  string `json:"class"`
	Canary string `json:"canary"`
	Text   string `json:"text"`
}

// Texts returns the set, in an order that does not change.
func Texts() ([]Text, error) {
	var out []Text
	for d := json.NewDecoder(bytes.NewReader(texts)); ; {
		var t Text
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read red-team texts: %w", err)
		}
		out = append(out, t)
	}
}

// Classes groups texts by what they try.
func Classes(texts []Text) map[string][]Text {
	out := map[string][]Text{}
	for _, t := range texts {
		out[t.Class] = append(out[t.Class], t)
	}
	return out
}
