// Package vendortest stands in for the clouds of the vendors Throughline talks
// to: Jira, Linear, GitHub and Slack. Each stand-in is an HTTP server in memory that checks credentials
// and requests as the vendor documents, keeps what was written, and fails on
// demand.
//
// It promises: what the vendor would refuse is refused with the vendor's own
// envelope; ids and order are deterministic; faults and delays happen exactly
// where they were asked for, by count or by channel, never by the clock. It is
// for tests and for the demo, which links it, and so imports no testing
// package. It refuses to be a vendor: no permissions beyond the credentials,
// no search, no rendering.
package vendortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxRequest   = 4 << 20
	maxExchanges = 2000
)

// Fault is an answer given instead of the right one.
type Fault struct {
	Status int
	Header map[string]string
	Body   string
}

// Exchange is one request with its answer. Credentials are left out.
type Exchange struct {
	Method   string          `json:"method"`
	Path     string          `json:"path"` // with the query
	Request  json.RawMessage `json:"request,omitempty"`
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response,omitempty"`
}

// Written is what a stand-in shows of one ticket or channel: everything that
// was written to it, as plain text.
type Written struct {
	Key    string         `json:"key"`
	Title  string         `json:"title"`
	Status string         `json:"status,omitempty"`
	Blocks []WrittenBlock `json:"blocks"`
	Links  []WrittenLink  `json:"links,omitempty"`
}

// WrittenBlock is a comment or a message.
type WrittenBlock struct {
	ID     string `json:"id"`
	Author string `json:"author"`
	Own    bool   `json:"own"` // written with the stand-in's credentials
	Text   string `json:"text"`
	URL    string `json:"url,omitempty"`
	Edits  int    `json:"edits"`
}

// WrittenLink is a remote link or an attachment.
type WrittenLink struct {
	URL     string `json:"url"`
	Title   string `json:"title"`
	Summary string `json:"summary"`
}

// Server is the part that all stand-ins share. Its methods may be called at
// any time and from any goroutine.
type Server struct {
	routes  http.Handler
	written func() []Written

	mu        sync.Mutex
	failures  []failure
	everyN    int
	every     Fault
	counted   int
	lose      func(*http.Request) bool
	loseLeft  int
	holds     []*Hold
	exchanges []Exchange
	requests  int

	server *http.Server
}

type failure struct {
	match func(*http.Request) bool
	fault Fault
}

// FailNext answers the next n requests with f, before anything is applied.
func (s *Server) FailNext(n int, f Fault) {
	s.FailMatching(n, func(*http.Request) bool { return true }, f)
}

// FailMatching answers the next n requests that match with f, before anything
// is applied. match is called once for each request, until it has matched.
func (s *Server) FailMatching(n int, match func(*http.Request) bool, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.failures = append(s.failures, failure{match, f})
	}
}

// Heal ends all failures that are still to come.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.everyN, s.loseLeft = nil, 0, 0
}

// FailEvery answers every k-th request from now on with f; k of zero ends it.
func (s *Server) FailEvery(k int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.everyN, s.every, s.counted = k, f, 0
}

// LoseAnswers applies the next n requests that match and then cuts the
// connection without an answer, as a crash between effect and record does.
func (s *Server) LoseAnswers(n int, match func(*http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose, s.loseLeft = match, n
}

// Hold is a gate that requests wait at.
type Hold struct {
	match    func(*http.Request) bool
	arrived  chan struct{}
	released chan struct{}
	once     sync.Once
}

// Hold makes requests that match wait, before anything is applied, until
// Release.
func (s *Server) Hold(match func(*http.Request) bool) *Hold {
	h := &Hold{match: match, arrived: make(chan struct{}, 1024), released: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
	return h
}

// Arrived gives one value for each request that began to wait.
func (h *Hold) Arrived() <-chan struct{} { return h.arrived }

// Release lets all requests pass, those to come too.
func (h *Hold) Release() { h.once.Do(func() { close(h.released) }) }

// Exchanges are the last 2,000 requests with their answers, oldest first.
func (s *Server) Exchanges() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.exchanges)
}

// Requests is how many requests came in, faults included, reads of /_written
// not.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Handler serves the vendor's API, and what was written at GET /_written.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Listen serves on an address, "127.0.0.1:0" for a free port, until Close, and
// gives the base URL.
func (s *Server) Listen(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for stand-in: %w", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	go func() {
		// Serve ends with ErrServerClosed when Close is called; there is
		// nobody to report another end to before the next request fails.
		_ = server.Serve(l)
	}()
	return "http://" + l.Addr().String(), nil
}

// Close ends what Listen began and drops its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	return server.Close()
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/_written" {
		writeJSON(w, http.StatusOK, map[string]any{"tickets": s.written()})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !s.waitAtHolds(r) {
		return
	}
	fault, lost := s.next(r)
	out := &answer{header: http.Header{}, status: http.StatusOK}
	if fault != nil {
		for k, v := range fault.Header {
			out.header.Set(k, v)
		}
		out.status = fault.Status
		out.body.WriteString(fault.Body)
	} else {
		s.routes.ServeHTTP(out, r)
	}
	s.record(r, body, out)
	if lost {
		panic(http.ErrAbortHandler)
	}
	for k, v := range out.header {
		w.Header()[k] = v
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body.Bytes())
}

func (s *Server) waitAtHolds(r *http.Request) bool {
	s.mu.Lock()
	holds := slices.Clone(s.holds)
	s.mu.Unlock()
	for _, h := range holds {
		if !h.match(r) {
			continue
		}
		h.arrived <- struct{}{}
		select {
		case <-h.released:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

func (s *Server) next(r *http.Request) (*Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.failures) > 0 && s.failures[0].match(r) {
		f := s.failures[0].fault
		s.failures = s.failures[1:]
		return &f, false
	}
	if s.everyN > 0 {
		if s.counted++; s.counted%s.everyN == 0 {
			f := s.every
			return &f, false
		}
	}
	if s.loseLeft > 0 && s.lose(r) {
		s.loseLeft--
		return nil, true
	}
	return nil, false
}

func (s *Server) record(r *http.Request, body []byte, out *answer) {
	e := Exchange{Method: r.Method, Path: r.URL.RequestURI(), Status: out.status}
	if json.Valid(body) {
		e.Request = body
	}
	if json.Valid(out.body.Bytes()) {
		e.Response = slices.Clone(out.body.Bytes())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.exchanges) == maxExchanges {
		s.exchanges = slices.Delete(s.exchanges, 0, 1)
	}
	s.exchanges = append(s.exchanges, e)
}

// answer holds an answer back until it is known whether it is sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// The values are made here of strings, numbers, maps and slices.
	_ = enc.Encode(v)
}

// readJSON decodes a request's body, refusing fields that into does not know.
func readJSON(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("decode request: %w", err)
	}
	return nil
}

// units counts UTF-16 code units, as vendors on Java and JavaScript do.
func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
