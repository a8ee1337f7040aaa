package plain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

// FuzzFromHTML: any fragment becomes clean text, and text that is clean stays what it is.
func FuzzFromHTML(f *testing.F) {
	f.Add(`<p>One<br>Two</p><ul><li>x</ul><pre>a  b</pre><span style="display:none">no</span>`)
	f.Fuzz(func(t *testing.T, html string) {
		text := plain.FromHTML(html)
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || plain.Clean(text) != text {
			t.Fatalf("not clean: %q", text)
		}
	})
}
