package e2e

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// A person in a real browser finds every view, decides and takes back, and sees what is said
// meanwhile; by keyboard, in the dark and on a phone.
func TestThePageInABrowser(t *testing.T) {
	t.Parallel()
	s := begin(t, webhooksOfTheStory)
	if _, err := s.play(texts).Run(deadline(t)); err != nil {
		t.Fatal(err)
	}
	cache, err := filepath.Abs(filepath.Join("..", "..", "..", ".cache"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(deadline(t), "node", filepath.Join(cache, "browser", "page.mjs"), s.url, demo.Secrets["DEMO_TOKEN"], filepath.Join(cache, "screenshots"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !strings.Contains(lines.Text(), `"await"`) {
			t.Log(lines.Text())
			continue
		}
		said++
		d := demo.Feedback(said, demo.Text{ID: "browser-" + string(rune('a'+said)), Text: "The shuffle button plays the same ten songs again and again"}, at, demo.Accounts())
		if err := s.play(0).Sender.Send(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v (run `make browser` if something is missing; screenshots are in .cache/screenshots)\n%s", err, errs.String())
	}
	if said != 2 {
		t.Errorf("the browser waited for %d things to be said, not 2", said)
	}
}
