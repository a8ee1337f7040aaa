package signature_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/ingestor/internal/signature"
)

type vector struct {
	System  string            `json:"system"`
	Name    string            `json:"name"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Now     int64             `json:"now"`
	NowMS   int64             `json:"now_ms"`
}

// kinds maps the vectors' systems to types of connections.
var kinds = map[string]string{"standard-webhooks": "webhook"}

// stamps name the header that carries each system's signed time.
var stamps = map[string]string{
	"slack": "X-Slack-Request-Timestamp", "zendesk": "X-Zendesk-Webhook-Signature-Timestamp", "standard-webhooks": "webhook-timestamp",
}

func (v vector) kind() string {
	if k, ok := kinds[v.System]; ok {
		return k
	}
	return v.System
}

func (v vector) now() time.Time {
	switch {
	case v.NowMS > 0:
		return time.UnixMilli(v.NowMS)
	case v.Now > 0:
		return time.Unix(v.Now, 0)
	}
	at, err := time.Parse(time.RFC3339, v.Headers[stamps["zendesk"]])
	if err != nil {
		return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	}
	return at
}

func (v vector) verify(t *testing.T, now time.Time) error {
	t.Helper()
	ver, err := signature.New(v.kind(), []string{v.Secret}, func() time.Time { return now })
	if err != nil {
		return err
	}
	h := http.Header{}
	for k, s := range v.Headers {
		h.Set(k, s)
	}
	return ver.Verify(h.Get, []byte(v.Body))
}

func vectors(t *testing.T) []vector {
	t.Helper()
	b, err := schemas.Webhooks.ReadFile("webhooks/signatures/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) < 8 {
		t.Fatalf("only %d vectors", len(out))
	}
	return out
}

func TestEveryVectorIsVerifiedAndRefusedWhenTouched(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		t.Run(v.System+"/"+v.Name, func(t *testing.T) {
			t.Parallel()
			now := v.now()
			if err := v.verify(t, now); err != nil {
				t.Fatalf("the vector itself: %v", err)
			}
			touched := 0
			refuse := func(what string, w vector, at time.Time) {
				t.Helper()
				touched++
				err := w.verify(t, at)
				if err == nil {
					t.Errorf("%s: accepted", what)
					return
				}
				for _, private := range []string{v.Secret, v.Body, w.Secret} {
					if private != "" && strings.Contains(err.Error(), private) {
						t.Errorf("%s: the error repeats it: %v", what, err)
					}
				}
			}
			for _, i := range []int{0, len(v.Body) / 2, len(v.Body) - 1} {
				w := v
				w.Body = v.Body[:i] + string(v.Body[i]^1) + v.Body[i+1:]
				refuse(fmt.Sprintf("byte %d of the body", i), w, now)
			}
			w := v
			w.Body += "\n"
			refuse("a longer body", w, now)
			w = v
			w.Secret = strings.Map(func(r rune) rune {
				if r >= 'a' && r < 'z' {
					return r + 1
				}
				return r
			}, v.Secret)
			if w.Secret == v.Secret {
				w.Secret = "T" + v.Secret[1:]
			}
			refuse("another secret", w, now)
			w.Secret = ""
			refuse("no secret", w, now)
			if stamp, ok := stamps[v.System]; ok {
				w = v
				w.Headers = maps.Clone(v.Headers)
				old := w.Headers[stamp]
				w.Headers[stamp] = old[:len(old)-2] + string(old[len(old)-2]^1) + old[len(old)-1:]
				refuse("another time stamp", w, now)
				delete(w.Headers, stamp)
				refuse("no time stamp", w, now)
			}
			if v.System == "slack" || v.System == "standard-webhooks" || v.System == "linear" || v.System == "zendesk" {
				refuse("a replay", v, now.Add(11*time.Minute))
				refuse("a delivery from the future", v, now.Add(-11*time.Minute))
			}
			for name, value := range v.Headers {
				if !strings.Contains(strings.ToLower(name), "signature") || strings.Contains(name, "Timestamp") {
					continue
				}
				for what, s := range map[string]string{"empty": "", "cut": value[:len(value)-2], "longer": value + "00", "no prefix": strings.TrimLeft(value, "v0s=ha1256,"), "SHA-1": "sha1=" + strings.Repeat("0", 40)} {
					if s == value {
						continue
					}
					w = v
					w.Headers = maps.Clone(v.Headers)
					w.Headers[name] = s
					refuse(what+" signature", w, now)
				}
			}
			if touched < 8 {
				t.Errorf("only %d variations were tried", touched)
			}
		})
	}
}

func TestZendesksOldDocumentationExampleIsRefused(t *testing.T) {
	t.Parallel()
	v := vector{System: "zendesk", Secret: "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=", Body: `{"say": "hello"}`, Headers: map[string]string{
		"X-Zendesk-Webhook-Signature-Timestamp": "2021-07-25T10:00:00Z",
		"X-Zendesk-Webhook-Signature":           "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=",
	}}
	if err := v.verify(t, v.now()); !errors.Is(err, signature.ErrMismatch) {
		t.Errorf("got %v", err)
	}
}

func TestWindowsAreInclusiveBothWays(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		window, ok := map[string]time.Duration{"slack": 300 * time.Second, "standard-webhooks": 300 * time.Second, "linear": 60 * time.Second, "zendesk": 10 * time.Minute}[v.System]
		if !ok {
			continue
		}
		for _, sign := range []time.Duration{1, -1} {
			if err := v.verify(t, v.now().Add(sign*window)); err != nil {
				t.Errorf("%s at the edge: %v", v.Name, err)
			}
			if err := v.verify(t, v.now().Add(sign*(window+time.Second))); !errors.Is(err, signature.ErrStale) {
				t.Errorf("%s beyond the edge: %v", v.Name, err)
			}
		}
	}
}

func TestRotationAcceptsBothSecretsAndNoThird(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		other := "whsec_c29tZXRoaW5nIGVsc2U="
		for name, c := range map[string]struct {
			secrets []string
			want    error
		}{
			"current":  {[]string{v.Secret, other}, nil},
			"previous": {[]string{other, v.Secret}, nil},
			"retired":  {[]string{other}, signature.ErrMismatch},
			"none":     {nil, signature.ErrNoSecret},
			"empty":    {[]string{""}, signature.ErrNoSecret},
		} {
			ver, err := signature.New(v.kind(), c.secrets, v.now)
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			for k, s := range v.Headers {
				h.Set(k, s)
			}
			if err := ver.Verify(h.Get, []byte(v.Body)); !errors.Is(err, c.want) {
				t.Errorf("%s/%s %s: got %v, want %v", v.System, v.Name, name, err, c.want)
			}
		}
	}
}

func TestNewRefusesWhatCannotVerify(t *testing.T) {
	t.Parallel()
	if _, err := signature.New("trello", []string{"x"}, time.Now); err == nil {
		t.Error("an unknown kind was accepted")
	}
	if _, err := signature.New("webhook", []string{"whsec_!hunter2!"}, time.Now); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken secret: %v", err)
	}
}

func TestStandardWebhooksTakesAnyOfSeveralSignatures(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		if v.System != "standard-webhooks" {
			continue
		}
		v.Headers["webhook-signature"] = "v1a,AAAA v1,AAAA " + v.Headers["webhook-signature"]
		if err := v.verify(t, v.now()); err != nil {
			t.Error(err)
		}
	}
}
