// Package transcript reads transcripts of calls: text in which every turn is labelled by
// its speaker, as recorders of meetings write it, WebVTT and SubRip included. It keeps
// turns in order and says who speaks, and who of them is probably one of ours.
package transcript

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Turn is what one speaker said before another did.
type Turn struct {
	Speaker string
	At      time.Duration // since the beginning, 0 where it is not told
	Text    string
}

// Speaker is who speaks, how much, and whether that is one of ours. Why is empty where
// nothing tells.
type Speaker struct {
	Name  string `json:"name"`
	Turns int    `json:"turns"`
	Words int    `json:"words"`
	Ours  bool   `json:"ours"`
	Why   string `json:"why,omitempty"`
}

const clock = `\[?\(?(\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?)\)?\]?`

var (
	cue = regexp.MustCompile(`^\s*(\d{1,2}:\d{2}(?::\d{2})?[.,]?\d{0,3})\s+-->\s+\d`)

	// labelled is "[00:01:02] Ada Lovelace: words", in its usual variants.
	labelled = regexp.MustCompile(`^\s*(?:` + clock + `\s*[-–]?\s*)?(?:<v\s+)?([\p{L}][\p{L}\p{N} .,'’&/()@_-]{0,60}?)\s*(?:\(?` + clock + `\)?)?\s*(?::|>)\s+(.*)$`)

	// alone is a line of its own above the words: "Ada Lovelace  00:01:02".
	alone  = regexp.MustCompile(`^\s*([\p{L}][\p{L}\p{N} .,'’&/()@_-]{0,60}?)\s{1,4}[|(\[-]?\s*` + clock + `\s*[)\]]?\s*$`)
	before = regexp.MustCompile(`^\s*` + clock + `\s{1,4}[|-]?\s*([\p{L}][\p{L}\p{N} .,'’&/()@_-]{0,60}?)\s*$`)

	voice = regexp.MustCompile(`^<v(?:\.[^ >]*)?\s+([^>]{1,80})>`)
	tags  = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)
)

// maxTurns bounds a transcript: ten hours of quick talk have fewer.
const maxTurns = 50_000

// Read reads a transcript. It fails on a text in which fewer than two turns are labelled.
func Read(r io.Reader) ([]Turn, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var out []Turn
	at := time.Duration(0)
	say := func(speaker string, when time.Duration, text string) {
		speaker = strings.Join(strings.Fields(speaker), " ")
		if n := len(out); n > 0 && strings.EqualFold(out[n-1].Speaker, speaker) {
			out[n-1].Text = strings.TrimSpace(out[n-1].Text + " " + text)
			return
		}
		out = append(out, Turn{speaker, when, strings.TrimSpace(text)})
	}
	for lines.Scan() {
		line := strings.TrimPrefix(strings.TrimRight(lines.Text(), " \t\r"), "\ufeff")
		if len(out) > maxTurns {
			return nil, fmt.Errorf("there are more than %d turns", maxTurns)
		}
		trimmed := strings.TrimSpace(line)
		switch m := cue.FindStringSubmatch(line); {
		case trimmed == "", trimmed == "WEBVTT", strings.HasPrefix(trimmed, "NOTE "), strings.Trim(trimmed, "0123456789") == "":
			continue
		case m != nil:
			at = offset(m[1])
			continue
		}
		if m := voice.FindStringSubmatch(trimmed); m != nil {
			say(m[1], at, tags.ReplaceAllString(trimmed, ""))
			continue
		}
		if m := labelled.FindStringSubmatch(line); m != nil && name(m[2]) {
			when := at
			for _, c := range []string{m[1], m[3]} {
				if c != "" {
					when = offset(c)
				}
			}
			say(m[2], when, tags.ReplaceAllString(m[4], ""))
			continue
		}
		if m := alone.FindStringSubmatch(line); m != nil && name(m[1]) {
			say(m[1], offset(m[2]), "")
			continue
		}
		if m := before.FindStringSubmatch(line); m != nil && name(m[2]) {
			say(m[2], offset(m[1]), "")
			continue
		}
		if n := len(out); n > 0 {
			out[n-1].Text = strings.TrimSpace(out[n-1].Text + " " + strings.TrimSpace(tags.ReplaceAllString(line, "")))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read transcript: %w", err)
	}
	out = slices.DeleteFunc(out, func(t Turn) bool { return t.Text == "" })
	if len(out) < 2 {
		return nil, fmt.Errorf("it is no transcript: fewer than two turns are labelled by their speaker")
	}
	return out, nil
}

// name tells a label from the beginning of a sentence with a colon.
func name(s string) bool {
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > 6 {
		return false
	}
	lower := 0
	for _, w := range words {
		if strings.ToLower(w) == w && strings.Trim(w, "0123456789()@._-") != "" {
			lower++
		}
	}
	return lower == 0 || len(words) == 1 || roles.MatchString(s) || strings.Contains(s, "@")
}

func offset(s string) time.Duration {
	parts := strings.Split(strings.Replace(s, ",", ".", 1), ":")
	var seconds float64
	for _, p := range parts {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil {
			return 0
		}
		seconds = seconds*60 + n
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

var (
	roles   = regexp.MustCompile(`(?i)\b(agent|rep|representative|support|host|interviewer|moderator|facilitator|csm|sales|ae|account (executive|manager)|researcher|pm|product manager|engineer|bot|notetaker|assistant|customer|client|caller|user|participant|interviewee|guest|prospect|buyer)\b`)
	ours    = regexp.MustCompile(`(?i)\b(agent|rep|representative|support|host|interviewer|moderator|facilitator|csm|sales|ae|account (executive|manager)|researcher|pm|product manager|engineer|bot|notetaker|assistant)\b`)
	machine = regexp.MustCompile(`(?i)\b(bot|notetaker|assistant)\b`)
	theirs  = regexp.MustCompile(`(?i)\b(customer|client|caller|user|participant|interviewee|guest|prospect|buyer)\b`)
)

// Speakers lists who speaks, in order of their first turn. named are those that a person
// says are ours; customers those that are not. Where either is given, everybody else is
// of the other side. Without them, labels that name a role decide.
func Speakers(turns []Turn, named, customers []string) []Speaker {
	var out []Speaker
	has := func(list []string, s string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(strings.TrimSpace(l), s) })
	}
	for _, t := range turns {
		i := slices.IndexFunc(out, func(s Speaker) bool { return strings.EqualFold(s.Name, t.Speaker) })
		if i < 0 {
			i = len(out)
			s := Speaker{Name: t.Speaker}
			switch {
			case has(named, t.Speaker):
				s.Ours, s.Why = true, "as you said"
			case has(customers, t.Speaker):
				s.Why = "as you said"
			case len(customers) > 0:
				s.Ours, s.Why = true, "not one of the customers you named"
			case len(named) > 0:
				s.Why = "not one of ours"
			case theirs.MatchString(t.Speaker):
				s.Why = "by the label"
			case ours.MatchString(t.Speaker):
				s.Ours, s.Why = true, "by the label"
			}
			out = append(out, s)
		}
		out[i].Turns++
		out[i].Words += len(strings.Fields(t.Text))
	}
	// The one who is left is of the side that nobody is on. Of two, either could be ours.
	side := func(of bool) bool {
		return slices.ContainsFunc(out, func(s Speaker) bool { return s.Why != "" && s.Ours == of && !machine.MatchString(s.Name) })
	}
	ourSide, theirSide := side(true), side(false)
	if left := Undecided(out); len(left) == 1 && ourSide != theirSide {
		i := slices.IndexFunc(out, func(s Speaker) bool { return s.Why == "" })
		out[i].Ours, out[i].Why = !ourSide, "the other side"
	}
	return out
}

// Undecided lists the speakers of whom nothing tells which side they are on.
func Undecided(speakers []Speaker) []string {
	var out []string
	for _, s := range speakers {
		if s.Why == "" {
			out = append(out, s.Name)
		}
	}
	return out
}

// Customers keeps the turns of those who are not ours.
func Customers(turns []Turn, speakers []Speaker) []Turn {
	var out []Turn
	for _, t := range turns {
		if i := slices.IndexFunc(speakers, func(s Speaker) bool { return strings.EqualFold(s.Name, t.Speaker) }); i >= 0 && !speakers[i].Ours && speakers[i].Why != "" {
			out = append(out, t)
		}
	}
	return out
}
