package email

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/html/charset"

	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
)

// Why a body holds no mail.
var (
	ErrForeign      = errors.New("neither raw MIME nor what a provider of inbound mail posts")
	ErrSubscription = errors.New("a subscription waits to be confirmed")
)

// Open finds the mail in what was posted, by its content type: message/rfc822 is the mail
// itself, JSON is Amazon's (SES through SNS) or Postmark's, a form is SendGrid's or
// Mailgun's. Where a provider posts both the raw mail and its fields, the raw mail is read.
func Open(contentType string, body []byte) (Mail, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return Mail{}, ErrForeign
	}
	switch {
	case media == "message/rfc822":
		return parse(body, verdicts{})
	case media == "multipart/form-data":
		fields, err := formData(body, params["boundary"])
		if err != nil {
			return Mail{}, err
		}
		return fromForm(fields)
	case media == "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return Mail{}, ErrForeign
		}
		fields := form{}
		for name := range values {
			fields[name] = []byte(values.Get(name))
		}
		return fromForm(fields)
	case media == "application/json", media == "text/plain", media == "":
		return fromJSON(body) // SNS says text/plain
	}
	return Mail{}, ErrForeign
}

// form holds a form's text fields by name.
type form map[string][]byte

func (f form) text(name string) string { return strings.ToValidUTF8(string(f[name]), "\uFFFD") }

// maxFields bounds the parts of a form; attachments are parts too.
const maxFields = 500

func formData(body []byte, boundary string) (form, error) {
	if boundary == "" {
		return nil, ErrForeign
	}
	out := form{}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxFields {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, ErrForeign
		}
		if p.FormName() == "" || p.FileName() != "" && p.FormName() != "email" && p.FormName() != "body-mime" {
			continue
		}
		value, err := io.ReadAll(p)
		if err != nil {
			return nil, ErrForeign
		}
		out[p.FormName()] = value
	}
	return nil, ErrForeign
}

// fromForm reads SendGrid's Inbound Parse (email, or headers, text and html) and Mailgun's
// routes (body-mime, or message-headers, body-plain and body-html).
func fromForm(f form) (Mail, error) {
	v := verdicts{spf: f.text("SPF"), dkim: sendGridDKIM(f.text("dkim"))}
	for _, raw := range []string{"email", "body-mime"} {
		if len(f[raw]) > 0 {
			return parse(f[raw], v)
		}
	}
	switch {
	case len(f["headers"]) > 0 && len(f["from"]) > 0:
		f.decode()
		h, _ := readHeader([]byte(f.text("headers")))
		return assemble(h, f.text("text"), f.text("html"), v), nil
	case len(f["message-headers"]) > 0:
		var pairs [][]payload.Text
		if err := payload.Decode(f["message-headers"], &pairs); err != nil {
			return Mail{}, ErrForeign
		}
		h := textproto.MIMEHeader{}
		for _, p := range pairs {
			if len(p) == 2 {
				h.Add(string(p[0]), string(p[1]))
			}
		}
		return assemble(h, f.text("body-plain"), f.text("body-html"), v), nil
	}
	return Mail{}, ErrForeign
}

// decode turns SendGrid's fields, each in the charset that the field "charsets" names for
// it, into UTF-8.
func (f form) decode() {
	var of map[string]string
	if json.Unmarshal(f["charsets"], &of) != nil {
		return
	}
	for name, label := range of {
		if enc, _ := charset.Lookup(label); enc != nil && len(f[name]) > 0 {
			if text, err := enc.NewDecoder().Bytes(f[name]); err == nil {
				f[name] = text
			}
		}
	}
}

// sendGridDKIM reads "{@example.com : pass}": one domain that passes is enough.
func sendGridDKIM(s string) string {
	switch {
	case strings.Contains(s, "pass"):
		return "pass"
	case strings.Contains(s, "fail"):
		return "fail"
	}
	return ""
}

type notification struct {
	Type    string `json:"Type"`
	Message string `json:"Message"`

	RawEmail string `json:"RawEmail"`
	Subject  string `json:"Subject"`
	Text     string `json:"TextBody"`
	HTML     string `json:"HtmlBody"`
	Date     string `json:"Date"`
	FromFull struct {
		Email string `json:"Email"`
		Name  string `json:"Name"`
	} `json:"FromFull"`
	Headers []struct {
		Name  string       `json:"Name"`
		Value payload.Text `json:"Value"`
	} `json:"Headers"`
}

// fromJSON reads what Amazon SNS and Postmark post.
func fromJSON(body []byte) (Mail, error) {
	var n notification
	if err := payload.Decode(body, &n); err != nil {
		return Mail{}, ErrForeign
	}
	switch {
	case n.Type == "SubscriptionConfirmation" || n.Type == "UnsubscribeConfirmation":
		return Mail{}, ErrSubscription
	case n.Type == "Notification":
		return fromSES([]byte(n.Message))
	case n.RawEmail != "":
		return parse([]byte(n.RawEmail), verdicts{})
	case n.FromFull.Email != "":
		h := textproto.MIMEHeader{}
		for _, p := range n.Headers {
			h.Add(p.Name, string(p.Value))
		}
		m := assemble(h, n.Text, n.HTML, verdicts{})
		m.From = Person{Name: n.FromFull.Name, Address: n.FromFull.Email}
		if m.Subject == "" {
			m.Subject = n.Subject
		}
		if m.Date.IsZero() {
			m.Date = dateOf(n.Date)
		}
		return m, nil
	}
	return Mail{}, ErrForeign
}

type verdict struct {
	Status string `json:"status"`
}

// fromSES reads the notification of a receipt rule whose SNS action includes the mail.
func fromSES(message []byte) (Mail, error) {
	var s struct {
		Content string `json:"content"`
		Receipt struct {
			SPF    verdict `json:"spfVerdict"`
			DKIM   verdict `json:"dkimVerdict"`
			DMARC  verdict `json:"dmarcVerdict"`
			Spam   verdict `json:"spamVerdict"`
			Virus  verdict `json:"virusVerdict"`
			Action struct {
				Encoding string `json:"encoding"`
			} `json:"action"`
		} `json:"receipt"`
	}
	if err := payload.Decode(message, &s); err != nil || s.Content == "" {
		return Mail{}, ErrForeign
	}
	raw := []byte(s.Content)
	if strings.EqualFold(s.Receipt.Action.Encoding, "base64") {
		decoded, err := base64.StdEncoding.DecodeString(s.Content)
		if err != nil {
			return Mail{}, ErrForeign
		}
		raw = decoded
	}
	r := s.Receipt
	return parse(raw, verdicts{
		spf: r.SPF.Status, dkim: r.DKIM.Status, dmarc: r.DMARC.Status,
		bad: strings.EqualFold(r.Spam.Status, "FAIL") || strings.EqualFold(r.Virus.Status, "FAIL"),
	})
}
