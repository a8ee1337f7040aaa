package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/ingestor/internal/signature"
)

// SendGrid's key verifies what SendGrid signed, and opens no other door: it is public.
func TestSendGridSignsItsMail(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_795_348_800, 0)
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&pair.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(der)
	v, err := signature.New("email", []string{key, "a-password"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	signed := func(body string, at time.Time) http.Header {
		ts := strconv.FormatInt(at.Unix(), 10)
		sum := sha256.Sum256([]byte(ts + body))
		sig, err := ecdsa.SignASN1(rand.Reader, pair, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("X-Twilio-Email-Event-Webhook-Timestamp", ts)
		h.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(sig))
		return h
	}
	basic := func(password string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("inbound:"+password))}}
	}
	broken := signed("mail", now)
	broken.Set("X-Twilio-Email-Event-Webhook-Signature", "!")
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   error
	}{
		"signed":                {signed("mail", now), "mail", nil},
		"another body":          {signed("mail", now), "mail!", signature.ErrMismatch},
		"old":                   {signed("mail", now.Add(-11*time.Minute)), "mail", signature.ErrStale},
		"no signature":          {broken, "mail", signature.ErrMissing},
		"the key as a password": {basic(key), "mail", signature.ErrMismatch},
		"the other secret":      {basic("a-password"), "mail", nil},
	} {
		if err := v.Verify(c.header.Get, []byte(c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What SNS signed for our topic is taken; what it signed for another's is not, nor anything
// whose certificate is not Amazon's.
func TestAmazonSignsItsMail(t *testing.T) {
	t.Parallel()
	const arn, address = "arn:aws:sns:eu-west-1:123456789012:mail", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abc.pem"
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.New("email", []string{arn}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	fetched := []string{}
	v.CertificatesFrom(func(address string) ([]byte, error) {
		fetched = append(fetched, address)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
	})
	// The order of what is signed is that of Amazon's documentation.
	message := func(change func(map[string]string)) string {
		m := map[string]string{"Type": "Notification", "MessageId": "m-1", "Message": "the mail", "Subject": "Amazon SES", "Timestamp": now.Format("2006-01-02T15:04:05.000Z"), "TopicArn": arn, "SignatureVersion": "2", "SigningCertURL": address}
		sum := sha256.Sum256([]byte("Message\nthe mail\nMessageId\nm-1\nSubject\nAmazon SES\nTimestamp\n" + m["Timestamp"] + "\nTopicArn\n" + arn + "\nType\nNotification\n"))
		raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		m["Signature"] = base64.StdEncoding.EncodeToString(raw)
		change(m)
		b, _ := json.Marshal(m)
		return string(b)
	}
	h := http.Header{"X-Amz-Sns-Message-Type": {"Notification"}}
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   error
	}{
		"signed":        {func(map[string]string) {}, nil},
		"altered":       {func(m map[string]string) { m["Message"] = "another" }, signature.ErrMismatch},
		"another topic": {func(m map[string]string) { m["TopicArn"] += "s" }, signature.ErrMismatch},
		"another's certificate": {func(m map[string]string) {
			m["SigningCertURL"] = "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem"
		}, signature.ErrMissing},
		"no signature":    {func(m map[string]string) { delete(m, "Signature") }, signature.ErrMissing},
		"another version": {func(m map[string]string) { m["SignatureVersion"] = "3" }, signature.ErrMissing},
		"another time":    {func(m map[string]string) { m["Timestamp"] = now.Add(-2 * time.Hour).Format(time.RFC3339) }, signature.ErrMismatch},
	} {
		if err := v.Verify(h.Get, []byte(message(c.change))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if len(fetched) != 1 || fetched[0] != address {
		t.Errorf("fetched %v", fetched)
	}
	basic := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("inbound:"+arn))}}
	if err := v.Verify(basic.Get, nil); err == nil {
		t.Error("the name of the topic is taken as a password")
	}
}

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
