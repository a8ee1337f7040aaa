package embed

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNormalise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                      "",
		" \t\r\n":                               "",
		"\x00\x00":                              "",
		"\u200b\u202e\ufeff":                    "",
		"Export BROKEN":                         "export broken",
		"a\x00b":                                "a b",
		"bro\xffken":                            "bro ken",
		"pass\u200bword":                        "password",
		"Tom &amp; Jerry &lt;3":                 "tom & jerry <3",
		"ﬁne print, １２ ™":                       "fine print, 12 tm",
		"see https://example.com/a?b=c, please": "see url please",
		"(https://example.com/x) and www.foo.org": "(url) and url",
		"<https://example.com|the docs> fail":     "<url|the docs> fail",
		"HTTP://EXAMPLE.COM is down":              "url is down",
		"mail ann.lee@example.com!":               "mail email!",
		"@ann_lee, look":                          "user, look",
		"meet @ noon":                             "meet @ noon",
		"a@b":                                     "a@b",
		"error 404 not 500":                       "error 404 not 500",
		"order #123456 on 2026-11-22 at 10:30":    "order #number on number at number",
		"costs $1,299.00 or 5%":                   "costs $number or 5%",
		"v2 api":                                  "v2 api",
		"1. first":                                "1. first",
		"www. https://":                           "www. https://",
		"東京 で 動かない":                               "東京 で 動かない",
		"👍 great":                                 "👍 great",
	} {
		if got := Normalise(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestNormaliseReadsOnlyTheHeadOfALongText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é ", 1<<20)
	if got := Normalise(long); len(got) > MaxTextBytes || !strings.HasPrefix(long, got) {
		t.Fatalf("%d bytes kept", len(got))
	}
}

func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{"", "&#0;&amp;amp;", "\xff\xfe", "@", "https://", "@@a", "1,2", "İ", "a\u0301", "<https://a|b>", "x@y.z"} {
		f.Add(seed)
	}
	words := newWords()
	f.Fuzz(func(t *testing.T, text string) {
		got := Normalise(text)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not valid UTF-8", got)
		}
		if strings.IndexFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) && r != ' ' }) >= 0 {
			t.Fatalf("%q holds control characters", got)
		}
		if strings.Contains(got, "  ") || strings.TrimSpace(got) != got {
			t.Fatalf("%q holds superfluous space", got)
		}
		vector := make([]float32, wordsWidth)
		words.write(vector, got)
		assertUnit(t, vector)
	})
}
