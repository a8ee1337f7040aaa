package uselite

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// unknown is the piece of a symbol that the vocabulary does not have.
const unknown = 0

// reserved pieces stand at the front of the vocabulary and match no text.
const reserved = 6

// separator stands for a space, and before the first word.
const separator = '▁'

// tokenizer cuts text into the pieces of a unigram vocabulary, the cut with
// the highest summed score winning. It follows the tokenizer published with
// the weights step by step, its oddities included, because the network was
// published with it: an unknown symbol scores zero, and a position that no
// piece ends at scores zero too.
//
// It is immutable, and safe for concurrent use.
type tokenizer struct {
	next   map[edge]int32 // a trie over symbols: node 0 is the root
	ends   []int32        // per node, the piece that ends there, or -1
	scores []float32      // per piece
	widths []int32        // per piece, its length in symbols
}

type edge struct {
	node   int32
	symbol rune
}

// newTokenizer reads a vocabulary: a JSON array of [piece, score] pairs.
func newTokenizer(vocabulary []byte) (*tokenizer, error) {
	var pairs [][2]json.RawMessage
	if err := json.Unmarshal(vocabulary, &pairs); err != nil {
		return nil, fmt.Errorf("decode %s: %w", vocabularyFile, err)
	}
	if len(pairs) <= reserved || len(pairs) > vocabularySize {
		return nil, fmt.Errorf("decode %s: %d pieces", vocabularyFile, len(pairs))
	}
	t := &tokenizer{
		next:   map[edge]int32{},
		ends:   []int32{-1},
		scores: make([]float32, len(pairs)),
		widths: make([]int32, len(pairs)),
	}
	for id, pair := range pairs {
		var piece string
		if err := errors.Join(json.Unmarshal(pair[0], &piece), json.Unmarshal(pair[1], &t.scores[id])); err != nil {
			return nil, fmt.Errorf("decode %s: piece %d: %w", vocabularyFile, id, err)
		}
		symbols := []rune(piece)
		t.widths[id] = int32(len(symbols))
		if id >= reserved {
			t.insert(symbols, int32(id))
		}
	}
	t.widths[unknown] = 1
	return t, nil
}

func (t *tokenizer) insert(symbols []rune, id int32) {
	node := int32(0)
	for _, symbol := range symbols {
		child, ok := t.next[edge{node, symbol}]
		if !ok {
			child = int32(len(t.ends))
			t.ends = append(t.ends, -1)
			t.next[edge{node, symbol}] = child
		}
		node = child
	}
	t.ends[node] = id
}

// pieces cuts text. Runs of unknown symbols become one unknown piece. It also
// counts the symbols that known pieces cover, and all symbols, the separators
// left out of both. Text that is empty has no pieces.
func (t *tokenizer) pieces(text string) (ids []int32, covered, total int) {
	text = norm.NFKC.String(text)
	if text == "" {
		return nil, 0, 0
	}
	symbols := []rune(string(separator) + strings.ReplaceAll(text, " ", string(separator)))

	best := make([]float32, len(symbols)+1)
	last := make([]int32, len(symbols)+1) // the piece that ends here
	offer := func(end int, score float32, id int32) {
		if best[end] == 0 || score >= best[end] {
			best[end], last[end] = score, id
		}
	}
	for start := range symbols {
		matched := false
		node := int32(0)
		for end := start; end < len(symbols); end++ {
			child, ok := t.next[edge{node, symbols[end]}]
			if !ok {
				break
			}
			node = child
			if id := t.ends[node]; id >= 0 {
				matched = true
				offer(end+1, best[start]+t.scores[id], id)
			}
		}
		if !matched {
			offer(start+1, best[start], unknown)
		}
	}

	for end := len(symbols); end > 0; {
		id := last[end]
		width := int(t.widths[id])
		for _, symbol := range symbols[end-width : end] {
			if symbol == separator {
				continue
			}
			total++
			if id != unknown {
				covered++
			}
		}
		if id != unknown || len(ids) == 0 || ids[len(ids)-1] != unknown {
			ids = append(ids, id)
		}
		end -= width
	}
	for i, j := 0, len(ids)-1; i < j; i, j = i+1, j-1 {
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids, covered, total
}
