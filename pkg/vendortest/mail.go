package vendortest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"sync"
)

// MailOptions say who may hand mail in. Username empty means that anybody may. TLS, when
// not nil, is offered by STARTTLS and then required.
type MailOptions struct {
	Username, Password string
	TLS                *tls.Config
}

// Mail is a message as it was accepted.
type Mail struct {
	From, To string // of the envelope
	Header   mail.Header
	Raw      []byte
}

// MailServer stands in for a mail server: it takes messages by SMTP (RFC 5321) and keeps
// them. Refuse makes it answer a command with a code.
type MailServer struct {
	o        MailOptions
	listener net.Listener
	wait     sync.WaitGroup

	mu     sync.Mutex
	kept   []Mail
	refuse map[string]int
	conns  map[net.Conn]bool
}

// NewMailServer listens on a free port of this machine.
func NewMailServer(o MailOptions) (*MailServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start mail server: %w", err)
	}
	s := &MailServer{o: o, listener: l, refuse: map[string]int{}, conns: map[net.Conn]bool{}}
	s.wait.Go(s.accept)
	return s, nil
}

// Addr is where it listens, as host:port.
func (s *MailServer) Addr() string { return s.listener.Addr().String() }

// Close ends it and every connection.
func (s *MailServer) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
	return err
}

// Refuse answers every verb (MAIL, RCPT, DATA, AUTH) with a code from now on; 0 stops that.
func (s *MailServer) Refuse(verb string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[verb] = code
}

// Kept returns what was accepted, oldest first.
func (s *MailServer) Kept() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail{}, s.kept...)
}

// Take returns what was accepted since the last call, oldest first, and forgets it.
func (s *MailServer) Take() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.kept
	s.kept = nil
	return taken
}

func (s *MailServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			s.serve(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *MailServer) serve(c net.Conn) {
	in, secure, known := bufio.NewReader(c), false, s.o.Username == ""
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 mail.example ESMTP")
	var m Mail
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		verb = strings.ToUpper(verb)
		s.mu.Lock()
		code := s.refuse[verb]
		s.mu.Unlock()
		switch {
		case code != 0:
			say(fmt.Sprintf("%d no, %s", code, rest))
		case verb == "EHLO" || verb == "HELO":
			offers := []string{"mail.example"}
			if s.o.TLS != nil && !secure {
				offers = append(offers, "STARTTLS")
			}
			offers = append(offers, "AUTH PLAIN")
			for i, o := range offers {
				mark := "-"
				if i == len(offers)-1 {
					mark = " "
				}
				say("250" + mark + o)
			}
		case verb == "STARTTLS" && s.o.TLS != nil:
			say("220 go on")
			t := tls.Server(c, s.o.TLS)
			if t.Handshake() != nil {
				return
			}
			c, in, secure = t, bufio.NewReader(t), true
		case s.o.TLS != nil && !secure && verb != "QUIT":
			say("530 first STARTTLS")
		case verb == "AUTH":
			if known = plainLogin(rest, s.o.Username, s.o.Password); known {
				say("235 welcome")
			} else {
				say("535 who are you")
			}
		case verb == "MAIL" && !known:
			say("530 log in first")
		case verb == "MAIL":
			m = Mail{From: between(rest)}
			say("250 ok")
		case verb == "RCPT":
			m.To = between(rest)
			say("250 ok")
		case verb == "DATA":
			say("354 go on")
			var body bytes.Buffer
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				body.WriteString(strings.TrimPrefix(line, "."))
			}
			m.Raw = body.Bytes()
			if parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw)); err == nil {
				m.Header = parsed.Header
			}
			s.mu.Lock()
			s.kept = append(s.kept, m)
			s.mu.Unlock()
			say("250 kept")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("502 not here")
		}
	}
}

func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

// plainLogin checks the words after AUTH: the mechanism PLAIN with an initial response
// (RFC 4616).
func plainLogin(rest, username, password string) bool {
	mechanism, response, _ := strings.Cut(rest, " ")
	got, err := base64.StdEncoding.DecodeString(response)
	return err == nil && strings.EqualFold(mechanism, "PLAIN") && string(got) == "\x00"+username+"\x00"+password
}
