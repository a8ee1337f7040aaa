package email_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/email"
)

// FuzzEmail tries any body under any content type. Whatever comes in, nothing panics, what
// is said is clean text, and it is said by somebody.
func FuzzEmail(f *testing.F) {
	for _, contentType := range []string{"message/rfc822", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"} {
		for _, body := range []string{
			raw("", "It fails.\n\nOn Friday Bob wrote:\n> old\n"),
			raw(alternative, "--b1\nContent-Type: text/plain; format=flowed\n\nIt fails. \nAgain.\n--b1\nContent-Type: text/html\n\n<p>It fails</p><div class=gmail_quote>x</div>\n--b1--\n"),
			raw("Content-Transfer-Encoding: base64\nContent-Type: text/html; charset=iso-2022-jp\n", "PHA+SXQ8L3A+\n"),
			`{"Type":"Notification","Message":"{\"content\":\"From: a@b.example\\n\\nx\",\"receipt\":{}}"}`,
			`{"FromFull":{"Email":"a@b.example"},"TextBody":"x","Headers":[{"Name":"Message-ID","Value":"<1>"}]}`,
			"--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nFrom: a@b.example\r\n\r\nx\r\n--b--\r\n",
			"message-headers=%5B%5B%22From%22%2C%22a%40b.example%22%5D%5D&body-plain=x",
		} {
			f.Add(contentType, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := email.Decoder{Address: "feedback@acme.example"}.Decode(event.Delivery{Connection: "c", ReceivedAt: received, Headers: map[string]string{"content-type": contentType}, Body: body})
		if (err == nil) == (len(got) == 0) {
			t.Fatalf("%d changes and error %v", len(got), err)
		}
		for _, c := range got {
			said, ok := c.(change.MessageUpserted)
			if !ok {
				continue
			}
			for _, s := range []string{said.Text, said.ID, said.Author.ID, said.Author.Name, said.Author.Email, said.Place.External} {
				if !utf8.ValidString(s) {
					t.Fatalf("broken UTF-8: %q", s)
				}
			}
			if strings.TrimSpace(said.Text) == "" || said.Author.ID == "" || said.ID == "" || said.At.IsZero() || strings.ContainsRune(said.Text, 0) {
				t.Fatalf("not fit to be kept: %+v", said)
			}
		}
	})
}

// FuzzOwn: taking quotations out never invents or joins words.
func FuzzOwn(f *testing.F) {
	f.Add("It fails.\n> old\n-- \nAda\nOn Friday Bob wrote:\nx")
	f.Fuzz(func(t *testing.T, text string) {
		own := email.Own(text)
		for _, line := range strings.Split(own, "\n") {
			if line = strings.TrimSpace(line); utf8.ValidString(text) && !strings.Contains(text, line) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r > 0x7e }) {
				t.Fatalf("%q is not in %q", line, text)
			}
		}
		if again := email.Own(own); len(again) > len(own) {
			t.Fatalf("%q grows to %q", own, again)
		}
	})
}
