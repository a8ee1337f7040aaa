package ingestor_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/bus"
)

// Fifteen mistakes that connections to these vendors are known for; each has a test of its
// own. Those of the door are here: 1, 2 and 14. Those of reading are in internal/decode:
// 3 to 6, 10, 12 and 13. The rest concern what is written, and are tested where that is
// done:
//
//   - 7, a rate limit that looks like something else: tracker/trackertest, the limits "HTTP
//     400" and "HTML 429" of Linear
//   - 8, posts tried again become two: slackpost, TestCrashAfterPostLeavesOneMessage
//   - 9, a message beyond its limits, or cut through a character: slackpost,
//     TestKeepsWithinLimits
//   - 11, what was written where is kept in memory: tracker/trackertest, "leaves one block
//     when workers race" and "writes one block whichever answer is lost"
//   - 15, MCP that says it is live and is not: mcpserver, TestSubscription,
//     TestAnotherWorkspaceSeesNothing and TestHostileWords

// The signature is over the bytes as they came: escapes, white space and emoji that a
// re-serialised body would have otherwise must not matter.
func TestMistake01SignatureOverSomethingElseThanTheRawBytes(t *testing.T) {
	t.Parallel()
	h := start(t)
	odd := func(body string) string {
		return strings.Replace(strings.Replace(body, "schlägt", `schl\u00e4gt \uD83D\uDE00 \u001B[31m \/`, 1), `":`, "\" :\t", 1) + "\n "
	}
	for _, kind := range kinds {
		if kind == "email" {
			continue // its providers sign no body
		}
		body := odd(sourceOf(kind).first)
		if a := h.post(kind, []byte(body), nil); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", kind, a.status, a.body)
		}
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if a := h.post(kind, again, sign(kind, secretOf(kind), []byte(body))); a.status != http.StatusUnauthorized {
			t.Errorf("%s: the same JSON in other bytes: %d", kind, a.status)
		}
	}
}

// A vendor that got no answer in time sends again, several times, at once or as the first
// copy that arrives at all. However many copies come, one is counted; a copy that says it
// is one is never dropped for that.
func TestMistake02CopiesCountedOrDropped(t *testing.T) {
	t.Parallel()
	h := start(t)
	var wg sync.WaitGroup
	statuses := make(chan int, 4)
	for n := range 4 {
		wg.Go(func() {
			statuses <- h.post("slack", []byte(slackMessage("said once", "")), map[string]string{"X-Slack-Retry-Num": fmt.Sprint(n), "X-Slack-Retry-Reason": "http_timeout"}).status
		})
	}
	wg.Wait()
	close(statuses)
	for s := range statuses {
		if s != http.StatusOK {
			t.Errorf("a copy is answered %d", s)
		}
	}
	onlyRetry := strings.NewReplacer("said once", "the first copy was lost", "1790000001.000200", "1790000002.000200", "Ev1", "Ev2").Replace(slackMessage("said once", ""))
	if a := h.post("slack", []byte(onlyRetry), map[string]string{"X-Slack-Retry-Num": "3"}); a.status != http.StatusOK {
		t.Errorf("%d", a.status)
	}
	h.settle()
	got := h.brief(bus.Items)
	slices.Sort(got)
	if want := []string{"item.received 1 said once", "item.received 1 the first copy was lost"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// Every way in which a check of signatures can be talked out of checking.
func TestMistake14VerificationThatFailsOpen(t *testing.T) {
	t.Parallel()
	h := start(t)
	slack := []byte(sourceOf("slack").first)
	for what, a := range map[string]answer{
		"no secret is configured":            h.do(http.MethodPost, "/webhooks/acme-bare", sign("slack", "", slack), slack),
		"an empty secret signs":              h.post("slack", slack, sign("slack", "", slack)),
		"GitHub's SHA-1 header instead":      h.post("github", []byte(sourceOf("github").first), map[string]string{"X-Hub-Signature-256": "", "X-Hub-Signature": sign("intercom", signing, []byte(sourceOf("github").first))["X-Hub-Signature"]}),
		"Linear's time in its header":        h.post("linear", []byte(strings.Replace(sourceOf("linear").first, fmt.Sprint(now.UnixMilli()), "1531420618000", 1)), map[string]string{"Linear-Timestamp": fmt.Sprint(now.UnixMilli())}),
		"Zendesk's old order, body first":    h.post("zendesk", []byte(sourceOf("zendesk").first), oldZendesk([]byte(sourceOf("zendesk").first))),
		"Slack's time stamp is another":      h.post("slack", slack, map[string]string{"X-Slack-Request-Timestamp": fmt.Sprint(now.Unix() + 1)}),
		"a signature of another kind":        h.post("slack", slack, map[string]string{"X-Slack-Signature": "v1=" + strings.Repeat("0", 64)}),
		"an empty signature":                 h.post("jira", []byte(sourceOf("jira").first), map[string]string{"X-Hub-Signature": "sha256="}),
		"mail without its password":          h.post("email", []byte(sourceOf("email").first), map[string]string{"Authorization": ""}),
		"mail with a header of its own made": h.post("email", []byte(sourceOf("email").first), map[string]string{"Authorization": "", "webhook-id": "x", "webhook-timestamp": fmt.Sprint(now.Unix()), "webhook-signature": "v1,AAAA"}),
	} {
		if a.status != http.StatusUnauthorized || strings.Contains(a.body, signing) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	if n := h.stored(bus.Deliveries); n != 0 {
		t.Errorf("%d deliveries were stored", n)
	}
}

// oldZendesk signs as a page of Zendesk's documentation once said.
func oldZendesk(body []byte) map[string]string {
	headers := sign("zendesk", signing, body)
	ts := headers["X-Zendesk-Webhook-Signature-Timestamp"]
	m := hmac.New(sha256.New, []byte(signing))
	m.Write(body)
	m.Write([]byte(ts))
	headers["X-Zendesk-Webhook-Signature"] = base64.StdEncoding.EncodeToString(m.Sum(nil))
	return headers
}
