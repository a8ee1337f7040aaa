// Package trace knows what a customer leaves behind in other texts: their words, whole or
// in pieces, their addresses and ids. It finds and blanks them in plain text and in JSON,
// whatever made it. It is pure.
//
// It promises that what a person alone has said is found: a whole text of theirs, any run
// of four words and any single word that nobody else in the workspace has used. Words that
// others use as well are nobody's, and stay. It blanks the whole string that holds a
// trace, never a part of it, and leaves everything else of a document as it is.
package trace

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	run     = 4 // words in a row that identify a text
	minWord = 4 // characters of a word that may be somebody's own
	minSeen = 6 // digits of a number that may be
)

// Trace is what to look for. The zero value finds nothing.
type Trace struct {
	ids    map[string]bool // ours: of customers, items and signals
	people map[string]bool // the vendors' ids of the person, and addresses
	texts  map[string]bool // whole texts, as their words
	words  map[string]bool
	runs   map[string]bool
}

// New returns a trace that finds nothing yet.
func New() *Trace {
	return &Trace{ids: map[string]bool{}, people: map[string]bool{}, texts: map[string]bool{}, words: map[string]bool{}, runs: map[string]bool{}}
}

// Empty reports whether there is nothing to look for.
func (t *Trace) Empty() bool { return len(t.ids)+len(t.people)+len(t.texts) == 0 }

// Identify adds ids of ours: of the customer, of their items, of their signals.
func (t *Trace) Identify(ids ...string) { add(t.ids, ids...) }

// minID is how long a vendor's id must be to tell a person from another vendor's or the
// sender's own: "42" is anybody.
const minID = 8

// Person adds what a vendor calls the person: an id, which counts if it is long enough to
// be nobody else's, or an e-mail address.
func (t *Trace) Person(ids ...string) {
	for _, id := range ids {
		switch id = strings.TrimSpace(id); {
		case strings.Contains(id, "@"):
			add(t.people, strings.ToLower(id))
		case len(id) >= minID:
			add(t.people, id)
		}
	}
}

func add(to map[string]bool, all ...string) {
	for _, s := range all {
		if s != "" {
			to[s] = true
		}
	}
}

// Said adds words of the person.
func (t *Trace) Said(text string) {
	words := split(text)
	add(t.texts, strings.Join(words, " "))
	for _, w := range words {
		if own(w) {
			t.words[w] = true
		}
	}
	for r := range runsOf(words) {
		t.runs[r] = true
	}
}

// Spare takes out what somebody else has said too. Call it after everything was added.
func (t *Trace) Spare(text string) {
	words := split(text)
	for _, w := range words {
		delete(t.words, w)
	}
	for r := range runsOf(words) {
		delete(t.runs, r)
	}
	delete(t.texts, strings.Join(words, " "))
}

// own reports whether a word can be told from a word that anybody uses.
func own(w string) bool {
	if strings.IndexFunc(w, unicode.IsLetter) < 0 {
		return len(w) >= minSeen
	}
	return utf8.RuneCountInString(w) >= minWord
}

func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(html.UnescapeString(text)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

func runsOf(words []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i+run <= len(words); i++ {
			if !yield(strings.Join(words[i:i+run], " ")) {
				return
			}
		}
	}
}

// In reports whether a plain text holds a trace.
func (t *Trace) In(text string) bool {
	if text == "" {
		return false
	}
	if t.people[strings.ToLower(strings.TrimSpace(text))] && strings.Contains(text, "@") {
		return true
	}
	words := split(text)
	if len(words) == 0 {
		return false
	}
	if t.texts[strings.Join(words, " ")] || slices.ContainsFunc(words, func(w string) bool { return t.words[w] }) {
		return true
	}
	for r := range runsOf(words) {
		if t.runs[r] {
			return true
		}
	}
	for p := range t.people {
		if strings.Contains(p, "@") && strings.Contains(strings.ToLower(text), p) {
			return true
		}
	}
	return false
}

// Blank returns a value without its traces, and whether it held any: JSON loses the
// strings that hold one, a form or other text everything.
func (t *Trace) Blank(value string) (string, bool) {
	if v, ok := parse(value); ok {
		v, found := t.walk("", v, false)
		if !found {
			return value, false
		}
		return encode(v), true
	}
	text := value
	if form, err := url.QueryUnescape(value); err == nil && strings.Contains(value, "=") {
		text = form
	}
	if t.In(text) || t.in(text) {
		return "", true
	}
	return value, false
}

// in looks for ids of ours in text that is not JSON.
func (t *Trace) in(text string) bool {
	for _, id := range pattern.FindAllString(text, -1) {
		if t.ids[id] && id != text {
			return true
		}
	}
	return false
}

var pattern = regexp.MustCompile(`\b(cus|itm|sig)_[a-z2-7]{26}\b`)

// parse reads a JSON object or array. Numbers stay as they are written.
func parse(value string) (any, bool) {
	s := strings.TrimSpace(value)
	if len(s) < 2 || s[0] != '{' && s[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF
}

func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // it was decoded from JSON
	return strings.TrimSuffix(b.String(), "\n")
}

// speaking are members that hold what people write or are called; everything else is
// taken for a word of a protocol unless it has a space in it.
var speaking = set("text", "body", "html_body", "plain_body", "quote", "name", "real_name", "display_name", "user_name", "author_name", "requester_name",
	"value", "title", "subject", "description", "summary", "message", "remark", "comment", "detail", "reason", "reasons", "excerpt", "fallback",
	"email", "requester_email", "phone", "url", "need", "changes", "why", "_default_description_", "customer_name", "customer_email")

// identifying are members that say whose an object is.
var identifying = set("id", "user", "user_id", "author_id", "requester_id", "submitter_id", "actor_id", "customer", "item", "signal", "subject", "email")

func set(all ...string) map[string]bool {
	out := map[string]bool{}
	add(out, all...)
	return out
}

// walk blanks traces below a value that is the member key of an object. theirs says that
// the object is the person's own: then everything that anybody said in it is theirs.
func (t *Trace) walk(key string, v any, theirs bool) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		found := false
		theirs := theirs || t.owns(v)
		said := theirs || t.wrote(v)
		for k, member := range v {
			theirs := theirs
			if _, plain := member.(string); plain {
				theirs = said
			}
			cleaned, was := t.walk(k, member, theirs)
			if was {
				v[k], found = cleaned, true
			}
		}
		return v, found
	case []any:
		found := false
		for i, element := range v {
			cleaned, was := t.walk(key, element, theirs)
			if was {
				v[i], found = cleaned, true
			}
		}
		return v, found
	case string:
		if inner, ok := parse(v); ok {
			if inner, found := t.walk(key, inner, theirs); found {
				return encode(inner), true
			}
			return v, false
		}
		may := speaking[key] || strings.ContainsAny(v, " \n")
		if v != "" && (theirs && speaking[key] && !t.ids[v] || may && (t.In(v) || t.in(v))) {
			return "", true
		}
	}
	return v, false
}

// wrote reports whether an object names the person as its author, by an object of theirs:
// then what stands in it directly is theirs.
func (t *Trace) wrote(object map[string]any) bool {
	for _, k := range []string{"author", "user", "from", "sender", "requester"} {
		if who, ok := object[k].(map[string]any); ok && t.owns(who) {
			return true
		}
	}
	return false
}

func (t *Trace) owns(object map[string]any) bool {
	for k, v := range object {
		if !identifying[k] {
			continue
		}
		id := ""
		switch v := v.(type) {
		case string:
			id = v
		case json.Number:
			id = v.String()
		}
		if t.ids[id] || t.people[id] || strings.Contains(id, "@") && t.people[strings.ToLower(id)] {
			return true
		}
	}
	return false
}
