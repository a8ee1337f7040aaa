package ingestor_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// signatureHeader is where each vendor's signature is, "" for none.
func signatureHeader(kind string) string {
	return map[string]string{"slack": "X-Slack-Signature", "intercom": "X-Hub-Signature", "zendesk": "X-Zendesk-Webhook-Signature", "webhook": "webhook-signature",
		"email": "Authorization", "jira": "X-Hub-Signature", "linear": "Linear-Signature", "github": "X-Hub-Signature-256"}[kind]
}

// TestForgedDeliveriesPublishNothing sends every vendor's first delivery with signatures that are
// forged, cut, made by another algorithm or for another vendor, over another body, or right and
// too old. Each is answered 401, and not a byte is published.
func TestForgedDeliveriesPublishNothing(t *testing.T) {
	t.Parallel()
	h := start(t)
	digest := func(algorithm func() hash.Hash, body []byte) []byte {
		m := hmac.New(algorithm, []byte(signing))
		m.Write(body)
		return m.Sum(nil)
	}
	for _, kind := range kinds {
		body := []byte(sourceOf(kind).first)
		right, name := sign(kind, secretOf(kind), body), signatureHeader(kind)
		forged := map[string]string{
			"none":                 "",
			"empty in its form":    strings.SplitAfter(right[name], "=")[0],
			"cut by a byte":        right[name][:len(right[name])-2],
			"cut to half":          right[name][:len(right[name])/2],
			"longer":               right[name] + "00",
			"zeros":                "sha256=" + strings.Repeat("0", 64),
			"a hash without a key": "sha256=" + fmt.Sprintf("%x", sha256.Sum256(body)),
			"of another secret":    sign(kind, "whsec_b3RoZXI=", body)[name],
			"of a longer body":     sign(kind, secretOf(kind), append(body, ' '))[name],
			"of the empty body":    sign(kind, secretOf(kind), nil)[name],
			"twice":                right[name] + "," + right[name],
			"the word none":        "none",
			"alg none":             "none=" + hex.EncodeToString(digest(sha256.New, body)),
		}
		for algorithm, make := range map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New} {
			sum := digest(make, body)
			for how, value := range map[string]string{
				algorithm + " under its name": algorithm + "=" + hex.EncodeToString(sum), algorithm + " as sha256": "sha256=" + hex.EncodeToString(sum), algorithm + " as sha1": "sha1=" + hex.EncodeToString(sum),
				algorithm + " bare": hex.EncodeToString(sum), algorithm + " in base64": base64.StdEncoding.EncodeToString(sum), algorithm + " as Slack's": "v0=" + hex.EncodeToString(sum), algorithm + " as v1": "v1," + base64.StdEncoding.EncodeToString(sum),
			} {
				forged[how] = value
			}
		}
		for what, value := range forged {
			if value == right[name] {
				continue // what this vendor does is what is right
			}
			if a := h.post(kind, body, map[string]string{name: value}); a.status != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", kind, what, a.status, a.body)
			}
		}
		for _, other := range kinds { // another vendor's headers, over the same body with the same secret
			if signatureHeader(other) == name || other == "webhook" {
				continue
			}
			headers := sign(other, signing, body)
			headers[name] = ""
			if a := h.post(kind, body, headers); a.status != http.StatusUnauthorized {
				t.Errorf("%s signed as %s: %d", kind, other, a.status)
			}
		}
	}
	if a := h.post("github", []byte(sourceOf("github").first), map[string]string{"X-Hub-Signature-256": "", "X-Hub-Signature": "sha1=" + hex.EncodeToString(digest(sha1.New, []byte(sourceOf("github").first)))}); a.status != http.StatusUnauthorized {
		t.Errorf("github by its old SHA-1 signature: %d", a.status)
	}
	if n := h.stored(bus.Deliveries); n != 0 {
		t.Errorf("%d deliveries were published", n)
	}
}

// TestReplayedDeliveriesPublishNothing sends what was right once: beyond the window of vendors
// who sign a time it is refused; within it, and from vendors who sign none, it is the same
// delivery and comes to the same item.
func TestReplayedDeliveriesPublishNothing(t *testing.T) {
	t.Parallel()
	late := start(t, func(_ *ingestor.Config, d *ingestor.Deps) {
		d.Now = func() time.Time { return now.Add(11 * time.Minute) }
	})
	for _, kind := range []string{"slack", "zendesk", "webhook", "linear"} { // who sign a time; sign uses the sender's clock
		if a := late.post(kind, []byte(sourceOf(kind).first), nil); a.status != http.StatusUnauthorized {
			t.Errorf("%s, eleven minutes old: %d %s", kind, a.status, a.body)
		}
		fresh := sign(kind, secretOf(kind), []byte(sourceOf(kind).first))
		for name, value := range fresh { // the time alone made new
			if strings.Contains(strings.ToLower(name), "timestamp") {
				moved := strings.NewReplacer(fmt.Sprint(now.Unix()), fmt.Sprint(now.Add(11*time.Minute).Unix()), now.Format(time.RFC3339), now.Add(11*time.Minute).Format(time.RFC3339)).Replace(value)
				if a := late.post(kind, []byte(sourceOf(kind).first), map[string]string{name: moved}); a.status != http.StatusUnauthorized {
					t.Errorf("%s with another time: %d", kind, a.status)
				}
			}
		}
	}
	if n := late.stored(bus.Deliveries); n != 0 {
		t.Errorf("%d deliveries were published", n)
	}
	again := start(t)
	for _, kind := range kinds {
		for range 3 {
			again.accepted(kind, sourceOf(kind).first)
		}
	}
	again.settle()
	once := start(t)
	for _, kind := range kinds {
		once.accepted(kind, sourceOf(kind).first)
	}
	once.settle()
	if got, want := fmt.Sprint(again.rows()), fmt.Sprint(once.rows()); got != want {
		t.Errorf("sent three times: %s\nsent once: %s", got, want)
	}
}
