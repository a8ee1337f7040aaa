// Package jira reads the webhooks of Jira Cloud and Server. A ticket moved if, and only
// if, the changelog has an item for the field "status"; issue_event_type_name is never
// believed. Comments are not tickets and change nothing.
package jira

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

type webhook struct {
	Timestamp payload.Time `json:"timestamp"`
	Event     string       `json:"webhookEvent"`
	Issue     *issue       `json:"issue"`
	Changelog struct {
		Items []item `json:"items"`
	} `json:"changelog"`
}

type item struct {
	Field      string       `json:"field"`
	FromString payload.Text `json:"fromString"`
}

type issue struct {
	ID     payload.Text `json:"id"`
	Self   string       `json:"self"`
	Key    string       `json:"key"`
	Fields struct {
		Summary     payload.Text   `json:"summary"`
		Description payload.Text   `json:"description"` // Cloud REST's ADF object reads as ""
		Labels      []payload.Text `json:"labels"`
		Created     payload.Time   `json:"created"`
		Updated     payload.Time   `json:"updated"`
		Security    *struct{}      `json:"security"`
		Project     struct {
			Key payload.Text `json:"key"`
		} `json:"project"`
		Status struct {
			Name     payload.Text `json:"name"`
			Category struct {
				Key payload.Text `json:"key"`
			} `json:"statusCategory"`
		} `json:"status"`
		Assignee struct {
			Name payload.Text `json:"displayName"`
		} `json:"assignee"`
	} `json:"fields"`
}

// Decode says what a webhook means. It fails on a body that is not Jira's and on an issue
// event without its issue.
func Decode(in event.Delivery) ([]change.Change, error) {
	var w webhook
	if err := payload.Decode(in.Body, &w); err != nil {
		return nil, fmt.Errorf("decode jira webhook: %w", err)
	}
	if w.Event == "" {
		return nil, fmt.Errorf("decode jira webhook: no webhookEvent")
	}
	switch w.Event {
	case "jira:issue_created", "jira:issue_updated", "jira:issue_deleted":
	default:
		return change.None("not an issue"), nil
	}
	if w.Issue == nil || w.Issue.Key == "" {
		return nil, fmt.Errorf("decode jira webhook: the issue has no key")
	}
	c := change.TicketChanged{Type: event.TicketEdited, Ticket: w.ticket()}
	var out []change.Change
	switch w.Event {
	case "jira:issue_created":
		c.Type = event.TicketCreated
		return []change.Change{c}, nil
	case "jira:issue_deleted":
		c.Type, c.Ticket.Deleted = event.TicketDeleted, true
		return []change.Change{c}, nil
	}
	for _, i := range w.Changelog.Items {
		switch i.Field {
		case "status":
			c.Type, c.Previous = event.TicketMoved, string(i.FromString)
		case "Key": // moved to another project: the old key is gone
			if old := string(i.FromString); old != "" && old != c.Ticket.Key {
				gone := c.Ticket
				gone.Key, gone.Deleted = old, true
				gone.Project, _, _ = strings.Cut(old, "-")
				out = append(out, change.TicketChanged{Type: event.TicketDeleted, Ticket: gone})
			}
		}
	}
	return append(out, c), nil
}

func (w webhook) ticket() feedback.Ticket {
	f := w.Issue.Fields
	updated := payload.First(f.Updated.Time, w.Timestamp.Time)
	if w.Event == "jira:issue_deleted" {
		updated = payload.First(w.Timestamp.Time, f.Updated.Time) // a deletion leaves "updated" as it was
	}
	t := feedback.Ticket{
		Tracker: feedback.Jira, Key: w.Issue.Key, ExternalID: string(w.Issue.ID), Project: string(f.Project.Key),
		Title: plain.Clean(string(f.Summary)), Body: plain.Clean(string(f.Description)),
		Status: string(f.Status.Name), Category: category(string(f.Status.Category.Key)),
		Assignee: string(f.Assignee.Name), URL: w.Issue.url(), Restricted: f.Security != nil,
		Version: payload.Version(updated), CreatedAt: payload.First(f.Created.Time, updated), UpdatedAt: updated,
	}
	for _, l := range f.Labels {
		t.Labels = append(t.Labels, string(l))
	}
	if t.Project == "" {
		t.Project, _, _ = strings.Cut(t.Key, "-")
	}
	return t
}

// category reads status.statusCategory.key, which is the same in every language.
func category(key string) feedback.StatusCategory {
	switch key {
	case "indeterminate":
		return feedback.InProgress
	case "done":
		return feedback.Done
	}
	return feedback.Open
}

// url makes the address that people use out of that of the REST resource.
func (i issue) url() string {
	u, err := url.Parse(i.Self)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return ""
	}
	before, _, _ := strings.Cut(u.Path, "/rest/")
	return u.Scheme + "://" + u.Host + before + "/browse/" + url.PathEscape(i.Key)
}
