package tracker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

const (
	// jiraProperty is the key of our property, on the comment and on the issue.
	jiraProperty = "throughline.context"
	// jiraGlobalID makes the remote link idempotent within one issue.
	jiraGlobalID = "throughline:context"
	// jiraCommentLimit is Jira's limit for a comment. We compare the whole ADF
	// document with it, which is never less than what Jira counts.
	jiraCommentLimit = 32767
	// jiraTime is how Jira writes times: no colon in the zone.
	jiraTime = "2006-01-02T15:04:05.000-0700"
)

var jiraKey = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,254}-[0-9]{1,18}$`)

// JiraConfig says which site to write to and as whom: an Atlassian account's
// e-mail address and API token. BaseURL is the site, "https://acme.atlassian.net".
type JiraConfig struct {
	BaseURL  string
	Email    string
	APIToken string
}

// Jira writes to Jira Cloud by REST v3: one comment in ADF whose property
// holds hash and revision, an issue property that remembers the comment, and
// one remote link. On service projects the comment is internal.
type Jira struct {
	call *wire.Caller
	site string
	self identityOnce
}

// NewJira makes a tracker; it sends nothing. A configuration that cannot work
// is a permanent error.
func NewJira(c JiraConfig, o Options) (*Jira, error) {
	if c.Email == "" || c.APIToken == "" {
		return nil, &PermanentError{Op: "jira: configure", Reason: "email and api_token are both needed"}
	}
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Email+":"+c.APIToken))
	// Without this header Jira refuses some writes as cross-site requests.
	call, err := wire.New("jira", c.BaseURL, auth, http.Header{"X-Atlassian-Token": {"no-check"}}, o)
	if err != nil {
		return nil, err
	}
	return &Jira{call: call, site: strings.TrimRight(c.BaseURL, "/")}, nil
}

// Kind is feedback.Jira.
func (j *Jira) Kind() feedback.Tracker { return feedback.Jira }

// jiraMark is our property: on a comment it marks the comment as the block; on
// the issue it remembers which comment that is.
type jiraMark struct {
	CommentID string `json:"commentId,omitempty"`
	Hash      string `json:"hash"`
	Revision  int    `json:"revision"`
}

type jiraComment struct {
	ID     string `json:"id"`
	Author struct {
		AccountID string `json:"accountId"`
	} `json:"author"`
	Properties []jiraEntityProperty `json:"properties"`
}

type jiraEntityProperty struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func (c jiraComment) mark() (jiraMark, bool) {
	for _, p := range c.Properties {
		if p.Key == jiraProperty {
			var m jiraMark
			return m, json.Unmarshal(p.Value, &m) == nil
		}
	}
	return jiraMark{}, false
}

// Upsert implements Tracker. Each request that succeeded is remembered in the Ref, so that
// a vendor that fails every few requests delays a block and never stops it.
func (j *Jira) Upsert(ctx context.Context, key string, known *Ref, b Block) (Ref, Outcome, error) {
	if err := j.check(key, b); err != nil {
		return Ref{}, "", err
	}
	r := progress(known)
	fresh, err := j.locate(ctx, key, &r, b)
	if err != nil {
		return r, "", err
	}
	outcome := Created
	switch {
	case fresh && r.Extra[extraHash] == b.Hash:
	case r.Extra[extraHash] == b.Hash:
		outcome = Unchanged
		found, err := j.exists(ctx, key, r.ID)
		if err != nil {
			return r, "", err
		}
		if !found {
			return j.again(ctx, key, b)
		}
	default:
		outcome = Updated
		found, err := j.update(ctx, key, r.ID, b)
		if err != nil {
			return r, "", err
		}
		if !found {
			return j.again(ctx, key, b)
		}
		r.Extra[extraHash], r.Extra[extraUnmarked] = b.Hash, "yes"
	}
	if r.Extra[extraUnmarked] != "" {
		if err := j.remember(ctx, key, r.ID, b); err != nil {
			return r, "", err
		}
		delete(r.Extra, extraUnmarked)
	}
	if link := j.linkHash(b); link != r.Extra[extraLinkHash] {
		if err := j.link(ctx, key, b); err != nil {
			return r, "", err
		}
		r.Extra[extraLinkHash] = link
	}
	return j.ref(key, r), outcome, nil
}

// again answers for a block that somebody deleted: Gone, or a new one where it was asked for.
func (j *Jira) again(ctx context.Context, key string, b Block) (Ref, Outcome, error) {
	if !b.Recreate {
		return Ref{}, Gone, nil
	}
	return j.Upsert(ctx, key, &Ref{Extra: map[string]string{extraUnremembered: "yes"}}, b)
}

// locate sees to it that r names the comment: one that is there, one that was there and is
// remembered, or a new one, then fresh is true. After a new one was written it looks whether
// another worker did the same: of several own blocks the oldest stays.
func (j *Jira) locate(ctx context.Context, key string, r *Ref, b Block) (fresh bool, err error) {
	if r.ID == "" && r.Extra[extraSought] == "" {
		id, hash, err := j.find(ctx, key)
		if err != nil {
			return false, err
		}
		r.ID, r.Extra[extraHash], r.Extra[extraSought] = id, hash, "yes"
	}
	if r.ID == "" && r.Extra[extraUnremembered] == "" {
		// A comment that is remembered and not found was deleted.
		if r.ID, err = j.remembered(ctx, key); err != nil {
			return false, err
		}
		r.Extra[extraUnremembered] = "yes"
	}
	if r.ID == "" {
		// Whether a request without an answer took effect is not known: it is looked for again.
		delete(r.Extra, extraSought)
		if r.ID, err = j.create(ctx, key, b); err != nil {
			return false, err
		}
		r.Extra[extraHash], r.Extra[extraUnmarked], r.Extra[extraAlone] = b.Hash, "yes", "no"
	}
	if r.Extra[extraAlone] == "no" {
		id, hash, err := j.find(ctx, key)
		if err != nil {
			return false, err
		}
		fresh = id == "" || id == r.ID
		if !fresh {
			r.ID, r.Extra[extraHash] = id, hash
		}
		delete(r.Extra, extraAlone)
	}
	delete(r.Extra, extraSought)
	delete(r.Extra, extraUnremembered)
	return fresh, nil
}

// create writes the comment and gives its id.
func (j *Jira) create(ctx context.Context, key string, b Block) (string, error) {
	const op = "create comment"
	body, err := j.body(b)
	if err != nil {
		return "", err
	}
	a, err := j.call.Do(ctx, op, http.MethodPost, j.issue(key)+"/comment", body)
	if err != nil {
		return "", err
	}
	if !a.OK() {
		return "", j.refused(op, key, a)
	}
	var made jiraComment
	err = j.call.Decode(op, a, &made)
	return made.ID, err
}

// find gives the oldest comment that is ours by author and by property, and
// deletes younger ones. Properties of comments are read in bulk, by ids, which
// is where the API documents them.
func (j *Jira) find(ctx context.Context, key string) (id, hash string, err error) {
	self, err := j.Self(ctx)
	if err != nil {
		return "", "", err
	}
	var own []int64
	for start, page := 0, 0; page < maxPages; page++ {
		const op = "list comments"
		a, err := j.call.Do(ctx, op, http.MethodGet, j.issue(key)+"/comment?orderBy=created&maxResults=100&startAt="+strconv.Itoa(start), nil)
		if err != nil {
			return "", "", err
		}
		if !a.OK() {
			return "", "", j.refused(op, key, a)
		}
		var list struct {
			Total    int           `json:"total"`
			Comments []jiraComment `json:"comments"`
		}
		if err := j.call.Decode(op, a, &list); err != nil {
			return "", "", err
		}
		for _, c := range list.Comments {
			if n, err := strconv.ParseInt(c.ID, 10, 64); err == nil && c.Author.AccountID == self.ID {
				own = append(own, n)
			}
		}
		start += len(list.Comments)
		if len(list.Comments) == 0 || start >= list.Total {
			break
		}
	}
	var oldest int64
	var extra []string
	for len(own) > 0 {
		const op = "read comment properties"
		batch := own[:min(len(own), 1000)]
		own = own[len(batch):]
		a, err := j.call.Do(ctx, op, http.MethodPost, "/rest/api/3/comment/list?expand=properties", map[string]any{"ids": batch})
		if err != nil {
			return "", "", err
		}
		if !a.OK() {
			return "", "", j.refused(op, key, a)
		}
		var list struct {
			Values []jiraComment `json:"values"`
		}
		if err := j.call.Decode(op, a, &list); err != nil {
			return "", "", err
		}
		for _, c := range list.Values {
			m, marked := c.mark()
			n, err := strconv.ParseInt(c.ID, 10, 64)
			if !marked || err != nil {
				continue
			}
			switch {
			case oldest == 0:
				oldest, hash = n, m.Hash
			case n < oldest:
				extra = append(extra, strconv.FormatInt(oldest, 10))
				oldest, hash = n, m.Hash
			default:
				extra = append(extra, c.ID)
			}
		}
	}
	for _, id := range extra {
		if err := j.deleteComment(ctx, key, id); err != nil {
			return "", "", err
		}
	}
	if oldest == 0 {
		return "", "", nil
	}
	return strconv.FormatInt(oldest, 10), hash, nil
}

// update rewrites the comment without notifying anybody. It says false where
// the comment is gone while the issue is there.
func (j *Jira) update(ctx context.Context, key, id string, b Block) (bool, error) {
	const op = "update comment"
	body, err := j.body(b)
	if err != nil {
		return false, err
	}
	a, err := j.call.Do(ctx, op, http.MethodPut, j.comment(key, id)+"?notifyUsers=false", body)
	return j.found(ctx, op, key, a, err)
}

func (j *Jira) exists(ctx context.Context, key, id string) (bool, error) {
	const op = "read comment"
	a, err := j.call.Do(ctx, op, http.MethodGet, j.comment(key, id), nil)
	return j.found(ctx, op, key, a, err)
}

// found tells a deleted comment from an issue that is not visible: both are 404.
func (j *Jira) found(ctx context.Context, op, key string, a wire.Answer, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	if a.OK() {
		return true, nil
	}
	if a.Status != http.StatusNotFound || loginFailed(a) {
		return false, j.refused(op, key, a)
	}
	issue, err := j.call.Do(ctx, op, http.MethodGet, j.issue(key)+"?fields=status", nil)
	if err != nil {
		return false, err
	}
	if !issue.OK() {
		return false, j.refused(op, key, issue)
	}
	return false, nil
}

func (j *Jira) deleteComment(ctx context.Context, key, id string) error {
	const op = "delete comment"
	a, err := j.call.Do(ctx, op, http.MethodDelete, j.comment(key, id), nil)
	if err != nil || a.OK() || a.Status == http.StatusNotFound && !loginFailed(a) {
		return err
	}
	return j.refused(op, key, a)
}

// remembered gives the id of the comment that the issue property names, empty
// where there is none.
func (j *Jira) remembered(ctx context.Context, key string) (string, error) {
	const op = "read issue property"
	a, err := j.call.Do(ctx, op, http.MethodGet, j.property(key), nil)
	if found, err := j.found(ctx, op, key, a, err); err != nil || !found {
		return "", err
	}
	var p struct {
		Value jiraMark `json:"value"`
	}
	// Somebody else's value under our key is as good as none.
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return "", nil
	}
	if _, err := strconv.ParseInt(p.Value.CommentID, 10, 64); err != nil {
		return "", nil
	}
	return p.Value.CommentID, nil
}

func (j *Jira) remember(ctx context.Context, key, id string, b Block) error {
	const op = "write issue property"
	a, err := j.call.Do(ctx, op, http.MethodPut, j.property(key), jiraMark{CommentID: id, Hash: b.Hash, Revision: b.Revision})
	if err != nil || a.OK() {
		return err
	}
	return j.refused(op, key, a)
}

func (j *Jira) link(ctx context.Context, key string, b Block) error {
	if b.URL == "" {
		return nil
	}
	const op = "write remote link"
	a, err := j.call.Do(ctx, op, http.MethodPost, j.issue(key)+"/remotelink", map[string]any{
		"globalId":     jiraGlobalID,
		"application":  map[string]any{"type": "dev.throughline", "name": "Throughline"},
		"relationship": "customer context",
		"object":       map[string]any{"url": b.URL, "title": markup.CutUnits(oneLine(b.Title), 250), "summary": summary(b.Markdown, 200)},
	})
	if err != nil || a.OK() {
		return err
	}
	return j.refused(op, key, a)
}

func (j *Jira) linkHash(b Block) string {
	if b.URL == "" {
		return ""
	}
	return digest(b.URL, b.Title, summary(b.Markdown, 200))
}

// Remove implements Tracker: comment, property and remote link.
func (j *Jira) Remove(ctx context.Context, key string, known Ref) (Ref, error) {
	if !jiraKey.MatchString(key) {
		return known, badKey(feedback.Jira, key, "PROJ-1")
	}
	left := progress(&known)
	if left.ID == "" && left.Extra[extraRemoved] == "" {
		id, _, err := j.find(ctx, key)
		if isMissing(err) {
			return Ref{}, nil
		}
		if err != nil {
			return left, err
		}
		left.ID = id
	}
	if left.ID != "" {
		if err := j.deleteComment(ctx, key, left.ID); err != nil {
			return left, err
		}
		left.ID, left.Extra[extraRemoved] = "", "yes"
	}
	for _, d := range []struct{ op, path string }{
		{"delete issue property", j.property(key)},
		{"delete remote link", j.issue(key) + "/remotelink?globalId=" + url.QueryEscape(jiraGlobalID)},
	} {
		if left.Extra[d.op] != "" {
			continue
		}
		a, err := j.call.Do(ctx, d.op, http.MethodDelete, d.path, nil)
		if err != nil {
			return left, err
		}
		if !a.OK() && (a.Status != http.StatusNotFound || loginFailed(a)) {
			return left, j.refused(d.op, key, a)
		}
		left.Extra[d.op] = "done"
	}
	return Ref{}, nil
}

// Fetch implements Tracker.
func (j *Jira) Fetch(ctx context.Context, key string) (Ticket, error) {
	if !jiraKey.MatchString(key) {
		return Ticket{}, badKey(feedback.Jira, key, "PROJ-1")
	}
	const op = "read issue"
	a, err := j.call.Do(ctx, op, http.MethodGet, j.issue(key)+"?fields=summary,status,description,labels,assignee,security,created,updated", nil)
	if err != nil {
		return Ticket{}, err
	}
	if !a.OK() {
		return Ticket{}, j.refused(op, key, a)
	}
	var issue struct {
		ID     string `json:"id"`
		Key    string `json:"key"`
		Fields struct {
			Summary     string   `json:"summary"`
			Description *adfNode `json:"description"`
			Labels      []string `json:"labels"`
			Created     string   `json:"created"`
			Updated     string   `json:"updated"`
			Security    *struct {
				ID string `json:"id"`
			} `json:"security"`
			Assignee *struct {
				DisplayName string `json:"displayName"`
			} `json:"assignee"`
			Status struct {
				Name     string `json:"name"`
				Category struct {
					Key string `json:"key"`
				} `json:"statusCategory"`
			} `json:"status"`
		} `json:"fields"`
	}
	if err := j.call.Decode(op, a, &issue); err != nil {
		return Ticket{}, err
	}
	f := issue.Fields
	t := Ticket{
		Key: issue.Key, ID: issue.ID, Title: f.Summary, Status: f.Status.Name,
		StatusCategory: jiraCategory(f.Status.Category.Key),
		URL:            j.site + "/browse/" + issue.Key,
		Labels:         f.Labels,
		Restricted:     f.Security != nil,
	}
	if f.Description != nil {
		t.Body = adfText(*f.Description)
	}
	if f.Assignee != nil {
		t.Assignee = f.Assignee.DisplayName
	}
	if t.CreatedAt, err = time.Parse(jiraTime, f.Created); err != nil {
		return Ticket{}, &PermanentError{Op: "jira: " + op, Reason: "the issue's creation time is not in Jira's format"}
	}
	if t.UpdatedAt, err = time.Parse(jiraTime, f.Updated); err != nil {
		return Ticket{}, &PermanentError{Op: "jira: " + op, Reason: "the issue's update time is not in Jira's format"}
	}
	return t, nil
}

// jiraCategory maps Jira's three keys of a status category.
func jiraCategory(key string) feedback.StatusCategory {
	switch key {
	case "done":
		return feedback.Done
	case "indeterminate":
		return feedback.InProgress
	default:
		return feedback.Open
	}
}

// Self implements Tracker.
func (j *Jira) Self(ctx context.Context) (Identity, error) {
	return j.self.get(func() (Identity, error) {
		const op = "read own account"
		a, err := j.call.Do(ctx, op, http.MethodGet, "/rest/api/3/myself", nil)
		if err != nil {
			return Identity{}, err
		}
		if !a.OK() {
			return Identity{}, j.refused(op, "", a)
		}
		var me struct {
			AccountID   string `json:"accountId"`
			DisplayName string `json:"displayName"`
		}
		if err := j.call.Decode(op, a, &me); err != nil {
			return Identity{}, err
		}
		if me.AccountID == "" {
			return Identity{}, &PermanentError{Op: "jira: " + op, Reason: "the answer names no account: check that base_url is a Jira Cloud site"}
		}
		return Identity{ID: me.AccountID, Name: me.DisplayName}, nil
	})
}

func (j *Jira) check(key string, b Block) error {
	if !jiraKey.MatchString(key) {
		return badKey(feedback.Jira, key, "PROJ-1")
	}
	return checkBlock(feedback.Jira, b)
}

// body is the comment with the properties that mark it and keep it internal on
// service projects (sd.public.comment is Jira Service Management's own key).
func (j *Jira) body(b Block) (map[string]any, error) {
	text, err := fit(b, jiraCommentLimit, func(title string, nodes []markup.Node) string {
		return encodeADF(renderADF(title, nodes))
	})
	if err != nil {
		return nil, &PermanentError{Op: "jira: render block", Reason: err.Error()}
	}
	return map[string]any{
		"body": json.RawMessage(text),
		"properties": []map[string]any{
			{"key": jiraProperty, "value": jiraMark{Hash: b.Hash, Revision: b.Revision}},
			{"key": "sd.public.comment", "value": map[string]any{"internal": true}},
		},
	}, nil
}

func (j *Jira) ref(key string, r Ref) Ref {
	r.URL = j.site + "/browse/" + key + "?focusedCommentId=" + r.ID
	return r
}

func (j *Jira) issue(key string) string { return "/rest/api/3/issue/" + url.PathEscape(key) }

func (j *Jira) comment(key, id string) string {
	return j.issue(key) + "/comment/" + url.PathEscape(id)
}

func (j *Jira) property(key string) string { return j.issue(key) + "/properties/" + jiraProperty }

// refused turns an answer into an error an operator can act on. Jira answers
// as for an anonymous visitor (404 or 403) when the credentials are wrong, and
// says so in a header.
func (j *Jira) refused(op, key string, a wire.Answer) error {
	if loginFailed(a) {
		a.Status = http.StatusUnauthorized
	}
	project, _, _ := strings.Cut(key, "-")
	return j.call.Refused(op, a, map[int]string{
		http.StatusUnauthorized:          "email and api_token were not accepted: make a new API token for this account and put it into the configuration",
		http.StatusForbidden:             fmt.Sprintf("the account may not do this in project %s: give it Browse projects, Add comments, Edit own comments, Delete own comments and Link issues there", project),
		http.StatusNotFound:              fmt.Sprintf("%s does not exist or is not visible to the account: check its Browse permission in project %s and the issue's security level", key, project),
		http.StatusGone:                  fmt.Sprintf("%s was deleted", key),
		http.StatusRequestEntityTooLarge: "the issue has as many comments as Jira allows: delete some",
	})
}

func loginFailed(a wire.Answer) bool {
	reason := a.Header.Get("X-Seraph-Loginreason")
	return strings.Contains(reason, "AUTHENTICATED_FAILED") || strings.Contains(reason, "AUTHENTICATION_DENIED")
}

func badKey(vendor feedback.Tracker, key, example string) error {
	return &PermanentError{Op: string(vendor) + ": read key", Reason: fmt.Sprintf("%q is not a key like %s", markup.CutUnits(oneLine(key), 60), example)}
}

// identityOnce keeps the first identity that was read; failures are not kept.
type identityOnce struct {
	mu sync.Mutex
	id Identity
}

func (o *identityOnce) get(read func() (Identity, error)) (Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id.ID != "" {
		return o.id, nil
	}
	id, err := read()
	if err == nil {
		o.id = id
	}
	return id, err
}
