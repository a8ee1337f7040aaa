// Package mailpost sends one message, a digest, by SMTP: as HTML with the same words as
// plain text beside it.
//
// It promises: a message is accepted by the server or an error says whether a later try
// makes sense; the password goes over TLS or to this machine only; nothing in a subject or an
// address can add a header; the same key gives the same Message-ID, so that a message whose
// acceptance was not heard is recognised as the one that is already there; errors hold
// neither the server's words nor the message's. It refuses attachments, remote content and
// to keep a queue.
package mailpost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

// patience bounds one message from the connection to the server's last answer.
const patience = 30 * time.Second

// Config says where mail is handed in and as whom. TLS is "starttls" (also for ""),
// "implicit" or "none"; with none a login is only made to this machine.
type Config struct {
	Addr     string // host:port
	From     string // an address, with or without a name
	Username string // empty means no login
	Password string
	TLS      string
}

// Message is one mail. Key is its identity for one receiver; At is its date.
type Message struct {
	Key, To, Subject string
	Text, HTML       string
	At               time.Time
}

// Poster sends mail through one server. It is safe for concurrent use.
type Poster struct {
	Config
	host string
	from *mail.Address
	tls  *tls.Config
}

// New makes a poster; it connects to nothing. A configuration that cannot work is a
// permanent error. trust may be nil: then the system's certificates are trusted.
func New(c Config, trust *tls.Config) (*Poster, error) {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil || host == "" {
		return nil, bad("smtp.addr is host:port")
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, bad("smtp.from is an address")
	}
	if c.TLS == "" {
		c.TLS = "starttls"
	}
	if c.TLS != "starttls" && c.TLS != "implicit" && c.TLS != "none" {
		return nil, bad("smtp.tls is starttls, implicit or none")
	}
	settings := &tls.Config{}
	if trust != nil {
		settings = trust.Clone()
	}
	settings.ServerName, settings.MinVersion = host, tls.VersionTLS12
	return &Poster{c, host, from, settings}, nil
}

func bad(reason string) error { return &wire.PermanentError{Op: "mail: configure", Reason: reason} }

// Send hands one message in.
func (p *Poster) Send(ctx context.Context, m Message) error {
	to, err := mail.ParseAddress(m.To)
	if err != nil {
		return &wire.PermanentError{Op: "mail: send", Reason: "the receiver is not an address"}
	}
	body, err := p.compose(m, to)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, stop, err := p.dial(ctx)
	if err != nil {
		return failed("connect", err)
	}
	defer stop()
	defer c.Close()
	if p.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", p.Username, p.Password, p.host)); err != nil {
			return failed("log in", err)
		}
	}
	if err := c.Mail(p.from.Address); err != nil {
		return failed("name the sender", err)
	}
	if err := c.Rcpt(to.Address); err != nil {
		return failed("name the receiver", err)
	}
	w, err := c.Data()
	if err != nil {
		return failed("send", err)
	}
	if _, err := w.Write(body); err != nil {
		return failed("send", err)
	}
	if err := w.Close(); err != nil {
		return failed("send", err)
	}
	_ = c.Quit() // the message is accepted, whatever is said to a goodbye
	return nil
}

// dial connects; the connection ends with ctx or with stop.
func (p *Poster) dial(ctx context.Context) (*smtp.Client, func() bool, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	fail := func(err error) (*smtp.Client, func() bool, error) {
		stop()
		conn.Close()
		return nil, nil, err
	}
	if p.TLS == "implicit" {
		conn = tls.Client(conn, p.tls)
	}
	c, err := smtp.NewClient(conn, p.host)
	if err != nil {
		return fail(err)
	}
	if p.TLS == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return fail(errNoTLS)
		}
		if err := c.StartTLS(p.tls); err != nil {
			return fail(err)
		}
	}
	return c, stop, nil
}

var errNoTLS = errors.New("the server offers no STARTTLS")

// failed sorts an error: what the server refused for good needs a person, all else a later
// try. The server's words are left out: they may repeat ours.
func failed(doing string, err error) error {
	op := "mail: " + doing
	var reply *textproto.Error
	switch {
	case errors.Is(err, errNoTLS):
		return &wire.PermanentError{Op: op, Reason: "the server offers no STARTTLS: set smtp.tls to implicit, or to none for a relay on this machine"}
	case errors.As(err, &reply) && reply.Code >= 500:
		return &wire.PermanentError{Op: op, Reason: fmt.Sprintf("the server refused with code %d: check smtp.username, smtp.password, smtp.from and the receiver", reply.Code)}
	case errors.As(err, &reply):
		return &wire.TemporaryError{Op: op, Err: fmt.Errorf("the server answered with code %d", reply.Code)}
	case strings.HasPrefix(err.Error(), "unencrypted connection"):
		return &wire.PermanentError{Op: op, Reason: "a password is not sent without TLS: set smtp.tls"}
	}
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) {
		return &wire.PermanentError{Op: op, Reason: "the server's certificate is not valid for the host in smtp.addr"}
	}
	return &wire.TemporaryError{Op: op, Err: err}
}

// compose writes the message as RFC 5322 and 2045 have it.
func (p *Poster) compose(m Message, to *mail.Address) ([]byte, error) {
	sum := sha256.Sum256([]byte(m.Key + "\x00" + to.Address))
	id := hex.EncodeToString(sum[:16])
	_, domain, _ := strings.Cut(p.from.Address, "@")
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	if err := w.SetBoundary("throughline-" + id); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	for _, part := range []struct{ kind, text string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		pw, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, fmt.Errorf("write mail: %w", err)
		}
		q := quotedprintable.NewWriter(pw)
		if _, err := q.Write([]byte(part.text)); err != nil {
			return nil, fmt.Errorf("write mail: %w", err)
		}
		if err := q.Close(); err != nil {
			return nil, fmt.Errorf("write mail: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	var out bytes.Buffer
	for _, h := range [][2]string{
		{"From", p.from.String()}, {"To", to.String()}, {"Subject", mime.QEncoding.Encode("utf-8", strings.Join(strings.Fields(m.Subject), " "))},
		{"Date", m.At.Format(time.RFC1123Z)}, {"Message-ID", "<" + id + "@" + domain + ">"}, {"MIME-Version", "1.0"},
		{"Auto-Submitted", "auto-generated"}, {"Content-Type", `multipart/alternative; boundary="` + w.Boundary() + `"`},
	} {
		fmt.Fprintf(&out, "%s: %s\r\n", h[0], h[1])
	}
	out.WriteString("\r\n")
	out.Write(parts.Bytes())
	return out.Bytes(), nil
}
