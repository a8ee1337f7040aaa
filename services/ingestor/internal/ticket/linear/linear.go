// Package linear reads Linear's webhooks. A ticket moved if, and only if, updatedFrom
// holds a former stateId; a null there says nothing, since old deliveries list members
// that did not change. updatedFrom tells former ids, not names, so a move's previous
// status is unknown.
package linear

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

type webhook struct {
	Action      string                     `json:"action"`
	Type        string                     `json:"type"`
	URL         string                     `json:"url"`
	CreatedAt   payload.Time               `json:"createdAt"`
	Data        json.RawMessage            `json:"data"`
	UpdatedFrom map[string]json.RawMessage `json:"updatedFrom"`
}

type issue struct {
	ID          payload.Text   `json:"id"`
	Identifier  payload.Text   `json:"identifier"`
	Previous    []payload.Text `json:"previousIdentifiers"`
	Number      payload.Text   `json:"number"`
	Title       payload.Text   `json:"title"`
	Description payload.Text   `json:"description"`
	URL         payload.Text   `json:"url"`
	CreatedAt   payload.Time   `json:"createdAt"`
	UpdatedAt   payload.Time   `json:"updatedAt"`
	ArchivedAt  payload.Time   `json:"archivedAt"`
	State       struct {
		Name payload.Text `json:"name"`
		Type payload.Text `json:"type"`
	} `json:"state"`
	Team struct {
		Key payload.Text `json:"key"`
	} `json:"team"`
	Assignee struct {
		Name payload.Text `json:"name"`
	} `json:"assignee"`
	Labels []struct {
		Name payload.Text `json:"name"`
	} `json:"labels"`
}

// Decode says what a webhook means. It fails on a body that is not Linear's and on an
// issue without team and number.
func Decode(in event.Delivery) ([]change.Change, error) {
	var w webhook
	if err := payload.Decode(in.Body, &w); err != nil {
		return nil, fmt.Errorf("decode linear webhook: %w", err)
	}
	switch {
	case w.Action == "" || w.Type == "":
		return nil, fmt.Errorf("decode linear webhook: no action or type")
	case w.Type != "Issue":
		return change.None("not an issue"), nil
	}
	var i issue
	if err := payload.Decode(w.Data, &i); err != nil {
		return nil, fmt.Errorf("decode linear issue: %w", err)
	}
	t := w.ticket(i)
	if t.Key == "" {
		return nil, fmt.Errorf("decode linear issue: no identifier")
	}
	c := change.TicketChanged{Type: event.TicketEdited, Ticket: t}
	switch {
	case w.Action == "remove" || !i.ArchivedAt.IsZero():
		c.Type, c.Ticket.Deleted = event.TicketDeleted, true
	case w.Action == "create":
		c.Type = event.TicketCreated
	case w.was("stateId"):
		c.Type = event.TicketMoved
	}
	if w.was("teamId") && len(i.Previous) > 0 { // moved to another team: the old key is gone
		gone := t
		gone.Key, gone.Deleted = string(i.Previous[len(i.Previous)-1]), true
		gone.Project, _, _ = strings.Cut(gone.Key, "-")
		return []change.Change{change.TicketChanged{Type: event.TicketDeleted, Ticket: gone}, c}, nil
	}
	return []change.Change{c}, nil
}

// was reports whether updatedFrom tells a former value of a member.
func (w webhook) was(name string) bool {
	old, ok := w.UpdatedFrom[name]
	return ok && string(old) != "null"
}

func (w webhook) ticket(i issue) feedback.Ticket {
	updated := payload.First(i.UpdatedAt.Time, w.CreatedAt.Time)
	if w.Action == "remove" {
		updated = payload.First(w.CreatedAt.Time, i.UpdatedAt.Time) // removal leaves updatedAt as it was
	}
	t := feedback.Ticket{
		Tracker: feedback.Linear, Key: string(i.Identifier), ExternalID: string(i.ID), Project: string(i.Team.Key),
		Title: plain.Clean(string(i.Title)), Body: plain.Clean(string(i.Description)),
		Status: string(i.State.Name), Category: category(string(i.State.Type)), Assignee: string(i.Assignee.Name), URL: w.URL,
		Version: payload.Version(updated), CreatedAt: payload.First(i.CreatedAt.Time, updated), UpdatedAt: updated,
	}
	if t.URL == "" {
		t.URL = string(i.URL)
	}
	if t.Key == "" && i.Team.Key != "" && i.Number != "" {
		t.Key = string(i.Team.Key) + "-" + string(i.Number)
	}
	for _, l := range i.Labels {
		t.Labels = append(t.Labels, string(l.Name))
	}
	return t
}

// category reads state.type, which is one of six in every team.
func category(kind string) feedback.StatusCategory {
	switch kind {
	case "started":
		return feedback.InProgress
	case "completed", "canceled", "duplicate":
		return feedback.Done
	}
	return feedback.Open
}
