package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
)

// Limits of one request to /v1.
const (
	maxRequest = 8 << 20
	maxEntries = 200 // of one delivery; a longer request becomes several
)

// apiBody reads a request's body within the limit, or answers.
func (in *Intake) apiBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		problem.Write(w, http.StatusUnsupportedMediaType, "compressed bodies are not taken", "")
		return nil, false
	}
	body, err := in.room.read(http.MaxBytesReader(w, r.Body, maxRequest))
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errNoRoom):
		busy(w, "too much is being sent at once", "send it again")
		return nil, false
	case errors.As(err, &large):
		problem.Write(w, http.StatusRequestEntityTooLarge, "the body is too large", "send at most 8 MiB at a time")
		return nil, false
	case err != nil:
		problem.Write(w, http.StatusBadRequest, "the body could not be read to its end", "")
		return nil, false
	}
	return body, true
}

// accepted and entryError are the two halves of the answer to POST /v1/feedback.
type acceptedEntry struct {
	Index int      `json:"index"`
	ID    string   `json:"id"`
	Items []string `json:"items"`
}

type entryError struct {
	Index  int    `json:"index"`
	Detail string `json:"detail"`
}

type feedbackAnswer struct {
	Accepted []acceptedEntry `json:"accepted"`
	Errors   []entryError    `json:"errors"`
}

func (in *Intake) postFeedback(w http.ResponseWriter, r *http.Request) {
	workspace := access.From(r.Context()).Workspace
	body, ok := in.apiBody(w, r)
	if !ok {
		return
	}
	raws, err := split(body)
	if err != nil {
		in.refuseAPI(w, feedbackapi.Feedback, malformed(err))
		return
	}
	answer := feedbackAnswer{Accepted: []acceptedEntry{}, Errors: []entryError{}}
	var good [][]byte
	for i, raw := range raws {
		_, err := payload.Check(raw)
		var e feedbackapi.Entry
		if err == nil {
			e, err = feedbackapi.Read(raw)
		}
		if err == nil && len(raw)+2 > in.maxPart {
			err = errors.New("the entry is too large")
		}
		if err != nil {
			answer.Errors = append(answer.Errors, entryError{i, err.Error()})
			continue
		}
		good = append(good, raw)
		answer.Accepted = append(answer.Accepted, acceptedEntry{i, string(e.ID), e.Items(workspace, feedbackapi.Connection)})
	}
	if len(good) == 0 {
		in.metrics.refused.WithLabelValues(feedbackapi.Feedback, "invalid").Inc()
		in.metrics.deliveries.WithLabelValues(feedbackapi.Feedback, "refused").Inc()
		refused := struct {
			problem.Document
			Errors []entryError `json:"errors"`
		}{problem.Document{Type: "about:blank", Title: "there is no valid feedback in the body", Status: http.StatusUnprocessableEntity}, answer.Errors}
		write(w, "application/problem+json", http.StatusUnprocessableEntity, refused)
		return
	}
	for part := 0; len(good) > 0; part++ {
		var chunk []byte
		chunk, good = pack(good, in.maxPart)
		if !in.deliver(w, r.Context(), workspace, feedbackapi.Feedback, chunk, part) {
			return
		}
	}
	write(w, "application/json", http.StatusAccepted, answer)
}

// split takes a body apart into entries: an object, an array of objects, or one object a
// line.
func split(body []byte) ([]json.RawMessage, error) {
	s, err := payload.Check(body)
	switch {
	case err == nil && s.Kind == '[':
		var raws []json.RawMessage
		return raws, payload.Decode(body, &raws)
	case err == nil && s.Kind == '{':
		return []json.RawMessage{body}, nil
	}
	var raws []json.RawMessage
	valid := false
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		one, lineErr := payload.Check(line)
		valid = valid || lineErr == nil && one.Kind == '{'
		raws = append(raws, line)
	}
	if !valid || len(raws) < 2 {
		if err == nil {
			err = payload.ErrSyntax
		}
		return nil, err
	}
	return raws, nil
}

// pack puts as many entries into one array as fit a delivery.
func pack(raws [][]byte, limit int) (chunk []byte, rest [][]byte) {
	chunk = append(chunk, '[')
	n := 0
	for ; n < len(raws) && n < maxEntries; n++ {
		if n > 0 && len(chunk)+len(raws[n])+2 > limit {
			break
		}
		if n > 0 {
			chunk = append(chunk, ',')
		}
		chunk = append(chunk, raws[n]...)
	}
	return append(chunk, ']'), raws[n:]
}

// deliver makes one delivery of our own durable, or answers.
func (in *Intake) deliver(w http.ResponseWriter, ctx context.Context, workspace, kind string, body []byte, part int) bool {
	now := in.now().UTC()
	d := event.Delivery{ID: requestID(kind, body, now, part), Connection: feedbackapi.Connection, Kind: kind, ReceivedAt: now, Body: body}
	if _, err := in.accept(ctx, workspace, d); err != nil {
		in.metrics.deliveries.WithLabelValues(kind, "failed").Inc()
		in.failed(w, err)
		return false
	}
	in.metrics.deliveries.WithLabelValues(kind, "accepted").Inc()
	return true
}

func (in *Intake) refuseAPI(w http.ResponseWriter, kind string, no *refusal) {
	in.metrics.refused.WithLabelValues(kind, no.reason).Inc()
	in.metrics.deliveries.WithLabelValues(kind, "refused").Inc()
	problem.Write(w, no.status, no.title, no.detail)
}

var (
	itemPattern     = regexp.MustCompile(`^itm_[a-z2-7]{26}$`)
	customerPattern = regexp.MustCompile(`^cus_[a-z2-7]{26}$`)
)

func (in *Intake) deleteFeedback(w http.ResponseWriter, r *http.Request) {
	workspace, id := access.From(r.Context()).Workspace, r.PathValue("id")
	if !itemPattern.MatchString(id) {
		problem.Write(w, http.StatusNotFound, "there is no such feedback", "")
		return
	}
	states, err := in.bus.Bucket(r.Context(), bus.BucketItems)
	if err == nil {
		_, err = states.Get(r.Context(), workspace+"."+id)
	}
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		problem.Write(w, http.StatusNotFound, "there is no such feedback", "")
	case err != nil:
		in.unavailable(w, err)
	default:
		in.command(w, r, feedbackapi.Deletion, map[string]string{"item": id})
	}
}

func (in *Intake) eraseCustomer(w http.ResponseWriter, r *http.Request) {
	workspace, id := access.From(r.Context()).Workspace, r.PathValue("id")
	if strings.Contains(id, "@") {
		id = feedback.CustomerID(workspace, "", "", id)
	}
	if !customerPattern.MatchString(id) {
		problem.Write(w, http.StatusNotFound, "there is no such customer", "")
		return
	}
	states, err := in.bus.Bucket(r.Context(), bus.BucketItems)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	lister, err := states.ListKeysFiltered(r.Context(), workspace+"."+id+".*")
	if err != nil {
		in.unavailable(w, err)
		return
	}
	known := 0
	for range lister.Keys() {
		known++
	}
	if known == 0 { // an address that never spoke may be somebody's who did
		if _, err := states.Get(r.Context(), workspace+".voice."+id); err == nil {
			known++
		}
	}
	if known == 0 {
		problem.Write(w, http.StatusNotFound, "there is no such customer", "")
		return
	}
	in.command(w, r, feedbackapi.Erasure, map[string]string{"customer": id})
}

// command stores what somebody asks for as a delivery, so that it takes its place among
// the others and is replayed with them.
func (in *Intake) command(w http.ResponseWriter, r *http.Request, kind string, what map[string]string) {
	body, err := json.Marshal(what)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	if in.deliver(w, r.Context(), access.From(r.Context()).Workspace, kind, body, 0) {
		write(w, "application/json", http.StatusAccepted, map[string]string{"status": "accepted"})
	}
}

func (in *Intake) putAccounts(w http.ResponseWriter, r *http.Request) {
	body, ok := in.apiBody(w, r)
	if !ok {
		return
	}
	if s, err := payload.Check(body); err != nil || s.Kind != '[' {
		if err == nil {
			err = errors.New("an array of accounts is expected")
		}
		in.refuseAPI(w, feedbackapi.Accounts, &refusal{http.StatusBadRequest, "not JSON", "the body is not an array of accounts", err.Error()})
		return
	}
	all, err := feedbackapi.ReadAccounts(body)
	if err != nil {
		in.refuseAPI(w, feedbackapi.Accounts, &refusal{http.StatusUnprocessableEntity, "invalid", "an account is not valid", err.Error()})
		return
	}
	var raws [][]byte
	for _, a := range all {
		raw, err := json.Marshal(a)
		if err != nil {
			in.unavailable(w, err)
			return
		}
		raws = append(raws, raw)
	}
	for part := 0; len(raws) > 0; part++ {
		var chunk []byte
		chunk, raws = pack(raws, in.maxPart)
		if !in.deliver(w, r.Context(), access.From(r.Context()).Workspace, feedbackapi.Accounts, chunk, part) {
			return
		}
	}
	write(w, "application/json", http.StatusAccepted, map[string]int{"accepted": len(all)})
}

type accountRow struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Domains  []string `json:"domains"`
	Value    float64  `json:"value"`
	Currency string   `json:"currency"`
	Plan     string   `json:"plan"`
	Segment  string   `json:"segment"`
}

func (in *Intake) listAccounts(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	rows, err := in.store.Conn().Query(r.Context(),
		"SELECT id, name, domains, value, currency, plan, segment FROM accounts FINAL WHERE workspace = ? AND id > ? ORDER BY id LIMIT ?",
		access.From(r.Context()).Workspace, r.URL.Query().Get("cursor"), limit+1)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	defer rows.Close()
	items := []accountRow{}
	for rows.Next() {
		var a accountRow
		if err := rows.Scan(&a.ID, &a.Name, &a.Domains, &a.Value, &a.Currency, &a.Plan, &a.Segment); err != nil {
			in.unavailable(w, err)
			return
		}
		items = append(items, a)
	}
	if err := rows.Err(); err != nil {
		in.unavailable(w, err)
		return
	}
	next := ""
	if len(items) > limit {
		items = items[:limit]
		next = items[limit-1].ID
	}
	list(w, items, next)
}

// limitOf reads ?limit=, 1 to 1000, 100 by default, or answers.
func limitOf(w http.ResponseWriter, r *http.Request) (int, bool) {
	raw := r.URL.Query().Get("limit")
	if raw == "" {
		return 100, true
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > 1000 {
		problem.Write(w, http.StatusBadRequest, "limit is not acceptable", "it is a whole number from 1 to 1000")
		return 0, false
	}
	return n, true
}

func list(w http.ResponseWriter, items any, next string) {
	var cursor *string
	if next != "" {
		cursor = &next
	}
	write(w, "application/json", http.StatusOK, map[string]any{"items": items, "next_cursor": cursor})
}

func write(w http.ResponseWriter, media string, status int, v any) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (in *Intake) unavailable(w http.ResponseWriter, err error) {
	in.log.Warn("request not answered", "error", err)
	busy(w, "a part that is needed does not answer", "look at /readyz")
}
