package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/services/ingestor/internal/ask"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
)

// Of trackers the issues that changed are read, oldest change first, each as the webhook of an
// edit: what it says of the status counts, whatever moves were missed in between. What a
// tracker deleted, its lists do not tell.

// ticket counts what a tracker says of a ticket, and reports whether it is news.
func (r *Runner) ticket(ctx context.Context, report *Report, workspace string, c change.TicketChanged) (news bool, err error) {
	report.Messages++
	var rows, known uint64
	err = r.Store.Conn().QueryRow(ctx, "SELECT count(), max(version) FROM tickets WHERE workspace = ? AND tracker = ? AND key = ?", workspace, string(c.Ticket.Tracker), c.Ticket.Key).Scan(&rows, &known)
	switch {
	case err != nil:
		return false, fmt.Errorf("read ticket: %w", bus.Unavailable(err))
	case rows == 0 && !c.Ticket.Deleted && !c.Ticket.Restricted:
		report.Missing++
		return true, nil
	case rows > 0 && int64(known) < c.Ticket.Version:
		report.Outdated++
		return true, nil
	}
	report.Known++
	return false, nil
}

// none is for trackers, whose webhooks of deletions are not made up.
type none struct{}

func (none) gone(string, string, time.Time) []byte { return nil }

// single makes conversations of one body each.
func single(bodies ...[]byte) []conversation {
	var out []conversation
	for _, b := range bodies {
		out = append(out, conversation{bodies: [][]byte{b}})
	}
	return out
}

// jira searches by JQL. The second version of the API is asked, which writes descriptions as
// webhooks do.
type jira struct {
	none
	*ask.Client
	base string
}

func (j *jira) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	// JQL has minutes in the time zone of whose token it is: a day to spare covers all of them.
	query := url.Values{
		"jql":        {`updated >= "` + since.UTC().Add(-24*time.Hour).Format("2006/01/02 15:04") + `" ORDER BY updated ASC`},
		"fields":     {"summary,description,labels,created,updated,security,project,status,assignee"},
		"maxResults": {"100"},
	}
	if cursor != "" {
		query.Set("nextPageToken", cursor)
	}
	var p struct {
		Issues []json.RawMessage `json:"issues"`
		Next   string            `json:"nextPageToken"`
	}
	if err := j.Ask(ctx, http.MethodGet, j.base+"/rest/api/2/search/jql?"+query.Encode(), 0, nil, &p); err != nil {
		return nil, "", err
	}
	var out []conversation
	for _, i := range p.Issues {
		out = append(out, single(encode(object{"webhookEvent": "jira:issue_updated", "issue": i}))...)
	}
	return out, p.Next, nil
}

// github lists the issues of every repository that the token sees. The cursor is the number
// of the page; changes that move an issue to a later page meanwhile make it come twice.
type github struct {
	none
	*ask.Client
	base string
}

const githubPage = 100

func (g *github) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	n, err := strconv.Atoi(cursor)
	if err != nil {
		n = 1
	}
	query := url.Values{"filter": {"all"}, "state": {"all"}, "sort": {"updated"}, "direction": {"asc"}, "since": {since.UTC().Format(time.RFC3339)}, "per_page": {strconv.Itoa(githubPage)}, "page": {strconv.Itoa(n)}}
	var issues []object
	if err := g.Ask(ctx, http.MethodGet, g.base+"/issues?"+query.Encode(), 0, nil, &issues); err != nil {
		return nil, "", err
	}
	var out []conversation
	for _, i := range issues {
		of, _ := i["repository"].(object)
		repository := object{"full_name": of["full_name"]}
		if _, named := of["full_name"].(string); !named {
			address, _ := i["repository_url"].(string)
			_, repository["full_name"], _ = strings.Cut(address, "/repos/")
		}
		delete(i, "repository")
		out = append(out, single(encode(object{"action": "edited", "issue": i, "repository": repository}))...)
	}
	if len(issues) < githubPage {
		return out, "", nil
	}
	return out, strconv.Itoa(n + 1), nil
}

// linear asks for issues by GraphQL, archived ones included.
type linear struct {
	none
	*ask.Client
	base string
}

const linearIssues = `query Issues($after: String, $since: DateTimeOrDuration!) {
  issues(first: 100, after: $after, includeArchived: true, orderBy: updatedAt, filter: {updatedAt: {gte: $since}}) {
    nodes { id identifier title description url createdAt updatedAt archivedAt state { name type } team { key } assignee { name } labels(first: 50) { nodes { name } } }
    pageInfo { hasNextPage endCursor }
  }
}`

func (l *linear) page(ctx context.Context, since time.Time, cursor string) ([]conversation, string, error) {
	variables := object{"since": since.UTC().Format(time.RFC3339)}
	if cursor != "" {
		variables["after"] = cursor
	}
	var p struct {
		Data struct {
			Issues struct {
				Nodes []object `json:"nodes"`
				Page  struct {
					More bool   `json:"hasNextPage"`
					End  string `json:"endCursor"`
				} `json:"pageInfo"`
			} `json:"issues"`
		} `json:"data"`
		Errors []struct{} `json:"errors"`
	}
	if err := l.Ask(ctx, http.MethodPost, l.base+"/graphql", 0, object{"query": linearIssues, "operationName": "Issues", "variables": variables}, &p); err != nil {
		return nil, "", err
	}
	if len(p.Errors) > 0 {
		return nil, "", fmt.Errorf("ask linear: the query is refused: %w", ask.ErrRefused)
	}
	var out []conversation
	for _, i := range p.Data.Issues.Nodes {
		labels, _ := i["labels"].(object)
		i["labels"] = labels["nodes"]
		out = append(out, single(encode(object{"action": "update", "type": "Issue", "createdAt": i["updatedAt"], "url": i["url"], "data": i}))...)
	}
	if !p.Data.Issues.Page.More {
		return out, "", nil
	}
	return out, p.Data.Issues.Page.End, nil
}
