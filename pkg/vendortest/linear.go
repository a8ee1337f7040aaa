package vendortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/throughline-dev/throughline/schemas/trackers"
)

// LinearOptions configure a stand-in of Linear's API.
type LinearOptions struct {
	APIKey string // the only one accepted, as it stands in the Authorization header
	Now    func() time.Time
}

// LinearIssue is an issue of the stand-in. StateType is triage, backlog,
// unstarted, started, completed or canceled.
type LinearIssue struct {
	Key, Title, Description, State, StateType string
	Labels                                    []string
}

// LinearComment is a comment as stored.
type LinearComment struct {
	ID, UserID, Body, URL string
	Edits                 int
}

// LinearAttachment is an attachment as stored.
type LinearAttachment struct {
	ID, URL, Title, Subtitle string
	Metadata                 map[string]any
	Edits                    int
}

// Linear stands in for Linear's GraphQL API of issues, comments and
// attachments. Every operation is parsed and checked, with its variables,
// against schemas/trackers/linear/schema.graphql.
type Linear struct {
	*Server
	opts    LinearOptions
	schema  *ast.Schema
	mu      sync.Mutex
	nextID  int
	issues  []*linearIssue
	deleted map[string]bool // ids of comments that were and are no more
}

type linearIssue struct {
	LinearIssue
	id               string
	created, updated time.Time
	comments         []*LinearComment
	attachments      []*LinearAttachment
}

const linearUserID = "674c90c8-35ea-454d-8ca4-5548258fd795"

var linearUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// NewLinear makes an empty workspace. It fails only where the schema in the
// repository cannot be parsed.
func NewLinear(o LinearOptions) (*Linear, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	text, err := trackers.Files.ReadFile("linear/schema.graphql")
	if err != nil {
		return nil, fmt.Errorf("read linear schema: %w", err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: string(text)})
	if err != nil {
		return nil, fmt.Errorf("parse linear schema: %w", err)
	}
	l := &Linear{opts: o, schema: schema, deleted: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /graphql", l.graphql)
	l.Server = &Server{routes: mux, written: l.Written}
	return l, nil
}

// AddIssue adds an issue, or changes the one with the same key as a person
// would, and gives its id.
func (l *Linear) AddIssue(i LinearIssue) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.find(i.Key); have != nil {
		have.LinearIssue, have.updated = i, l.opts.Now()
		return have.id
	}
	issue := &linearIssue{LinearIssue: i, id: l.uuid(), created: l.opts.Now(), updated: l.opts.Now()}
	l.issues = append(l.issues, issue)
	return issue.id
}

// RemoveIssue deletes an issue with all it holds.
func (l *Linear) RemoveIssue(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issues = slices.DeleteFunc(l.issues, func(i *linearIssue) bool { return i.Key == key })
}

// AddComment adds a person's comment and gives its id.
func (l *Linear) AddComment(key, userID, body string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.find(key)
	c := &LinearComment{ID: l.uuid(), UserID: userID, Body: body}
	i.comments = append(i.comments, c)
	return c.ID
}

// DeleteComment deletes a comment as a person would. Its id stays taken.
func (l *Linear) DeleteComment(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(id)
}

// Comments are an issue's comments, oldest first.
func (l *Linear) Comments(key string) []LinearComment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LinearComment
	if i := l.find(key); i != nil {
		for _, c := range i.comments {
			out = append(out, *c)
		}
	}
	return out
}

// Attachments are an issue's attachments.
func (l *Linear) Attachments(key string) []LinearAttachment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LinearAttachment
	if i := l.find(key); i != nil {
		for _, a := range i.attachments {
			out = append(out, *a)
		}
	}
	return out
}

// Written lists every issue with its comments and attachments.
func (l *Linear) Written() []Written {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Written{}
	for _, i := range l.issues {
		w := Written{Key: i.Key, Title: i.Title, Status: i.State, Blocks: []WrittenBlock{}}
		for _, c := range i.comments {
			w.Blocks = append(w.Blocks, WrittenBlock{ID: c.ID, Author: c.UserID, Own: c.UserID == linearUserID, Text: c.Body, URL: c.URL, Edits: c.Edits})
		}
		for _, a := range i.attachments {
			w.Links = append(w.Links, WrittenLink{URL: a.URL, Title: a.Title, Summary: a.Subtitle})
		}
		out = append(out, w)
	}
	return out
}

func (l *Linear) uuid() string {
	l.nextID++
	return fmt.Sprintf("3443a709-f2b5-46f2-a136-%012d", l.nextID)
}

func (l *Linear) find(key string) *linearIssue {
	for _, i := range l.issues {
		if i.Key == key || i.id == key {
			return i
		}
	}
	return nil
}

func (l *Linear) comment(id string) (*linearIssue, *LinearComment) {
	for _, i := range l.issues {
		for _, c := range i.comments {
			if c.ID == id {
				return i, c
			}
		}
	}
	return nil, nil
}

func (l *Linear) drop(id string) bool {
	i, c := l.comment(id)
	if c == nil {
		return false
	}
	i.comments = slices.DeleteFunc(i.comments, func(have *LinearComment) bool { return have == c })
	l.deleted[id] = true
	return true
}

// linearError is an error in Linear's envelope.
type linearError struct {
	status              int
	message, kind, code string
}

func (e *linearError) Error() string { return e.message }

func notFound(entity string) error {
	return &linearError{http.StatusOK, "Entity not found: " + entity + " - Could not find referenced " + entity + ".", "invalid input", "INPUT_ERROR"}
}

func invalidInput(message string) error {
	return &linearError{http.StatusBadRequest, message, "invalid input", "INPUT_ERROR"}
}

func (l *Linear) graphql(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Header.Get("Authorization") != l.opts.APIKey {
		linearFail(w, &linearError{http.StatusUnauthorized, "Authentication required, not authenticated", "authentication error", "AUTHENTICATION_ERROR"})
		return
	}
	var in struct {
		Query         string         `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
	}
	if err := readJSON(r, &in); err != nil {
		linearFail(w, &linearError{http.StatusBadRequest, "the body is not a GraphQL request", "graphql error", "BAD_REQUEST"})
		return
	}
	doc, errs := gqlparser.LoadQueryWithRules(l.schema, in.Query, rules.NewDefaultRules())
	if len(errs) > 0 {
		linearFail(w, &linearError{http.StatusBadRequest, errs.Error(), "graphql error", "GRAPHQL_VALIDATION_FAILED"})
		return
	}
	op := doc.Operations.ForName(in.OperationName)
	if op == nil {
		linearFail(w, &linearError{http.StatusBadRequest, "Unknown operation named " + in.OperationName, "graphql error", "OPERATION_RESOLUTION_FAILURE"})
		return
	}
	variables, err := validator.VariableValues(l.schema, op, in.Variables)
	if err != nil {
		linearFail(w, &linearError{http.StatusBadRequest, err.Error(), "graphql error", "BAD_USER_INPUT"})
		return
	}
	data := map[string]any{}
	for _, s := range op.SelectionSet {
		field, ok := s.(*ast.Field)
		if !ok {
			linearFail(w, &linearError{http.StatusBadRequest, "the stand-in knows no fragments", "graphql error", "BAD_REQUEST"})
			return
		}
		value, err := l.resolve(field.Name, field.ArgumentMap(variables))
		if err != nil {
			linearFail(w, err)
			return
		}
		data[field.Alias] = project(value, field.SelectionSet, variables)
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": data})
}

// connection is a list that is read in pages: first of at most 250, 50 where
// not given, after a cursor.
type connection []*LinearComment

func (c connection) page(args map[string]any) map[string]any {
	first, start := int64(50), 0
	if n, ok := args["first"].(int64); ok {
		first = min(n, 250)
	}
	if after, ok := args["after"].(string); ok {
		start = 1 + slices.IndexFunc(c, func(have *LinearComment) bool { return have.ID == after })
	}
	end := min(len(c), start+int(first))
	nodes := []map[string]any{}
	var cursor any
	for _, n := range c[start:end] {
		nodes = append(nodes, map[string]any{"id": n.ID, "body": n.Body, "url": n.URL})
		cursor = n.ID
	}
	return map[string]any{"nodes": nodes, "pageInfo": map[string]any{"hasNextPage": end < len(c), "endCursor": cursor}}
}

// project keeps what was selected.
func project(value any, set ast.SelectionSet, variables map[string]any) any {
	switch v := value.(type) {
	case []map[string]any:
		out := []any{}
		for _, e := range v {
			out = append(out, project(e, set, variables))
		}
		return out
	case map[string]any:
		if len(set) == 0 {
			return v
		}
		out := map[string]any{}
		for _, s := range set {
			if f, ok := s.(*ast.Field); ok {
				child := v[f.Name]
				if list, ok := child.(connection); ok {
					child = list.page(f.ArgumentMap(variables))
				}
				out[f.Alias] = project(child, f.SelectionSet, variables)
			}
		}
		return out
	}
	return value
}

func (l *Linear) resolve(name string, args map[string]any) (any, error) {
	id, _ := args["id"].(string)
	input, _ := args["input"].(map[string]any)
	str := func(key string) string { s, _ := input[key].(string); return s }
	switch name {
	case "viewer":
		return map[string]any{"id": linearUserID, "name": "Throughline", "displayName": "throughline"}, nil
	case "issue":
		i := l.find(id)
		if i == nil {
			return nil, notFound("Issue")
		}
		return l.issueValue(i), nil
	case "issues":
		return l.changed(args), nil
	case "comment":
		i, c := l.comment(id)
		if c == nil {
			return nil, notFound("Comment")
		}
		return l.commentValue(i, c), nil
	case "commentCreate":
		i := l.find(str("issueId"))
		id := str("id")
		_, taken := l.comment(id)
		switch {
		case i == nil:
			return nil, notFound("Issue")
		case strings.TrimSpace(str("body")) == "":
			return nil, invalidInput("Argument Validation Error: body must not be empty")
		case id == "":
			id = l.uuid()
		case !linearUUID.MatchString(id):
			return nil, invalidInput("Argument Validation Error: id must be a UUID")
		case taken != nil || l.deleted[id]:
			return nil, invalidInput("Entity already exists: an entity with this id already exists")
		}
		c := &LinearComment{ID: id, UserID: linearUserID, Body: str("body"), URL: linearPage(i) + "#comment-" + id[:8]}
		i.comments = append(i.comments, c)
		return map[string]any{"success": true, "comment": l.commentValue(i, c)}, nil
	case "commentUpdate":
		i, c := l.comment(id)
		if c == nil {
			return nil, notFound("Comment")
		}
		if c.UserID != linearUserID {
			return nil, &linearError{http.StatusOK, "You can only edit your own comments", "forbidden", "FORBIDDEN"}
		}
		c.Body = str("body")
		c.Edits++
		return map[string]any{"success": true, "comment": l.commentValue(i, c)}, nil
	case "commentDelete":
		if !l.drop(id) {
			return nil, notFound("Comment")
		}
		return map[string]any{"success": true, "entityId": id}, nil
	case "attachmentCreate":
		return l.attach(str, input)
	case "attachmentDelete":
		for _, i := range l.issues {
			k := slices.IndexFunc(i.attachments, func(a *LinearAttachment) bool { return a.ID == id })
			if k >= 0 {
				i.attachments = slices.Delete(i.attachments, k, k+1)
				return map[string]any{"success": true, "entityId": id}, nil
			}
		}
		return nil, notFound("Attachment")
	}
	return nil, invalidInput("the stand-in does not know " + name)
}

func (l *Linear) attach(str func(string) string, input map[string]any) (any, error) {
	i := l.find(str("issueId"))
	if i == nil {
		return nil, notFound("Issue")
	}
	if !strings.HasPrefix(str("url"), "http") || str("title") == "" {
		return nil, invalidInput("Argument Validation Error: url must be a URL and title must not be empty")
	}
	metadata, _ := input["metadata"].(map[string]any)
	k := slices.IndexFunc(i.attachments, func(a *LinearAttachment) bool { return a.URL == str("url") })
	if k < 0 {
		i.attachments = append(i.attachments, &LinearAttachment{ID: l.uuid(), URL: str("url"), Edits: -1})
		k = len(i.attachments) - 1
	}
	a := i.attachments[k]
	a.Title, a.Subtitle, a.Metadata = str("title"), str("subtitle"), metadata
	a.Edits++
	return map[string]any{"success": true, "attachment": map[string]any{"id": a.ID, "url": a.URL, "title": a.Title, "subtitle": a.Subtitle, "metadata": a.Metadata}}, nil
}

func (l *Linear) issueValue(i *linearIssue) map[string]any {
	labels := []map[string]any{}
	for k, name := range i.Labels {
		labels = append(labels, map[string]any{"id": fmt.Sprintf("label-%d", k), "name": name})
	}
	var description any
	if i.Description != "" {
		description = i.Description
	}
	team, _, _ := strings.Cut(i.Key, "-")
	return map[string]any{
		"team": map[string]any{"id": "team-" + team, "key": team}, "archivedAt": nil, "id": i.id, "identifier": i.Key, "title": i.Title, "description": description, "url": linearPage(i),
		"createdAt": i.created.UTC().Format(time.RFC3339Nano), "updatedAt": i.updated.UTC().Format(time.RFC3339Nano),
		"comments": connection(i.comments), "state": map[string]any{"id": "state", "name": i.State, "type": i.StateType}, "assignee": nil, "labels": map[string]any{"nodes": labels},
	}
}

// changed are the issues that changed since, in pages.
func (l *Linear) changed(args map[string]any) map[string]any {
	filter, _ := args["filter"].(map[string]any)
	updated, _ := filter["updatedAt"].(map[string]any)
	text, _ := updated["gte"].(string)
	since, _ := time.Parse(time.RFC3339, text)
	start := 0
	if after, ok := args["after"].(string); ok {
		start = 1 + slices.IndexFunc(l.issues, func(i *linearIssue) bool { return i.id == after })
	}
	const perPage = 10
	nodes, cursor, more := []map[string]any{}, "", false
	for _, i := range l.issues[start:] {
		if i.updated.Before(since) {
			continue
		}
		if len(nodes) == perPage {
			more = true
			break
		}
		nodes, cursor = append(nodes, l.issueValue(i)), i.id
	}
	return map[string]any{"nodes": nodes, "pageInfo": map[string]any{"hasNextPage": more, "endCursor": cursor}}
}

func (l *Linear) commentValue(i *linearIssue, c *LinearComment) map[string]any {
	return map[string]any{"id": c.ID, "body": c.Body, "url": c.URL, "user": map[string]any{"id": c.UserID, "name": c.UserID}, "issue": l.issueValue(i)}
}

func linearPage(i *linearIssue) string { return "https://linear.app/acme/issue/" + i.Key }

func linearFail(w http.ResponseWriter, err error) {
	e, ok := err.(*linearError)
	if !ok {
		e = &linearError{http.StatusInternalServerError, err.Error(), "internal error", "INTERNAL_SERVER_ERROR"}
	}
	raw, _ := json.Marshal(e.message)
	writeJSON(w, e.status, map[string]any{"data": nil, "errors": []any{map[string]any{
		"message":    json.RawMessage(raw),
		"extensions": map[string]any{"type": e.kind, "code": e.code, "userError": e.kind == "invalid input", "userPresentableMessage": json.RawMessage(raw)},
	}}})
}
