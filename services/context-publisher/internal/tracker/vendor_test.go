package tracker_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest/recorded"
)

func brief(revision int, hash string) tracker.Block {
	return tracker.Block{
		Title: "Customer context", URL: "https://throughline.example/t/1", Revision: revision, Hash: hash,
		Markdown: "Asked for by **12 customers**.\n\n> I lost my work again, @here.\n\n[The conversation](https://acme.example/c/1)",
	}
}

// The exchanges of a block's life, compared with the recorded ones.
func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	for vendor, open := range map[string]func(*testing.T) *trackertest.Fixture{
		"jira": openJira, "linear": openLinear,
		"github": func(t *testing.T) *trackertest.Fixture { return openGitHub(t, false) },
	} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			tr := f.Open()
			var ref tracker.Ref
			record := func(name string, step func() error) {
				before := len(f.Server.Exchanges())
				if err := step(); err != nil {
					t.Fatal(err)
				}
				recorded.Compare(t, vendor+"/"+name+".json", f.Server.Exchanges()[before:])
			}
			upsert := func(known *tracker.Ref, b tracker.Block, want tracker.Outcome) func() error {
				return func() error {
					got, outcome, err := tr.Upsert(t.Context(), f.Key, known, b)
					if err == nil && outcome != want {
						t.Fatalf("outcome = %s, want %s", outcome, want)
					}
					ref = got
					return err
				}
			}
			record("create", upsert(nil, brief(1, "hash-1"), tracker.Created))
			record("unchanged", upsert(&ref, brief(1, "hash-1"), tracker.Unchanged))
			record("update", upsert(&ref, brief(2, "hash-2"), tracker.Updated))
			record("fetch", func() error { _, err := tr.Fetch(t.Context(), f.Key); return err })
			record("remove", func() error { _, err := tr.Remove(t.Context(), f.Key, ref); return err })
		})
	}
}

func TestJiraBlock(t *testing.T) {
	t.Parallel()
	site := vendortest.NewJira(vendortest.JiraOptions{Email: "bot@acme.example", APIToken: "tok", Now: noon})
	site.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "Export fails", Status: "In Progress", Category: "indeterminate", Security: true})
	tr := must[*tracker.Jira](t)(tracker.NewJira(tracker.JiraConfig{BaseURL: listen(t, site.Server) + "/", Email: "bot@acme.example", APIToken: "tok"}, options()))
	ref, _, err := tr.Upsert(t.Context(), "PROJ-1", nil, brief(1, "hash-1"))
	if err != nil {
		t.Fatal(err)
	}
	if ref, _, err = tr.Upsert(t.Context(), "PROJ-1", &ref, brief(2, "hash-2")); err != nil {
		t.Fatal(err)
	}
	c := site.Comments("PROJ-1")[0]
	if got := string(c.Properties["sd.public.comment"]); got != `{"internal":true}` {
		t.Errorf("on a service project customers would read the comment: %s", got)
	}
	if c.Notified != 1 {
		t.Errorf("watchers were notified %d times, want once, for the first", c.Notified)
	}
	if got, want := string(c.Properties["throughline.context"]), `{"hash":"hash-2","revision":2}`; got != want {
		t.Errorf("comment property = %s, want %s", got, want)
	}
	if got, want := string(site.Property("PROJ-1", "throughline.context")), `{"commentId":"`+ref.ID+`","hash":"hash-2","revision":2}`; got != want {
		t.Errorf("issue property = %s, want %s", got, want)
	}
	links := site.RemoteLinks("PROJ-1")
	if len(links) != 1 || links[0].URL != "https://throughline.example/t/1" || links[0].GlobalID != "throughline:context" {
		t.Errorf("remote links = %+v, want one", links)
	}
	got, err := tr.Fetch(t.Context(), "PROJ-1")
	if err != nil || got.StatusCategory != feedback.InProgress || !got.Restricted || !got.UpdatedAt.Equal(noon()) {
		t.Errorf("ticket = %+v, err = %v", got, err)
	}
	// The record is lost and a person deletes the comment: the issue property
	// still says so.
	site.DeleteComment("PROJ-1", ref.ID)
	if _, outcome, err := tr.Upsert(t.Context(), "PROJ-1", nil, brief(3, "hash-3")); err != nil || outcome != tracker.Gone {
		t.Errorf("outcome = %s, err = %v, want gone", outcome, err)
	}
}

// Jira answers as to a visitor when the credentials are wrong.
func TestJiraAnonymousAnswer(t *testing.T) {
	t.Parallel()
	f := openJira(t)
	f.Server.FailNext(1, vendortest.Fault{Status: 404, Header: map[string]string{"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}})
	_, err := f.Open().Fetch(t.Context(), f.Key)
	if !tracker.IsPermanent(err) || !strings.Contains(err.Error(), "api_token") {
		t.Fatalf("err = %v, want it to blame the credentials", err)
	}
}

func TestLinearBlock(t *testing.T) {
	t.Parallel()
	cloud := must[*vendortest.Linear](t)(vendortest.NewLinear(vendortest.LinearOptions{APIKey: "Bearer lin_oauth_x", Now: noon}))
	cloud.AddIssue(vendortest.LinearIssue{Key: "ENG-1", Title: "Export fails", State: "Duplicate", StateType: "duplicate"})
	tr := must[*tracker.Linear](t)(tracker.NewLinear(tracker.LinearConfig{BaseURL: listen(t, cloud.Server), APIKey: "lin_oauth_x"}, options()))
	ref, _, err := tr.Upsert(t.Context(), "ENG-1", nil, brief(1, "hash-1"))
	if err != nil {
		t.Fatal(err)
	}
	b := brief(2, "hash-2")
	b.Title = "Customer context, again"
	if _, _, err = tr.Upsert(t.Context(), "ENG-1", &ref, b); err != nil {
		t.Fatal(err)
	}
	got := cloud.Attachments("ENG-1")
	if len(got) != 1 || got[0].Title != b.Title || got[0].Edits != 1 || got[0].Subtitle == "" || got[0].Metadata["comment"] != ref.ID {
		t.Errorf("attachments = %+v, want one, edited once", got)
	}
	ticket, err := tr.Fetch(t.Context(), "ENG-1")
	if err != nil || ticket.StatusCategory != feedback.Done {
		t.Errorf("ticket = %+v, err = %v", ticket, err)
	}
}

// A transferred issue brings its comments, whose marker names the old key.
func TestGitHubTransferredIssue(t *testing.T) {
	t.Parallel()
	cloud := vendortest.NewGitHub(vendortest.GitHubOptions{Token: "tok", Now: noon})
	cloud.AddIssue(vendortest.GitHubIssue{Key: "acme/new#7", Title: "Export fails", State: "closed"})
	cloud.AddComment("acme/new#7", "throughline[bot]", "<!-- throughline:v1 key=acme%2Fold%231 rev=1 hash=old -->\nbrief")
	tr := must[*tracker.GitHub](t)(tracker.NewGitHub(tracker.GitHubConfig{BaseURL: listen(t, cloud.Server), Token: "tok"}, options()))
	if _, outcome, err := tr.Upsert(t.Context(), "acme/new#7", nil, brief(1, "hash-1")); err != nil || outcome != tracker.Updated {
		t.Fatalf("outcome = %s, err = %v", outcome, err)
	}
	if n := len(cloud.Comments("acme/new#7")); n != 1 {
		t.Fatalf("%d comments, want one", n)
	}
	ticket, err := tr.Fetch(t.Context(), "acme/new#7")
	if err != nil || ticket.StatusCategory != feedback.Done || ticket.Key != "acme/new#7" {
		t.Errorf("ticket = %+v, err = %v", ticket, err)
	}
}

func TestGitHubForbiddenSaysPermission(t *testing.T) {
	t.Parallel()
	f := openGitHub(t, false)
	f.Server.FailMatching(1, f.IsCreate, vendortest.Fault{Status: http.StatusForbidden, Header: map[string]string{"X-RateLimit-Remaining": "4000"}, Body: `{"message":"Resource not accessible by integration"}`})
	_, _, err := f.Open().Upsert(t.Context(), f.Key, nil, brief(1, "hash-1"))
	if !tracker.IsPermanent(err) || !strings.Contains(err.Error(), "the token may not do this in acme/app") {
		t.Fatalf("err = %v", err)
	}
}
