package tracker

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const (
	githubAPI = "https://api.github.com"
	// githubVersion is the REST version we were written against.
	githubVersion = "2022-11-28"
	// githubCommentLimit is GitHub's "maximum is 65536 characters".
	githubCommentLimit = 65536
)

var (
	githubKey    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})#([1-9][0-9]{0,17})$`)
	githubMarker = regexp.MustCompile(`^<!-- throughline:v1 key=\S+ rev=\d+ hash=(\S+) -->\r?\n`)
)

// GitHubConfig says as whom to write. BaseURL is empty for github.com, else
// the API of an Enterprise server ("https://host/api/v3"). Token is an app's
// installation token or a fine-grained token with Issues: read and write.
type GitHubConfig struct {
	BaseURL string
	Token   string
}

// GitHub writes one issue comment that begins with a hidden marker.
type GitHub struct {
	call  *wire.Caller
	graph *wire.Caller
	self  identityOnce
}

// NewGitHub makes a tracker; it sends nothing. A configuration that cannot
// work is a permanent error.
func NewGitHub(c GitHubConfig, o Options) (*GitHub, error) {
	if c.Token == "" {
		return nil, &PermanentError{Op: "github: configure", Reason: "token is needed"}
	}
	if c.BaseURL == "" {
		c.BaseURL = githubAPI
	}
	header := http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {githubVersion}}
	call, err := wire.New("github", c.BaseURL, "Bearer "+c.Token, header, o)
	if err != nil {
		return nil, err
	}
	// An Enterprise server has REST at /api/v3 and GraphQL at /api/graphql.
	graph, err := wire.New("github", strings.TrimSuffix(strings.TrimRight(c.BaseURL, "/"), "/v3"), "Bearer "+c.Token, header, o)
	if err != nil {
		return nil, err
	}
	return &GitHub{call: call, graph: graph}, nil
}

// Kind is feedback.GitHub.
func (g *GitHub) Kind() feedback.Tracker { return feedback.GitHub }

type githubComment struct {
	ID      int64  `json:"id"`
	HTMLURL string `json:"html_url"`
	Body    string `json:"body"`
	User    struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
	} `json:"user"`
}

// githubTicket is a parsed key.
type githubTicket struct{ owner, repo, number string }

func (t githubTicket) path() string {
	return "/repos/" + t.owner + "/" + t.repo + "/issues/" + t.number
}

func (t githubTicket) comment(id string) string {
	return "/repos/" + t.owner + "/" + t.repo + "/issues/comments/" + url.PathEscape(id)
}

func (t githubTicket) key() string { return t.owner + "/" + t.repo + "#" + t.number }

func parseGitHubKey(key string) (githubTicket, error) {
	m := githubKey.FindStringSubmatch(key)
	if m == nil || m[2] == "." || m[2] == ".." {
		return githubTicket{}, badKey(feedback.GitHub, key, "owner/repo#1")
	}
	return githubTicket{m[1], m[2], m[3]}, nil
}

// Upsert implements Tracker.
func (g *GitHub) Upsert(ctx context.Context, key string, known *Ref, b Block) (Ref, Outcome, error) {
	t, err := parseGitHubKey(key)
	if err != nil {
		return Ref{}, "", err
	}
	if err := checkBlock(feedback.GitHub, b); err != nil {
		return Ref{}, "", err
	}
	r := progress(known)
	outcome, err := g.locate(ctx, t, &r, b)
	if err != nil || outcome != "" {
		return r, outcome, err
	}
	var c *githubComment
	outcome = Updated
	if r.Extra[extraHash] == b.Hash {
		outcome = Unchanged
		c, err = g.read(ctx, t, r.ID)
	} else {
		c, err = g.update(ctx, t, r.ID, b)
	}
	switch {
	case err != nil:
		return r, "", err
	case c == nil && b.Recreate:
		return g.Upsert(ctx, key, &Ref{Extra: map[string]string{extraSought: "yes"}}, b)
	case c == nil:
		return Ref{}, Gone, nil
	}
	return githubRef(*c, b.Hash), outcome, nil
}

// locate sees to it that r names the comment: one that is there or a new one. After a new
// one was written it looks whether another worker did the same: of several own blocks the
// oldest stays. An outcome says that nothing is left to do.
func (g *GitHub) locate(ctx context.Context, t githubTicket, r *Ref, b Block) (Outcome, error) {
	if r.ID == "" && r.Extra[extraSought] == "" {
		found, err := g.find(ctx, t)
		if err != nil {
			return "", err
		}
		if found != nil {
			*r = githubRef(*found, markedHash(found.Body))
			if r.Extra[extraHash] == b.Hash {
				return Unchanged, nil
			}
		}
	}
	if r.ID == "" {
		// Whether a request without an answer took effect is not known: it is looked for again.
		delete(r.Extra, extraSought)
		made, err := g.create(ctx, t, b)
		if err != nil {
			return "", err
		}
		*r = githubRef(*made, b.Hash)
		r.Extra[extraAlone] = "no"
	}
	if r.Extra[extraAlone] == "no" {
		first, err := g.find(ctx, t)
		if err != nil {
			return "", err
		}
		delete(r.Extra, extraAlone)
		if first == nil || strconv.FormatInt(first.ID, 10) == r.ID {
			if r.Extra[extraHash] == b.Hash {
				return Created, nil
			}
			return "", nil
		}
		*r = githubRef(*first, markedHash(first.Body))
		if r.Extra[extraHash] == b.Hash {
			return Updated, nil
		}
	}
	return "", nil
}

// create writes the comment.
func (g *GitHub) create(ctx context.Context, t githubTicket, b Block) (*githubComment, error) {
	body, err := githubBody(t, b)
	if err != nil {
		return nil, err
	}
	made, err := g.write(ctx, "create comment", http.MethodPost, t, t.path()+"/comments", body)
	if err == nil && made == nil {
		err = g.invisible(t, "create comment", http.StatusNotFound)
	}
	return made, err
}

// find gives the oldest comment that is ours by author and by marker, and
// deletes younger ones.
func (g *GitHub) find(ctx context.Context, t githubTicket) (*githubComment, error) {
	const op = "list comments"
	self, err := g.Self(ctx)
	if err != nil {
		return nil, err
	}
	var oldest *githubComment
	var extra []int64
	for page := 1; page <= maxPages; page++ {
		a, err := g.call.Do(ctx, op, http.MethodGet, t.path()+"/comments?per_page=100&page="+strconv.Itoa(page), nil)
		if err != nil {
			return nil, err
		}
		if !a.OK() {
			return nil, g.refused(op, t, a)
		}
		var list []githubComment
		if err := g.call.Decode(op, a, &list); err != nil {
			return nil, err
		}
		for _, c := range list {
			if strconv.FormatInt(c.User.ID, 10) != self.ID || !githubMarker.MatchString(c.Body) {
				continue
			}
			switch {
			case oldest == nil:
				oldest = &c
			case c.ID < oldest.ID:
				extra = append(extra, oldest.ID)
				oldest = &c
			default:
				extra = append(extra, c.ID)
			}
		}
		if !strings.Contains(a.Header.Get("Link"), `rel="next"`) {
			break
		}
	}
	for _, id := range extra {
		if err := g.remove(ctx, t, strconv.FormatInt(id, 10)); err != nil {
			return nil, err
		}
	}
	return oldest, nil
}

func (g *GitHub) read(ctx context.Context, t githubTicket, id string) (*githubComment, error) {
	return g.write(ctx, "read comment", http.MethodGet, t, t.comment(id), nil)
}

func (g *GitHub) update(ctx context.Context, t githubTicket, id string, b Block) (*githubComment, error) {
	body, err := githubBody(t, b)
	if err != nil {
		return nil, err
	}
	return g.write(ctx, "update comment", http.MethodPatch, t, t.comment(id), body)
}

// write sends a request about one comment. It gives nil where the comment is
// gone while the issue is there: GitHub's 404 says both.
func (g *GitHub) write(ctx context.Context, op, method string, t githubTicket, path string, body any) (*githubComment, error) {
	a, err := g.call.Do(ctx, op, method, path, body)
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusNotFound || a.Status == http.StatusGone {
		issue, err := g.call.Do(ctx, op, http.MethodGet, t.path(), nil)
		if err != nil {
			return nil, err
		}
		if !issue.OK() {
			return nil, g.refused(op, t, issue)
		}
		return nil, nil
	}
	if !a.OK() {
		return nil, g.refused(op, t, a)
	}
	var c githubComment
	if err := g.call.Decode(op, a, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

func (g *GitHub) remove(ctx context.Context, t githubTicket, id string) error {
	const op = "delete comment"
	a, err := g.call.Do(ctx, op, http.MethodDelete, t.comment(id), nil)
	if err != nil || a.OK() || a.Status == http.StatusNotFound {
		return err
	}
	return g.refused(op, t, a)
}

// Remove implements Tracker.
func (g *GitHub) Remove(ctx context.Context, key string, known Ref) (Ref, error) {
	t, err := parseGitHubKey(key)
	if err != nil {
		return known, err
	}
	if known.ID == "" {
		found, err := g.find(ctx, t)
		if err != nil && !isMissing(err) {
			return known, err
		}
		if found == nil {
			return Ref{}, nil
		}
		known = githubRef(*found, "")
	}
	if err := g.remove(ctx, t, known.ID); err != nil {
		return known, err
	}
	return Ref{}, nil
}

// Fetch implements Tracker.
func (g *GitHub) Fetch(ctx context.Context, key string) (Ticket, error) {
	t, err := parseGitHubKey(key)
	if err != nil {
		return Ticket{}, err
	}
	const op = "read issue"
	a, err := g.call.Do(ctx, op, http.MethodGet, t.path(), nil)
	if err != nil {
		return Ticket{}, err
	}
	if !a.OK() {
		return Ticket{}, g.refused(op, t, a)
	}
	var issue struct {
		ID         int64   `json:"id"`
		Number     int64   `json:"number"`
		Title      string  `json:"title"`
		Body       *string `json:"body"`
		State      string  `json:"state"`
		HTMLURL    string  `json:"html_url"`
		Repository string  `json:"repository_url"`
		Labels     []struct {
			Name string `json:"name"`
		} `json:"labels"`
		Assignee *struct {
			Login string `json:"login"`
		} `json:"assignee"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	if err := g.call.Decode(op, a, &issue); err != nil {
		return Ticket{}, err
	}
	out := Ticket{
		Key: t.key(), ID: strconv.FormatInt(issue.ID, 10), Title: issue.Title, Status: issue.State,
		StatusCategory: githubCategory(issue.State),
		URL:            issue.HTMLURL, CreatedAt: issue.CreatedAt, UpdatedAt: issue.UpdatedAt,
	}
	// A transferred issue answers from its new repository.
	if _, repo, ok := strings.Cut(issue.Repository, "/repos/"); ok {
		out.Key = repo + "#" + strconv.FormatInt(issue.Number, 10)
	}
	if issue.Body != nil {
		out.Body = *issue.Body
	}
	if issue.Assignee != nil {
		out.Assignee = issue.Assignee.Login
	}
	for _, l := range issue.Labels {
		out.Labels = append(out.Labels, l.Name)
	}
	return out, nil
}

// githubCategory maps a state: GitHub knows open and closed, whatever the
// reason for closing.
func githubCategory(state string) feedback.StatusCategory {
	if state == "closed" {
		return feedback.Done
	}
	return feedback.Open
}

// Self implements Tracker. An app's installation token may not read /user;
// GraphQL's viewer answers for both kinds of token.
func (g *GitHub) Self(ctx context.Context) (Identity, error) {
	return g.self.get(func() (Identity, error) {
		const op = "read own account"
		a, err := g.call.Do(ctx, op, http.MethodGet, "/user", nil)
		if err != nil {
			return Identity{}, err
		}
		var me struct {
			ID    int64  `json:"id"`
			Login string `json:"login"`
		}
		switch {
		case a.OK():
			err = g.call.Decode(op, a, &me)
		case a.Status == http.StatusForbidden && !githubLimited(a):
			a, err = g.graph.Do(ctx, op, http.MethodPost, "/graphql", map[string]string{"query": "query { viewer { login databaseId } }"})
			if err != nil {
				return Identity{}, err
			}
			if !a.OK() {
				return Identity{}, g.refused(op, githubTicket{}, a)
			}
			var reply struct {
				Data struct {
					Viewer struct {
						Login      string `json:"login"`
						DatabaseID int64  `json:"databaseId"`
					} `json:"viewer"`
				} `json:"data"`
			}
			err = g.call.Decode(op, a, &reply)
			me.ID, me.Login = reply.Data.Viewer.DatabaseID, reply.Data.Viewer.Login
		default:
			return Identity{}, g.refused(op, githubTicket{}, a)
		}
		if err != nil {
			return Identity{}, err
		}
		if me.ID == 0 {
			return Identity{}, &PermanentError{Op: "github: " + op, Reason: "the answer names no account: check that base_url is GitHub's API"}
		}
		return Identity{ID: strconv.FormatInt(me.ID, 10), Name: me.Login}, nil
	})
}

// githubBody is the comment. The marker is its first line, so that nothing a
// customer says can pass for one. Its key is for people: a transferred issue
// takes its comments with it, so we go by the issue a comment is on.
func githubBody(t githubTicket, b Block) (map[string]string, error) {
	marker := fmt.Sprintf("<!-- throughline:v1 key=%s rev=%d hash=%s -->\n", url.QueryEscape(t.key()), b.Revision, url.QueryEscape(b.Hash))
	text, err := fit(b, githubCommentLimit, func(title string, nodes []markup.Node) string {
		return marker + renderMarkdown(title, nodes)
	})
	if err != nil {
		return nil, &PermanentError{Op: "github: render block", Reason: err.Error()}
	}
	return map[string]string{"body": text}, nil
}

// markedHash is the hash in a comment's marker, empty where there is none.
func markedHash(body string) string {
	m := githubMarker.FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	hash, err := url.QueryUnescape(m[1])
	if err != nil {
		return ""
	}
	return hash
}

func githubRef(c githubComment, hash string) Ref {
	return Ref{ID: strconv.FormatInt(c.ID, 10), URL: c.HTMLURL, Extra: map[string]string{extraHash: hash}}
}

// githubLimited tells a limit from a missing permission, which GitHub both
// answers with 403 (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func githubLimited(a wire.Answer) bool {
	return a.Status == http.StatusTooManyRequests || a.Status == http.StatusForbidden &&
		(a.Header.Get("Retry-After") != "" || a.Header.Get("X-Ratelimit-Remaining") == "0" ||
			strings.Contains(strings.ToLower(string(a.Body)), "rate limit"))
}

func (g *GitHub) invisible(t githubTicket, op string, status int) error {
	return g.refused(op, t, wire.Answer{Status: status, Header: http.Header{}})
}

func (g *GitHub) refused(op string, t githubTicket, a wire.Answer) error {
	if githubLimited(a) {
		// The reset header belongs to the hourly limit: it counts only when
		// that one is used up.
		if a.Header.Get("X-Ratelimit-Remaining") != "0" {
			a.Header = a.Header.Clone()
			a.Header.Del("X-Ratelimit-Reset")
		}
		return g.call.Limit(op, a)
	}
	repo := t.owner + "/" + t.repo
	return g.call.Refused(op, a, map[int]string{
		http.StatusUnauthorized:     "the token was not accepted: it has expired or was revoked, make a new one and put it into the configuration",
		http.StatusForbidden:        fmt.Sprintf("the token may not do this in %s: give it Issues: read and write there, and check that the repository is not archived nor the issue locked", repo),
		http.StatusNotFound:         fmt.Sprintf("%s does not exist or the token cannot see it: add %s to the repositories of the app or token", t.key(), repo),
		http.StatusGone:             fmt.Sprintf("%s was deleted, or issues are switched off in %s", t.key(), repo),
		http.StatusMovedPermanently: fmt.Sprintf("%s has moved: the ticket's key has to be updated", repo),
	})
}
