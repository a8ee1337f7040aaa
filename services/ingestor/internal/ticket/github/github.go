// Package github reads GitHub's webhooks. Issues move by being closed and reopened, and
// by the field "Status" of a project board, whose deliveries name the issue by its node.
// Comments and pull requests are not tickets.
package github

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

type webhook struct {
	Action string `json:"action"`
	Issue  *struct {
		ID          payload.Text `json:"id"`
		Node        payload.Text `json:"node_id"`
		Number      payload.Text `json:"number"`
		Title       payload.Text `json:"title"`
		Body        payload.Text `json:"body"`
		State       payload.Text `json:"state"`
		Reason      payload.Text `json:"state_reason"`
		URL         payload.Text `json:"html_url"`
		CreatedAt   payload.Time `json:"created_at"`
		UpdatedAt   payload.Time `json:"updated_at"`
		PullRequest *struct{}    `json:"pull_request"`
		Labels      []struct {
			Name payload.Text `json:"name"`
		} `json:"labels"`
		Assignee struct {
			Login payload.Text `json:"login"`
		} `json:"assignee"`
	} `json:"issue"`
	Repository struct {
		FullName payload.Text `json:"full_name"`
	} `json:"repository"`
	Comment *struct{} `json:"comment"`
	Hook    *struct{} `json:"hook"`
	Project *struct {
		Content   payload.Text `json:"content_node_id"`
		Type      payload.Text `json:"content_type"`
		UpdatedAt payload.Time `json:"updated_at"`
	} `json:"projects_v2_item"`
	Changes struct {
		Field struct {
			Name payload.Text `json:"field_name"`
			To   struct {
				Name payload.Text `json:"name"`
			} `json:"to"`
		} `json:"field_value"`
	} `json:"changes"`
}

// Event names what a delivery is about: the X-GitHub-Event header, or what the body shows
// where the header is missing. "" means that it is not GitHub's.
func Event(header string, has func(members ...string) bool) string {
	switch {
	case header != "":
		return header
	case has("zen", "hook_id"):
		return "ping"
	case has("action", "issue", "comment", "repository"):
		return "issue_comment"
	case has("action", "issue", "repository"):
		return "issues"
	case has("action", "projects_v2_item"):
		return "projects_v2_item"
	}
	return ""
}

// Decode says what a webhook means. It fails on a body that is not GitHub's and on an
// issue that has no number or repository.
func Decode(in event.Delivery) ([]change.Change, error) {
	var w webhook
	if err := payload.Decode(in.Body, &w); err != nil {
		return nil, fmt.Errorf("decode github webhook: %w", err)
	}
	name := in.Headers["x-github-event"]
	switch {
	case name == "ping" || w.Hook != nil && w.Action == "":
		return change.None("handshake"), nil
	case w.Project != nil:
		return w.placed(), nil
	case name != "" && name != "issues", w.Comment != nil:
		return change.None("not an issue"), nil
	case w.Issue == nil || w.Action == "":
		return nil, fmt.Errorf("decode github webhook: no issue or action")
	case w.Issue.PullRequest != nil:
		return change.None("not an issue"), nil
	case w.Issue.Number == "" || w.Repository.FullName == "":
		return nil, fmt.Errorf("decode github webhook: the issue has no number or repository")
	}
	c := change.TicketChanged{Type: event.TicketEdited, Ticket: w.ticket(), Node: string(w.Issue.Node)}
	switch w.Action {
	case "opened":
		c.Type = event.TicketCreated
	case "closed":
		c.Type, c.Previous, c.PreviousCategory = event.TicketMoved, "open", feedback.Open
	case "reopened":
		c.Type, c.Previous, c.PreviousCategory = event.TicketMoved, "closed", feedback.Done
	case "deleted", "transferred":
		c.Type, c.Ticket.Deleted = event.TicketDeleted, true
	}
	return []change.Change{c}, nil
}

// placed reads that an issue moved on its board. Deliveries of before 2024 do not tell to
// where; those change nothing.
func (w webhook) placed() []change.Change {
	p, field := w.Project, w.Changes.Field
	status := plain.Clean(string(field.To.Name))
	if w.Action != "edited" || p.Type != "Issue" || p.Content == "" || !strings.EqualFold(string(field.Name), "Status") || status == "" {
		return change.None("not a move of an issue")
	}
	return []change.Change{change.TicketPlaced{
		Node: string(p.Content), Status: status, Category: column(status), Version: payload.Version(p.UpdatedAt.Time), At: p.UpdatedAt.Time,
	}}
}

var (
	finished = regexp.MustCompile(`(?i)\b(done|closed|complete[d]?|finished|released|shipped|deployed|cancel+ed|won'?t (do|fix)|duplicate)\b`)
	underway = regexp.MustCompile(`(?i)\b(progress|doing|started|active|review(ing)?|testing|qa|blocked|working|development|verify(ing)?)\b`)
)

// column says what a board's column means, by its name: it has no other.
func column(name string) feedback.StatusCategory {
	switch {
	case finished.MatchString(name):
		return feedback.Done
	case underway.MatchString(name):
		return feedback.InProgress
	}
	return feedback.Open
}

func (w webhook) ticket() feedback.Ticket {
	i := w.Issue
	t := feedback.Ticket{
		Tracker: feedback.GitHub, Key: string(w.Repository.FullName + "#" + i.Number), ExternalID: string(i.ID), Project: string(w.Repository.FullName),
		Title: plain.Clean(string(i.Title)), Body: plain.Clean(string(i.Body)),
		Status: string(i.State), Category: feedback.Open, Assignee: string(i.Assignee.Login), URL: string(i.URL),
		Version: payload.Version(i.UpdatedAt.Time), CreatedAt: i.CreatedAt.Time, UpdatedAt: i.UpdatedAt.Time,
	}
	if i.State == "closed" {
		t.Category = feedback.Done
	}
	if i.Reason == "not_planned" {
		t.Status = "closed as not planned"
	}
	for _, l := range i.Labels {
		t.Labels = append(t.Labels, string(l.Name))
	}
	return t
}
