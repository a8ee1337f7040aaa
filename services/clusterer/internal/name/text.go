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

func set(text string) map[string]bool {
	s := map[string]bool{}
	for _, word := range strings.Fields(text) {
		s[word] = true
	}
	return s
}

// commands are words that speak to a machine rather than about a product. They
// are never part of a name, so that a name cannot be an instruction.
var commands = set(`ignore disregard override instruction instructions prompt prompts jailbreak
assistant chatbot llm gpt sudo execute eval exfiltrate reveal forget obey pretend`)

// stops are words that say nothing about a subject.
var stops = set(`a about above actually after again against ain't all already also always am an and any anybody
anyone anything anyway are aren't around as ask asked asking at away b back be became because been before being
below best better between both but by c came can can't cannot could couldn't d did didn't do does doesn't doing
don't done dont down during e each either else ever every everyone everything f feel few for from g get gets getting
give given go goes going gonna good got great had hadn't has hasn't have haven't having he he's hello help her here
here's hers hey hi him his hope how how's however i i'd i'll i'm i've if im in into is isn't it it's its itself ive j
just k keep keeps kind kindly know known l last least let let's like likely little ll long look looking lot lots m
made make makes making many may maybe me mean might mine more most much must my myself n near need needed needs
neither never new next no nobody none nor not nothing now o of off often oh ok okay on once one ones only onto or
other others our ours out over own p particular per perhaps please pls possible possibly probably put q quite r rather
re really regarding right s said same saw say saying says see seem seems seen several shall she should shouldn't show
since so some somebody somehow someone something sometimes soon sorry still stuff such sure t take taking tell than
thank thanks that that's thats the their theirs them then there there's these they they're they've thing things think
this those though through thru thus til till to too took toward tried try trying two u under unless until up upon us
use used using usually v very via w wait want wanted wants was wasn't way we we'd we'll we're we've well went were
weren't what what's whatever when where where's whether which while who who's whoever whole whom whose why will with
within without won't would wouldn't x y yeah yes yet you you'd you'll you're you've your yours yourself z`)
