package mailpost_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"crypto/tls"
	"crypto/x509"

	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mailpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const words = "Initech will cancel on Friday"

func message() mailpost.Message {
	return mailpost.Message{Key: "acme/2026-11-22", To: "Pía <pm@acme.example>", Subject: "Größe: what customers said\r\nBcc: all@acme.example",
		Text: words + "\n.\nlast line", HTML: "<p>" + words + " – ök</p>", At: time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)}
}

func server(t *testing.T, o vendortest.MailOptions) *vendortest.MailServer {
	t.Helper()
	s, err := vendortest.NewMailServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func poster(t *testing.T, c mailpost.Config, trust *tls.Config) *mailpost.Poster {
	t.Helper()
	if c.From == "" {
		c.From = "Throughline <digest@throughline.example>"
	}
	p, err := mailpost.New(c, trust)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAMessageArrivesAsItWasMeant(t *testing.T) {
	t.Parallel()
	s := server(t, vendortest.MailOptions{})
	p := poster(t, mailpost.Config{Addr: s.Addr(), TLS: "none"}, nil)
	for range 2 {
		if err := p.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Kept()
	if len(got) != 2 || got[0].From != "digest@throughline.example" || got[0].To != "pm@acme.example" {
		t.Fatalf("kept %+v", got)
	}
	if id := got[0].Header.Get("Message-ID"); id == "" || id != got[1].Header.Get("Message-ID") {
		t.Errorf("the same message has the ids %q and %q", id, got[1].Header.Get("Message-ID"))
	}
	if got[0].Header.Get("Bcc") != "" {
		t.Error("a subject added a header")
	}
	m, err := mail.ReadMessage(bytes.NewReader(got[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "Größe: what customers said") {
		t.Errorf("subject %q, %v", subject, err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []string{"Initech will cancel on Friday\r\n.\r\nlast line", "<p>Initech will cancel on Friday – ök</p>"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != strings.ReplaceAll(want, "\r\n", "\n") {
			t.Errorf("%s: %q, %v", part.Header.Get("Content-Type"), body, err)
		}
	}
}

func TestThePasswordGoesOverTLSOnly(t *testing.T) {
	t.Parallel()
	// A certificate for this machine that nobody else knows.
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	t.Cleanup(web.Close)
	s := server(t, vendortest.MailOptions{Username: "digest", Password: "right-password", TLS: &tls.Config{Certificates: web.TLS.Certificates}})
	trust := x509.NewCertPool()
	trust.AddCert(web.Certificate())
	if err := poster(t, mailpost.Config{Addr: s.Addr(), Username: "digest", Password: "right-password"}, &tls.Config{RootCAs: trust}).Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config mailpost.Config
		trust  *tls.Config
	}{
		"wrong password":      {mailpost.Config{Username: "digest", Password: "wrong-password"}, &tls.Config{RootCAs: trust}},
		"unknown certificate": {mailpost.Config{Username: "digest", Password: "right-password"}, nil},
		"without TLS":         {mailpost.Config{TLS: "none"}, nil},
	} {
		c.config.Addr = s.Addr()
		err := poster(t, c.config, c.trust).Send(t.Context(), message())
		if !wire.IsPermanent(err) || strings.Contains(err.Error(), "password\"") || strings.Contains(err.Error(), "-password") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Kept()); n != 1 {
		t.Errorf("%d messages", n)
	}
	plain := server(t, vendortest.MailOptions{})
	if err := poster(t, mailpost.Config{Addr: plain.Addr()}, nil).Send(t.Context(), message()); !wire.IsPermanent(err) || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("a server without STARTTLS: %v", err)
	}
}

func TestErrorsSayWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	s := server(t, vendortest.MailOptions{})
	p := poster(t, mailpost.Config{Addr: s.Addr(), TLS: "none"}, nil)
	for verb, codes := range map[string][]int{"MAIL": {451, 550}, "RCPT": {450, 550}, "DATA": {421, 554}} {
		for _, code := range codes {
			s.Refuse(verb, code)
			err := p.Send(t.Context(), message())
			var temporary *wire.TemporaryError
			if wire.IsPermanent(err) != (code >= 500) || errors.As(err, &temporary) != (code < 500) || strings.Contains(err.Error(), "pm@acme") {
				t.Errorf("%s %d: %v", verb, code, err)
			}
		}
		s.Refuse(verb, 0)
	}
	_ = s.Close()
	var temporary *wire.TemporaryError
	if err := p.Send(t.Context(), message()); !errors.As(err, &temporary) {
		t.Errorf("a server that is away: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Send(ctx, message()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	bad := message()
	bad.To = "nobody"
	if err := p.Send(t.Context(), bad); !wire.IsPermanent(err) {
		t.Errorf("no address: %v", err)
	}
	for _, c := range []mailpost.Config{{Addr: "mail", From: "a@b.example"}, {Addr: "mail:25", From: "nobody"}, {Addr: "mail:25", From: "a@b.example", TLS: "maybe"}} {
		if _, err := mailpost.New(c, nil); !wire.IsPermanent(err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
