package language_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/classifier/internal/language"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]language.Language{
		"":                                      {Supported: true},
		"👍":                                     {Supported: true},
		"login broken":                          {Supported: true},
		"SSO":                                   {Supported: true},
		"The export crashes every time I save.": {Code: "en", Supported: true},
		"Der Export stürzt jedes Mal ab, wenn ich speichern möchte.":      {Code: "de"},
		"L'export plante à chaque fois que j'enregistre mon document.":    {Code: "fr"},
		"La exportación falla cada vez que intento guardar el documento.": {Code: "es"},
		"検索がとても遅いです。":                                                     {Code: "ja"},
		"Поиск работает очень медленно":                                   {Code: "ru"},
		"검색이 너무 느려요":                                                      {Code: "ko"},
	} {
		if got := language.Of(text); got != want {
			t.Errorf("Of(%q) = %+v, want %+v", text, got, want)
		}
	}
}

// A customer who writes English must not be marked as one who does not.
func TestRealEnglishTextsAreSupported(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../gold/test.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	wrong, all := 0, 0
	for line := range strings.Lines(string(raw)) {
		var item struct{ Text string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		all++
		if l := language.Of(item.Text); !l.Supported {
			wrong++
			t.Logf("%s: %q", l.Code, item.Text)
		}
	}
	if wrong*100 > all {
		t.Errorf("%d of %d English texts are marked", wrong, all)
	}
}
