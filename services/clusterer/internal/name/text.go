package name

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a word of a text: how it was written, and folded for counting.
type token struct {
	surface, folded string
	// joined says whether it follows the word before it with nothing but space
	// between them.
	joined bool
}

// words splits a text into words. Links, mail addresses, mentions and tags are
// left out, and so is every character that is not a letter, a mark, a digit or
// an apostrophe within a word.
func words(text string) []token {
	const longest = 30 // runes; longer runs are no words
	var found []token
	joined := false
	for _, field := range strings.Fields(visible(text)) {
		if machine(field) {
			joined = false
			continue
		}
		for len(field) > 0 {
			start := strings.IndexFunc(field, wordRune)
			if start < 0 {
				joined = false
				break
			}
			if strings.ContainsFunc(field[:start], func(r rune) bool { return !strings.ContainsRune(`"'“”‘’`, r) }) {
				joined = false
			}
			field = field[start:]
			end := strings.IndexFunc(field, func(r rune) bool { return !wordRune(r) && r != '\'' && r != '’' && r != '-' })
			if end < 0 {
				end = len(field)
			}
			word := strings.TrimRight(field[:end], "'’-")
			rest := field[len(word):]
			if runes := utf8.RuneCountInString(word); runes <= longest {
				folded := strings.ToLower(strings.ReplaceAll(word, "’", "'"))
				found = append(found, token{surface: word, folded: folded, joined: joined})
				joined = true
			} else {
				joined = false
			}
			field = rest
		}
	}
	return found
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) }

// machine says whether a field is written for machines: a link, an address, a
// mention, a tag, a piece of markup.
func machine(field string) bool {
	trimmed := strings.TrimLeft(field, `("'[<“‘`)
	lower := strings.ToLower(trimmed)
	return strings.HasPrefix(trimmed, "@") || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "＠") ||
		strings.HasPrefix(field, "<") || strings.HasPrefix(lower, "www.") || strings.Contains(lower, "://") ||
		strings.Contains(lower, "](") || strings.Contains(strings.Trim(trimmed, "@"), "@")
}

// visible drops what a reader would not see or could be fooled by: control and
// format characters (zero-width, bidirectional), private use, and marks piled
// up beyond two.
func visible(text string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		if unicode.IsMark(r) {
			if marks++; marks > 2 {
				return -1
			}
			return r
		}
		marks = 0
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, text)
}

// Plain turns any text into what a name may consist of: letters, marks, digits,
// single spaces and . , ' ’ - & % / + ? ! ( ), at most limit runes, cut between
// words where there is a space to cut at. Links, addresses, mentions, tags and
// the words of commands to machines are left out. It may return "".
func Plain(text string, limit int) string {
	var kept []string
	for _, field := range strings.Fields(visible(text)) {
		if machine(field) {
			continue
		}
		field = strings.Map(func(r rune) rune {
			if wordRune(r) || strings.ContainsRune(".,'’-&%/+?!()", r) {
				return r
			}
			return ' '
		}, field)
		for _, part := range strings.Fields(field) {
			if !commands[strings.ToLower(strings.Trim(part, ".,'’-?!()"))] {
				kept = append(kept, part)
			}
		}
	}
	plain := strings.Join(kept, " ")
	if !strings.ContainsFunc(plain, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return ""
	}
	return strings.Trim(cut(plain, limit), " .,-/&+'’")
}

// cut shortens a text to limit runes, between words if it can.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)[:limit+1]
	for at := limit; at > limit/2; at-- {
		if runes[at] == ' ' {
			return string(runes[:at])
		}
	}
	end := limit
	for end > 1 && unicode.IsMark(runes[end]) { // not between a letter and its mark
		end--
	}
	return string(runes[:end])
}

// sentence is the first sentence of a text that has two words or more.
func sentence(text string) string {
	for at, r := range text {
		if strings.ContainsRune(".!?", r) && len(strings.Fields(text[:at])) > 1 {
			return text[:at]
		}
	}
	return text
}

// stem folds the commonest English endings, so that "bag" and "bags" are not
// two ideas.
func stem(word string) string {
	for _, ending := range []string{"'s", "ings", "ing", "ies", "ed", "es", "s", "e", "y"} {
		if strings.HasSuffix(word, ending) && len(word)-len(ending) >= 3 {
			return word[:len(word)-len(ending)]
		}
	}
	return word
}

// stems is the set of the stems of words.
func stems(text string) map[string]bool {
	s := map[string]bool{}
	for _, word := range strings.Fields(text) {
		s[stem(word)] = true
	}
	return s
}

func set(text string) map[string]bool {
	s := map[string]bool{}
	for _, word := range strings.Fields(text) {
		s[word] = true
	}
	return s
}
