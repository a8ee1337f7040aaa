package signature

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fetch gets a public certificate by its address.
type Fetch func(address string) ([]byte, error)

// sns verifies what Amazon SNS signs (docs.aws.amazon.com/sns, "Verifying the signatures of
// Amazon SNS messages"): anybody has a topic, so that the message must also be of ours.
// Certificates are fetched from Amazon alone, once each.
type sns struct {
	arns  []string
	fetch Fetch

	mu    sync.Mutex
	known map[string]*rsa.PublicKey
}

// arnPrefix begins a secret that is no secret but the name of a topic.
const arnPrefix = "arn:aws"

// amazon is where certificates are, and nowhere else: the message names the address.
var amazon = regexp.MustCompile(`^https://sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem$`)

// snsWindow is how old a message may be: SNS tries again for an hour, by default.
const snsWindow = time.Hour

// notification is a message of SNS, as far as it is signed.
type notification struct {
	Type, MessageId, Message, Timestamp, Token, SubscribeURL string
	ARN                                                      string `json:"TopicArn"`
	SignatureVersion, Signature, SigningCertURL              string
	Subject                                                  *string
}

// signed is what SNS signs: names and values in the order of the names.
func (n notification) signed() string {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	add("Message", n.Message)
	add("MessageId", n.MessageId)
	if n.Type != "Notification" {
		add("SubscribeURL", n.SubscribeURL)
	} else if n.Subject != nil {
		add("Subject", *n.Subject)
	}
	add("Timestamp", n.Timestamp)
	if n.Type != "Notification" {
		add("Token", n.Token)
	}
	add("TopicArn", n.ARN)
	add("Type", n.Type)
	return b.String()
}

func (s *sns) verify(body []byte, now time.Time) error {
	var n notification
	given, err := []byte(nil), json.Unmarshal(body, &n)
	if err == nil {
		given, err = base64.StdEncoding.DecodeString(n.Signature)
	}
	if err != nil || n.Signature == "" || !amazon.MatchString(n.SigningCertURL) {
		return ErrMissing
	}
	if !slices.Contains(s.arns, n.ARN) {
		return ErrMismatch
	}
	key := s.key(n.SigningCertURL)
	if key == nil {
		return ErrMismatch
	}
	text := []byte(n.signed())
	switch n.SignatureVersion {
	case "1":
		sum := sha1.Sum(text)
		err = rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], given)
	case "2":
		sum := sha256.Sum256(text)
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], given)
	default:
		return ErrMissing
	}
	if err != nil {
		return ErrMismatch
	}
	at, err := time.Parse(time.RFC3339, n.Timestamp)
	if err != nil || now.Sub(at).Abs() > snsWindow {
		return ErrStale
	}
	return nil
}

// key is the public key of a certificate, nil where it cannot be had. Nobody waits for
// another's certificate.
func (s *sns) key(address string) *rsa.PublicKey {
	s.mu.Lock()
	key, ok := s.known[address]
	s.mu.Unlock()
	if ok || s.fetch == nil {
		return key
	}
	raw, err := s.fetch(address)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	if key, ok = certificate.PublicKey.(*rsa.PublicKey); !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= 16 {
		s.known = map[string]*rsa.PublicKey{}
	}
	s.known[address] = key
	return key
}

// CertificatesFrom sets what gets Amazon's certificates, for connections of type email that
// name a topic of SNS; without it their messages are refused. It is called before Verify.
func (v *Verifier) CertificatesFrom(fetch Fetch) {
	if v.mail != nil {
		v.mail.sns.fetch = fetch
	}
}
