package classifier

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/classifier/internal/correction"
)

// corrections keeps what people say that signals are, and each workspace's own head.
type corrections struct {
	store *store.DB
	space string
	now   func() time.Time

	mu    sync.Mutex
	heads map[string]learnt
}

// learnt is what was made of a workspace's corrections, and when.
type learnt struct {
	head   *correction.Head
	report correction.Report
	at     time.Time
}

const (
	// freshFor is how long a head is used before its corrections are looked at again: other
	// processes may have taken some.
	freshFor = time.Minute
	// mostCorrections is how many of a workspace's corrections, the newest, make its head.
	mostCorrections = 5000
)

// head is a workspace's own, or nil where it has none that wins. One that cannot be read is
// done without until it can be.
func (c *corrections) head(ctx context.Context, workspace string) *correction.Head {
	l, err := c.learn(ctx, workspace)
	if err != nil {
		return nil
	}
	return l.head
}

func (c *corrections) learn(ctx context.Context, workspace string) (learnt, error) {
	c.mu.Lock()
	l, ok := c.heads[workspace]
	c.mu.Unlock()
	if ok && c.now().Sub(l.at) < freshFor {
		return l, nil
	}
	rows, err := c.store.Conn().Query(ctx, `
		SELECT signal, was, kind, vector FROM corrections FINAL
		WHERE workspace = ? AND space = ? ORDER BY version DESC, signal LIMIT ?`, workspace, c.space, mostCorrections)
	if err != nil {
		return learnt{}, fmt.Errorf("read corrections: %w", err)
	}
	defer rows.Close()
	var examples []correction.Example
	for rows.Next() {
		var e correction.Example
		var was, kind string
		if err := rows.Scan(&e.Signal, &was, &kind, &e.Vector); err != nil {
			return learnt{}, fmt.Errorf("read corrections: %w", err)
		}
		e.Was, e.Kind = feedback.Kind(was), feedback.Kind(kind)
		examples = append(examples, e)
	}
	if err := rows.Err(); err != nil {
		return learnt{}, fmt.Errorf("read corrections: %w", err)
	}
	l = learnt{at: c.now()}
	l.head, l.report = correction.Fit(examples)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads[workspace] = l
	return l, nil
}

func (c *corrections) forget(workspace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.heads, workspace)
}

// correctionColumns are those of the corrections table.
var correctionColumns = []string{"workspace", "signal", "item", "was", "kind", "space", "vector", "made_by", "made_at", "version", "deleted"}

// errNoSignal says that a workspace has no such signal.
var errNoSignal = errors.New("correct signal: there is none with this id")

// put keeps a correction, in place of an earlier one of the same signal. What it was
// took the signal for is kept from the first.
func (c *corrections) put(ctx context.Context, workspace, signal string, kind feedback.Kind, by string) error {
	var item, was, space string
	var vector []float32
	err := c.store.Conn().QueryRow(ctx, `
		SELECT s.item, if(c.was != '', c.was, s.kind), s.space, s.vector FROM (SELECT * FROM signals FINAL WHERE workspace = ? AND id = ?) AS s
		LEFT JOIN (SELECT signal, was FROM corrections FINAL WHERE workspace = ? AND signal = ?) AS c ON c.signal = s.id`,
		workspace, signal, workspace, signal).Scan(&item, &was, &space, &vector)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoSignal
	}
	if err != nil {
		return fmt.Errorf("correct signal: %w", err)
	}
	now := c.now().UTC()
	row := []any{workspace, signal, item, was, string(kind), space, vector, by, now, uint64(now.UnixMicro()), uint8(0)}
	if err := c.store.Insert(ctx, "corrections", correctionColumns, [][]any{row}, "correction:"+workspace+signal+strconv.FormatInt(now.UnixMicro(), 10)); err != nil {
		return fmt.Errorf("correct signal: %w", err)
	}
	c.forget(workspace)
	return nil
}

// withdraw takes back the corrections of items, or of one signal, that are there.
func (c *corrections) withdraw(ctx context.Context, workspace string, items, signals []string) error {
	rows, err := c.store.Conn().Query(ctx, `SELECT signal, item, version FROM corrections FINAL WHERE workspace = ? AND (item IN ? OR signal IN ?) ORDER BY signal`, workspace, append(items, ""), append(signals, ""))
	if err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	defer rows.Close()
	var gone [][]any
	token := "withdrawn:" + workspace
	for rows.Next() {
		var signal, item string
		var version uint64
		if err := rows.Scan(&signal, &item, &version); err != nil {
			return fmt.Errorf("withdraw corrections: %w", err)
		}
		gone = append(gone, []any{workspace, signal, item, "", "", "", []float32{}, "", time.Unix(0, 0).UTC(), version + 1, uint8(1)})
		token += fmt.Sprint(" ", signal, version)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	if len(gone) == 0 {
		return nil
	}
	if err := c.store.Insert(ctx, "corrections", correctionColumns, gone, token); err != nil {
		return fmt.Errorf("withdraw corrections: %w", err)
	}
	c.forget(workspace)
	return nil
}

// maxCorrection is how many bytes a request to correct may have.
const maxCorrection = 4 << 10

// correct serves POST /v1/signals/{id}/correction.
func (s *Service) correct(w http.ResponseWriter, r *http.Request) {
	p := access.From(r.Context())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCorrection))
	if err != nil {
		problem.Write(w, http.StatusRequestEntityTooLarge, "the request is too large", "")
		return
	}
	var in struct {
		Kind feedback.Kind `json:"kind"`
	}
	if json.Unmarshal(body, &in) != nil || !slices.Contains(feedback.Kinds, in.Kind) {
		problem.Write(w, http.StatusUnprocessableEntity, "the kind is none of ours", `send {"kind":"bug"}, or another kind`)
		return
	}
	switch err := s.corrections.put(r.Context(), p.Workspace, r.PathValue("id"), in.Kind, p.Name); {
	case errors.Is(err, errNoSignal):
		problem.Write(w, http.StatusNotFound, "there is no such signal", "")
	case err != nil:
		s.refuse(w, "correct signal", err)
	default:
		s.tellCorrections(w, r)
	}
}

// uncorrect serves DELETE /v1/signals/{id}/correction.
func (s *Service) uncorrect(w http.ResponseWriter, r *http.Request) {
	if err := s.corrections.withdraw(r.Context(), access.From(r.Context()).Workspace, nil, []string{r.PathValue("id")}); err != nil {
		s.refuse(w, "withdraw correction", err)
		return
	}
	s.tellCorrections(w, r)
}

// tellCorrections serves GET /v1/corrections: how the workspace's own head does on
// corrections that it was not shown, and whether it is used.
func (s *Service) tellCorrections(w http.ResponseWriter, r *http.Request) {
	l, err := s.corrections.learn(r.Context(), access.From(r.Context()).Workspace)
	if err != nil {
		s.refuse(w, "read corrections", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.report)
}

func (s *Service) refuse(w http.ResponseWriter, what string, err error) {
	s.log.Error(what, "error", err)
	problem.Write(w, http.StatusServiceUnavailable, "the store cannot be reached", "try again in a moment")
}
