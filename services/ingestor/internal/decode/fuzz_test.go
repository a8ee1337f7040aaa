package decode_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
	"github.com/throughline-dev/throughline/services/ingestor/internal/fold"
)

func FuzzSlack(f *testing.F)       { fuzz(f, "slack") }
func FuzzIntercom(f *testing.F)    { fuzz(f, "intercom") }
func FuzzZendesk(f *testing.F)     { fuzz(f, "zendesk") }
func FuzzWebhook(f *testing.F)     { fuzz(f, "webhook") }
func FuzzFeedbackAPI(f *testing.F) { fuzz(f, "feedback") }
func FuzzAccounts(f *testing.F)    { fuzz(f, "accounts") }
func FuzzJira(f *testing.F)        { fuzz(f, "jira") }
func FuzzLinear(f *testing.F)      { fuzz(f, "linear") }
func FuzzGitHub(f *testing.F)      { fuzz(f, "github") }

// fuzz tries any body on one decoder, seeded with the recorded payloads and the traps of
// its kind. Whatever comes in, what comes out can be folded, encoded and stored; folding
// it twice is folding it once; and nothing panics.
func fuzz(f *testing.F, kind string) {
	if make := spoken[kind]; make != nil {
		f.Add([]byte(make("words \" < & 🚨")), false)
	}
	for _, d := range fixtures(f) {
		if d.Kind == kind {
			f.Add(d.Body, d.Headers["content-type"] != "application/json")
		}
	}
	for _, c := range traps {
		if c.kind == kind {
			f.Add([]byte(c.body), false)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, form bool) {
		d := event.Delivery{ID: "dlv_1", Connection: "c", Kind: kind, ReceivedAt: received, Headers: map[string]string{}, Body: body}
		if form {
			d.Headers["content-type"] = "application/x-www-form-urlencoded"
		}
		changes, err := decode.Changes(config.Connection{BaseURL: "https://x.example"}, d)
		if (err == nil) == (len(changes) == 0) {
			t.Fatalf("%d changes and error %v", len(changes), err)
		}
		for _, c := range changes {
			place, ok := fold.Place(c)
			if !ok {
				if k, isTicket := c.(change.TicketChanged); isTicket {
					encodes(t, k)
				}
				continue
			}
			s := fold.New("acme", "c", place)
			if err := s.Apply(c, 1); err != nil {
				continue // too large
			}
			for _, it := range s.Revise() {
				encodes(t, it)
				if !utf8.ValidString(it.Text) || strings.ContainsRune(it.Text, 0) || it.CreatedAt.IsZero() && len(it.Messages) > 0 {
					t.Fatalf("unfit for the store: %+v", it)
				}
			}
			if err := s.Apply(c, 1); err != nil || len(s.Revise()) > 0 {
				t.Fatal("folding twice is not folding once")
			}
		}
	})
}

func encodes(t *testing.T, v any) {
	t.Helper()
	if _, err := json.Marshal(v); err != nil {
		t.Fatal(err)
	}
}
