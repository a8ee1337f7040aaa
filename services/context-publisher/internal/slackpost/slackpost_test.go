package slackpost_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest/recorded"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const (
	channel = "C0123"
	words   = "Initech will cancel on Friday"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func open(t *testing.T, o vendortest.SlackOptions) (*vendortest.Slack, func(token string) *slackpost.Poster) {
	t.Helper()
	o.BotToken, o.Now = "xoxb-right", noon
	cloud := vendortest.NewSlack(o)
	cloud.AddChannel(channel, "product")
	base, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	return cloud, func(token string) *slackpost.Poster {
		p, err := slackpost.New(slackpost.Config{BaseURL: base, BotToken: token}, wire.Options{Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func message(hash string) slackpost.Message {
	return slackpost.Message{
		Key: "acme/2026-11-22", Title: "What moved", Hash: hash, URL: "https://throughline.example/d",
		Markdown: "## Export fails\n\nNow **third**, see [why](https://throughline.example/c/1).\n\n" + markup.QuoteLines(words+" <!channel> @here https://evil.example "+hash),
	}
}

func post(t *testing.T, p *slackpost.Poster, known *slackpost.Posted, m slackpost.Message, want slackpost.Outcome) slackpost.Posted {
	t.Helper()
	got, outcome, err := p.Post(t.Context(), channel, known, m)
	if err != nil {
		t.Fatal(err)
	}
	if outcome != want {
		t.Fatalf("outcome = %s, want %s", outcome, want)
	}
	return got
}

func TestPostsOnceAndUpdates(t *testing.T) {
	t.Parallel()
	cloud, poster := open(t, vendortest.SlackOptions{})
	p := poster("xoxb-right")
	cloud.AddMessage(channel, vendortest.SlackMessage{User: "U1", Text: "good morning"})
	first := post(t, p, nil, message("a"), slackpost.Created)
	post(t, p, &first, message("a"), slackpost.Unchanged)
	second := post(t, p, &first, message("b"), slackpost.Updated)
	lost := post(t, p, nil, message("b"), slackpost.Unchanged)
	if first.TS != second.TS || lost != second {
		t.Fatalf("first %+v, second %+v, found %+v: want one message", first, second, lost)
	}
	got := cloud.Messages(channel)
	if len(got) != 2 || got[1].Edits != 1 {
		t.Fatalf("messages = %+v, want ours once, edited once", got)
	}
	raw, err := json.Marshal(got[1].Blocks)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []slackpost.Block
	if err := json.Unmarshal(raw, &blocks); err != nil {
		t.Fatal(err)
	}
	want := []slackpost.Block{
		{Type: "header", Text: slackpost.Text{Type: "plain_text", Text: "What moved"}},
		{Type: "section", Text: slackpost.Text{Type: "mrkdwn", Verbatim: true, Text: "*Export fails*\n\nNow *third*, see <https://throughline.example/c/1|why>.\n\n> " + words + " &lt;!channel&gt; @here https://evil.example b"}},
	}
	if len(blocks) != 2 || blocks[0] != want[0] || blocks[1] != want[1] {
		t.Fatalf("blocks = %+v\nwant     %+v", blocks, want)
	}
	if strings.Contains(got[1].Text, "<!channel>") || !strings.Contains(got[1].Text, "What moved") {
		t.Fatalf("fallback = %q", got[1].Text)
	}
	// Another day is another message.
	other := message("a")
	other.Key = "acme/2026-11-23"
	post(t, p, nil, other, slackpost.Created)
	recorded.Compare(t, "slack/post.json", cloud.Exchanges()[:4])
}

func TestCrashAfterPostLeavesOneMessage(t *testing.T) {
	t.Parallel()
	cloud, poster := open(t, vendortest.SlackOptions{})
	cloud.LoseAnswers(1, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "chat.postMessage") })
	_, _, err := poster("xoxb-right").Post(t.Context(), channel, nil, message("a"))
	var temporary *wire.TemporaryError
	if !errors.As(err, &temporary) {
		t.Fatalf("err = %v, want a temporary error", err)
	}
	post(t, poster("xoxb-right"), nil, message("b"), slackpost.Updated)
	if n := len(cloud.Messages(channel)); n != 1 {
		t.Fatalf("%d messages, want one", n)
	}
}

func TestPostsWithoutPermissionToRead(t *testing.T) {
	t.Parallel()
	cloud, poster := open(t, vendortest.SlackOptions{MissingScopes: []string{"channels:history"}})
	ref := post(t, poster("xoxb-right"), nil, message("a"), slackpost.Created)
	post(t, poster("xoxb-right"), &ref, message("b"), slackpost.Updated)
	if n := len(cloud.Messages(channel)); n != 1 {
		t.Fatalf("%d messages, want one", n)
	}
}

func TestDeletedByAPersonIsGone(t *testing.T) {
	t.Parallel()
	cloud, poster := open(t, vendortest.SlackOptions{})
	ref := post(t, poster("xoxb-right"), nil, message("a"), slackpost.Created)
	cloud.DeleteMessage(channel, ref.TS)
	post(t, poster("xoxb-right"), &ref, message("b"), slackpost.Gone)
	if n := len(cloud.Messages(channel)); n != 0 {
		t.Fatalf("%d messages, want none", n)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	ok := func(code string) vendortest.Fault {
		return vendortest.Fault{Status: 200, Body: `{"ok":false,"error":` + string(must(json.Marshal(code))) + `}`}
	}
	for name, c := range map[string]struct {
		fault vendortest.Fault
		token string
		kind  string
		says  string
	}{
		"limited":         {fault: vendortest.SlackLimited(23 * time.Second), kind: "limit", says: "23s"},
		"limited in body": {fault: ok("ratelimited"), kind: "limit", says: "1m"},
		"gateway":         {fault: vendortest.Unavailable(), kind: "temporary", says: "502"},
		"internal":        {fault: ok("internal_error"), kind: "temporary", says: "internal_error"},
		"wrong token":     {token: "xoxb-wrong", kind: "permanent", says: "bot_token"},
		"archived":        {fault: ok("is_archived"), kind: "permanent", says: "archived"},
		"echo":            {fault: ok(words + " xoxb-right"), kind: "permanent", says: "report"},
		"not json":        {fault: vendortest.Fault{Status: 200, Body: "<html>xoxb-right " + words}, kind: "permanent", says: "base_url"},
		"teapot":          {fault: vendortest.Fault{Status: 418, Body: "xoxb-right " + words}, kind: "permanent", says: "418"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, poster := open(t, vendortest.SlackOptions{})
			token := "xoxb-right"
			if c.token != "" {
				token = c.token
			} else {
				cloud.FailNext(1, c.fault)
			}
			_, _, err := poster(token).Post(t.Context(), channel, nil, message("a"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("err = %v, want it to say %q", err, c.says)
			}
			_, limited := wire.RetryAfter(err)
			var temporary *wire.TemporaryError
			got := map[string]bool{"limit": limited, "permanent": wire.IsPermanent(err), "temporary": errors.As(err, &temporary)}
			if !got[c.kind] {
				t.Errorf("err = %v is not %s", err, c.kind)
			}
			for _, secret := range []string{"xoxb-", words} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds %q: %v", secret, err)
				}
			}
			if n := len(cloud.Messages(channel)); n != 0 {
				t.Errorf("%d messages, want none", n)
			}
		})
	}
}

func TestUnknownChannel(t *testing.T) {
	t.Parallel()
	_, poster := open(t, vendortest.SlackOptions{})
	_, _, err := poster("xoxb-right").Post(t.Context(), "C404", nil, message("a"))
	if !wire.IsPermanent(err) || !strings.Contains(err.Error(), "invite the bot") {
		t.Fatalf("err = %v", err)
	}
}

func TestStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	cloud, poster := open(t, vendortest.SlackOptions{})
	gate := cloud.Hold(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "chat.postMessage") })
	defer gate.Release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := poster("xoxb-right").Post(ctx, channel, nil, message("a"))
		done <- err
	}()
	<-gate.Arrived()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v, want context.Canceled", err)
	}
}

// The stand-in refuses what is over Slack's limits, so that each of these
// proves itself by being posted.
func TestKeepsWithinLimits(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"long line":       strings.Repeat("👩‍👩‍👧‍👦 ", 9000),
		"to be escaped":   strings.Repeat("<&>", 20000),
		"quotes":          strings.Repeat(markup.QuoteLines("a <b> & c "+strings.Repeat("שלום ", 300))+"\n\n", 50),
		"headings":        strings.Repeat("## Heading\n\nText.\n\n", 300),
		"bullets":         strings.Repeat("- **bold** [link](https://acme.example/"+strings.Repeat("x", 300)+")\n", 300),
		"code":            "```\n" + strings.Repeat("`x` <y>\n", 5000),
		"long addresses":  strings.Repeat("[a](https://acme.example/"+strings.Repeat("y", 900)+") ", 40),
		"nothing":         "",
		"one bold letter": strings.Repeat("**a**", 9000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, poster := open(t, vendortest.SlackOptions{})
			m := message("a")
			m.Title, m.Markdown = strings.Repeat("Title 🎉 ", 60), text
			post(t, poster("xoxb-right"), nil, m, slackpost.Created)
			got := cloud.Messages(channel)[0]
			if !utf8.ValidString(got.Text) || len(got.Text) > 4000 {
				t.Errorf("fallback of %d bytes", len(got.Text))
			}
			var all strings.Builder
			for _, b := range got.Blocks {
				all.Write(b)
			}
			if text != "" && !strings.Contains(all.String(), "Cut here") {
				t.Errorf("nothing says that text was cut")
			}
			if !utf8.ValidString(all.String()) || strings.ContainsRune(all.String(), utf8.RuneError) {
				t.Errorf("a character was cut")
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
