package payload_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
)

func TestCheckRefusesWhatTwoReadersCouldReadDifferently(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"object":             {`{"a":"b","c":[1,{"a":2}]}`, nil},
		"escaped backslash":  {`{"a":"\\u0000"}`, nil},
		"depth 64":           {deep(64), nil},
		"empty":              {``, payload.ErrSyntax},
		"blank":              {` `, payload.ErrSyntax},
		"words":              {`hello`, payload.ErrSyntax},
		"cut off":            {`{"a":`, payload.ErrSyntax},
		"two values":         {`{} {}`, payload.ErrSyntax},
		"trailing comma":     {`{"a":1,}`, payload.ErrSyntax},
		"form":               {`payload=%7B%7D`, payload.ErrSyntax},
		"raw NUL":            {"{\"a\":\"\x00\"}", payload.ErrNUL},
		"escaped NUL":        {`{"a":{"b":"x\u0000y"}}`, payload.ErrNUL},
		"escaped NUL name":   {`{"a\u0000":1}`, payload.ErrNUL},
		"broken UTF-8":       {"{\"a\":\"\xff\"}", payload.ErrUTF8},
		"lone surrogate":     {`{"a":"\ud800"}`, payload.ErrSyntax},
		"depth 65":           {deep(65), payload.ErrDepth},
		"depth 100,000":      {deep(100_000), payload.ErrDepth},
		"repeated name":      {`{"a":1,"a":2}`, payload.ErrDuplicate},
		"repeated name deep": {`{"a":[{"b":1,"b":2}]}`, payload.ErrDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := payload.Check([]byte(c.body)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestCheckSeesTheTopLevelOnly(t *testing.T) {
	t.Parallel()
	s, err := payload.Check([]byte(`{"type":"x","n":1,"in":{"type":"y","deep":["z"]},"list":["type"],"last":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != '{' || s.Strings["type"] != "x" || !s.Has("type", "n", "in", "list", "last") || s.Has("deep") || len(s.Members) != 5 {
		t.Errorf("got %+v", s)
	}
}

func TestTimesOfEveryVendor(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2025-01-08T10:12:07Z":           "2025-01-08T10:12:07Z",
		"2025-01-08T14:25:30.123Z":       "2025-01-08T14:25:30.123Z",
		"2025-01-08T14:25:30.123456Z":    "2025-01-08T14:25:30.123456Z",
		"2025-01-08T14:25:30.123456789Z": "2025-01-08T14:25:30.123456Z",
		"2019-02-15T19:01:52.971-0800":   "2019-02-16T03:01:52.971Z",
		"1610261659.001400":              "2021-01-10T06:54:19.0014Z",
		"1553291307":                     "2019-03-22T21:48:27Z",
		"1579783998084":                  "2020-01-23T12:53:18.084Z",
		"":                               "0001-01-01T00:00:00Z",
		"yesterday":                      "0001-01-01T00:00:00Z",
		"9999-01-01T00:00:00Z":           "0001-01-01T00:00:00Z",
		"-1":                             "0001-01-01T00:00:00Z",
		"NaN":                            "0001-01-01T00:00:00Z",
		"1e300":                          "0001-01-01T00:00:00Z",
	} {
		if got := payload.ParseTime(in).Format(time.RFC3339Nano); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestErrorsNeverRepeatThePayload(t *testing.T) {
	t.Parallel()
	var v struct {
		N int `json:"n"`
	}
	for _, body := range []string{`{"n":"hunter2"}`, `{"n":31337.5}`, `{"n":hunter2}`, `hunter2`} {
		err := payload.Decode([]byte(body), &v)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "31337") {
			t.Errorf("%s: got %v", body, err)
		}
	}
}
