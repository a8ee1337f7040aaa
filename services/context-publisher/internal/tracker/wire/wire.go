// Package wire sends one JSON request to a vendor's API and reads one bounded
// answer.
//
// It promises: credentials go to the configured host only, a redirect to
// another host is never followed; an answer is read up to a bound; a request
// ends after a timeout; and no error it makes contains a secret, a customer's
// text or anything the vendor wrote in a body. It refuses to retry: whoever
// calls knows whether a request may be sent twice.
package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/outbound"
	"github.com/throughline-dev/throughline/pkg/tracing"
)

const (
	defaultTimeout = 20 * time.Second
	// A page of 100 comments of 65,536 four-byte characters is 26 MB.
	maxAnswer = 32 << 20
	// What to wait where a vendor limits without saying how long; GitHub
	// documents "at least one minute".
	defaultPause = time.Minute
	maxPause     = time.Hour
	maxRedirects = 3
)

// Options are what every vendor's caller has in common. The zero value works.
type Options struct {
	// Transport sends requests; nil means one of its own with the usual limits.
	Transport http.RoundTripper
	// Timeout bounds one request with its answer; zero means 20 seconds.
	Timeout time.Duration
	// UserAgent names us; empty means "throughline". GitHub refuses requests
	// without one.
	UserAgent string
	// Now reads the clock, for limits given as a point in time; nil means
	// time.Now.
	Now func() time.Time
}

// Caller sends requests to one host. It is safe for concurrent use.
type Caller struct {
	vendor string
	base   string
	auth   string
	header http.Header
	agent  string
	client *http.Client
	now    func() time.Time
}

// Answer is what a vendor answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK says whether the status is 2xx.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// New makes a caller. baseURL is absolute, http or https, without user
// information, query or fragment; authorization is the whole value of the
// header, with the secret in it. An unusable value is a permanent error that
// does not repeat the secret.
func New(vendor, baseURL, authorization string, header http.Header, o Options) (*Caller, error) {
	u, err := url.Parse(baseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &PermanentError{Op: vendor + ": configure", Reason: "base_url must be an absolute http(s) URL without user, query or fragment"}
	}
	if strings.ContainsAny(authorization, "\r\n") || strings.TrimSpace(authorization) == "" {
		return nil, &PermanentError{Op: vendor + ": configure", Reason: "the secret is empty or holds a line end: check where it is read from"}
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "throughline"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Caller{
		vendor: vendor,
		base:   strings.TrimRight(baseURL, "/"),
		auth:   authorization,
		header: header.Clone(),
		agent:  o.UserAgent,
		now:    o.Now,
		client: &http.Client{Transport: tracing.Transport(o.Transport), Timeout: o.Timeout, CheckRedirect: sameHost},
	}, nil
}

var errOtherHost = errors.New("refuse a redirect to another host: check base_url")

func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return errOtherHost
	}
	if len(via) > maxRedirects {
		return errors.New("refuse a fourth redirect")
	}
	return nil
}

// Do sends one request. path begins with a slash, is already escaped and may
// have a query; body is encoded as JSON, nil sends none. Every status comes
// back as an Answer; only a request without an answer is an error, a
// *TemporaryError (or a *PermanentError for a redirect that was refused).
func (c *Caller) Do(ctx context.Context, op, method, path string, body any) (Answer, error) {
	op = c.vendor + ": " + op
	var payload io.Reader
	if body != nil {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil {
			return Answer{}, &PermanentError{Op: op, Reason: "the request cannot be encoded as JSON"}
		}
		payload = &buf
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return Answer{}, &PermanentError{Op: op, Reason: "the address of the request is not valid: check base_url"}
	}
	for k, vs := range c.header {
		req.Header[k] = vs
	}
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("User-Agent", c.agent)
	if payload != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	res, err := c.client.Do(req)
	if err != nil {
		// The outer error repeats the address; the inner one says why.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		if errors.Is(err, errOtherHost) {
			return Answer{}, &PermanentError{Op: op, Reason: errOtherHost.Error()}
		}
		if internal := new(outbound.InternalError); errors.As(err, internal) {
			return Answer{}, &PermanentError{Op: op, Reason: internal.Error()}
		}
		return Answer{}, &TemporaryError{Op: op, Err: err}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return Answer{}, &TemporaryError{Op: op, Status: res.StatusCode, Err: fmt.Errorf("read answer: %w", err)}
	}
	if len(data) > maxAnswer {
		return Answer{}, &PermanentError{Op: op, Status: res.StatusCode, Reason: "the answer is larger than 32 MiB: check that base_url is the vendor's API"}
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: data}, nil
}

// Decode reads a 2xx answer as JSON. An answer that is not the expected JSON
// (a proxy's log-in page, say) is a permanent error.
func (c *Caller) Decode(op string, a Answer, into any) error {
	if err := json.Unmarshal(a.Body, into); err != nil {
		return &PermanentError{Op: c.vendor + ": " + op, Status: a.Status, Reason: "the answer is not the JSON expected: check that base_url is the vendor's API and not a proxy's page"}
	}
	return nil
}

// Limit makes the error for an answer that asks for a pause.
func (c *Caller) Limit(op string, a Answer) error {
	why := a.Header.Get("RateLimit-Reason")
	if len(why) > 40 || strings.Trim(why, "abcdefghijklmnopqrstuvwxyz-") != "" {
		why = ""
	}
	return &LimitError{Op: c.vendor + ": " + op, Why: why, After: c.pause(a.Header)}
}

// Refused makes the error for an answer outside 2xx: a pause where the vendor
// asks for one, temporary where trying again can help, otherwise permanent
// with the advice for its status.
func (c *Caller) Refused(op string, a Answer, advice map[int]string) error {
	switch {
	case a.Status == http.StatusTooManyRequests,
		a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "":
		return c.Limit(op, a)
	case a.Status >= 500, a.Status == http.StatusRequestTimeout, a.Status == http.StatusConflict, a.Status == http.StatusTooEarly:
		return &TemporaryError{Op: c.vendor + ": " + op, Status: a.Status}
	}
	reason, ok := advice[a.Status]
	if !ok {
		reason = "the vendor refused the request as invalid; the ledger and the log have the ticket's key, please report this"
	}
	return &PermanentError{Op: c.vendor + ": " + op, Status: a.Status, Reason: reason}
}

// pause reads how long to wait: Retry-After in seconds or as a date (RFC 9110
// §10.2.3), else the reset headers of Jira (ISO 8601), GitHub (epoch seconds)
// and Linear (epoch milliseconds), else one minute. The result is between one
// second and one hour.
func (c *Caller) pause(h http.Header) time.Duration {
	now := c.now()
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, err := strconv.Atoi(v); err == nil {
			return bound(time.Duration(min(s, int(maxPause/time.Second))) * time.Second)
		}
		if at, err := http.ParseTime(v); err == nil {
			return bound(at.Sub(now))
		}
	}
	for _, name := range []string{"X-RateLimit-Reset", "X-RateLimit-Requests-Reset", "X-RateLimit-Complexity-Reset"} {
		v := strings.TrimSpace(h.Get(name))
		if v == "" {
			continue
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			at := time.Unix(n, 0)
			if n > 1e11 {
				at = time.UnixMilli(n)
			}
			return bound(at.Sub(now))
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
			if at, err := time.Parse(layout, v); err == nil {
				return bound(at.Sub(now))
			}
		}
	}
	return defaultPause
}

func bound(d time.Duration) time.Duration {
	return max(time.Second, min(d, maxPause))
}
