package mcpserver

import (
	"bufio"
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

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

// maxAnswer is the most bytes that are read of an answer.
const maxAnswer = 16 << 20

// Remote is the Backend of a running server, over its /v1. The token decides which
// workspace it is.
type Remote struct {
	base   *url.URL
	token  string
	client *http.Client
}

// NewRemote makes a backend for the server at base ("https://throughline.example"). The
// token is never sent to another host, also not by a redirect. It fails where base is
// not an http or https address or the token is empty.
func NewRemote(base, token string, client *http.Client) (*Remote, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("reach the server: its address has to begin with http:// or https://")
	}
	if token == "" {
		return nil, errors.New("reach the server: a token is required")
	}
	return &Remote{base: u, token: token, client: client}, nil
}

func (r *Remote) request(ctx context.Context, method string, body io.Reader, q url.Values, path ...string) (*http.Request, error) {
	escaped := make([]string, len(path))
	for i, p := range path {
		escaped[i] = url.PathEscape(p)
	}
	u := *r.base
	u.Path, u.RawPath = strings.TrimSuffix(r.base.Path, "/")+"/v1/"+strings.Join(path, "/"), strings.TrimSuffix(r.base.EscapedPath(), "/")+"/v1/"+strings.Join(escaped, "/")
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errors.New("reach the server: the address cannot be written")
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	return req, nil
}

// get asks and decodes.
func get[T any](ctx context.Context, r *Remote, q url.Values, path ...string) (T, error) {
	req, err := r.request(ctx, http.MethodGet, nil, q, path...)
	if err != nil {
		var none T
		return none, err
	}
	return answer[T](r, req)
}

// answer sends a request and decodes what comes. Errors say the status, never what the
// server wrote, but for a decision that it refused: that is said in its own plain words.
func answer[T any](r *Remote, req *http.Request) (T, error) {
	var v T
	req.Header.Set("Accept", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return v, fmt.Errorf("reach the server: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted:
	case http.StatusNotFound:
		return v, api.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return v, refusal("reach the server: it does not accept the token for this")
	case http.StatusUnprocessableEntity:
		return v, fmt.Errorf("%w by the server: what it names is not there any more", api.ErrRefused)
	default:
		return v, fmt.Errorf("reach the server: it answered %d", resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return v, errors.New("reach the server: its answer is not what this version understands")
	}
	return v, nil
}

func page[T any](l api.List[T], err error) (read.Page[T], error) {
	return read.Page[T]{Items: l.Items, NextCursor: l.NextCursor}, err
}

func paged(limit int, cursor string) url.Values {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return q
}

// Freshness implements Backend.
func (r *Remote) Freshness(ctx context.Context) (api.Freshness, error) {
	l, err := get[api.List[read.Cluster]](ctx, r, paged(1, ""), "clusters")
	return l.Freshness, err
}

// Clusters implements Backend.
func (r *Remote) Clusters(ctx context.Context, q read.ClusterQuery) (read.Page[read.Cluster], error) {
	v := paged(q.Limit, q.Cursor)
	for name, value := range map[string]string{"kind": q.Kind, "status": q.Status, "q": q.Q, "source": q.Source, "segment": q.Segment, "area": q.Area} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	return page(get[api.List[read.Cluster]](ctx, r, v, "clusters"))
}

// Cluster implements Backend.
func (r *Remote) Cluster(ctx context.Context, id string) (read.Cluster, error) {
	return get[read.Cluster](ctx, r, nil, "clusters", id)
}

// Feedback implements Backend.
func (r *Remote) Feedback(ctx context.Context, q read.FeedbackQuery) (read.Page[read.Item], error) {
	v := paged(q.Limit, q.Cursor)
	for name, value := range map[string]string{"q": q.Q, "source": q.Source, "customer": q.Customer} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	return page(get[api.List[read.Item]](ctx, r, v, "feedback"))
}

// FeedbackItem implements Backend.
func (r *Remote) FeedbackItem(ctx context.Context, id string) (read.Item, error) {
	return get[read.Item](ctx, r, nil, "feedback", id)
}

// Tickets implements Backend.
func (r *Remote) Tickets(ctx context.Context, limit int, cursor string) (read.Page[read.TicketHead], error) {
	return page(get[api.List[read.TicketHead]](ctx, r, paged(limit, cursor), "tickets"))
}

// TicketHead implements Backend.
func (r *Remote) TicketHead(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketHead, error) {
	return get[read.TicketHead](ctx, r, nil, "tickets", string(tracker), key)
}

// TicketContext implements Backend.
func (r *Remote) TicketContext(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketContext, error) {
	head, err := r.TicketHead(ctx, tracker, key)
	if err != nil {
		return read.TicketContext{}, err
	}
	q := url.Values{}
	if head.PickedUp > 0 {
		q.Set("since", strconv.FormatUint(head.PickedUp, 10))
	}
	b, err := get[api.BriefAnswer](ctx, r, q, "tickets", string(tracker), key, "brief")
	if err != nil {
		return read.TicketContext{}, err
	}
	out := read.TicketContext{TicketHead: head, Brief: b.Brief}
	if b.Changes != nil && head.PickedUp != b.Revision {
		out.Since = &b.Changes.Changes
	}
	return out, nil
}

// Changes implements Backend.
func (r *Remote) Changes(ctx context.Context, tracker feedback.Tracker, key string, since read.Since) (read.Changes, error) {
	q := url.Values{"since": {"pickup"}}
	if !since.PickUp {
		q.Set("since", strconv.FormatUint(since.Revision, 10))
	}
	b, err := get[api.BriefAnswer](ctx, r, q, "tickets", string(tracker), key, "brief")
	if err != nil {
		return read.Changes{}, err
	}
	if b.Changes == nil {
		return read.Changes{}, errors.New("reach the server: its answer is not what this version understands")
	}
	return *b.Changes, nil
}

// Decide implements Backend. The server decides in whose name: that of the token.
func (r *Remote) Decide(ctx context.Context, d feedback.Decision) (feedback.Decision, error) {
	method, path := http.MethodPost, []string{"clusters", d.Cluster, "decisions"}
	var body any = api.DecisionRequest{Action: d.Action, Into: d.Into, Signals: d.Signals, Name: d.Name, Reason: d.Reason}
	switch d.Action {
	case feedback.Undo:
		method, path, body = http.MethodDelete, []string{"decisions", d.Undoes}, nil
	case feedback.Pin, feedback.Reject:
		path, body = []string{"tickets", string(d.Tracker), d.Ticket, "attachments"}, api.AttachmentRequest{Action: d.Action, Cluster: d.Cluster, Signal: strings.Join(d.Signals, ","), Reason: d.Reason}
	}
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return feedback.Decision{}, fmt.Errorf("write the decision: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := r.request(ctx, method, content, nil, path...)
	if err != nil {
		return feedback.Decision{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", d.ID)
	return answer[feedback.Decision](r, req)
}

// Watch gives what changes in the workspace until ctx ends. It comes back by itself
// after a connection was lost, from where it was, pausing between tries as the server
// asked.
func (r *Remote) Watch(ctx context.Context) <-chan watch.Change {
	out := make(chan watch.Change, 16)
	go func() {
		defer close(out)
		last := ""
		for ctx.Err() == nil {
			last = r.stream(ctx, last, out)
			pause := time.NewTimer(2 * time.Second)
			select {
			case <-ctx.Done():
				pause.Stop()
			case <-pause.C:
			}
		}
	}()
	return out
}

// stream reads one connection's events and returns the id of the last.
func (r *Remote) stream(ctx context.Context, last string, out chan<- watch.Change) string {
	req, err := r.request(ctx, http.MethodGet, nil, nil, "events")
	if err != nil {
		return last
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return last
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return last
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	id, data := "", ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case lines.Text() == "" && data != "":
			var c watch.Change
			if json.Unmarshal([]byte(data), &c) == nil && c.Kind != "" {
				select {
				case out <- c:
					last = id
				case <-ctx.Done():
					return last
				}
			}
			id, data = "", ""
		}
	}
	return last
}
