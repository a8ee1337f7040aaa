package markup

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Units is the length of a text in UTF-16 code units, which is how vendors
// that run on Java or JavaScript count characters, and never less than the
// number of runes.
func Units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// Cut gives the longest beginning of text for which fits holds, and whether
// anything was cut. It cuts at a line end where one is near, otherwise between
// two runes and never before a rune that belongs to the one in front of it
// (combining marks, joiners, variation selectors, skin tones). fits must hold
// for shorter beginnings of whatever it holds for.
func Cut(text string, fits func(string) bool) (string, bool) {
	if fits(text) {
		return text, false
	}
	starts := make([]int, 0, len(text))
	for i := range text {
		starts = append(starts, i)
	}
	n := sort.Search(len(starts), func(i int) bool { return !fits(text[:starts[i]]) })
	if n == 0 {
		return "", true
	}
	end := starts[n-1]
	if nl := strings.LastIndexByte(text[:end], '\n'); nl > end-end/5 {
		return text[:nl], true
	}
	return text[:wholeRunes(text, end)], true
}

// CutUnits is Cut for a limit counted in UTF-16 code units, with an ellipsis
// as the last character where something was cut.
func CutUnits(text string, limit int) string {
	if Units(text) <= limit {
		return text
	}
	cut, _ := Cut(text, func(s string) bool { return Units(s) <= limit-1 })
	return strings.TrimRight(cut, " \n\t") + "…"
}

// wholeRunes moves an end backwards until no visible character is split.
func wholeRunes(text string, end int) int {
	for end > 0 && end < len(text) {
		next, _ := utf8.DecodeRuneInString(text[end:])
		prev, size := utf8.DecodeLastRuneInString(text[:end])
		escapes := (end-len(strings.TrimRight(text[:end], `\`)))%2 == 1
		if !joins(next) && prev != 0x200D && !escapes {
			return end
		}
		end -= size
	}
	return end
}

func joins(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Mc, unicode.Me) ||
		r == 0x200D || (r >= 0xFE00 && r <= 0xFE0F) || (r >= 0x1F3FB && r <= 0x1F3FF)
}
