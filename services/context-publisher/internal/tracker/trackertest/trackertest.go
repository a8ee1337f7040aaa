// Package trackertest is what every tracker.Tracker has to keep, as tests
// against the vendor's stand-in: one block per ticket whatever crashes or
// races, errors that say what to do, customer words that stay words.
package trackertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// Fixture is one vendor, standing in, with one ticket.
type Fixture struct {
	Server *vendortest.Server
	// Open makes another worker with the right credentials.
	Open func() tracker.Tracker
	// Denied has credentials that the vendor refuses; Secrets are all forms in
	// which any credentials could leak.
	Denied  tracker.Tracker
	Secrets []string

	Key, MissingKey string
	// Blocks are the own comments on the ticket in the vendor's form.
	Blocks func() []string
	// AddForeign writes a comment as somebody else.
	AddForeign func(body string)
	// DeleteBlock deletes one as a person would.
	DeleteBlock func(ref tracker.Ref)
	// IsCreate recognises the request that makes the comment.
	IsCreate func(*http.Request) bool
	// Limits are the vendor's ways to ask for a pause, with the pause.
	Limits []Limit
	// MaxUnits is the longest block the vendor takes, in UTF-16 code units.
	MaxUnits int
	// CheckLiteral fails where one of the hostile words became markup.
	CheckLiteral func(t *testing.T, block string)
}

// Limit is one way to ask for a pause.
type Limit struct {
	Name  string
	Fault vendortest.Fault
	After time.Duration
}

// Hostile are customer words that try to become something.
var Hostile = []string{
	"@here @channel @octocat @team/all [~accountid:5b10a2844c20165700ede21g]",
	"<!-- throughline:v1 key=x rev=1 hash=x --> --> <script>alert(1)</script>",
	"```\n# not a heading\n- not a bullet\n> not a quote\n```",
	"![pixel](https://evil.example/p.png) [click](https://evil.example) https://evil.example/x www.evil.example",
	"{code}{noformat}{panel:title=x} h1. big {color:red}x{color} !image.png!",
	"fixes #12, closes acme/app#7, GH-3, **bold** `code` _it_ ~~no~~ $x$",
	"1. one\n+ two\n=== \n--- \n| a | b |",
	"invisible \u202Ereversed\u202C and \U000E0041 tags",
}

const otherScripts = "שלום מה נשמע، مرحبا، 👩‍👩‍👧‍👦 👍🏽 ไทย 日本語 e\u0301"

// Words is a customer's sentence that may be in no error.
const Words = "my boss at Initech will cancel on Friday"

func block(revision int) tracker.Block {
	return tracker.Block{
		Title:    "Customer context",
		Markdown: fmt.Sprintf("Asked for by **%d customers**.\n\n%s\n\nSee [the conversation](https://acme.example/c/1).", revision, markup.QuoteLines(Words+" "+otherScripts)),
		URL:      "https://throughline.example/t/1",
		Revision: revision,
		Hash:     fmt.Sprintf("hash-%d", revision),
	}
}

// Run runs the suite; open makes a fresh vendor for each test.
func Run(t *testing.T, open func(t *testing.T) *Fixture) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *Fixture){
		"writes once, updates in place, leaves alone what is equal": updatesInPlace,
		"finds its block when the record was lost":                  findsLostRecord,
		"leaves one block after a crash between write and record":   survivesCrash,
		"leaves one block when workers race":                        survivesRace,
		"does not adopt somebody else's comment":                    ignoresForeign,
		"finds its block behind hundreds of comments":               findsBehindPages,
		"waits when limited":                                        waitsWhenLimited,
		"tries again after a server's failure":                      triesAgain,
		"says what to fix when credentials are refused":             saysCredentials,
		"says what to fix when the ticket is not visible":           saysTicket,
		"refuses a key or block that cannot be":                     refusesNonsense,
		"keeps secrets and customers' words out of errors":          keepsSecrets,
		"does not write again what a person deleted":                respectsDeletion,
		"cuts what is too long between characters":                  cutsLong,
		"keeps hostile words literal":                               keepsLiteral,
		"reads the ticket and itself":                               reads,
		"removes its block, twice":                                  removes,
		"removes a block that nobody recorded":                      removesUnknown,
		"writes and removes although every third request fails":     goesOn,
		"stops when told to":                                        stops,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	t.Run("writes one block whichever request fails", func(t *testing.T) {
		t.Parallel()
		survivesFailures(t, open, false)
	})
	t.Run("writes one block whichever answer is lost", func(t *testing.T) {
		t.Parallel()
		survivesFailures(t, open, true)
	})
}

func updatesInPlace(t *testing.T, f *Fixture) {
	tr := f.Open()
	first := upsert(t, tr, f.Key, nil, block(1), tracker.Created)
	if first.ID == "" || first.URL == "" {
		t.Fatalf("ref = %+v, want id and url", first)
	}
	same := upsert(t, tr, f.Key, &first, block(1), tracker.Unchanged)
	if same.ID != first.ID {
		t.Fatalf("unchanged gave another id: %s, was %s", same.ID, first.ID)
	}
	before := f.Blocks()[0]
	second := upsert(t, tr, f.Key, &same, block(2), tracker.Updated)
	if second.ID != first.ID {
		t.Fatalf("update gave another id: %s, was %s", second.ID, first.ID)
	}
	one(t, f, "2 customers")
	if f.Blocks()[0] == before {
		t.Fatal("the block was not rewritten")
	}
	one(t, f, "👩‍👩‍👧‍👦 👍🏽 ไทย 日本語")
}

func findsLostRecord(t *testing.T, f *Fixture) {
	first := upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
	again := upsert(t, f.Open(), f.Key, nil, block(2), tracker.Updated)
	if again.ID != first.ID {
		t.Fatalf("found %s, want %s", again.ID, first.ID)
	}
	one(t, f, "2 customers")
}

func survivesCrash(t *testing.T, f *Fixture) {
	f.Server.LoseAnswers(1, f.IsCreate)
	_, _, err := f.Open().Upsert(t.Context(), f.Key, nil, block(1))
	var temporary *tracker.TemporaryError
	if !errors.As(err, &temporary) {
		t.Fatalf("err = %v, want a temporary error", err)
	}
	ref, outcome, err := f.Open().Upsert(t.Context(), f.Key, nil, block(1))
	if err != nil || outcome == tracker.Created || outcome == tracker.Gone {
		t.Fatalf("outcome = %s, err = %v, want the block found", outcome, err)
	}
	one(t, f, "1 customers")
	upsert(t, f.Open(), f.Key, &ref, block(2), tracker.Updated)
	one(t, f, "2 customers")
}

func survivesRace(t *testing.T, f *Fixture) {
	const workers = 4
	gate := f.Server.Hold(f.IsCreate)
	type result struct {
		ref tracker.Ref
		err error
	}
	results := make(chan result, workers)
	for range workers {
		go func() {
			ref, _, err := f.Open().Upsert(t.Context(), f.Key, nil, block(1))
			results <- result{ref, err}
		}()
	}
	for range workers {
		<-gate.Arrived()
	}
	gate.Release()
	ids := map[string]bool{}
	for range workers {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		ids[r.ref.ID] = true
	}
	one(t, f, "1 customers")
	if len(ids) != 1 {
		t.Fatalf("workers recorded %d different blocks, want one: %v", len(ids), ids)
	}
}

func ignoresForeign(t *testing.T, f *Fixture) {
	upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
	f.AddForeign(f.Blocks()[0])
	for _, words := range Hostile {
		f.AddForeign(words)
	}
	upsert(t, f.Open(), f.Key, nil, block(2), tracker.Updated)
	one(t, f, "2 customers")
}

func findsBehindPages(t *testing.T, f *Fixture) {
	for range 230 {
		f.AddForeign("+1")
	}
	first := upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
	again := upsert(t, f.Open(), f.Key, nil, block(2), tracker.Updated)
	if again.ID != first.ID {
		t.Fatalf("found %s, want %s", again.ID, first.ID)
	}
	one(t, f, "2 customers")
}

func waitsWhenLimited(t *testing.T, f *Fixture) {
	ref := upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
	for _, limit := range f.Limits {
		f.Server.FailNext(1, limit.Fault)
		_, _, err := f.Open().Upsert(t.Context(), f.Key, &ref, block(2))
		after, ok := tracker.RetryAfter(err)
		if !ok || after != limit.After {
			t.Errorf("%s: err = %v, pause = %s, want %s", limit.Name, err, after, limit.After)
		}
		if tracker.IsPermanent(err) {
			t.Errorf("%s: the error says it is permanent: %v", limit.Name, err)
		}
	}
	upsert(t, f.Open(), f.Key, &ref, block(2), tracker.Updated)
	one(t, f, "2 customers")
}

func triesAgain(t *testing.T, f *Fixture) {
	for _, status := range []int{500, 502, 503, 504} {
		f.Server.FailNext(1, vendortest.Fault{Status: status, Body: "<html>oops</html>"})
		_, _, err := f.Open().Upsert(t.Context(), f.Key, nil, block(1))
		var temporary *tracker.TemporaryError
		if !errors.As(err, &temporary) || temporary.Status != status || tracker.IsPermanent(err) {
			t.Errorf("HTTP %d: err = %v, want a temporary error", status, err)
		}
	}
	upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
}

// survivesFailures fails each single request of an upsert once, before or
// after it takes effect, and forgets the record as a crash does.
func survivesFailures(t *testing.T, open func(t *testing.T) *Fixture, applied bool) {
	for position := 1; ; position++ {
		f := open(t)
		seen := 0
		nth := func(*http.Request) bool { seen++; return seen == position }
		if applied {
			f.Server.LoseAnswers(1, nth)
		} else {
			f.Server.FailMatching(1, nth, vendortest.Unavailable())
		}
		_, _, err := f.Open().Upsert(t.Context(), f.Key, nil, block(1))
		f.Server.Heal()
		var temporary *tracker.TemporaryError
		if err != nil && !errors.As(err, &temporary) {
			t.Fatalf("request %d failed: err = %v, want a temporary error", position, err)
		}
		if _, outcome, err := f.Open().Upsert(t.Context(), f.Key, nil, block(2)); err != nil || outcome == tracker.Gone {
			t.Fatalf("after request %d failed: outcome = %s, err = %v", position, outcome, err)
		}
		one(t, f, "2 customers")
		if seen < position {
			if position < 3 {
				t.Fatalf("an upsert took %d requests only", seen)
			}
			return
		}
		// A GET whose answer is lost may be sent again by net/http itself.
		if err == nil && !applied {
			t.Fatalf("request %d failed and nobody noticed", position)
		}
	}
}

func saysCredentials(t *testing.T, f *Fixture) {
	_, _, err := f.Denied.Upsert(t.Context(), f.Key, nil, block(1))
	permanent(t, f, err, "configuration")
	_, err = f.Denied.Fetch(t.Context(), f.Key)
	permanent(t, f, err, "configuration")
	_, err = f.Denied.Self(t.Context())
	permanent(t, f, err, "configuration")
}

func saysTicket(t *testing.T, f *Fixture) {
	_, _, err := f.Open().Upsert(t.Context(), f.MissingKey, nil, block(1))
	permanent(t, f, err, f.MissingKey)
	_, _, err = f.Open().Upsert(t.Context(), f.MissingKey, &tracker.Ref{ID: "4711"}, block(1))
	permanent(t, f, err, f.MissingKey)
	_, err = f.Open().Fetch(t.Context(), f.MissingKey)
	permanent(t, f, err, f.MissingKey)
}

func refusesNonsense(t *testing.T, f *Fixture) {
	before := f.Server.Requests()
	for _, key := range []string{"", "../../secret", f.Key + "/../x", f.Key + "?a=b", "x y", strings.Repeat("A", 500) + "-1"} {
		_, _, err := f.Open().Upsert(t.Context(), key, nil, block(1))
		permanent(t, f, err, "key")
		_, err = f.Open().Fetch(t.Context(), key)
		permanent(t, f, err, "key")
	}
	b := block(1)
	b.Hash = ""
	_, _, err := f.Open().Upsert(t.Context(), f.Key, nil, b)
	permanent(t, f, err, "hash")
	b = block(1)
	b.URL = "javascript:alert(1)"
	_, _, err = f.Open().Upsert(t.Context(), f.Key, nil, b)
	permanent(t, f, err, "URL")
	if n := f.Server.Requests() - before; n != 0 {
		t.Fatalf("%d requests were sent, want none", n)
	}
}

func keepsSecrets(t *testing.T, f *Fixture) {
	echo := strings.Join(f.Secrets, " ") + " " + Words
	ref := upsert(t, f.Open(), f.Key, nil, block(1), tracker.Created)
	for _, status := range []int{301, 400, 401, 402, 403, 404, 408, 409, 410, 413, 422, 429, 500, 503} {
		for _, body := range []string{echo, fmt.Sprintf(`{"message":%q,"errorMessages":[%[1]q],"errors":[{"message":%[1]q,"extensions":{"code":"X"}}]}`, echo)} {
			fault := vendortest.Fault{Status: status, Body: body, Header: map[string]string{"RateLimit-Reason": echo, "Retry-After": ""}}
			f.Server.FailNext(2, fault)
			_, _, err := f.Open().Upsert(t.Context(), f.Key, &ref, block(2))
			clean(t, f, err)
			// What is left of the two faults is taken by this.
			_, _ = f.Open().Fetch(t.Context(), f.Key)
		}
	}
	clean(t, f, upsertError(f, f.Denied))
	if err := f.Server.Close(); err != nil {
		t.Fatal(err)
	}
	err := upsertError(f, f.Open())
	if err == nil {
		t.Fatal("no error though nobody listens")
	}
	clean(t, f, err)
}

func respectsDeletion(t *testing.T, f *Fixture) {
	tr := f.Open()
	ref := upsert(t, tr, f.Key, nil, block(1), tracker.Created)
	f.DeleteBlock(ref)
	for _, revision := range []int{1, 2} {
		if got := upsert(t, tr, f.Key, &ref, block(revision), tracker.Gone); got.ID != "" {
			t.Fatalf("gone gave a ref: %+v", got)
		}
	}
	if n := len(f.Blocks()); n != 0 {
		t.Fatalf("%d blocks after a person deleted it, want none", n)
	}
	b := block(3)
	b.Recreate = true
	again := upsert(t, tr, f.Key, &ref, b, tracker.Created)
	one(t, f, "3 customers")
	upsert(t, tr, f.Key, &again, block(4), tracker.Updated)
	lost := upsert(t, f.Open(), f.Key, nil, block(5), tracker.Updated)
	if lost.ID != again.ID {
		t.Fatalf("found %s after the record was lost, want the recreated %s", lost.ID, again.ID)
	}
	one(t, f, "5 customers")
}

func cutsLong(t *testing.T, f *Fixture) {
	for name, text := range map[string]string{
		"one line of emoji":   strings.Repeat("👩‍👩‍👧‍👦👍🏽", 8000),
		"right to left":       markup.QuoteLines(strings.Repeat("שלום مرحبا ", 8000)),
		"combining marks":     strings.Repeat("e\u0301\u0323", 30000),
		"many paragraphs":     strings.Repeat("A sentence of a customer, <b>&c</b>.\n\n", 5000),
		"an open fence":       "```\n" + strings.Repeat("code \\ \" line\n", 20000),
		"a bullet list":       strings.Repeat("- **bold** and [link](https://acme.example/x)\n", 5000),
		"bytes, not text":     strings.Repeat("\xff\xfe\x00a", 50000),
		"backslashes to trip": strings.Repeat(`\`, 100001),
		"brackets to trip":    strings.Repeat("[**`(", 30001),
		"numbers to trip":     strings.Repeat("1.)", 40001),
	} {
		b := block(1)
		b.Markdown, b.Hash = text, name
		if _, _, err := f.Open().Upsert(t.Context(), f.Key, nil, b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := f.Blocks()
		if len(got) != 1 {
			t.Fatalf("%s: %d blocks, want one", name, len(got))
		}
		if n := markup.Units(got[0]); n > f.MaxUnits || n < f.MaxUnits/8 {
			t.Errorf("%s: %d units, want at most %d and not much less", name, n, f.MaxUnits)
		}
		if !utf8.ValidString(got[0]) || !strings.Contains(got[0], "Cut here") {
			t.Errorf("%s: cut badly: …%q", name, tail(got[0], 200))
		}
		if i := strings.Index(got[0], "Cut here"); name == "combining marks" && strings.Contains(got[0][:i], "e\u0301\n") {
			t.Errorf("%s: a character lost its mark", name)
		}
	}
}

func keepsLiteral(t *testing.T, f *Fixture) {
	b := block(1)
	b.Title = "<!-- --> @here `x` #1"
	b.Markdown = ""
	for _, words := range Hostile {
		b.Markdown += markup.QuoteLines(words) + "\n\n" + markup.Escape(words) + "\n\n" + "- " + markup.Escape(words) + "\n\n"
	}
	// As a writer would who forgot to quote.
	b.Markdown += strings.Join(Hostile, "\n\n")
	upsert(t, f.Open(), f.Key, nil, b, tracker.Created)
	f.CheckLiteral(t, f.Blocks()[0])
	// What is written can be found again.
	b.Hash = "other"
	upsert(t, f.Open(), f.Key, nil, b, tracker.Updated)
}

func reads(t *testing.T, f *Fixture) {
	tr := f.Open()
	got, err := tr.Fetch(t.Context(), f.Key)
	if err != nil {
		t.Fatal(err)
	}
	if got.Key != f.Key || got.ID == "" || got.Title == "" || got.Body == "" || got.Status == "" || got.StatusCategory == "" || got.URL == "" || got.UpdatedAt.IsZero() || got.CreatedAt.IsZero() {
		t.Fatalf("ticket = %+v, want every field", got)
	}
	before := f.Server.Requests()
	self, err := tr.Self(t.Context())
	if err != nil || self.ID == "" {
		t.Fatalf("self = %+v, err = %v", self, err)
	}
	asked := f.Server.Requests() - before
	if again, err := tr.Self(t.Context()); err != nil || again != self || f.Server.Requests()-before != asked {
		t.Fatalf("self = %+v, err = %v, asked again", again, err)
	}
}

func removes(t *testing.T, f *Fixture) {
	tr := f.Open()
	ref := upsert(t, tr, f.Key, nil, block(1), tracker.Created)
	for range 2 {
		if left, err := tr.Remove(t.Context(), f.Key, ref); err != nil || left.ID != "" {
			t.Fatalf("left %+v, err = %v", left, err)
		}
	}
	if n := len(f.Blocks()); n != 0 {
		t.Fatalf("%d blocks after removal, want none", n)
	}
	defer func() {
		b := block(2)
		b.Recreate = true
		upsert(t, tr, f.Key, nil, b, tracker.Created)
		one(t, f, "2 customers")
	}()
	for _, ticket := range written(t, f) {
		if ticket.Key == f.Key && len(ticket.Links) != 0 {
			t.Fatalf("links after removal: %+v", ticket.Links)
		}
	}
}

func removesUnknown(t *testing.T, f *Fixture) {
	tr := f.Open()
	upsert(t, tr, f.Key, nil, block(1), tracker.Created)
	if _, err := tr.Remove(t.Context(), f.Key, tracker.Ref{}); err != nil {
		t.Fatal(err)
	}
	if n := len(f.Blocks()); n != 0 {
		t.Fatalf("%d blocks after removal, want none", n)
	}
	if _, err := tr.Remove(t.Context(), f.MissingKey, tracker.Ref{}); err != nil {
		t.Fatalf("a ticket that is not there: %v", err)
	}
}

// goesOn lets strictly every third request fail, from each possible beginning, and hands
// back what a failed attempt gave.
func goesOn(t *testing.T, f *Fixture) {
	const attempts = 12
	for offset := range 3 {
		tr := f.Open()
		f.Server.FailEvery(3, vendortest.Unavailable())
		for range offset {
			_, _ = f.Open().Self(t.Context())
		}
		var known *tracker.Ref
		for revision := 1; revision <= 2; revision++ {
			for attempt := 1; ; attempt++ {
				b := block(revision)
				b.Recreate = offset > 0
				ref, _, err := tr.Upsert(t.Context(), f.Key, known, b)
				known = &ref
				if err == nil {
					break
				}
				if attempt == attempts {
					t.Fatalf("offset %d: revision %d is not written after %d attempts: %v", offset, revision, attempts, err)
				}
			}
			one(t, f, fmt.Sprintf("%d customers", revision))
		}
		for attempt := 1; ; attempt++ {
			left, err := tr.Remove(t.Context(), f.Key, *known)
			known = &left
			if err == nil {
				break
			}
			if attempt == attempts {
				t.Fatalf("offset %d: not removed after %d attempts: %v", offset, attempts, err)
			}
		}
		f.Server.Heal()
	}
	if n := len(f.Blocks()); n != 0 {
		t.Fatalf("%d blocks after removal, want none", n)
	}
}

func stops(t *testing.T, f *Fixture) {
	gate := f.Server.Hold(f.IsCreate)
	defer gate.Release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := f.Open().Upsert(ctx, f.Key, nil, block(1))
		done <- err
	}()
	<-gate.Arrived()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || tracker.IsPermanent(err) {
		t.Fatalf("err = %v, want one that wraps context.Canceled and is not permanent", err)
	}
}

func upsert(t *testing.T, tr tracker.Tracker, key string, known *tracker.Ref, b tracker.Block, want tracker.Outcome) tracker.Ref {
	t.Helper()
	ref, outcome, err := tr.Upsert(t.Context(), key, known, b)
	if err != nil {
		t.Fatal(err)
	}
	if outcome != want {
		t.Fatalf("outcome = %s, want %s", outcome, want)
	}
	return ref
}

func upsertError(f *Fixture, tr tracker.Tracker) error {
	_, _, err := tr.Upsert(context.Background(), f.Key, nil, block(1))
	return err
}

func one(t *testing.T, f *Fixture, contains string) {
	t.Helper()
	blocks := f.Blocks()
	if len(blocks) != 1 {
		t.Fatalf("%d blocks on the ticket, want one", len(blocks))
	}
	if !strings.Contains(blocks[0], contains) {
		t.Fatalf("the block does not say %q: %s", contains, blocks[0])
	}
}

func permanent(t *testing.T, f *Fixture, err error, contains string) {
	t.Helper()
	if !tracker.IsPermanent(err) {
		t.Fatalf("err = %v, want a permanent error", err)
	}
	if _, ok := tracker.RetryAfter(err); ok {
		t.Fatalf("err = %v asks for a retry", err)
	}
	if !strings.Contains(err.Error(), contains) {
		t.Fatalf("err = %v, want it to say %q", err, contains)
	}
	clean(t, f, err)
}

func clean(t *testing.T, f *Fixture, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range append(f.Secrets, Words) {
		if strings.Contains(err.Error(), secret) {
			t.Fatalf("the error holds %q: %v", secret, err)
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
