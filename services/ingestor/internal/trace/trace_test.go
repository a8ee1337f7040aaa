package trace_test

import (
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/ingestor/internal/trace"
)

func ada() *trace.Trace {
	t := trace.New()
	t.Said("The zebrafish export fails after the third page of invoices")
	t.Said("ok")
	t.Said("<p>Never again &amp; goodbye, Kaleidoscope</p>")
	t.Person("U0123456789", "u9", "Ada@Initech.example")
	t.Identify("cus_aaaaaaaaaaaaaaaaaaaaaaaaaa", "itm_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	t.Spare("Our export of invoices fails as well, never mind the message")
	return t
}

func TestTracesAreFoundAndOthersWordsStay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"the Zebrafish problem":        true,  // a word only they used
		"… fails after the third …":    true,  // four words in a row
		"ok":                           true,  // a whole text, however short
		"ok then":                      false, //
		"export of invoices fails":     false, // others said it too
		"never":                        false,
		"Kaleidoscope":                 true,
		"write to ada@initech.example": true,
		"message":                      false,
		"":                             false,
		"see itm_aaaaaaaaaaaaaaaaaaaaaaaaaa there":   true,
		"see itm_bbbbbbbbbbbbbbbbbbbbbbbbbb there":   false,
		"payload=%7B%22text%22%3A%22zebrafish%22%7D": true,
	} {
		if _, got := ada().Blank(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestJSONKeepsItsShape(t *testing.T) {
	t.Parallel()
	in := `{"type":"message","seq":12345678901234567890,"event":{"user":"U0123456789","ts":"1.5","text":"yes","blocks":[{"type":"text","text":"yes"}]},` +
		`"parts":[{"body":"<p>zebrafish export</p>","author":{"id":"U0123456789","name":"Ada"}},{"body":"hello","author":{"id":"u9","name":"Bob"}}],` +
		`"messages":"[{\"text\":\"ok\"},{\"text\":\"fine\"}]","item":{"id":"itm_aaaaaaaaaaaaaaaaaaaaaaaaaa","revision":2,"text":"a","customer":{"id":"cus_aaaaaaaaaaaaaaaaaaaaaaaaaa","name":"Ada"}}}`
	out, found := ada().Blank(in)
	if !found {
		t.Fatal("nothing was found")
	}
	for _, gone := range []string{"yes", "zebrafish", "Ada", `"ok"`, `"text":"a"`} {
		if strings.Contains(out, gone) {
			t.Errorf("%s is still there: %s", gone, out)
		}
	}
	for _, kept := range []string{`"type":"message"`, "12345678901234567890", `"ts":"1.5"`, `"user":"U0123456789"`, "hello", "Bob", "fine", "itm_aaaaaaaaaaaaaaaaaaaaaaaaaa", `"revision":2`, `"type":"text"`} {
		if !strings.Contains(out, kept) {
			t.Errorf("%s is gone: %s", kept, out)
		}
	}
	if again, found := ada().Blank(out); found {
		t.Errorf("blanking twice is not blanking once: %s", again)
	}
	if other := `{"type":"message","text":"nothing of theirs"}`; func() bool { s, found := ada().Blank(other); return found || s != other }() {
		t.Error("another's document was changed")
	}
}
