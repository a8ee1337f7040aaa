package vendortest

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const jiraTime = "2006-01-02T15:04:05.000-0700"

// JiraOptions configure a stand-in of one Jira Cloud site.
type JiraOptions struct {
	Email, APIToken string // the only credentials accepted
	AccountID       string // whose credentials they are; empty means "5b10a2844c20165700ede21g"
	Now             func() time.Time
}

// JiraIssue is an issue of the stand-in. Category is new, indeterminate or done.
type JiraIssue struct {
	Key, Summary, Description, Status, Category string
	Labels                                      []string
	Security                                    bool
}

// JiraComment is a comment as stored. Text is the document's words, Mentions
// the accounts that the document would notify.
type JiraComment struct {
	ID, AccountID string
	Body          json.RawMessage
	Text          string
	Mentions      []string
	Properties    map[string]json.RawMessage
	Edits         int
	Notified      int // how often writing it would have notified watchers
}

// JiraRemoteLink is a remote link as stored.
type JiraRemoteLink struct{ GlobalID, URL, Title, Summary string }

// Jira stands in for Jira Cloud's REST v3: issues, comments, properties,
// remote links, the own account.
type Jira struct {
	*Server
	opts   JiraOptions
	mu     sync.Mutex
	nextID int
	issues []*jiraIssue
}

type jiraIssue struct {
	JiraIssue
	id               string
	created, updated time.Time
	comments         []*JiraComment
	properties       map[string]json.RawMessage
	links            []*JiraRemoteLink
}

// NewJira makes an empty site.
func NewJira(o JiraOptions) *Jira {
	if o.AccountID == "" {
		o.AccountID = "5b10a2844c20165700ede21g"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &Jira{opts: o, nextID: 10000}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rest/api/3/myself", j.myself)
	mux.HandleFunc("GET /rest/api/2/search/jql", j.search)
	mux.HandleFunc("GET /rest/api/3/issue/{key}", j.onIssue(j.getIssue))
	mux.HandleFunc("GET /rest/api/3/issue/{key}/comment", j.onIssue(j.listComments))
	mux.HandleFunc("POST /rest/api/3/issue/{key}/comment", j.onIssue(j.addComment))
	mux.HandleFunc("GET /rest/api/3/issue/{key}/comment/{id}", j.onComment(j.getComment))
	mux.HandleFunc("PUT /rest/api/3/issue/{key}/comment/{id}", j.onComment(j.putComment))
	mux.HandleFunc("DELETE /rest/api/3/issue/{key}/comment/{id}", j.onComment(j.deleteComment))
	mux.HandleFunc("POST /rest/api/3/comment/list", j.commentsByID)
	mux.HandleFunc("GET /rest/api/3/issue/{key}/properties/{name}", j.onIssue(j.getProperty))
	mux.HandleFunc("PUT /rest/api/3/issue/{key}/properties/{name}", j.onIssue(j.putProperty))
	mux.HandleFunc("DELETE /rest/api/3/issue/{key}/properties/{name}", j.onIssue(j.deleteProperty))
	mux.HandleFunc("POST /rest/api/3/issue/{key}/remotelink", j.onIssue(j.putLink))
	mux.HandleFunc("DELETE /rest/api/3/issue/{key}/remotelink", j.onIssue(j.deleteLink))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		jiraError(w, http.StatusNotFound, "no such resource in the stand-in")
	})
	j.Server = &Server{routes: j.authenticated(mux), written: j.Written}
	return j
}

// AddIssue adds an issue, or changes the one with the same key as a person
// would. Its version of the time of update is the stand-in's clock.
func (j *Jira) AddIssue(i JiraIssue) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if have := j.find(i.Key); have != nil {
		have.JiraIssue, have.updated = i, j.opts.Now()
		return
	}
	j.issues = append(j.issues, &jiraIssue{
		JiraIssue: i, id: j.id(), created: j.opts.Now(), updated: j.opts.Now(), properties: map[string]json.RawMessage{},
	})
}

// MoveIssue changes an issue's status as a person would.
func (j *Jira) MoveIssue(key, status, category string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(key); i != nil {
		i.Status, i.Category, i.updated = status, category, j.opts.Now()
	}
}

// RemoveIssue deletes an issue with all it holds.
func (j *Jira) RemoveIssue(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.issues = slices.DeleteFunc(j.issues, func(i *jiraIssue) bool { return i.Key == key })
}

// AddComment adds a person's comment and gives its id.
func (j *Jira) AddComment(key, accountID, text string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	body, _ := json.Marshal(map[string]any{"type": "doc", "version": 1, "content": []any{
		map[string]any{"type": "paragraph", "content": []any{map[string]any{"type": "text", "text": text}}}}})
	c := &JiraComment{ID: j.id(), AccountID: accountID, Body: body, Text: text, Properties: map[string]json.RawMessage{}}
	i := j.find(key)
	i.comments = append(i.comments, c)
	return c.ID
}

// DeleteComment deletes a comment as a person would.
func (j *Jira) DeleteComment(key, id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.find(key)
	i.comments = slices.DeleteFunc(i.comments, func(c *JiraComment) bool { return c.ID == id })
}

// Comments are an issue's comments, oldest first.
func (j *Jira) Comments(key string) []JiraComment {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []JiraComment
	if i := j.find(key); i != nil {
		for _, c := range i.comments {
			out = append(out, *c)
		}
	}
	return out
}

// Property is the value of an issue property, nil where there is none.
func (j *Jira) Property(key, name string) json.RawMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(key); i != nil {
		return i.properties[name]
	}
	return nil
}

// RemoteLinks are an issue's remote links.
func (j *Jira) RemoteLinks(key string) []JiraRemoteLink {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []JiraRemoteLink
	if i := j.find(key); i != nil {
		for _, l := range i.links {
			out = append(out, *l)
		}
	}
	return out
}

// Written lists every issue with its comments and links.
func (j *Jira) Written() []Written {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := []Written{}
	for _, i := range j.issues {
		w := Written{Key: i.Key, Title: i.Summary, Status: i.Status, Blocks: []WrittenBlock{}}
		for _, c := range i.comments {
			w.Blocks = append(w.Blocks, WrittenBlock{ID: c.ID, Author: c.AccountID, Own: c.AccountID == j.opts.AccountID, Text: c.Text, Edits: c.Edits})
		}
		for _, l := range i.links {
			w.Links = append(w.Links, WrittenLink{URL: l.URL, Title: l.Title, Summary: l.Summary})
		}
		out = append(out, w)
	}
	return out
}

func (j *Jira) id() string {
	j.nextID++
	return strconv.Itoa(j.nextID)
}

func (j *Jira) find(key string) *jiraIssue {
	for _, i := range j.issues {
		if i.Key == key || i.id == key {
			return i
		}
	}
	return nil
}

func (j *Jira) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, token, ok := r.BasicAuth()
		if !ok || user != j.opts.Email || token != j.opts.APIToken {
			w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
			jiraError(w, http.StatusUnauthorized, "Client must be authenticated to access this resource.")
			return
		}
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				jiraError(w, http.StatusUnsupportedMediaType, "Unsupported Media Type")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (j *Jira) onIssue(do func(http.ResponseWriter, *http.Request, *jiraIssue)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		j.mu.Lock()
		defer j.mu.Unlock()
		i := j.find(r.PathValue("key"))
		if i == nil {
			jiraError(w, http.StatusNotFound, "Issue does not exist or you do not have permission to see it.")
			return
		}
		do(w, r, i)
	}
}

func (j *Jira) onComment(do func(http.ResponseWriter, *http.Request, *jiraIssue, *JiraComment)) http.HandlerFunc {
	return j.onIssue(func(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
		k := slices.IndexFunc(i.comments, func(c *JiraComment) bool { return c.ID == r.PathValue("id") })
		if k < 0 {
			jiraError(w, http.StatusNotFound, "Can not find a comment for the id: "+r.PathValue("id")+".")
			return
		}
		if c := i.comments[k]; r.Method != http.MethodGet && c.AccountID != j.opts.AccountID {
			jiraError(w, http.StatusForbidden, "You do not have the permission to edit this comment.")
			return
		}
		do(w, r, i, i.comments[k])
	})
}

func (j *Jira) myself(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"accountId": j.opts.AccountID, "accountType": "atlassian", "displayName": "Throughline", "active": true})
}

// search answers the second version of the API, whose descriptions are text, with the issues
// that changed since, ten on a page.
func (j *Jira) search(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var since time.Time
	if m := jqlSince.FindStringSubmatch(r.URL.Query().Get("jql")); m != nil {
		since, _ = time.Parse("2006/01/02 15:04", m[1])
	} else {
		jiraError(w, http.StatusBadRequest, "Unbounded JQL queries are not allowed here.")
		return
	}
	start, _ := strconv.Atoi(r.URL.Query().Get("nextPageToken"))
	var found []any
	for _, i := range j.issues {
		if !i.updated.Before(since) {
			project, _, _ := strings.Cut(i.Key, "-")
			found = append(found, map[string]any{"id": i.id, "key": i.Key, "self": "https://acme.example/rest/api/2/issue/" + i.id, "fields": map[string]any{
				"summary": i.Summary, "description": i.Description, "labels": append([]string{}, i.Labels...), "assignee": nil, "security": nil,
				"created": i.created.Format(jiraTime), "updated": i.updated.Format(jiraTime), "project": map[string]any{"key": project},
				"status": map[string]any{"name": i.Status, "statusCategory": map[string]any{"key": i.Category}},
			}})
		}
	}
	end := min(len(found), start+10)
	out := map[string]any{"issues": found[min(start, end):end], "isLast": end == len(found)}
	if end < len(found) {
		out["nextPageToken"] = strconv.Itoa(end)
	}
	writeJSON(w, http.StatusOK, out)
}

var jqlSince = regexp.MustCompile(`^updated >= "([0-9/]{10} [0-9:]{5})" ORDER BY updated ASC$`)

func (j *Jira) getIssue(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	var description any
	if i.Description != "" {
		var paragraphs []any
		for _, p := range strings.Split(i.Description, "\n\n") {
			paragraphs = append(paragraphs, map[string]any{"type": "paragraph", "content": []any{map[string]any{"type": "text", "text": p}}})
		}
		description = map[string]any{"type": "doc", "version": 1, "content": paragraphs}
	}
	all := map[string]any{
		"summary": i.Summary, "description": description, "labels": append([]string{}, i.Labels...), "assignee": nil, "security": nil,
		"created": i.created.Format(jiraTime), "updated": i.updated.Format(jiraTime),
		"status": map[string]any{"name": i.Status, "statusCategory": map[string]any{"key": i.Category}},
	}
	if i.Security {
		all["security"] = map[string]any{"id": "10021", "name": "Staff only"}
	}
	fields := all
	if wanted := r.URL.Query().Get("fields"); wanted != "" {
		fields = map[string]any{}
		for _, name := range strings.Split(wanted, ",") {
			if v, ok := all[name]; ok {
				fields[name] = v
			}
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": i.id, "key": i.Key, "fields": fields})
}

func (j *Jira) listComments(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	q := r.URL.Query()
	start, _ := strconv.Atoi(q.Get("startAt"))
	limit, err := strconv.Atoi(q.Get("maxResults"))
	if err != nil || limit > 100 {
		limit = 100
	}
	page := []any{}
	for k := start; k < len(i.comments) && k < start+limit; k++ {
		page = append(page, commentJSON(i.comments[k], false))
	}
	writeJSON(w, http.StatusOK, map[string]any{"startAt": start, "maxResults": limit, "total": len(i.comments), "comments": page})
}

func commentJSON(c *JiraComment, properties bool) map[string]any {
	out := map[string]any{"id": c.ID, "author": map[string]any{"accountId": c.AccountID}, "body": c.Body}
	if properties {
		list := []any{}
		for _, key := range slices.Sorted(maps.Keys(c.Properties)) {
			list = append(list, map[string]any{"key": key, "value": c.Properties[key]})
		}
		out["properties"] = list
	}
	return out
}

// commentsByID is the one place where the API documents properties of
// comments in bulk: up to 1,000 ids, properties with expand only.
func (j *Jira) commentsByID(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var in struct {
		IDs []int64 `json:"ids"`
	}
	if err := readJSON(r, &in); err != nil || len(in.IDs) == 0 || len(in.IDs) > 1000 {
		jiraError(w, http.StatusBadRequest, "ids must be 1 to 1000 numbers")
		return
	}
	values := []any{}
	for _, i := range j.issues {
		for _, c := range i.comments {
			if n, _ := strconv.ParseInt(c.ID, 10, 64); slices.Contains(in.IDs, n) {
				values = append(values, commentJSON(c, strings.Contains(r.URL.Query().Get("expand"), "properties")))
			}
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"startAt": 0, "maxResults": 1048576, "total": len(values), "isLast": true, "values": values})
}

func (j *Jira) addComment(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	c := &JiraComment{AccountID: j.opts.AccountID, Properties: map[string]json.RawMessage{}}
	if !fillComment(w, r, c) {
		return
	}
	c.ID, c.Notified = j.id(), 1
	i.comments = append(i.comments, c)
	writeJSON(w, http.StatusCreated, commentJSON(c, false))
}

func (j *Jira) getComment(w http.ResponseWriter, _ *http.Request, _ *jiraIssue, c *JiraComment) {
	writeJSON(w, http.StatusOK, commentJSON(c, false))
}

func (j *Jira) putComment(w http.ResponseWriter, r *http.Request, _ *jiraIssue, c *JiraComment) {
	if !fillComment(w, r, c) {
		return
	}
	c.Edits++
	if r.URL.Query().Get("notifyUsers") != "false" {
		c.Notified++
	}
	writeJSON(w, http.StatusOK, commentJSON(c, false))
}

func (j *Jira) deleteComment(w http.ResponseWriter, _ *http.Request, i *jiraIssue, c *JiraComment) {
	i.comments = slices.DeleteFunc(i.comments, func(have *JiraComment) bool { return have == c })
	w.WriteHeader(http.StatusNoContent)
}

func fillComment(w http.ResponseWriter, r *http.Request, c *JiraComment) bool {
	var in struct {
		Body       json.RawMessage `json:"body"`
		Properties []struct {
			Key   string          `json:"key"`
			Value json.RawMessage `json:"value"`
		} `json:"properties"`
	}
	if err := readJSON(r, &in); err != nil {
		jiraError(w, http.StatusBadRequest, "Invalid request payload. Refer to the REST API documentation and try again.")
		return false
	}
	if units(string(in.Body)) > 32767 {
		jiraFieldError(w, "comment", "CONTENT_LIMIT_EXCEEDED")
		return false
	}
	doc, err := readADF(in.Body)
	if err != nil {
		jiraFieldError(w, "comment", "Comment body is not valid! "+err.Error())
		return false
	}
	for _, p := range in.Properties {
		if p.Key == "" || len(p.Key) > 255 || len(p.Value) == 0 || len(p.Value) > 32768 {
			jiraError(w, http.StatusBadRequest, "a property needs a key of 1 to 255 and a value of 1 to 32768 characters")
			return false
		}
	}
	for _, p := range in.Properties {
		c.Properties[p.Key] = p.Value
	}
	c.Body, c.Text, c.Mentions = in.Body, doc.text, doc.mentions
	return true
}

func (j *Jira) getProperty(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	name := r.PathValue("name")
	v, ok := i.properties[name]
	if !ok {
		jiraError(w, http.StatusNotFound, "The property with key '"+name+"' does not exist.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"key": name, "value": v})
}

func (j *Jira) putProperty(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	var v json.RawMessage
	if err := readJSON(r, &v); err != nil || len(v) > 32768 || len(r.PathValue("name")) > 255 {
		jiraError(w, http.StatusBadRequest, "The value has to be a non-empty, valid JSON value of at most 32768 characters.")
		return
	}
	_, had := i.properties[r.PathValue("name")]
	i.properties[r.PathValue("name")] = v
	w.WriteHeader(map[bool]int{true: http.StatusOK, false: http.StatusCreated}[had])
}

func (j *Jira) deleteProperty(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	if _, ok := i.properties[r.PathValue("name")]; !ok {
		jiraError(w, http.StatusNotFound, "The property does not exist.")
		return
	}
	delete(i.properties, r.PathValue("name"))
	w.WriteHeader(http.StatusNoContent)
}

func (j *Jira) putLink(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	var in struct {
		GlobalID     string         `json:"globalId"`
		Application  map[string]any `json:"application"`
		Relationship string         `json:"relationship"`
		Object       struct {
			URL     string `json:"url"`
			Title   string `json:"title"`
			Summary string `json:"summary"`
		} `json:"object"`
	}
	if err := readJSON(r, &in); err != nil || len(in.GlobalID) > 255 || in.Object.URL == "" || in.Object.Title == "" || len(in.Object.Title) > 1024 {
		jiraError(w, http.StatusBadRequest, "object.url and object.title are required; globalId has at most 255 characters")
		return
	}
	link := JiraRemoteLink{GlobalID: in.GlobalID, URL: in.Object.URL, Title: in.Object.Title, Summary: in.Object.Summary}
	for k, have := range i.links {
		if in.GlobalID != "" && have.GlobalID == in.GlobalID {
			*have = link
			writeJSON(w, http.StatusOK, map[string]any{"id": 10000 + k})
			return
		}
	}
	i.links = append(i.links, &link)
	writeJSON(w, http.StatusCreated, map[string]any{"id": 10000 + len(i.links) - 1})
}

func (j *Jira) deleteLink(w http.ResponseWriter, r *http.Request, i *jiraIssue) {
	id := r.URL.Query().Get("globalId")
	k := slices.IndexFunc(i.links, func(l *JiraRemoteLink) bool { return l.GlobalID == id })
	if id == "" || k < 0 {
		jiraError(w, http.StatusNotFound, "No remote issue link with that global id.")
		return
	}
	i.links = slices.Delete(i.links, k, k+1)
	w.WriteHeader(http.StatusNoContent)
}

func jiraError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"errorMessages": []string{message}, "errors": map[string]string{}})
}

func jiraFieldError(w http.ResponseWriter, field, message string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"errorMessages": []string{}, "errors": map[string]string{field: message}})
}
