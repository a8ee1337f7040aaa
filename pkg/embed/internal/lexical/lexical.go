// Package lexical turns text into a short vector of its words: words, pairs of
// neighbouring words and pieces of words are weighted by how rare they are and
// hashed, with a sign, into a fixed number of places (feature hashing,
// Weinberger et al. 2009). Two texts that share rare words come out close.
//
// It is deterministic, allocates little and knows no language: a word is a run
// of letters and digits in any script, and a symbol such as an emoji is a word
// of its own. It expects text already normalised.
package lexical

import (
	"math"
	"unicode"
	"unicode/utf8"
)

// What a feature counts for, by its kind. Pieces of words are many, so each
// counts little. Chosen on the validation split of clinc150 and on
// dstc11-insurance: see decision 0003.
const (
	wordWeight  = 1
	pairWeight  = 0.5
	pieceWeight = 0.3
)

// Word pieces have this many letters, the word's two ends counted as letters.
const shortestPiece, longestPiece = 3, 5

// MaxFeatures bounds the features taken from one text, and with it the time
// that a hostile text can cost.
const MaxFeatures = 1 << 16

type kind uint8

const (
	word kind = iota
	pair
	piece
)

// Feature is one word, pair of words or piece of a word, with how often the
// text has it.
type Feature struct {
	// Key is a hash of the kind and the letters.
	Key   uint64
	count uint32
	kind  kind
}

// Rarity says how much the presence of a feature tells, from its key: its
// inverse document frequency in some background.
type Rarity func(key uint64) float32

// Extractor holds the working memory for reading texts, one after another. Its
// zero value is ready. It is not safe for concurrent use.
type Extractor struct {
	features []Feature
	slots    []int32 // open addressing: index into features plus one
	marks    []int32 // where the letters of the current word begin
}

// Features lists the distinct features of text, in order of first appearance.
// The list is valid until the next call.
func (x *Extractor) Features(text string) []Feature {
	x.features = x.features[:0]
	x.fit(256)
	var before uint64 // the previous word's key
	for start := 0; start < len(text) && len(x.features) < MaxFeatures; {
		r, size := utf8.DecodeRuneInString(text[start:])
		if !unicode.Is(unicode.So, r) && !inWord(r) {
			start += size
			continue
		}
		end := start + size
		if inWord(r) {
			end = wordEnd(text, end)
		}
		key := hash(seedWord, text[start:end])
		x.add(key, word)
		if before != 0 {
			x.add(finish(before*prime+key), pair)
		}
		before = key
		x.pieces(text[start:end])
		start = end
	}
	return x.features
}

// Add adds text's vector to dst, scaled to length one. It reports false, and
// leaves dst as it was, where the text has no features.
func (x *Extractor) Add(dst []float32, text string, rarity Rarity) bool {
	features := x.Features(text)
	if len(features) == 0 {
		return false
	}
	for _, f := range features {
		weight := rarity(f.Key)
		if f.count > 1 {
			weight *= 1 + float32(math.Log(float64(f.count)))
		}
		switch f.kind {
		case word:
			weight *= wordWeight
		case pair:
			weight *= pairWeight
		case piece:
			weight *= pieceWeight
		}
		scatter(dst, f.Key, weight)
	}
	return Unit(dst)
}

// scatter adds weight at two places, so that two features which collide in one
// are still told apart by the other.
func scatter(dst []float32, key uint64, weight float32) {
	for range 2 {
		if key&1 == 0 {
			dst[(key>>1)%uint64(len(dst))] += weight
		} else {
			dst[(key>>1)%uint64(len(dst))] -= weight
		}
		key = finish(key + prime)
	}
}

// Unit scales v to length one. It reports false, and leaves v as it was, where
// v has no length.
func Unit(v []float32) bool {
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if square == 0 || math.IsNaN(square) || math.IsInf(square, 0) {
		return false
	}
	inverse := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= inverse
	}
	return true
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// wordEnd finds where the word ends that text[:from] has begun. An apostrophe
// between letters belongs to the word, so that "can't" is not "can".
func wordEnd(text string, from int) int {
	for from < len(text) {
		r, size := utf8.DecodeRuneInString(text[from:])
		if r == '\'' && from+1 < len(text) {
			if next, _ := utf8.DecodeRuneInString(text[from+1:]); inWord(next) {
				from++
				continue
			}
		}
		if !inWord(r) {
			return from
		}
		from += size
	}
	return from
}

// pieces adds the pieces of w, its ends marked by < and >.
func (x *Extractor) pieces(w string) {
	x.marks = x.marks[:0]
	for i := range w {
		x.marks = append(x.marks, int32(i))
	}
	letters := len(x.marks)
	x.marks = append(x.marks, int32(len(w)))
	// Letter -1 is <, letter `letters` is >.
	for first := -1; first+shortestPiece <= letters+1 && len(x.features) < MaxFeatures; first++ {
		h := seedPiece
		for n := 1; n <= longestPiece && first+n <= letters+1; n++ {
			switch letter := first + n - 1; letter {
			case -1:
				h = (h ^ '<') * prime
			case letters:
				h = (h ^ '>') * prime
			default:
				for _, c := range []byte(w[x.marks[letter]:x.marks[letter+1]]) {
					h = (h ^ uint64(c)) * prime
				}
			}
			if n >= shortestPiece {
				x.add(finish(h), piece)
			}
		}
	}
}

func (x *Extractor) add(key uint64, k kind) {
	if 2*len(x.features) >= len(x.slots) {
		x.fit(2 * len(x.slots))
	}
	mask := uint64(len(x.slots) - 1)
	for at := key & mask; ; at = (at + 1) & mask {
		slot := x.slots[at]
		if slot == 0 {
			x.features = append(x.features, Feature{Key: key, count: 1, kind: k})
			x.slots[at] = int32(len(x.features))
			return
		}
		if f := &x.features[slot-1]; f.Key == key {
			f.count++
			return
		}
	}
}

// fit empties the slots, makes them n (a power of two) and enters the features
// there are.
func (x *Extractor) fit(n int) {
	if cap(x.slots) >= n {
		x.slots = x.slots[:n]
		clear(x.slots)
	} else {
		x.slots = make([]int32, n)
	}
	mask := uint64(n - 1)
	for i, f := range x.features {
		at := f.Key & mask
		for x.slots[at] != 0 {
			at = (at + 1) & mask
		}
		x.slots[at] = int32(i + 1)
	}
}

// FNV-1a, 64 bits, from a seed per kind, finished with the mixer of MurmurHash3
// because FNV's low bits are weak.
const (
	prime     uint64 = 0x100000001b3
	seedWord  uint64 = 0xcbf29ce484222325
	seedPiece uint64 = 0x9e3779b97f4a7c15
)

func hash(seed uint64, s string) uint64 {
	for i := range len(s) {
		seed = (seed ^ uint64(s[i])) * prime
	}
	return finish(seed)
}

func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
