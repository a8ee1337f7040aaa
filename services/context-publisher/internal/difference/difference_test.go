package difference_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/difference"
)

// draw writes a difference as [-removed-] and {+added+}, a line each.
func draw(lines []difference.Line) string {
	var b strings.Builder
	for _, l := range lines {
		for _, p := range l.Pieces {
			b.WriteString(map[difference.Op]string{difference.Same: "%s", difference.Added: "{+%s+}", difference.Removed: "[-%s-]"}[p.Op])
			s := strings.Replace(b.String(), "%s", p.Text, 1)
			b.Reset()
			b.WriteString(s)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestAReadableDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ about, old, now, want string }{
		{"nothing", "a\nb", "a\nb", "a\nb\n"},
		{"figures in a sentence", "12 accounts, 35 people. Severity medium.", "14 accounts, 39 people. Severity medium.", "[-12 -]{+14 +}accounts, [-35 -]{+39 +}people. Severity medium.\n"},
		{"a new line between", "one\nthree", "one\ntwo\nthree", "one\n{+two+}\nthree\n"},
		{"a line gone", "one\ntwo\nthree", "one\nthree", "one\n[-two-]\nthree\n"},
		{"other words altogether", "the export stops", "login fails always", "[-the export stops-]\n{+login fails always+}\n"},
		{"one of two changed", "Chrome 101, 2 voices\nSafari, 1 voice", "Chrome 101, 3 voices\nFirefox on phones is slow", "Chrome 101, [-2 -]{+3 +}voices\n[-Safari, 1 voice-]\n{+Firefox on phones is slow+}\n"},
		{"from nothing", "", "a", "{+a+}\n"},
	} {
		lines := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, "\n")
		}
		if got := draw(difference.Lines(lines(c.old), lines(c.now))); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.about, got, c.want)
		}
	}
}

// Whatever the texts, both can be read back from their difference.
func TestBothTextsCanBeReadBack(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		out := make([]string, random.IntN(9))
		for i := range out {
			words := make([]string, 1+random.IntN(5))
			for j := range words {
				words[j] = fmt.Sprint("w", random.IntN(4))
			}
			out[i] = strings.Join(words, strings.Repeat(" ", 1+random.IntN(2)))
		}
		return out
	}
	for range 3000 {
		old, now := text(), text()
		var was, is []string
		for _, l := range difference.Lines(old, now) {
			var a, b string
			inOld, inNew := false, false
			for _, p := range l.Pieces {
				if p.Op != difference.Added {
					a, inOld = a+p.Text, true
				}
				if p.Op != difference.Removed {
					b, inNew = b+p.Text, true
				}
			}
			if inOld {
				was = append(was, a)
			}
			if inNew {
				is = append(is, b)
			}
		}
		if !reflect.DeepEqual(append([]string{}, was...), append([]string{}, old...)) || !reflect.DeepEqual(append([]string{}, is...), append([]string{}, now...)) {
			t.Fatalf("%q and %q: %q and %q", old, now, was, is)
		}
	}
}

func TestAHugeTextCostsNoTime(t *testing.T) {
	t.Parallel()
	old, now := make([]string, 50_000), make([]string, 50_000)
	for i := range old {
		old[i], now[i] = fmt.Sprint("old ", i), fmt.Sprint("new ", i)
	}
	old[0], now[0] = "same", "same"
	if got := difference.Lines(old[:3000], now); got[0].Changed() || !got[1].Changed() {
		t.Errorf("%+v", got[:2])
	}
}
