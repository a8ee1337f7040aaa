package bge

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The pieces with a meaning of their own.
const (
	unknown int32 = 100
	begin   int32 = 101
	end     int32 = 102
)

// longestWord is how many characters of a word without a gap are looked up; a
// longer one is unknown.
const longestWord = 100

// tokenizer cuts text into the pieces of a WordPiece vocabulary, as the
// published tokeniser (BERT, uncased) does: letters lose case and accents,
// punctuation and Chinese characters are words of their own, and a word is the
// longest piece it begins with, then the longest that follows, and so on. The
// names of special pieces ("[SEP]") are ordinary text here: what a customer
// writes is never a command.
//
// It is immutable, and safe for concurrent use.
type tokenizer struct {
	first  map[string]int32 // pieces that begin a word
	inside map[string]int32 // pieces that continue one, without their ##
}

// newTokenizer reads the published tokeniser's file.
func newTokenizer(file []byte) (*tokenizer, error) {
	var published struct {
		Model struct {
			Vocab map[string]int32 `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(file, &published); err != nil {
		return nil, fmt.Errorf("decode %s: %w", vocabularyFile, err)
	}
	t := &tokenizer{first: map[string]int32{}, inside: map[string]int32{}}
	for piece, id := range published.Model.Vocab {
		if id < 0 || id >= vocabularySize {
			return nil, fmt.Errorf("decode %s: piece %d of %d", vocabularyFile, id, vocabularySize)
		}
		if rest, ok := strings.CutPrefix(piece, "##"); ok {
			t.inside[rest] = id
		} else {
			t.first[piece] = id
		}
	}
	return t, nil
}

// pieces cuts text, up to limit pieces, and tells the share of its words, of
// those that were read, that are in a script the encoder was taught.
func (t *tokenizer) pieces(text string, limit int) (ids []int32, covered float32) {
	words, taught := 0, 0
	for _, word := range split(text) {
		if len(ids) >= limit {
			break
		}
		ids = t.cut(ids, word)
		if r, _ := utf8.DecodeRuneInString(word); !isPunctuation(r) {
			words++
			if isTaught(word) {
				taught++
			}
		}
	}
	if words > 0 {
		covered = float32(taught) / float32(words)
	}
	return ids[:min(len(ids), limit)], covered
}

// split splits text as the published tokeniser does before it looks words up.
func split(text string) []string {
	var words []string
	var word strings.Builder
	finish := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range norm.NFD.String(text) {
		switch {
		case r == 0 || r == utf8.RuneError || isControl(r) || unicode.Is(unicode.Mn, r):
		case unicode.IsSpace(r):
			finish()
		case isPunctuation(r) || isChinese(r):
			finish()
			words = append(words, string(r))
		default:
			for _, lower := range strings.ToLower(string(r)) {
				word.WriteRune(lower)
			}
		}
	}
	finish()
	return words
}

// cut appends the pieces of a word.
func (t *tokenizer) cut(ids []int32, word string) []int32 {
	if utf8.RuneCountInString(word) > longestWord {
		return append(ids, unknown)
	}
	known := len(ids)
	vocabulary := t.first
	for word != "" {
		end := len(word)
		for end > 0 {
			if id, ok := vocabulary[word[:end]]; ok {
				ids = append(ids, id)
				break
			}
			_, size := utf8.DecodeLastRuneInString(word[:end])
			end -= size
		}
		if end == 0 {
			return append(ids[:known], unknown)
		}
		word, vocabulary = word[end:], t.inside
	}
	return ids
}

// isTaught says whether a word is of Latin letters, digits and signs only. The
// vocabulary has single letters of other scripts, but what was made of them is
// not worth comparing.
func isTaught(word string) bool {
	for _, r := range word {
		if r >= utf8.RuneSelf && unicode.IsLetter(r) && !unicode.Is(unicode.Latin, r) {
			return false
		}
	}
	return true
}

func isControl(r rune) bool {
	return r != '\t' && r != '\n' && r != '\r' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

// isPunctuation counts every ASCII character that is neither letter nor digit,
// as the published tokeniser does.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	}
	return unicode.IsPunct(r)
}

func isChinese(r rune) bool {
	return 0x4e00 <= r && r <= 0x9fff || 0x3400 <= r && r <= 0x4dbf || 0x20000 <= r && r <= 0x2a6df ||
		0x2a700 <= r && r <= 0x2b73f || 0x2b740 <= r && r <= 0x2b81f || 0x2b820 <= r && r <= 0x2ceaf ||
		0xf900 <= r && r <= 0xfaff || 0x2f800 <= r && r <= 0x2fa1f
}
