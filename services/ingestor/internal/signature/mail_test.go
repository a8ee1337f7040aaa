package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/ingestor/internal/signature"
)

func TestInboundMailIsVerifiedInThreeWays(t *testing.T) {
	t.Parallel()
	const key, former = "s3cret-key", "former-key"
	now := time.Unix(1_795_348_800, 0)
	basic := func(password string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("inbound:"+password))}}
	}
	mailgun := func(secret string, at time.Time) []byte {
		ts := strconv.FormatInt(at.Unix(), 10)
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(ts + "token"))
		return []byte(url.Values{"timestamp": {ts}, "token": {"token"}, "signature": {hex.EncodeToString(m.Sum(nil))}, "body-mime": {"From: a@b.example\n\nx"}}.Encode())
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	multi := func(body []byte) []byte {
		v, _ := url.ParseQuery(string(body))
		var b strings.Builder
		for name, values := range v {
			b.WriteString("--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + values[0] + "\r\n")
		}
		return []byte(b.String() + "--b--\r\n")
	}
	relay := func(secret string) http.Header {
		ts := strconv.FormatInt(now.Unix(), 10)
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte("id." + ts + ".x"))
		h := http.Header{}
		h.Set("webhook-id", "id")
		h.Set("webhook-timestamp", ts)
		h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
		return h
	}
	v, err := signature.New("email", []string{key, former}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		want   error
	}{
		"basic":                   {basic(key), nil, nil},
		"basic, former secret":    {basic(former), nil, nil},
		"basic, another":          {basic("other"), nil, signature.ErrMismatch},
		"basic, empty":            {basic(""), nil, signature.ErrMismatch},
		"basic, garbled":          {http.Header{"Authorization": {"Basic %%"}}, nil, signature.ErrMissing},
		"a bearer token":          {http.Header{"Authorization": {"Bearer " + key}}, nil, signature.ErrMissing},
		"nothing":                 {http.Header{}, nil, signature.ErrMissing},
		"Mailgun":                 {form, mailgun(key, now), nil},
		"Mailgun, multipart":      {http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}, multi(mailgun(key, now)), nil},
		"Mailgun, another secret": {form, mailgun("other", now), signature.ErrMismatch},
		"Mailgun, an hour old":    {form, mailgun(key, now.Add(-time.Hour)), signature.ErrStale},
		"Mailgun, an hour ahead":  {form, mailgun(key, now.Add(time.Hour)), signature.ErrStale},
		"a form without token":    {form, []byte("a=b"), signature.ErrMissing},
		"a relay":                 {relay(key), []byte("x"), nil},
		"a relay, another body":   {relay(key), []byte("y"), signature.ErrMismatch},
		"basic before Mailgun":    {http.Header{"Authorization": basic("other")["Authorization"], "Content-Type": form["Content-Type"]}, mailgun(key, now), signature.ErrMismatch},
	} {
		if got := v.Verify(c.header.Get, c.body); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	none, err := signature.New("email", nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if got := none.Verify(basic("").Get, nil); !errors.Is(got, signature.ErrNoSecret) {
		t.Errorf("without a secret: %v", got)
	}
}
