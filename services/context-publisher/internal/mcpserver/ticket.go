package mcpserver

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

var (
	issueKey  = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])([a-z][a-z0-9]{0,19}-[0-9]{1,9})(?:$|[^0-9a-z]|[-_])`)
	forgeKey  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}#[0-9]{1,9}$`)
	forgePath = regexp.MustCompile(`^/([A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100})/(?:issues|pull)/([0-9]{1,9})(?:/|$)`)
)

// candidate is a ticket that a reference may mean.
type candidate struct {
	tracker feedback.Tracker
	key     string
}

// candidates reads a ticket out of what an agent has at hand: a key (PROJ-123, ENG-7,
// owner/repo#1), a key with its tracker (jira:PROJ-123), a URL, or a branch name
// (feature/proj-123-export).
func candidates(ref string) []candidate {
	ref = strings.TrimSpace(ref)
	if tracker, key, ok := strings.Cut(ref, ":"); ok {
		switch t := feedback.Tracker(strings.ToLower(tracker)); t {
		case feedback.Jira, feedback.Linear:
			return []candidate{{t, strings.ToUpper(key)}}
		case feedback.GitHub:
			return []candidate{{t, key}}
		}
	}
	if forgeKey.MatchString(ref) {
		return []candidate{{feedback.GitHub, ref}}
	}
	text, trackers := ref, []feedback.Tracker{feedback.Jira, feedback.Linear}
	if u, err := url.Parse(ref); err == nil && u.Host != "" {
		if m := forgePath.FindStringSubmatch(u.Path); m != nil {
			return []candidate{{feedback.GitHub, m[1] + "#" + m[2]}}
		}
		text = u.Path
		if selected := u.Query().Get("selectedIssue"); selected != "" {
			text = selected
		}
		if strings.HasSuffix(u.Hostname(), "linear.app") {
			trackers = trackers[1:]
		}
	}
	m := issueKey.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	var all []candidate
	for _, t := range trackers {
		all = append(all, candidate{t, strings.ToUpper(m[1])})
	}
	return all
}

// ticket finds the one ticket that a reference means.
func (w *Workspace) ticket(ctx context.Context, ref string) (read.TicketHead, error) {
	return find(ctx, w, ref, w.backend.TicketHead, func(t read.TicketHead) string { return t.Key })
}

// find asks every tracker that a reference may mean at once, and gives the one answer. named
// is the key of an answer, "" for none.
func find[T any](ctx context.Context, w *Workspace, ref string, ask func(context.Context, feedback.Tracker, string) (T, error), named func(T) string) (T, error) {
	var none T
	if len(ref) > 500 {
		return none, refusal("find ticket: the reference is too long")
	}
	all := candidates(ref)
	if len(all) == 0 {
		return none, refusal("find ticket: write it as PROJ-123, jira:PROJ-123, owner/repo#1, its URL, or a branch name with the key in it")
	}
	found := make([]T, len(all))
	g, asking := errgroup.WithContext(ctx)
	for i, c := range all {
		g.Go(func() error {
			t, err := ask(asking, c.tracker, c.key)
			if errors.Is(err, api.ErrNotFound) {
				return nil
			}
			found[i] = t
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return none, w.failed(ctx, "find ticket", err)
	}
	found = slices.DeleteFunc(found, func(t T) bool { return named(t) == "" })
	switch len(found) {
	case 0:
		return none, refusal("find ticket: no ticket with this key and a brief is known in this workspace; list_tickets shows the known ones")
	case 1:
		return found[0], nil
	}
	return none, refusal("find ticket: more than one tracker has this key; write jira: or linear: before it")
}
