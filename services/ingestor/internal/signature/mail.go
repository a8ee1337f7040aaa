package signature

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"time"
)

// mail verifies deliveries of inbound mail, in one of five ways. Each needs a secret of
// the connection:
//
//   - HTTP basic authentication with the secret as the password and any user name: for
//     SES (through SNS), SendGrid and Postmark, who take https://user:password@host/… as the
//     address to post to and sign nothing, or nothing that can be verified without asking them;
//   - SendGrid's signed Inbound Parse: ECDSA over time stamp and body. The secret is then the
//     verification key that SendGrid shows, in base64; it is public, and opens no other way;
//   - Amazon SNS, which signs what SES puts into a topic: the secret is then the topic's ARN,
//     which is no secret and opens no other way;
//   - Mailgun's form fields timestamp, token and signature: hex HMAC-SHA256 of timestamp and
//     token under the HTTP webhook signing key. They do not cover the mail, so that whoever
//     sees one delivery can alter it for ten minutes: use the basic way with Mailgun too;
//   - Standard Webhooks: for a relay of one's own, such as a mail server's pipe.
type mail struct {
	passwords [][sha256.Size]byte
	sendgrid  []*ecdsa.PublicKey
	sns       sns
	mailgun   *Verifier
	relay     *Verifier
}

// mailgunWindow is ours: Mailgun recommends to check the time and names no window.
const mailgunWindow = 10 * time.Minute

func newMail(secrets []string, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now, mail: &mail{
		mailgun: &Verifier{now: now, scheme: scheme{
			header: "signature", hash: sha256.New, size: sha256.Size, decode: hex.DecodeString,
			signed: func(h Header) (string, error) { return h("timestamp") + h("token"), nil },
			window: mailgunWindow, signedAt: unixSeconds("timestamp"),
		}},
		relay: &Verifier{now: now, scheme: schemes["webhook"]},
	}}
	for _, s := range secrets {
		if s == "" {
			continue
		}
		v.secrets = append(v.secrets, []byte(s))
		if strings.HasPrefix(s, arnPrefix) {
			v.mail.sns.arns = append(v.mail.sns.arns, s)
			continue
		}
		if key := verificationKey(s); key != nil {
			v.mail.sendgrid = append(v.mail.sendgrid, key)
			continue
		}
		v.mail.mailgun.secrets = append(v.mail.mailgun.secrets, []byte(s))
		v.mail.passwords = append(v.mail.passwords, sha256.Sum256([]byte(s)))
		key, err := standardSecret(s)
		if err != nil {
			return nil, err
		}
		v.mail.relay.secrets = append(v.mail.relay.secrets, key)
	}
	return v, nil
}

// verificationKey reads a public key as SendGrid shows it; nil for what is none.
func verificationKey(s string) *ecdsa.PublicKey {
	der, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	public, _ := key.(*ecdsa.PublicKey)
	return public
}

// What SendGrid signs with, and how old it may be; that is ours: SendGrid names none.
const (
	sendgridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendgridTime      = "X-Twilio-Email-Event-Webhook-Timestamp"
	sendgridWindow    = 10 * time.Minute
)

// signed verifies SendGrid's signature.
func (m *mail) signed(h Header, body []byte, now time.Time) error {
	given, err := base64.StdEncoding.DecodeString(h(sendgridSignature))
	at, present := unixSeconds(sendgridTime)(h, nil)
	if err != nil || !present {
		return ErrMissing
	}
	sum := sha256.New()
	sum.Write([]byte(h(sendgridTime)))
	sum.Write(body)
	digest := sum.Sum(nil)
	if !slices.ContainsFunc(m.sendgrid, func(key *ecdsa.PublicKey) bool { return ecdsa.VerifyASN1(key, digest, given) }) {
		return ErrMismatch
	}
	if now.Sub(at).Abs() > sendgridWindow {
		return ErrStale
	}
	return nil
}

func (m *mail) verify(h Header, body []byte) error {
	if encoded, ok := strings.CutPrefix(h("Authorization"), "Basic "); ok {
		return m.basic(encoded)
	}
	if h(sendgridSignature) != "" && len(m.sendgrid) > 0 {
		return m.signed(h, body, m.mailgun.now())
	}
	if h("x-amz-sns-message-type") != "" && len(m.sns.arns) > 0 {
		return m.sns.verify(body, m.mailgun.now())
	}
	if h("webhook-signature") != "" {
		return m.relay.Verify(h, body)
	}
	fields := signedFields(h("Content-Type"), body)
	if fields["token"] == "" || fields["timestamp"] == "" {
		return ErrMissing
	}
	return m.mailgun.Verify(func(name string) string { return fields[name] }, nil)
}

// basic compares hashes, so that not even the length of a password is told by the time.
func (m *mail) basic(encoded string) error {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	_, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return ErrMissing
	}
	given, matched := sha256.Sum256([]byte(password)), 0
	for _, want := range m.passwords {
		matched |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	if matched != 1 {
		return ErrMismatch
	}
	return nil
}

// signedFields reads the three fields of a form that Mailgun signs with. A body that is no
// form has none.
func signedFields(contentType string, body []byte) map[string]string {
	out := map[string]string{}
	media, params, _ := mime.ParseMediaType(contentType)
	switch {
	case media == "application/x-www-form-urlencoded":
		values, _ := url.ParseQuery(string(body))
		for _, name := range []string{"timestamp", "token", "signature"} {
			out[name] = values.Get(name)
		}
	case media == "multipart/form-data" && params["boundary"] != "":
		r := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
		for range 500 {
			p, err := r.NextPart()
			if err != nil {
				break
			}
			switch name := p.FormName(); name {
			case "timestamp", "token", "signature":
				value, _ := io.ReadAll(io.LimitReader(p, 256))
				out[name] = string(value)
			}
		}
	}
	return out
}
