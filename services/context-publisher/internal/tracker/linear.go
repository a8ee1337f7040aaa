package tracker

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const (
	linearAPI = "https://api.linear.app"
	// linearCommentLimit is our own bound: Linear documents none for a comment.
	linearCommentLimit = 32000
	// linearGenerations bounds how often a block can be recreated after it was
	// deleted: the id of a deleted comment stays taken.
	linearGenerations = 64
)

var linearKey = regexp.MustCompile(`^[A-Z0-9]{1,20}-[0-9]{1,12}$`)

// linearNamespace is the namespace of our comment ids (RFC 9562 §5.5). It is
// fixed for life: changing it would write every block again.
var linearNamespace = [16]byte{0x6f, 0x1d, 0x3c, 0x52, 0x8a, 0x57, 0x4e, 0x0b, 0x9c, 0x1e, 0x70, 0x2b, 0x44, 0xd9, 0x11, 0xe3}

// LinearConfig says as whom to write. BaseURL is empty for Linear's cloud;
// APIKey is a personal API key, or an OAuth token that begins with
// "lin_oauth_".
type LinearConfig struct {
	BaseURL string
	APIKey  string
}

// Linear writes one comment under an id that follows from the issue, so that
// creating it twice is creating it once, and one attachment, which Linear
// itself keeps single by its URL.
type Linear struct {
	call *wire.Caller
	self identityOnce
}

// NewLinear makes a tracker; it sends nothing. A configuration that cannot
// work is a permanent error.
func NewLinear(c LinearConfig, o Options) (*Linear, error) {
	if c.APIKey == "" {
		return nil, &PermanentError{Op: "linear: configure", Reason: "api_key is needed"}
	}
	if c.BaseURL == "" {
		c.BaseURL = linearAPI
	}
	auth := c.APIKey
	if strings.HasPrefix(auth, "lin_oauth_") {
		auth = "Bearer " + auth
	}
	call, err := wire.New("linear", c.BaseURL, auth, nil, o)
	if err != nil {
		return nil, err
	}
	return &Linear{call: call}, nil
}

// Kind is feedback.Linear.
func (l *Linear) Kind() feedback.Tracker { return feedback.Linear }

// The operations, each by its name. schemas/trackers/linear/schema.graphql is
// the part of Linear's schema they are checked against.
const (
	linearViewer = `query ThroughlineViewer { viewer { id name } }`

	linearIssue = `query ThroughlineIssue($id: String!) {
  issue(id: $id) {
    id identifier title description url createdAt updatedAt
    state { name type }
    assignee { name }
    labels(first: 50) { nodes { name } }
  }
}`

	linearComments = `query ThroughlineComments($id: String!, $after: String) {
  issue(id: $id) { comments(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }
}`

	linearComment = `query ThroughlineComment($id: String!) { comment(id: $id) { id url } }`

	linearCommentCreate = `mutation ThroughlineCommentCreate($input: CommentCreateInput!) {
  commentCreate(input: $input) { success comment { id url } }
}`

	linearCommentUpdate = `mutation ThroughlineCommentUpdate($id: String!, $input: CommentUpdateInput!) {
  commentUpdate(id: $id, input: $input) { success comment { id url } }
}`

	linearCommentDelete = `mutation ThroughlineCommentDelete($id: String!) { commentDelete(id: $id) { success } }`

	linearAttachmentCreate = `mutation ThroughlineAttachmentCreate($input: AttachmentCreateInput!) {
  attachmentCreate(input: $input) { success attachment { id } }
}`

	linearAttachmentDelete = `mutation ThroughlineAttachmentDelete($id: String!) { attachmentDelete(id: $id) { success } }`
)

type linearCommentNode struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// Upsert implements Tracker.
func (l *Linear) Upsert(ctx context.Context, key string, known *Ref, b Block) (Ref, Outcome, error) {
	if !linearKey.MatchString(key) {
		return Ref{}, "", badKey(feedback.Linear, key, "ENG-1")
	}
	if err := checkBlock(feedback.Linear, b); err != nil {
		return Ref{}, "", err
	}
	r := progress(known)
	generation, _ := strconv.Atoi(r.Extra[extraGeneration])
	if r.Extra[extraIssueID] == "" {
		issue, err := l.issue(ctx, key)
		if err != nil {
			return r, "", err
		}
		r.Extra[extraIssueID] = issue.ID
	}

	var c *linearCommentNode
	var outcome Outcome
	var err error
	switch {
	case r.ID == "":
		c, outcome, generation, err = l.settle(ctx, key, &r, b)
	case r.Extra[extraHash] == b.Hash:
		outcome = Unchanged
		c, err = l.read(ctx, key, r.ID)
	default:
		outcome = Updated
		c, err = l.update(ctx, key, r.ID, b)
	}
	for err == nil && c == nil && b.Recreate && generation+1 < linearGenerations {
		generation++
		r.Extra[extraGeneration] = strconv.Itoa(generation)
		c, outcome, err = l.create(ctx, key, r.Extra[extraIssueID], generation, b)
	}
	if err != nil {
		return r, "", err
	}
	if c == nil {
		return Ref{}, Gone, nil
	}
	r.ID, r.URL = c.ID, c.URL
	r.Extra[extraHash], r.Extra[extraGeneration] = b.Hash, strconv.Itoa(generation)
	delete(r.Extra, extraSought)
	if err := l.attach(ctx, key, r.Extra, b, c.ID); err != nil {
		return r, "", err
	}
	return r, outcome, nil
}

// settle finds or makes the comment where nothing is recorded. Ids of later
// generations exist only where an earlier one was deleted and somebody asked
// for it again.
func (l *Linear) settle(ctx context.Context, key string, r *Ref, b Block) (*linearCommentNode, Outcome, int, error) {
	issueID := r.Extra[extraIssueID]
	if r.Extra[extraSought] == "" {
		generations := map[string]int{}
		for g := range linearGenerations {
			generations[linearCommentID(issueID, g)] = g
		}
		id, generation, err := l.find(ctx, key, issueID, generations)
		if err != nil {
			return nil, "", 0, err
		}
		if id != "" {
			r.ID, r.Extra[extraGeneration] = id, strconv.Itoa(generation)
			c, err := l.update(ctx, key, id, b)
			return c, Updated, generation, err
		}
		r.Extra[extraSought] = "yes"
	}
	generation, _ := strconv.Atoi(r.Extra[extraGeneration])
	c, outcome, err := l.create(ctx, key, issueID, generation, b)
	return c, outcome, generation, err
}

// find gives the own comment among an issue's comments.
func (l *Linear) find(ctx context.Context, key, issueID string, generations map[string]int) (string, int, error) {
	const op = "list comments"
	var after any
	for range maxPages {
		var reply struct {
			Issue struct {
				Comments struct {
					Nodes    []linearCommentNode `json:"nodes"`
					PageInfo struct {
						HasNextPage bool   `json:"hasNextPage"`
						EndCursor   string `json:"endCursor"`
					} `json:"pageInfo"`
				} `json:"comments"`
			} `json:"issue"`
		}
		failed, err := l.send(ctx, op, linearComments, map[string]any{"id": issueID, "after": after}, &reply)
		if err != nil {
			return "", 0, err
		}
		if failed != nil {
			return "", 0, l.refused(op, key, failed)
		}
		for _, c := range reply.Issue.Comments.Nodes {
			if g, ok := generations[c.ID]; ok {
				return c.ID, g, nil
			}
		}
		page := reply.Issue.Comments.PageInfo
		if !page.HasNextPage {
			break
		}
		after = page.EndCursor
	}
	return "", 0, nil
}

// create writes the comment under our own id. Linear refuses an id that
// exists as invalid input; then the comment is updated. It gives nil where the
// id is taken by a comment that was deleted.
func (l *Linear) create(ctx context.Context, key, issueID string, generation int, b Block) (*linearCommentNode, Outcome, error) {
	const op = "create comment"
	id := linearCommentID(issueID, generation)
	body, err := linearBody(b)
	if err != nil {
		return nil, "", err
	}
	var reply struct {
		CommentCreate struct {
			Success bool              `json:"success"`
			Comment linearCommentNode `json:"comment"`
		} `json:"commentCreate"`
	}
	input := map[string]any{"id": id, "issueId": issueID, "body": body, "doNotSubscribeToIssue": true}
	failed, err := l.send(ctx, op, linearCommentCreate, map[string]any{"input": input}, &reply)
	if err != nil {
		return nil, "", err
	}
	if failed == nil && reply.CommentCreate.Success {
		return &reply.CommentCreate.Comment, Created, nil
	}
	if failed != nil && !failed.invalid() {
		return nil, "", l.refused(op, key, failed)
	}
	there, err := l.read(ctx, key, id)
	if err != nil {
		return nil, "", err
	}
	if there != nil {
		c, err := l.update(ctx, key, id, b)
		return c, Updated, err
	}
	if failed.taken() {
		return nil, Gone, nil
	}
	return nil, "", l.refused(op, key, failed)
}

func (l *Linear) update(ctx context.Context, key, id string, b Block) (*linearCommentNode, error) {
	const op = "update comment"
	body, err := linearBody(b)
	if err != nil {
		return nil, err
	}
	var reply struct {
		CommentUpdate struct {
			Success bool              `json:"success"`
			Comment linearCommentNode `json:"comment"`
		} `json:"commentUpdate"`
	}
	failed, err := l.send(ctx, op, linearCommentUpdate, map[string]any{"id": id, "input": map[string]any{"body": body}}, &reply)
	switch {
	case err != nil:
		return nil, err
	case failed.missing():
		return nil, nil
	case failed != nil || !reply.CommentUpdate.Success:
		return nil, l.refused(op, key, failed)
	}
	return &reply.CommentUpdate.Comment, nil
}

func (l *Linear) read(ctx context.Context, key, id string) (*linearCommentNode, error) {
	const op = "read comment"
	var reply struct {
		Comment *linearCommentNode `json:"comment"`
	}
	failed, err := l.send(ctx, op, linearComment, map[string]any{"id": id}, &reply)
	switch {
	case err != nil:
		return nil, err
	case failed.missing():
		return nil, nil
	case failed != nil:
		return nil, l.refused(op, key, failed)
	}
	return reply.Comment, nil
}

// attach writes the attachment when what it shows has changed. Linear updates
// the one with the same URL on the same issue
// (linear.app/developers/attachments).
func (l *Linear) attach(ctx context.Context, key string, extra map[string]string, b Block, commentID string) error {
	if b.URL == "" {
		return nil
	}
	const op = "write attachment"
	title, subtitle := markup.CutUnits(oneLine(b.Title), 200), summary(b.Markdown, 200)
	hash := digest(b.URL, title, subtitle)
	if extra[extraLinkHash] == hash {
		return nil
	}
	var reply struct {
		AttachmentCreate struct {
			Success    bool `json:"success"`
			Attachment struct {
				ID string `json:"id"`
			} `json:"attachment"`
		} `json:"attachmentCreate"`
	}
	failed, err := l.send(ctx, op, linearAttachmentCreate, map[string]any{"input": map[string]any{
		"issueId": extra[extraIssueID], "url": b.URL, "title": title, "subtitle": subtitle,
		"metadata": map[string]any{"throughline": "v1", "comment": commentID, "revision": b.Revision},
	}}, &reply)
	if err != nil {
		return err
	}
	if failed != nil || !reply.AttachmentCreate.Success {
		return l.refused(op, key, failed)
	}
	extra[extraLinkHash] = hash
	extra[extraAttachment] = reply.AttachmentCreate.Attachment.ID
	return nil
}

// Remove implements Tracker: comment and attachment.
func (l *Linear) Remove(ctx context.Context, key string, known Ref) (Ref, error) {
	left := progress(&known)
	if left.ID == "" && left.Extra[extraRemoved] == "" {
		const op = "read issue"
		var reply struct {
			Issue *linearIssueNode `json:"issue"`
		}
		failed, err := l.send(ctx, op, linearIssue, map[string]any{"id": key}, &reply)
		if err != nil {
			return left, err
		}
		if failed.missing() {
			return Ref{}, nil
		}
		if failed != nil || reply.Issue == nil {
			return left, l.refused(op, key, failed)
		}
		left.ID = linearCommentID(reply.Issue.ID, 0)
	}
	for _, d := range []struct {
		op, mutation, id string
		done             func()
	}{
		{"delete comment", linearCommentDelete, left.ID, func() { left.ID, left.Extra[extraRemoved] = "", "yes" }},
		{"delete attachment", linearAttachmentDelete, left.Extra[extraAttachment], func() { delete(left.Extra, extraAttachment) }},
	} {
		if d.id == "" {
			continue
		}
		failed, err := l.send(ctx, d.op, d.mutation, map[string]any{"id": d.id}, &struct{}{})
		if err != nil {
			return left, err
		}
		if failed != nil && !failed.missing() {
			return left, l.refused(d.op, key, failed)
		}
		d.done()
	}
	return Ref{}, nil
}

type linearIssueNode struct {
	ID          string    `json:"id"`
	Identifier  string    `json:"identifier"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	URL         string    `json:"url"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
	State       struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"state"`
	Assignee *struct {
		Name string `json:"name"`
	} `json:"assignee"`
	Labels struct {
		Nodes []struct {
			Name string `json:"name"`
		} `json:"nodes"`
	} `json:"labels"`
}

func (l *Linear) issue(ctx context.Context, key string) (linearIssueNode, error) {
	const op = "read issue"
	var reply struct {
		Issue *linearIssueNode `json:"issue"`
	}
	failed, err := l.send(ctx, op, linearIssue, map[string]any{"id": key}, &reply)
	if err != nil {
		return linearIssueNode{}, err
	}
	if failed != nil || reply.Issue == nil {
		return linearIssueNode{}, l.refused(op, key, failed)
	}
	return *reply.Issue, nil
}

// Fetch implements Tracker.
func (l *Linear) Fetch(ctx context.Context, key string) (Ticket, error) {
	if !linearKey.MatchString(key) {
		return Ticket{}, badKey(feedback.Linear, key, "ENG-1")
	}
	i, err := l.issue(ctx, key)
	if err != nil {
		return Ticket{}, err
	}
	t := Ticket{
		Key: i.Identifier, ID: i.ID, Title: i.Title, Status: i.State.Name,
		StatusCategory: linearCategory(i.State.Type), URL: i.URL, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
	if i.Description != nil {
		t.Body = *i.Description
	}
	if i.Assignee != nil {
		t.Assignee = i.Assignee.Name
	}
	for _, n := range i.Labels.Nodes {
		t.Labels = append(t.Labels, n.Name)
	}
	return t, nil
}

// linearCategory maps WorkflowState.type: triage, backlog, unstarted, started,
// completed, canceled, duplicate.
func linearCategory(kind string) feedback.StatusCategory {
	switch kind {
	case "started":
		return feedback.InProgress
	case "completed", "canceled", "duplicate":
		return feedback.Done
	default:
		return feedback.Open
	}
}

// Self implements Tracker.
func (l *Linear) Self(ctx context.Context) (Identity, error) {
	return l.self.get(func() (Identity, error) {
		const op = "read own account"
		var reply struct {
			Viewer struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"viewer"`
		}
		failed, err := l.send(ctx, op, linearViewer, map[string]any{}, &reply)
		if err != nil {
			return Identity{}, err
		}
		if failed != nil || reply.Viewer.ID == "" {
			return Identity{}, l.refused(op, "", failed)
		}
		return Identity{ID: reply.Viewer.ID, Name: reply.Viewer.Name}, nil
	})
}

// linearFailure is the first error of a GraphQL answer, with its HTTP answer.
// Its message is used to tell cases apart and never shown.
type linearFailure struct {
	answer  wire.Answer
	message string
	code    string // extensions.code: INPUT_ERROR, AUTHENTICATION_ERROR, FORBIDDEN, RATELIMITED …
	kind    string // extensions.type: "invalid input", "authentication error", "ratelimited" …
}

func (f *linearFailure) invalid() bool {
	return f != nil && (f.code == "INPUT_ERROR" || f.kind == "invalid input")
}

func (f *linearFailure) missing() bool {
	return f.invalid() && strings.HasPrefix(f.message, "Entity not found")
}

// taken recognises an id in use. The wording is not documented; where it is
// another one, a deleted comment is reported as a refused request instead of
// as gone, and still not written again.
func (f *linearFailure) taken() bool {
	m := strings.ToLower(f.message)
	return f.invalid() && (strings.Contains(m, "exist") || strings.Contains(m, "unique") || strings.Contains(m, "duplicate")) && !f.missing()
}

// send runs one operation. Limits and failures of transport or server are
// errors; what GraphQL answers as an error comes back as a failure.
func (l *Linear) send(ctx context.Context, op, query string, variables map[string]any, into any) (*linearFailure, error) {
	a, err := l.call.Do(ctx, op, http.MethodPost, "/graphql", map[string]any{
		"query": query, "operationName": operationName(query), "variables": variables,
	})
	if err != nil {
		return nil, err
	}
	var reply struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Message    string `json:"message"`
			Extensions struct {
				Code string `json:"code"`
				Type string `json:"type"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	notJSON := json.Unmarshal(a.Body, &reply) != nil
	for _, e := range reply.Errors {
		// The limit arrives as HTTP 400 with this code.
		if e.Extensions.Code == "RATELIMITED" || e.Extensions.Type == "ratelimited" {
			return nil, l.call.Limit(op, a)
		}
	}
	switch {
	case a.Status == http.StatusTooManyRequests || a.Status >= 500:
		// A 429 may be an HTML page: only its status and headers count.
		return nil, l.call.Refused(op, a, nil)
	case len(reply.Errors) > 0:
		e := reply.Errors[0]
		f := &linearFailure{answer: a, message: e.Message, code: e.Extensions.Code, kind: e.Extensions.Type}
		if f.kind == "internal error" || f.kind == "lock timeout" || f.code == "INTERNAL_SERVER_ERROR" {
			return nil, &TemporaryError{Op: "linear: " + op, Status: a.Status}
		}
		return f, nil
	case !a.OK():
		return &linearFailure{answer: a}, nil
	case notJSON || len(reply.Data) == 0:
		return nil, l.call.Decode(op, wire.Answer{Status: a.Status}, into)
	}
	return nil, l.call.Decode(op, wire.Answer{Status: a.Status, Body: reply.Data}, into)
}

// refused turns a failure into an error an operator can act on.
func (l *Linear) refused(op, key string, f *linearFailure) error {
	team, _, _ := strings.Cut(key, "-")
	e := &PermanentError{Op: "linear: " + op, Reason: "the vendor refused the request as invalid; the ledger and the log have the ticket's key, please report this"}
	if f != nil {
		e.Status = f.answer.Status
	}
	switch {
	case f == nil:
		e.Reason = "Linear answered without success and without an error"
	case f.code == "AUTHENTICATION_ERROR" || f.kind == "authentication error" || f.answer.Status == http.StatusUnauthorized:
		e.Reason = "the api_key was not accepted: it was revoked or belongs to another workspace, make a new one and put it into the configuration"
	case f.code == "FORBIDDEN" || f.kind == "forbidden" || f.answer.Status == http.StatusForbidden:
		e.Reason = fmt.Sprintf("the api_key may not do this in team %s: give its user access to the team and the key write access", team)
	case f.kind == "feature not accessible" || f.kind == "usage limit exceeded":
		e.Reason = "the workspace's plan at Linear does not allow this"
	case f.missing() || f.answer.Status == http.StatusNotFound:
		e.Reason = fmt.Sprintf("%s does not exist or is not visible to the api_key: check the key's access to team %s", key, team)
	}
	return e
}

func linearBody(b Block) (string, error) {
	text, err := fit(b, linearCommentLimit, renderMarkdown)
	if err != nil {
		return "", &PermanentError{Op: "linear: render block", Reason: err.Error()}
	}
	return text, nil
}

// linearCommentID makes a UUID from the issue's id and the generation. It is
// made like a name-based UUID, but says version 4, the format that Linear
// documents for ids given by a client.
func linearCommentID(issueID string, generation int) string {
	h := sha1.New()
	h.Write(linearNamespace[:])
	h.Write([]byte("throughline:block:" + issueID + ":" + strconv.Itoa(generation)))
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	s := hex.EncodeToString(u)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func operationName(query string) string {
	name := strings.Fields(query)[1]
	name, _, _ = strings.Cut(name, "(")
	return name
}
