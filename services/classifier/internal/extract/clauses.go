package extract

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// MaxText is how many bytes of a text are read. What lies beyond yields no clause: it bounds
// what one pasted log can cost, and no customer has been seen to need a tenth of it.
const MaxText = 64 << 10

// MaxClause is the length in bytes beyond which a clause is cut between words.
const MaxClause = 600

// Clause is a part of a text that can stand alone.
type Clause struct {
	feedback.Span
	Block  int  // clauses of one paragraph share it
	Apart  bool // a list item, or introduced as another matter: never a continuation
	Inside bool // cut out of a longer sentence
	Joined bool // joined to what came before by "and": another matter, unless it says otherwise
}

// MaxClauses is how many clauses a text may have; those after are not looked at.
const MaxClauses = 300

// Clauses cuts text into clauses, in order. Text without a statement of the customer's own
// has none.
func Clauses(text string) []Clause {
	var out []Clause
	for i, b := range blocks(text[:cutAt(text, MaxText)]) {
		if out = appendBlock(out, text, b, i); len(out) >= MaxClauses {
			return out[:MaxClauses]
		}
	}
	return out
}

func appendBlock(out []Clause, text string, b block, number int) []Clause {
	first := true
	for _, sentence := range sentences(text, b.Span) {
		inside := false
		for _, part := range parts(text, sentence) {
			for n, piece := range pieces(text, part.Span) {
				span := trim(text, piece)
				if span.Start == span.End || Noise(text[span.Start:span.End]) {
					continue
				}
				words := text[span.Start:span.End]
				out = append(out, Clause{
					Span: span, Block: number,
					Apart:  b.bullet && first || another.MatchString(words),
					Inside: inside,
					Joined: part.joined && n == 0,
				})
				first, inside = false, true
			}
		}
		if len(out) >= MaxClauses {
			break
		}
	}
	return out
}

// another matches what introduces a matter of its own.
var another = regexp.MustCompile(`(?i)^(also|another|secondly?|thirdly?|finally|lastly|furthermore|moreover|besides|in addition|additionally|on top of that|separately|one more|other than that|plus|\(?[0-9]{1,2}[.)])\b`)

// block is a paragraph, or an item of a list.
type block struct {
	feedback.Span
	bullet bool
}

var (
	bullet  = regexp.MustCompile(`^[ \t]*(?:[-*+•·‣▪◦–—]|\(?[0-9]{1,2}[.)]|[a-z]\))[ \t]+`)
	quoted  = regexp.MustCompile(`^[ \t]*(?:>|&gt;|\|)`)
	history = regexp.MustCompile(`(?i)^[ \t]*(?:-{2,} ?original message ?-{2,}|on .{4,120} wrote:[ \t]*$|from: .+@|_{10,}|-{5,} forwarded message)`)
	sign    = regexp.MustCompile(`(?i)^[ \t]*(?:-- ?$|sent from my |sent via |get outlook for |(?:(?:kind|best|warm|many)(?: kind)? )?regards\b.{0,40}$|sincerely\b.{0,40}$|yours (?:truly|faithfully|sincerely)|cheers,?[ \t]*$|best,[ \t]*$|thanks(?: so much| a lot| in advance)?,[ \t]*$|thank you,[ \t]*$)`)
	machine = regexp.MustCompile(`^(?:[ \t]+at [\w.$<>/]+\(|[ \t]*File ".*", line \d|Traceback \(most recent|[ \t]*(?:\$|#!|>>>) |\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|[ \t]*</?[a-z][^>]*>[ \t]*$|[ \t]*!\[[^\]]*\]\()`)
	fence   = regexp.MustCompile("^[ \t]*(?:```|~~~)")
	heading = regexp.MustCompile(`^[ \t]*(?:#{1,6} |\*\*[^*]{1,60}\*\*[ \t]*:?[ \t]*$)`)
	// speaker labels a line of a transcript; the first group is the company's side.
	speaker  = regexp.MustCompile(`(?i)^[ \t]*(?:\[?\(?\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?\)?\]?[ \t]*)?(?:[\p{L}.'’ -]{0,30}[ \t]*\(?\b(agent|support|operator|representative|rep|advisor|adviser|assistant|bot|csr|csm|admin|helpdesk|staff|moderator)\b\)?|(?:customer|client|user|caller|visitor|me)(?: \([^)]{1,30}\))?)[ \t]*:[ \t]+`)
	checkbox = regexp.MustCompile(`^[ \t]*[-*] \[[ xX]\]`)
)

// blocks finds the paragraphs of the customer's own words. A line that ends long and goes on
// in lower case was wrapped by a mail program; any other line break ends a sentence, and so
// a block.
func blocks(text string) []block {
	var out []block
	current := block{}
	open, fenced, comment, theirs := false, false, false, false
	flush := func() {
		if open {
			out = append(out, current)
		}
		open = false
	}
	previousWidth := 0
	for start := 0; start < len(text); {
		end, next := lineEnd(text, start)
		line := text[start:end]
		lineStart := start
		start = next
		if fence.MatchString(line) {
			fenced = !fenced
			flush()
			continue
		}
		if comment || strings.HasPrefix(strings.TrimSpace(line), "<!--") {
			comment = !strings.Contains(line, "-->")
			flush()
			continue
		}
		if history.MatchString(line) {
			flush()
			break
		}
		if fenced || strings.TrimSpace(line) == "" || quoted.MatchString(line) || machine.MatchString(line) || checkbox.MatchString(line) || heading.MatchString(line) {
			flush()
			continue
		}
		if m := speaker.FindStringSubmatchIndex(line); m != nil {
			flush()
			theirs = m[2] >= 0
			lineStart += m[1]
			line = line[m[1]:]
		}
		if theirs {
			continue
		}
		if sign.MatchString(line) {
			flush()
			// What follows a signature's first line is the signature, until the next paragraph.
			for start < len(text) {
				end, next = lineEnd(text, start)
				if strings.TrimSpace(text[start:end]) == "" {
					break
				}
				start = next
			}
			continue
		}
		mark := bullet.FindStringIndex(line)
		r, _ := utf8.DecodeRuneInString(strings.TrimLeft(line, " \t"))
		wrapped := open && mark == nil && previousWidth >= 56 && !unicode.IsUpper(r)
		if !wrapped {
			flush()
			current = block{Span: feedback.Span{Start: lineStart, End: end}}
			if mark != nil {
				current.Start += mark[1]
				current.bullet = true
			}
			open = true
		}
		current.End = end
		previousWidth = utf8.RuneCountInString(line)
	}
	flush()
	return out
}

// lineEnd returns where the line from start ends, and where the next begins.
func lineEnd(text string, start int) (end, next int) {
	i := strings.IndexAny(text[start:], "\n\r\u2028\u2029")
	if i < 0 {
		return len(text), len(text)
	}
	end = start + i
	_, size := utf8.DecodeRuneInString(text[end:])
	next = end + size
	if text[end] == '\r' && next < len(text) && text[next] == '\n' {
		next++
	}
	return end, next
}

// abbreviations end with a full stop that ends no sentence.
var abbreviations = map[string]bool{
	"e.g": true, "i.e": true, "eg": true, "ie": true, "etc": false, "vs": true, "mr": true, "mrs": true, "ms": true,
	"dr": true, "prof": true, "no": false, "nr": true, "approx": true, "v": true, "ver": true, "st": true, "inc": true,
	"ltd": true, "co": true, "fig": true, "min": false, "max": false, "dept": true, "cf": true, "a.m": false, "p.m": false,
}

// sentences cuts a block after what ends a sentence.
func sentences(text string, in feedback.Span) []feedback.Span {
	var out []feedback.Span
	start := in.Start
	for i := in.Start; i < in.End; {
		r, size := utf8.DecodeRuneInString(text[i:in.End])
		if !terminal(r) {
			i += size
			continue
		}
		end := i + size
		for end < in.End {
			r, size := utf8.DecodeRuneInString(text[end:in.End])
			if !terminal(r) && !closing(r) {
				break
			}
			end += size
		}
		if ends(text, start, i, end, in.End) {
			out = append(out, feedback.Span{Start: start, End: end})
			start = end
		}
		i = end
	}
	if start < in.End {
		out = append(out, feedback.Span{Start: start, End: in.End})
	}
	return out
}

func terminal(r rune) bool {
	switch r {
	case '.', '!', '?', '…', '。', '！', '？', '؟', '।':
		return true
	}
	return false
}

func closing(r rune) bool {
	switch r {
	case '"', '\'', ')', ']', '”', '’', '»', '」':
		return true
	}
	return false
}

// lookBack is how many bytes before a mark say whether it ends a sentence. It bounds the work.
const lookBack = 120

// ends reports whether the marks in text[mark:after] end the sentence begun at start.
func ends(text string, start, mark, after, limit int) bool {
	if after >= limit {
		return true
	}
	start = max(start, mark-lookBack)
	next, _ := utf8.DecodeRuneInString(text[after:limit])
	before, _ := utf8.DecodeLastRuneInString(text[start:mark])
	single := text[mark:after] == "."
	if !unicode.IsSpace(next) {
		// "it.Please" was meant as two sentences; "example.com", "1.5" and "a.b" were not.
		if mark, _ := utf8.DecodeRuneInString(text[mark:]); mark > unicode.MaxASCII {
			return true
		}
		word := lastWord(text[start:mark])
		return unicode.IsUpper(next) && unicode.IsLower(before) && len(word) > 2 && !strings.ContainsAny(word, "/@._") ||
			text[mark] != '.' && unicode.IsLetter(next) && !strings.Contains(word, "/") ||
			after-mark >= 2 && unicode.IsLetter(next) && hasWords(text[start:mark], 3)
	}
	if !single {
		if strings.HasPrefix(text[mark:after], "..") || text[mark:after] == "…" {
			following, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(text[after:limit], unicode.IsSpace))
			return !unicode.IsLower(following) || hasWords(text[start:mark], 4)
		}
		return true
	}
	word := strings.ToLower(strings.TrimLeft(lastWord(text[start:mark]), "(\"'["))
	if abbreviations[word] {
		return false
	}
	// "J. Smith", but not "plan B. Then".
	if r := []rune(word); len(r) == 1 && unicode.IsLetter(r[0]) && !hasWords(text[start:mark], 2) {
		return false
	}
	// A numbered line keeps its number.
	return strings.Trim(text[start:mark], " \t0123456789") != ""
}

func lastWord(s string) string {
	if i := strings.LastIndexFunc(s, unicode.IsSpace); i >= 0 {
		_, size := utf8.DecodeRuneInString(s[i:])
		return s[i+size:]
	}
	return s
}

// The places inside a sentence where another statement begins.
var (
	contrast = regexp.MustCompile(`(?i)[,;]?\s+((?:but|however|although|though|except|unfortunately|otherwise)\b)`)
	asks     = regexp.MustCompile(`(?i)[,;]?\s+((?:(?:and|so|also|plus)\s+)?(?:i(?:'d|’d| would)? (?:really |just )?(?:wish|love to see|like to see|want to see)\b|(?:it |it'd |that )?would be (?:really |so |very )?(?:nice|great|good|cool|awesome|helpful|perfect|better|amazing|useful)\b|please (?:add|make|bring|allow|let|give|include|provide|support|consider)\b|(?:can|could) (?:you|u|we) (?:please |plz |pls )?(?:add|make|bring|allow|have|get|include|give|put|fix)\b|wish (?:it|there|i|you|they|we)\b|if only\b|(?:you|they) should (?:add|make|have)\b))`)
	divides  = regexp.MustCompile(`(?i)[;:]\s+()|,\s+()(?:the (?:worst|best|only|other)|i['’]?d|we['’]?d|its? (?:a|has)|can you|everything else)\b`)
	// couples join two statements of which each has a subject of its own.
	couples = regexp.MustCompile(`(?i),?\s+((?:and|plus)\s+(?:the|an?|my|our|we|i|you|they|your|some|ads|also|then the|\p{L}{5,}s)\s|plus an?\s)`)
	// entity ends with a semicolon that divides nothing.
	entity = regexp.MustCompile(`&#?\w{1,8}$`)
	// notBut precede a "but" that joins.
	notBut = regexp.MustCompile(`(?i)(?:nothing|anything|everything|not only.*|all|none|last|not just.*)$`)
)

// part is a part of a sentence. joined says that it is coupled by "and" to the part before.
type part struct {
	feedback.Span
	joined bool
}

// parts cuts a sentence where a contrast or an ask begins, and between two statements that
// are coupled where each takes a stance.
func parts(text string, s feedback.Span) []part {
	sentence := text[s.Start:s.End]
	cuts := map[int]bool{} // where, and whether coupled
	for _, pattern := range []*regexp.Regexp{couples, contrast, asks, divides} {
		for _, m := range pattern.FindAllStringSubmatchIndex(sentence, -1) {
			before := sentence[max(0, m[0]-lookBack):m[0]]
			at := m[2]
			if at < 0 {
				at = m[4]
			}
			switch {
			case pattern == contrast && notBut.MatchString(strings.TrimSpace(before)), pattern == divides && entity.MatchString(before):
				continue
			case pattern == divides && at == m[2] && !speaksUp(sentence[at:], false):
				continue
			}
			cuts[at] = pattern == couples
		}
	}
	if len(cuts) == 0 {
		return []part{{Span: s}}
	}
	var out []part
	start, joined := 0, false
	for at := range len(sentence) {
		coupled, cut := cuts[at]
		if !cut || !hasWords(sentence[start:at], 2) || !hasWords(sentence[at:], 3) {
			continue
		}
		if coupled && (!hasWords(sentence[start:at], 4) || !speaksUp(sentence[start:at], true) || !speaksUp(sentence[at:], false)) {
			continue
		}
		out = append(out, part{feedback.Span{Start: s.Start + start, End: s.Start + at}, joined})
		start, joined = at, coupled
	}
	return append(out, part{feedback.Span{Start: s.Start + start, End: s.End}, joined})
}

// speaksUp reports whether a part takes a stance where it meets another: at its end, or at
// its beginning. It reads no more than it must.
func speaksUp(words string, end bool) bool {
	if n := cutAt(words, 2*lookBack); end {
		words = strings.ToValidUTF8(words[len(words)-n:], "")
	} else {
		words = words[:n]
	}
	return take(words, feedback.Other) != neutral
}

// runOn is how many words make a part without punctuation a run-on.
const runOn = 40

var joins = regexp.MustCompile(`(?i)[,]?\s+(?:and|so|because|then|also|plus)\s`)

// pieces cuts a run-on at the conjunction nearest its middle, again and again, and what is
// still too long between words.
func pieces(text string, s feedback.Span) []feedback.Span {
	part := text[s.Start:s.End]
	if hasWords(part, runOn+1) {
		best, middle := -1, len(part)/2
		for _, m := range joins.FindAllStringIndex(part, -1) {
			if best < 0 || distance(m[0], middle) < distance(best, middle) {
				best = m[0]
			}
		}
		if best > len(part)/8 && best < len(part)-len(part)/8 {
			return append(pieces(text, feedback.Span{Start: s.Start, End: s.Start + best}), pieces(text, feedback.Span{Start: s.Start + best, End: s.End})...)
		}
	}
	var out []feedback.Span
	for s.End-s.Start > MaxClause {
		at := cutAt(text[s.Start:s.End], MaxClause)
		if space := strings.LastIndexFunc(text[s.Start:s.Start+at], unicode.IsSpace); space > MaxClause/2 {
			at = space
		}
		out = append(out, feedback.Span{Start: s.Start, End: s.Start + at})
		s.Start += at
	}
	return append(out, s)
}

func distance(a, b int) int { return max(a-b, b-a) }

// cutAt returns the largest n up to limit that does not cut through a character of s.
func cutAt(s string, limit int) int {
	if len(s) <= limit {
		return len(s)
	}
	n := limit
	for n > limit-utf8.UTFMax && n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

// hail is a greeting before the first statement; salute is one that no mark ends.
var (
	hail   = regexp.MustCompile(`^(?i:(?:oh )?(?:hi|hello|hey|hiya)|dear|greetings|excuse me|yeah|morning|good (?:morning|afternoon|evening|day)(?: to you)?)(?:(?: +[\p{L}'’.-]+){0,3} *[,!.:–-]+|(?i: +(?:team|all|there|everyone|guys|support|folks|sir|madam|please)\b)+)\s*`)
	salute = regexp.MustCompile(`^(?i:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day))\s+()(?i:i|i'm|im|we|my|can|could|please|there|need|is|how|the)\b`)
)

// trim leaves out what surrounds a statement: spaces, controls, stray marks and a greeting.
func trim(text string, s feedback.Span) feedback.Span {
	for {
		part := text[s.Start:s.End]
		rest := strings.TrimLeftFunc(part, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(",;:.!?)]}*•·-–—_=~|…", r) || r == utf8.RuneError
		})
		if m := hail.FindStringIndex(rest); m != nil && hasWords(rest[m[1]:], 2) {
			rest = rest[m[1]:]
		} else if m := salute.FindStringSubmatchIndex(rest); m != nil && hasWords(rest[m[2]:], 2) {
			rest = rest[m[2]:]
		}
		if len(rest) == len(part) {
			break
		}
		s.Start = s.End - len(rest)
	}
	rest := strings.TrimRightFunc(text[s.Start:s.End], func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(",;:-–—*_=~|([{", r) || r == utf8.RuneError
	})
	s.End = s.Start + len(rest)
	return s
}

// hasWords reports whether s has at least n runs of letters and digits. It reads no further
// than it must.
func hasWords(s string, n int) bool {
	in := false
	for _, r := range s {
		word := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\'' || r == '’'
		if word && !in {
			if n--; n <= 0 {
				return true
			}
		}
		in = word
	}
	return n <= 0
}
