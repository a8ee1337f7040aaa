package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var sent atomic.Int64

// send posts one webhook after another on a connection of its own until the end or until more
// says no, not sooner after each other than every, and returns how long each took that was
// accepted, and how many were answered 503.
func (c *contender) send(end time.Time, every time.Duration, more func() bool) (out []time.Duration, refused int, err error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	l := newLetters(c)
	answers := &answers{conn: conn, buffer: make([]byte, 16<<10)}
	for time.Now().Before(end) && more() {
		now := time.Now()
		if _, err := conn.Write(l.request(sent.Add(1), now)); err != nil {
			return nil, 0, err
		}
		status, err := answers.next()
		if err != nil {
			return nil, 0, err
		}
		took := time.Since(now)
		switch status {
		case 200:
			out = append(out, took)
		case 503:
			refused++
		default:
			return nil, 0, fmt.Errorf("answered %d", status)
		}
		if every > took {
			time.Sleep(every - took)
		}
	}
	return out, refused, nil
}

// always sends for ever.
func always() bool { return true }

// answers reads as much of HTTP as a webhook's answer has: a status and a length.
type answers struct {
	conn   net.Conn
	buffer []byte
	held   int // bytes at the front of buffer
}

var (
	headerEnd = []byte("\r\n\r\n")
	length    = []byte("\r\nContent-Length: ")
)

func (a *answers) next() (status int, err error) {
	for {
		if at := bytes.Index(a.buffer[:a.held], headerEnd); at >= 0 {
			head := a.buffer[:at+2]
			from := bytes.Index(head, length)
			if from < 0 || len(head) < len("HTTP/1.1 200") {
				return 0, errors.New("an answer without a length")
			}
			digits := head[from+len(length):]
			body, err := strconv.Atoi(string(digits[:bytes.IndexByte(digits, '\r')]))
			if err != nil {
				return 0, fmt.Errorf("read answer: %w", err)
			}
			if status, err = strconv.Atoi(string(head[9:12])); err != nil {
				return 0, fmt.Errorf("read answer: %w", err)
			}
			for a.held < at+len(headerEnd)+body {
				if err := a.read(); err != nil {
					return 0, err
				}
			}
			a.held = copy(a.buffer, a.buffer[at+len(headerEnd)+body:a.held])
			return status, nil
		}
		if err := a.read(); err != nil {
			return 0, err
		}
	}
}

func (a *answers) read() error {
	if a.held == len(a.buffer) {
		return errors.New("an answer that is too long")
	}
	n, err := a.conn.Read(a.buffer[a.held:])
	a.held += n
	return err
}

// said are what customers write in the load; each message says one of them and its number.
var said = []string{
	"The export of invoices stops half way since Monday", "Please let us sort the board by due date", "Search never finds what I typed yesterday",
	"Dark mode would help our night shift a lot", "Login asks for the code twice on my phone", "Love the new report, thank you",
}

// hook is a Slack message event of about 2 KB, as Slack sends them: few words and much around
// them. Runs of #, @, ~, ^ and & are where its number, its second, its person, its channel and
// its padding stand.
const hook = `{"token":"verification-token","team_id":"T0BENCH","context_team_id":"T0BENCH","context_enterprise_id":null,"api_app_id":"A0BENCH","event":{"client_msg_id":"00000000-0000-4000-8000-00##########","type":"message","text":"SAID (##########)","user":"U~~~~~~~","ts":"@@@@@@@@@@.######","team":"T0BENCH","channel":"C0^^^^^","event_ts":"@@@@@@@@@@.######","channel_type":"channel","blocks":[{"type":"rich_text","block_id":"b##########","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"SAID (##########)"}]}]}],"user_profile":{"avatar_hash":"0000000000000000000000##########","image_72":"https://avatars.example/0000000000000000000000##########_72.png","first_name":"Ada","real_name":"Ada Lovelace","display_name":"ada","team":"T0BENCH","name":"ada","is_restricted":false,"is_ultra_restricted":false},"padding":"PADDING"},"type":"event_callback","event_id":"Ev##########","event_time":@@@@@@@@@@,"authorizations":[{"enterprise_id":null,"team_id":"T0BENCH","user_id":"U0BOT","is_bot":true,"is_enterprise_install":false}],"is_ext_shared_channel":false,"event_context":"4-000000000000000000000000000000000000000000000000000000##########"}`

// letters fills templates of a whole request in, one for each of what is said.
type letters struct {
	templates []letter
	mac       hash.Hash
	sum       []byte
}

type letter struct {
	bytes            []byte
	body             int // where it begins
	stamp, signature int
	slots            []slot
}

// slot is a place of a template that differs from request to request.
type slot struct {
	from, to int
	of       byte
}

func newLetters(c *contender) *letters {
	l := &letters{mac: hmac.New(sha256.New, []byte(secret))}
	for _, words := range said {
		body := strings.NewReplacer("SAID", words, "PADDING", strings.Repeat("&", 768)).Replace(hook)
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-Slack-Request-Timestamp: 0123456789\r\nX-Slack-Signature: v0=%064d\r\nContent-Length: %d\r\n\r\n", c.path, c.address, 0, len(body))
		t := letter{bytes: []byte(head + body), body: len(head), stamp: strings.Index(head, "0123456789"), signature: strings.Index(head, "v0=") + 3}
		for i := t.body; i < len(t.bytes); i++ {
			from := i
			for i < len(t.bytes) && t.bytes[i] == t.bytes[from] && strings.IndexByte("#@~^&", t.bytes[i]) >= 0 {
				i++
			}
			if i > from {
				t.slots = append(t.slots, slot{from, i, t.bytes[from]})
			}
		}
		l.templates = append(l.templates, t)
	}
	return l
}

// request is the n-th webhook, signed now. It is good until the next call.
func (l *letters) request(n int64, now time.Time) []byte {
	t := &l.templates[n%int64(len(l.templates))]
	for _, s := range t.slots {
		place := t.bytes[s.from:s.to]
		switch s.of {
		case '#':
			digits(place, n)
		case '@':
			digits(place, 1790000000+n/100)
		case '~':
			digits(place, n%5000)
		case '^':
			digits(place, n%200)
		case '&':
			digits(place[:8], n*2654435761%100_000_000)
			for have := 8; have < len(place); have *= 2 {
				copy(place[have:], place[:have])
			}
		}
	}
	stamp := t.bytes[t.stamp : t.stamp+10]
	digits(stamp, now.Unix())
	l.mac.Reset()
	l.mac.Write([]byte("v0:"))
	l.mac.Write(stamp)
	l.mac.Write([]byte(":"))
	l.mac.Write(t.bytes[t.body:])
	l.sum = l.mac.Sum(l.sum[:0])
	hex.Encode(t.bytes[t.signature:], l.sum)
	return t.bytes
}

// digits writes the last digits of n.
func digits(place []byte, n int64) {
	for i := len(place) - 1; i >= 0; i-- {
		place[i] = byte('0' + n%10)
		n /= 10
	}
}
