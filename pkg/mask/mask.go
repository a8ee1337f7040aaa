// Package mask hides structured personal data in a text before it goes to a model: e-mail
// addresses, telephone numbers, payment cards (by their Luhn checksum), IBANs (by ISO 7064
// mod 97-10), API tokens, passwords and private keys, social security numbers, IP addresses,
// street addresses and post boxes, and names where a title or an introduction says that it
// is one. The first of a kind in a text becomes [email], the next different one [email 2],
// and the same one the same placeholder again.
//
// What is stored stays as the customer wrote it: quotes are verbatim. Only what a model sees,
// an embedding model of our own included, is masked, so that no model's provider, log or
// cache holds these data, and so that two complaints are not near each other for sharing a
// telephone number.
//
// It promises that text without such data comes back unchanged, and that every offset of the
// masked text can be traced to the original. Names without an introduction, and whatever
// else has no structure, are not found: it is a filter, not an anonymiser. Time is linear in
// the text.
package mask

import (
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Masked is a text with its personal data replaced by placeholders such as [email].
type Masked struct {
	Text  string
	Count int // how many places were replaced
	cuts  []cut
}

// cut says that original[from:to] became Text[at:end].
type cut struct{ from, to, at, end int }

// kind is a kind of personal data: what looks like it, and what must hold besides. A pattern
// with a group hides the group alone.
type kind struct {
	name string
	re   *regexp.Regexp
	is   func(match, before, after string) bool
	sign string // a text without any of these bytes has none of this kind
}

func always(string, string, string) bool { return true }

// kinds in order of precedence: where two overlap, the earlier wins.
var kinds = []kind{
	{"[key]", regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`), always, "-"},
	{"[token]", regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\b(?:sk|pk|rk)[-_](?:live[-_]|test[-_]|proj-|ant-)?[A-Za-z0-9_-]{16,}|\bxox[abeoprs]-[\w-]{10,}|\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\blin_(?:api|oauth)_\w{16,}|\bhttps://hooks\.slack\.com/services/[\w/]+|\bwhsec_[\w+/=]{16,}|\bnpm_[A-Za-z0-9]{30,}`), always, ""},
	{"[token]", regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+([\w.+/~-]{16,}=*)`), always, ""},
	{"[secret]", regexp.MustCompile(`(?i)\b(?:pass(?:word|wd|code|phrase)?|pwd|secret|api[ _-]?key|access[ _-]?key|auth[ _-]?token|token|client[ _-]?secret|pin)\s*(?:[:=]|\bis\b:?)\s*["']?([^\s"',;]{4,})`), secretive, ""},
	{"[token]", regexp.MustCompile(`://[^\s/:@]+:([^\s/@]+)@`), always, "@"},
	{"[token]", regexp.MustCompile(`\b[0-9a-fA-F]{32,}\b|\b[A-Za-z0-9_-]{36,}\b`), random, "0123456789"},
	{"[email]", regexp.MustCompile(`(?i)[\p{L}\p{N}._%+'-]+(?:@|\s?(?:\[at\]|\(at\))\s?)[\p{L}\p{N}][\p{L}\p{N}.-]*(?:\.|\s?(?:\[dot\]|\(dot\))\s?)\p{L}{2,}`), always, "@]"},
	{"[iban]", regexp.MustCompile(`(?i)\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}\b`), nil, "0123456789"},
	{"[card]", regexp.MustCompile(`\b[0-9](?:[ .-]?[0-9]){12,18}\b`), card, "0123456789"},
	{"[ip]", regexp.MustCompile(`\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b`), ipv4, "0123456789"},
	{"[ip]", regexp.MustCompile(`(?i)\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b|(?:\b(?:[0-9a-f]{1,4}:){1,6}|:)(?::[0-9a-f]{1,4}){1,6}\b`), ipv6, ":"},
	{"[ssn]", regexp.MustCompile(`\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b`), apart, "0123456789"},
	{"[phone]", regexp.MustCompile(`\b0[1-9]-[0-9]{7,8}\b|(?:\+|\b00)[ ]?[1-9](?:[ ./()-]{0,3}[0-9]){7,14}\b|\(0?[0-9]{2,5}\)[ ./-]?[0-9](?:[ ./-]?[0-9]){5,10}\b|\b[2-9][0-9]{2}[ .-][0-9]{3}[ .-][0-9]{4}\b|\b1[ .-][0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}\b|\b0[1-9][0-9]{1,4}[ /-][0-9](?:[ /-]?[0-9]){4,9}\b|\b0[1-9](?:[ .-][0-9]{2}){4}\b|\b0[1-9][0-9]{8,10}\b|\b[6-9][0-9]{4}[ -]?[0-9]{5}\b`), phone, "0123456789"},
	{"[phone]", regexp.MustCompile(`(?i)\b(?:phone|telephone|tel|mobile|cell|call(?: me)?(?: at| on)?|whats ?app|sms|text me(?: at| on)?|fax|reach me(?: at| on)?)(?: (?:number|no|is|nr))*[.:# ]{0,3}([0-9(][0-9 ()./-]{5,16}[0-9])\b`), always, "0123456789"},
	{"[address]", regexp.MustCompile(`\b[0-9]{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?(?:\p{Lu}[\p{L}'’.-]*|[0-9]{1,3}(?:st|nd|rd|th))(?: \p{Lu}[\p{L}'’.-]*){0,3} (?:Street|St|Road|Rd|Avenue|Ave|Drive|Dr|Lane|Ln|Boulevard|Blvd|Court|Ct|Way|Place|Square|Terrace|Parkway|Pkwy|Circle|Highway|Hwy)\b\.?(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat)\.? ?#?\w+)?`), always, "0123456789"},
	{"[address]", regexp.MustCompile(`(?i)\b[0-9]{2,5} [a-z'’-]{3,} (?:street|avenue|boulevard)\b`), always, "0123456789"},
	{"[address]", regexp.MustCompile(`(?:^|[^\p{L}])(\p{Lu}[\p{L}-]*(?:[sS]traße|[sS]trasse|[sS]tr\.|weg|allee|platz|gasse|damm|ufer) [0-9]{1,4}[a-z]?)\b`), always, "0123456789"},
	{"[address]", regexp.MustCompile(`\b[0-9]{1,4},? (?:bis |ter )?(?i:rue|avenue|boulevard|chemin|impasse|allée|quai|place) (?:de la |de l['’]|des |du |de |d['’]|l['’])?\p{Lu}[\p{L}'’-]*(?: \p{Lu}[\p{L}'’-]*){0,3}`), always, "0123456789"},
	{"[address]", regexp.MustCompile(`(?i)\b(?:p\. ?o\. ?|po |post office )box [0-9]{1,6}\b|\bpostfach [0-9]{1,6}\b`), always, "0123456789"},
	{"[name]", regexp.MustCompile(`\b(?i:my (?:full |first |last )?name(?:['’]s| is| in its entirety is)|last name(?: is)?|i am called) (\p{Lu}[\p{L}'’-]+(?: \p{Lu}[\p{L}'’.-]*){0,2})`), always, "nN"},
	{"[name]", regexp.MustCompile(`\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? (\p{Lu}[\p{L}'’-]+(?: \p{Lu}[\p{L}'’-]+)?)`), always, "MDP"},
}

// Mask replaces the personal data in text.
func Mask(text string) Masked {
	var found []struct {
		from, to int
		name     string
	}
	taken := func(from, to int) bool {
		for _, f := range found {
			if from < f.to && f.from < to {
				return true
			}
		}
		return false
	}
	for _, k := range kinds {
		if k.sign != "" && !strings.ContainsAny(text, k.sign) {
			continue
		}
		for _, m := range k.re.FindAllStringSubmatchIndex(text, -1) {
			from, to := m[0], m[1]
			if len(m) > 2 && m[2] >= 0 {
				from, to = m[2], m[3]
			}
			if k.is == nil {
				if to = from + ibanLength(text[from:to]); to == from {
					continue
				}
			} else if !k.is(text[from:to], text[:from], text[to:]) {
				continue
			}
			if !taken(from, to) {
				found = append(found, struct {
					from, to int
					name     string
				}{from, to, k.name})
			}
		}
	}
	if len(found) == 0 {
		return Masked{Text: text}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].from < found[j].from })
	var b strings.Builder
	out := Masked{Count: len(found)}
	placeholders := placeholders{}
	last := 0
	for _, f := range found {
		b.WriteString(text[last:f.from])
		at := b.Len()
		b.WriteString(placeholders.of(f.name, text[f.from:f.to]))
		out.cuts = append(out.cuts, cut{f.from, f.to, at, b.Len()})
		last = f.to
	}
	b.WriteString(text[last:])
	out.Text = b.String()
	return out
}

// placeholders are those of one text: by kind, the values seen.
type placeholders map[string][]string

// of is the placeholder of a value. Spacing, marks and case do not make another value.
func (p placeholders) of(name, value string) string {
	same := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '@' {
			return unicode.ToLower(r)
		}
		return -1
	}, value)
	at := slices.Index(p[name], same)
	if at < 0 {
		at = len(p[name])
		p[name] = append(p[name], same)
	}
	if at == 0 {
		return name
	}
	return strings.TrimSuffix(name, "]") + " " + strconv.Itoa(at+1) + "]"
}

// Original returns the span of the original text that a span of the masked text stands for. A
// placeholder that is touched counts whole.
func (m Masked) Original(s feedback.Span) feedback.Span {
	return feedback.Span{Start: m.trace(s.Start, false), End: m.trace(s.End, true)}
}

func (m Masked) trace(at int, end bool) int {
	shift := 0
	for _, c := range m.cuts {
		switch {
		case at <= c.at:
			return at + shift
		case at < c.end && end, at == c.end:
			return c.to
		case at < c.end:
			return c.from
		}
		shift = c.to - c.end
	}
	return at + shift
}

// card reports whether digits pass the checksum that every payment card has, and begin as
// cards do (ISO/IEC 7812: 2 to 6 are banking and travel).
func card(match, _, _ string) bool {
	d := digits(match)
	if len(d) < 13 || len(d) > 19 || d[0] < '2' || d[0] > '6' || same(d) {
		return false
	}
	sum := 0
	for i := range len(d) {
		v := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

func same(s string) bool { return strings.Count(s, s[:1]) == len(s) }

// ibanLength returns how much of the beginning of match is a valid IBAN, 0 for none: what
// follows one may look like more of it.
func ibanLength(match string) int {
	for end := len(match); end >= 15; end-- {
		if c := match[end-1]; c == ' ' || c == '-' {
			continue
		}
		compact := strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(match[:end]))
		if len(compact) < 15 {
			return 0
		}
		if len(compact) <= 34 && mod97(compact[4:]+compact[:4]) == 1 && len(digits(compact)) >= 8 {
			return end
		}
	}
	return 0
}

func mod97(s string) int {
	rest := 0
	for _, c := range []byte(s) {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

var versionBefore = regexp.MustCompile(`(?i)\b(?:v|ver|version|release|build|firmware)\.? ?$`)

func ipv4(match, before, after string) bool {
	for part := range strings.SplitSeq(match, ".") {
		if len(part) > 3 || len(part) == 3 && part > "255" {
			return false
		}
	}
	return !strings.HasSuffix(before, ".") && !(strings.HasPrefix(after, ".") && len(after) > 1 && after[1] >= '0' && after[1] <= '9') && !versionBefore.MatchString(tail(before))
}

// tail is the end of a text, without half a character before it, for looking back cheaply.
func tail(s string) string {
	start := max(len(s)-16, 0)
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return s[start:]
}

// ipv6 keeps times of day and C++ names from passing: an address has three groups or a
// digit.
func ipv6(match, _, _ string) bool {
	return strings.Count(match, ":") >= 3 && strings.ContainsAny(match, "0123456789") || strings.HasPrefix(match, "::") && len(match) > 4 && strings.ContainsAny(match, "0123456789") && strings.Count(match, ":") > 2
}

func apart(_, before, after string) bool {
	return !endsIn(before, "0123456789-/.") && !beginsWith(after, "0123456789-/")
}

var dated = regexp.MustCompile(`^(?:(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}\b|[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ][0-9]{4})`)

// phone refuses what is part of a longer number, a date, an amount or an order's number.
func phone(match, before, after string) bool {
	d := digits(match)
	if len(d) < 7 || len(d) > 15 || dated.MatchString(match) || same(d) {
		return false
	}
	if ibanBefore.MatchString(tail(before)) {
		return false
	}
	if strings.HasPrefix(match, "+") {
		return !endsIn(before, "0123456789")
	}
	// A plain run of digits after an equals sign is a parameter, not a number to call.
	if endsIn(before, "=") && !strings.ContainsAny(match, " ./()-") {
		return false
	}
	return !endsIn(before, "0123456789-./#_") && !beginsWith(after, "0123456789") && !orderBefore.MatchString(tail(before))
}

// ibanBefore is the beginning of an account's number, right or wrong.
var ibanBefore = regexp.MustCompile(`\b[A-Z]{2}[0-9]{2}(?: [A-Z0-9]{4})* ?$`)

var orderBefore = regexp.MustCompile(`(?i)(?:order|ticket|case|invoice|ref|#|id|no\.?|€|\$|£)[ :#]*$`)

func endsIn(s, set string) bool { return s != "" && strings.IndexByte(set, s[len(s)-1]) >= 0 }

func beginsWith(s, set string) bool { return s != "" && strings.IndexByte(set, s[0]) >= 0 }

// plain are words that follow "password is" without being one.
var plain = strings.Fields("wrong incorrect invalid expired not required correct missing too the a an my that been still working changed reset weak short empty never always being different saved stored needed optional broken gone accepted rejected unknown again")

// secretive keeps "my password is wrong" readable: after "is" a secret has a digit or a
// symbol; after a colon or an equals sign anything but a plain word is one.
func secretive(match, before, _ string) bool {
	word := strings.ToLower(strings.TrimRight(match, ".!?)"))
	if slices.Contains(plain, word) || word == "" {
		return false
	}
	if strings.HasSuffix(strings.TrimRight(strings.ToLower(before), ` "':`), "is") {
		return strings.ContainsAny(match, "0123456789$%^&*@#_")
	}
	return true
}

// random reports whether a long run is a token: letters and digits mixed, as words and plain
// identifiers are not.
func random(match, before, _ string) bool {
	d := len(digits(match))
	return d >= 6 && d < len(match) && !strings.HasSuffix(before, "/") && strings.Count(match, "-") < 6 && strings.Count(match, "_") < 4
}
