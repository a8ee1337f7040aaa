package vendortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GitHubOptions configure a stand-in of GitHub's API.
type GitHubOptions struct {
	Token string // the only one accepted
	Login string // whose token it is; empty means "throughline[bot]"
	// Installation makes the token an app's installation token, which may not
	// read GET /user.
	Installation bool
	Now          func() time.Time
}

// GitHubIssue is an issue of the stand-in. Key is owner/repo#1, State open or
// closed.
type GitHubIssue struct {
	Key, Title, Body, State string
	Labels                  []string
}

// GitHubComment is a comment as stored.
type GitHubComment struct {
	ID    int64
	Login string
	Body  string
	URL   string
	Edits int
}

// GitHub stands in for GitHub's REST API of issues and comments.
type GitHub struct {
	*Server
	opts   GitHubOptions
	mu     sync.Mutex
	nextID int64
	users  []string
	issues []*githubIssue
}

type githubIssue struct {
	GitHubIssue
	id               int64
	created, updated time.Time
	comments         []*GitHubComment
}

const githubBotID = 41898282

// NewGitHub makes an empty GitHub.
func NewGitHub(o GitHubOptions) *GitHub {
	if o.Login == "" {
		o.Login = "throughline[bot]"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &GitHub{opts: o, nextID: 492700400}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /user", g.user)
	mux.HandleFunc("POST /graphql", g.viewer)
	mux.HandleFunc("GET /issues", g.list)
	const issues = "/repos/{owner}/{repo}/issues/"
	mux.HandleFunc("GET "+issues+"{number}", g.onIssue(g.getIssue))
	mux.HandleFunc(issues+"{a}/{b}", g.comments)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { githubError(w, http.StatusNotFound, "Not Found") })
	g.Server = &Server{routes: g.authenticated(mux), written: g.Written}
	return g
}

// AddIssue adds an issue, or changes the one with the same key as a person
// would.
func (g *GitHub) AddIssue(i GitHubIssue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if have := g.find(i.Key); have != nil {
		have.GitHubIssue, have.updated = i, g.opts.Now()
		return
	}
	g.issues = append(g.issues, &githubIssue{GitHubIssue: i, id: g.id(), created: g.opts.Now(), updated: g.opts.Now()})
}

// RemoveIssue deletes an issue with its comments.
func (g *GitHub) RemoveIssue(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issues = slices.DeleteFunc(g.issues, func(i *githubIssue) bool { return i.Key == key })
}

// AddComment adds somebody's comment and gives its id.
func (g *GitHub) AddComment(key, login, body string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.add(g.find(key), login, body).ID
}

// DeleteComment deletes a comment as a person would.
func (g *GitHub) DeleteComment(id int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, i := range g.issues {
		i.comments = slices.DeleteFunc(i.comments, func(c *GitHubComment) bool { return c.ID == id })
	}
}

// Comments are an issue's comments, oldest first.
func (g *GitHub) Comments(key string) []GitHubComment {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []GitHubComment
	if i := g.find(key); i != nil {
		for _, c := range i.comments {
			out = append(out, *c)
		}
	}
	return out
}

// Written lists every issue with its comments.
func (g *GitHub) Written() []Written {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []Written{}
	for _, i := range g.issues {
		w := Written{Key: i.Key, Title: i.Title, Status: i.State, Blocks: []WrittenBlock{}}
		for _, c := range i.comments {
			w.Blocks = append(w.Blocks, WrittenBlock{ID: strconv.FormatInt(c.ID, 10), Author: c.Login, Own: c.Login == g.opts.Login, Text: c.Body, URL: c.URL, Edits: c.Edits})
		}
		out = append(out, w)
	}
	return out
}

func (g *GitHub) id() int64 {
	g.nextID++
	return g.nextID
}

func (g *GitHub) find(key string) *githubIssue {
	for _, i := range g.issues {
		if strings.EqualFold(i.Key, key) {
			return i
		}
	}
	return nil
}

func (g *GitHub) add(i *githubIssue, login, body string) *GitHubComment {
	id := g.id()
	c := &GitHubComment{ID: id, Login: login, Body: body, URL: githubPage(i.Key) + "#issuecomment-" + strconv.FormatInt(id, 10)}
	i.comments = append(i.comments, c)
	return c
}

// userID gives each login an id; GitHub's own numbers are as stable.
func (g *GitHub) userID(login string) int64 {
	if login == g.opts.Login {
		return githubBotID
	}
	k := slices.Index(g.users, login)
	if k < 0 {
		g.users = append(g.users, login)
		k = len(g.users) - 1
	}
	return int64(1000 + k)
}

func githubPage(key string) string {
	repo, number, _ := strings.Cut(key, "#")
	return "https://github.com/" + repo + "/issues/" + number
}

func (g *GitHub) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", "4999")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(g.opts.Now().Add(time.Hour).Unix(), 10))
		switch {
		case r.Header.Get("User-Agent") == "" || strings.HasPrefix(r.Header.Get("User-Agent"), "Go-http-client"):
			githubError(w, http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
		case r.Header.Get("Authorization") != "Bearer "+g.opts.Token:
			githubError(w, http.StatusUnauthorized, "Bad credentials")
		case r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
			githubError(w, http.StatusBadRequest, "The given API version is not supported")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *GitHub) onIssue(do func(http.ResponseWriter, *http.Request, *githubIssue)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		i := g.find(r.PathValue("owner") + "/" + r.PathValue("repo") + "#" + r.PathValue("number"))
		if i == nil {
			githubError(w, http.StatusNotFound, "Not Found")
			return
		}
		do(w, r, i)
	}
}

func (g *GitHub) onComment(do func(http.ResponseWriter, *http.Request, *githubIssue, *GitHubComment)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		repo := r.PathValue("owner") + "/" + r.PathValue("repo") + "#"
		for _, i := range g.issues {
			for _, c := range i.comments {
				if !strings.HasPrefix(i.Key, repo) || strconv.FormatInt(c.ID, 10) != r.PathValue("id") {
					continue
				}
				if r.Method != http.MethodGet && c.Login != g.opts.Login {
					githubError(w, http.StatusForbidden, "Resource not accessible by integration")
					return
				}
				do(w, r, i, c)
				return
			}
		}
		githubError(w, http.StatusNotFound, "Not Found")
	}
}

// comments serves issues/1/comments and issues/comments/1, two patterns that
// net/http's mux takes for a conflict.
func (g *GitHub) comments(w http.ResponseWriter, r *http.Request) {
	do := func(w http.ResponseWriter, _ *http.Request) { githubError(w, http.StatusNotFound, "Not Found") }
	if r.PathValue("a") == "comments" {
		r.SetPathValue("id", r.PathValue("b"))
		switch r.Method {
		case http.MethodGet:
			do = g.onComment(g.getComment)
		case http.MethodPatch:
			do = g.onComment(g.patchComment)
		case http.MethodDelete:
			do = g.onComment(g.deleteComment)
		}
	} else if r.PathValue("b") == "comments" {
		r.SetPathValue("number", r.PathValue("a"))
		switch r.Method {
		case http.MethodGet:
			do = g.onIssue(g.listComments)
		case http.MethodPost:
			do = g.onIssue(g.addComment)
		}
	}
	do(w, r)
}

func (g *GitHub) user(w http.ResponseWriter, _ *http.Request) {
	if g.opts.Installation {
		githubError(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"login": g.opts.Login, "id": githubBotID, "type": "User"})
}

func (g *GitHub) viewer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Query string `json:"query"`
	}
	if err := readJSON(r, &in); err != nil || strings.Join(strings.Fields(in.Query), " ") != "query { viewer { login databaseId } }" {
		writeJSON(w, http.StatusOK, map[string]any{"errors": []any{map[string]any{"message": "the stand-in answers viewer { login databaseId } only"}}})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"viewer": map[string]any{"login": g.opts.Login, "databaseId": githubBotID}}})
}

// list answers the issues of all repositories that changed since, oldest change first.
func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := r.URL.Query()
	since, err := time.Parse(time.RFC3339, q.Get("since"))
	if err != nil || q.Get("filter") != "all" || q.Get("state") != "all" || q.Get("sort") != "updated" || q.Get("direction") != "asc" {
		githubError(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	per, _ := strconv.Atoi(q.Get("per_page"))
	page, _ := strconv.Atoi(q.Get("page"))
	found := []*githubIssue{}
	for _, i := range g.issues {
		if !i.updated.Before(since) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b *githubIssue) int { return a.updated.Compare(b.updated) })
	out := []any{}
	for k := (max(page, 1) - 1) * per; k < len(found) && len(out) < per; k++ {
		out = append(out, g.value(found[k]))
	}
	writeJSON(w, http.StatusOK, out)
}

func (g *GitHub) getIssue(w http.ResponseWriter, _ *http.Request, i *githubIssue) {
	writeJSON(w, http.StatusOK, g.value(i))
}

func (g *GitHub) value(i *githubIssue) map[string]any {
	repo, number, _ := strings.Cut(i.Key, "#")
	n, _ := strconv.ParseInt(number, 10, 64)
	labels := []any{}
	for _, l := range i.Labels {
		labels = append(labels, map[string]any{"name": l})
	}
	var body any
	if i.Body != "" {
		body = i.Body
	}
	return map[string]any{
		"id": i.id, "number": n, "title": i.Title, "body": body, "state": i.State, "state_reason": nil, "labels": labels, "assignee": nil,
		"html_url": githubPage(i.Key), "repository_url": "https://api.github.com/repos/" + repo, "comments": len(i.comments),
		"created_at": i.created.UTC().Format(time.RFC3339), "updated_at": i.updated.UTC().Format(time.RFC3339),
	}
}

func (g *GitHub) listComments(w http.ResponseWriter, r *http.Request, i *githubIssue) {
	q := r.URL.Query()
	per := 30
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		per = min(n, 100)
	}
	page, _ := strconv.Atoi(q.Get("page"))
	page = max(page, 1)
	list := []any{}
	for k := (page - 1) * per; k < len(i.comments) && k < page*per; k++ {
		list = append(list, g.commentJSON(i, i.comments[k]))
	}
	if page*per < len(i.comments) {
		next := url.Values{"per_page": {strconv.Itoa(per)}, "page": {strconv.Itoa(page + 1)}}
		w.Header().Set("Link", fmt.Sprintf(`<https://api.github.com%s?%s>; rel="next"`, r.URL.Path, next.Encode()))
	}
	writeJSON(w, http.StatusOK, list)
}

func (g *GitHub) commentJSON(i *githubIssue, c *GitHubComment) map[string]any {
	kind := "User"
	if strings.HasSuffix(c.Login, "[bot]") {
		kind = "Bot"
	}
	return map[string]any{
		"id": c.ID, "html_url": c.URL, "body": c.Body, "user": map[string]any{"login": c.Login, "id": g.userID(c.Login), "type": kind},
	}
}

func (g *GitHub) readBody(w http.ResponseWriter, r *http.Request) (string, bool) {
	var in struct {
		Body json.RawMessage `json:"body"`
	}
	var body string
	if err := readJSON(r, &in); err != nil {
		githubError(w, http.StatusBadRequest, "Problems parsing JSON")
		return "", false
	}
	switch err := json.Unmarshal(in.Body, &body); {
	case err != nil || strings.TrimSpace(body) == "":
		githubError(w, http.StatusUnprocessableEntity, "Validation Failed: body cannot be blank")
		return "", false
	case units(body) > 65536:
		githubError(w, http.StatusUnprocessableEntity, "Validation Failed: body is too long (maximum is 65536 characters)")
		return "", false
	}
	return body, true
}

func (g *GitHub) addComment(w http.ResponseWriter, r *http.Request, i *githubIssue) {
	if body, ok := g.readBody(w, r); ok {
		writeJSON(w, http.StatusCreated, g.commentJSON(i, g.add(i, g.opts.Login, body)))
	}
}

func (g *GitHub) getComment(w http.ResponseWriter, _ *http.Request, i *githubIssue, c *GitHubComment) {
	writeJSON(w, http.StatusOK, g.commentJSON(i, c))
}

func (g *GitHub) patchComment(w http.ResponseWriter, r *http.Request, i *githubIssue, c *GitHubComment) {
	if body, ok := g.readBody(w, r); ok {
		c.Body = body
		c.Edits++
		writeJSON(w, http.StatusOK, g.commentJSON(i, c))
	}
}

func (g *GitHub) deleteComment(w http.ResponseWriter, _ *http.Request, i *githubIssue, c *GitHubComment) {
	i.comments = slices.DeleteFunc(i.comments, func(have *GitHubComment) bool { return have == c })
	w.WriteHeader(http.StatusNoContent)
}

func githubError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}
