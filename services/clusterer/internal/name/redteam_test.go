package name

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/fence/redteam"
)

// address is what somebody could be reached or found by.
var address = regexp.MustCompile(`(?i)@|://|www\.|evil\.example|\+?\d[\d ()-]{7,}\d`)

// TestRedTeam names a cluster that is nothing but each hostile text, said by three, beside
// an ordinary one: what comes out is a name, never markup, an address, or an order.
func TestRedTeam(t *testing.T) {
	t.Parallel()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for _, x := range of {
				said := map[string][]string{"clu_other": {"Dark mode for the night shift", "A dark theme please", "dark mode"}}
				for i := range 3 {
					said["clu_hostile"] = append(said["clu_hostile"], fmt.Sprintf("%s %d", x.Text, i))
				}
				clusters, all := world(said)
				n := Choose(clusters["clu_hostile"], all, nobody)
				if n.Text == "" || utf8.RuneCountInString(n.Text) > MaxRunes {
					t.Errorf("%s: named %q", x.Canary, n.Text)
				}
				for _, r := range n.Text {
					if !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" .,'’-&%/+?!()", r) {
						t.Errorf("%s: %q has %q", x.Canary, n.Text, r)
					}
				}
				if m := address.FindString(n.Text); m != "" {
					t.Errorf("%s: %q has the address %q", x.Canary, n.Text, m)
				}
				for _, word := range strings.Fields(strings.ToLower(n.Text)) {
					if commands[strings.Trim(word, ".,'’-?!()")] {
						t.Errorf("%s: %q says %q", x.Canary, n.Text, word)
					}
				}
			}
		})
	}
}
