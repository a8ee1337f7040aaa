package api

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// DecisionRequest is what a person decides about a cluster. Which of Into, Signals, Name
// and Status are needed depends on Action, as in feedback.Decision.
type DecisionRequest struct {
	Action  feedback.Action `json:"action"`
	Into    string          `json:"into,omitempty"`
	Signals []string        `json:"signals,omitempty"`
	Name    string          `json:"name,omitempty"`
	Status  feedback.Status `json:"status,omitempty"`
	Reason  string          `json:"reason,omitempty"`
}

// AttachmentRequest pins a cluster, or a signal by itself, to a ticket or rejects it there.
type AttachmentRequest struct {
	Action  feedback.Action `json:"action"`
	Cluster string          `json:"cluster,omitempty"`
	Signal  string          `json:"signal,omitempty"`
	Reason  string          `json:"reason,omitempty"`
}

// CorrectionRequest says what kind a signal is.
type CorrectionRequest struct {
	Kind   feedback.Kind `json:"kind"`
	Reason string        `json:"reason,omitempty"`
}

// The longest name and reason, in bytes, and the most signals of one decision.
const (
	maxName    = 200
	maxReason  = 2000
	maxSignals = 1000
)

func (d DecisionRequest) check() error {
	needsInto, needsSignals := d.Action == feedback.Merge || d.Action == feedback.Move, d.Action == feedback.Split || d.Action == feedback.Move
	switch d.Action {
	case feedback.Merge, feedback.Split, feedback.Move, feedback.Rename, feedback.Ignore, feedback.Reopen, feedback.Mark:
	default:
		return invalid{"action is one of merge, split, move, rename, ignore, reopen, mark"}
	}
	switch {
	case needsInto != (d.Into != ""):
		return invalid{"into names a cluster for merge and move, and for nothing else"}
	case needsSignals != (len(d.Signals) > 0) || len(d.Signals) > maxSignals:
		return invalid{fmt.Sprintf("signals lists 1 to %d signals for split and move, and is absent for the others", maxSignals)}
	case (d.Action == feedback.Rename) != (d.Name != "") || len(d.Name) > maxName:
		return invalid{fmt.Sprintf("name has 1 to %d bytes for rename, and is absent for the others", maxName)}
	case (d.Action == feedback.Mark) != (d.Status != "") || d.Action == feedback.Mark && !d.Status.Marks():
		return invalid{"status is one of planned, in_progress, shipped for mark, and is absent for the others"}
	case len(d.Reason) > maxReason:
		return invalid{fmt.Sprintf("reason has at most %d bytes", maxReason)}
	}
	return nil
}

func (a *API) decide(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	var in DecisionRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.Action == feedback.Merge && in.Into == r.PathValue("id") {
		return invalid{"a cluster cannot be merged into itself"}
	}
	if _, err := ws.Cluster(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	if in.Into != "" {
		if _, err := ws.Cluster(r.Context(), in.Into); errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: the cluster in into does not exist", ErrRefused)
		} else if err != nil {
			return err
		}
	}
	return a.take(w, r, ws, feedback.Decision{
		Action: in.Action, Cluster: r.PathValue("id"), Into: in.Into, Signals: in.Signals, Name: in.Name, Status: in.Status, Reason: in.Reason,
	})
}

func (a *API) attach(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	tracker, key, err := trackerAndKey(r)
	if err != nil {
		return err
	}
	var in AttachmentRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	switch {
	case in.Action != feedback.Pin && in.Action != feedback.Reject:
		return invalid{"action is one of pin, reject"}
	case (in.Cluster == "") == (in.Signal == ""):
		return invalid{"cluster names a cluster or signal names a signal, and not both"}
	case len(in.Reason) > maxReason:
		return invalid{fmt.Sprintf("reason has at most %d bytes", maxReason)}
	}
	if _, err := ws.Ticket(r.Context(), tracker, key); err != nil {
		return err
	}
	d := feedback.Decision{Action: in.Action, Cluster: in.Cluster, Tracker: tracker, Ticket: key, Reason: in.Reason}
	if in.Signal != "" {
		d.Signals = []string{in.Signal} // whether it is there, whoever takes the decision looks
		return a.take(w, r, ws, d)
	}
	if _, err := ws.Cluster(r.Context(), in.Cluster); errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: the cluster does not exist", ErrRefused)
	} else if err != nil {
		return err
	}
	return a.take(w, r, ws, d)
}

func (a *API) correct(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	var in CorrectionRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	switch {
	case !slices.Contains(feedback.Kinds, in.Kind):
		return invalid{"kind is one of ours: bug, feature_request, usability, question, praise, complaint, other"}
	case len(in.Reason) > maxReason:
		return invalid{fmt.Sprintf("reason has at most %d bytes", maxReason)}
	}
	return a.take(w, r, ws, feedback.Decision{Action: feedback.Correct, Signals: []string{r.PathValue("id")}, Kind: in.Kind, Reason: in.Reason})
}

func (a *API) corrections(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	report, err := ws.Corrections(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, report)
}

// take gives a decision its id, time and author and has it taken. With the header
// Idempotency-Key, the same key gives the same id and so one decision.
func (a *API) take(w http.ResponseWriter, r *http.Request, ws Workspace, d feedback.Decision) error {
	p := access.From(r.Context())
	unique := r.Header.Get("Idempotency-Key")
	if unique == "" {
		var b [16]byte
		if _, err := io.ReadFull(a.o.Random, b[:]); err != nil {
			return fmt.Errorf("draw the id of a decision: %w", err)
		}
		unique = hex.EncodeToString(b[:])
	}
	d.ID = feedback.ID("dec", p.Workspace, unique)
	d.Workspace, d.By, d.At = p.Workspace, p.Name, a.o.Now().UTC()
	taken, err := ws.Decide(r.Context(), d)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, taken)
}

func (a *API) undo(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	taken, err := ws.Undo(r.Context(), r.PathValue("id"), access.From(r.Context()).Name, "")
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, taken)
}

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalid{"the body is one JSON object as the API description has it, without other fields"}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid{"the body is one JSON object and nothing after it"}
	}
	return nil
}
