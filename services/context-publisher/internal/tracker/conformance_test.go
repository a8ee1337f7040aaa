package tracker_test

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/trackertest"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func listen(t *testing.T, s *vendortest.Server) string {
	t.Helper()
	base, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return base
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func options() tracker.Options { return tracker.Options{Now: noon} }

func TestJira(t *testing.T) {
	t.Parallel()
	trackertest.Run(t, openJira)
}

func openJira(t *testing.T) *trackertest.Fixture {
	site := vendortest.NewJira(vendortest.JiraOptions{Email: "bot@acme.example", APIToken: "jira-right-token", Now: noon})
	site.AddIssue(vendortest.JiraIssue{Key: "PROJ-1", Summary: "Export fails", Description: "Since Monday.", Status: "To Do", Category: "new", Labels: []string{"export"}})
	base := listen(t, site.Server)
	open := func(token string) tracker.Tracker {
		return must[*tracker.Jira](t)(tracker.NewJira(tracker.JiraConfig{BaseURL: base, Email: "bot@acme.example", APIToken: token}, options()))
	}
	basic := func(token string) string {
		return base64.StdEncoding.EncodeToString([]byte("bot@acme.example:" + token))
	}
	return &trackertest.Fixture{
		Server:  site.Server,
		Open:    func() tracker.Tracker { return open("jira-right-token") },
		Denied:  open("jira-wrong-token"),
		Secrets: []string{"jira-right-token", "jira-wrong-token", basic("jira-right-token"), basic("jira-wrong-token")},
		Key:     "PROJ-1", MissingKey: "PROJ-404",
		Blocks: func() []string {
			var out []string
			for _, c := range site.Comments("PROJ-1") {
				if strings.HasPrefix(c.AccountID, "5b10a") {
					out = append(out, string(c.Body))
				}
			}
			return out
		},
		AddForeign:  func(body string) { site.AddComment("PROJ-1", "somebody", body) },
		DeleteBlock: func(ref tracker.Ref) { site.DeleteComment("PROJ-1", ref.ID) },
		IsCreate: func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/PROJ-1/comment")
		},
		Limits: []trackertest.Limit{
			{Name: "burst", Fault: vendortest.JiraLimited("jira-burst-based", 7*time.Second), After: 7 * time.Second},
			{Name: "per issue", Fault: vendortest.JiraLimited("jira-per-issue-on-write", 11*time.Second), After: 11 * time.Second},
			{Name: "reset only", Fault: vendortest.Fault{Status: 429, Header: map[string]string{"X-RateLimit-Reset": "2026-11-22T12:02Z"}}, After: 2 * time.Minute},
			{Name: "unavailable with a pause", Fault: vendortest.Fault{Status: 503, Header: map[string]string{"Retry-After": "5"}}, After: 5 * time.Second},
		},
		MaxUnits: 32767,
		CheckLiteral: func(t *testing.T, _ string) {
			c := site.Comments("PROJ-1")[0]
			if len(c.Mentions) != 0 {
				t.Errorf("the document mentions %v", c.Mentions)
			}
			for _, bad := range []string{`"inlineCard"`, `"media"`, `"extension"`, `"mention"`, "\u202E", "\U000E0041"} {
				if strings.Contains(string(c.Body), bad) {
					t.Errorf("the document has %q", bad)
				}
			}
			if !strings.Contains(c.Text, "[~accountid:5b10a2844c20165700ede21g]") || !strings.Contains(c.Text, "<script>alert(1)</script>") {
				t.Errorf("the words are not what was said: %s", c.Text)
			}
		},
	}
}

func TestLinear(t *testing.T) {
	t.Parallel()
	trackertest.Run(t, openLinear)
}

func openLinear(t *testing.T) *trackertest.Fixture {
	cloud := must[*vendortest.Linear](t)(vendortest.NewLinear(vendortest.LinearOptions{APIKey: "lin_api_right", Now: noon}))
	cloud.AddIssue(vendortest.LinearIssue{Key: "ENG-1", Title: "Export fails", Description: "Since Monday.", State: "Todo", StateType: "unstarted", Labels: []string{"export"}})
	base := listen(t, cloud.Server)
	open := func(key string) tracker.Tracker {
		return must[*tracker.Linear](t)(tracker.NewLinear(tracker.LinearConfig{BaseURL: base, APIKey: key}, options()))
	}
	return &trackertest.Fixture{
		Server:  cloud.Server,
		Open:    func() tracker.Tracker { return open("lin_api_right") },
		Denied:  open("lin_api_wrong"),
		Secrets: []string{"lin_api_right", "lin_api_wrong"},
		Key:     "ENG-1", MissingKey: "ENG-404",
		Blocks: func() []string {
			var out []string
			for _, c := range cloud.Comments("ENG-1") {
				if c.UserID != "somebody" {
					out = append(out, c.Body)
				}
			}
			return out
		},
		AddForeign:  func(body string) { cloud.AddComment("ENG-1", "somebody", body) },
		DeleteBlock: func(ref tracker.Ref) { cloud.DeleteComment(ref.ID) },
		IsCreate:    func(r *http.Request) bool { return operation(r) == "ThroughlineCommentCreate" },
		Limits: []trackertest.Limit{
			{Name: "HTTP 400", Fault: vendortest.LinearLimited(noon().Add(90 * time.Second)), After: 90 * time.Second},
			{Name: "HTML 429", Fault: vendortest.LinearLimitedPage(), After: time.Minute},
		},
		MaxUnits:     32000,
		CheckLiteral: checkMarkdown,
	}
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	trackertest.Run(t, func(t *testing.T) *trackertest.Fixture { return openGitHub(t, false) })
}

func TestGitHubInstallation(t *testing.T) {
	t.Parallel()
	f := openGitHub(t, true)
	self, err := f.Open().Self(t.Context())
	if err != nil || self.Name != "throughline[bot]" || self.ID != "41898282" {
		t.Fatalf("self = %+v, err = %v", self, err)
	}
}

func openGitHub(t *testing.T, installation bool) *trackertest.Fixture {
	cloud := vendortest.NewGitHub(vendortest.GitHubOptions{Token: "ghs_right", Installation: installation, Now: noon})
	cloud.AddIssue(vendortest.GitHubIssue{Key: "acme/app#1", Title: "Export fails", Body: "Since Monday.", State: "open", Labels: []string{"export"}})
	base := listen(t, cloud.Server)
	open := func(token string) tracker.Tracker {
		return must[*tracker.GitHub](t)(tracker.NewGitHub(tracker.GitHubConfig{BaseURL: base, Token: token}, options()))
	}
	return &trackertest.Fixture{
		Server:  cloud.Server,
		Open:    func() tracker.Tracker { return open("ghs_right") },
		Denied:  open("ghs_wrong"),
		Secrets: []string{"ghs_right", "ghs_wrong"},
		Key:     "acme/app#1", MissingKey: "acme/app#404",
		Blocks: func() []string {
			var out []string
			for _, c := range cloud.Comments("acme/app#1") {
				if c.Login == "throughline[bot]" {
					out = append(out, c.Body)
				}
			}
			return out
		},
		AddForeign: func(body string) { cloud.AddComment("acme/app#1", "somebody", body) },
		DeleteBlock: func(ref tracker.Ref) {
			for _, c := range cloud.Comments("acme/app#1") {
				if strings.HasSuffix(c.URL, ref.ID) {
					cloud.DeleteComment(c.ID)
				}
			}
		},
		IsCreate: func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/comments")
		},
		Limits: []trackertest.Limit{
			{Name: "secondary", Fault: vendortest.GitHubSecondaryLimit(30 * time.Second), After: 30 * time.Second},
			{Name: "secondary without a pause", Fault: vendortest.GitHubSecondaryLimit(0), After: time.Minute},
			{Name: "primary", Fault: vendortest.GitHubPrimaryLimit(noon().Add(17 * time.Minute)), After: 17 * time.Minute},
			{Name: "HTTP 429", Fault: vendortest.Fault{Status: 429, Header: map[string]string{"Retry-After": "Sun, 22 Nov 2026 12:00:40 GMT"}}, After: 40 * time.Second},
		},
		MaxUnits:     65536,
		CheckLiteral: checkMarkdown,
	}
}

var (
	mention   = regexp.MustCompile(`@[A-Za-z0-9]`)
	reference = regexp.MustCompile(`(?i)#[0-9]|gh-[0-9]`)
	bareURL   = regexp.MustCompile(`(?i)://[a-z]|www\.[a-z]`)
	ourLink   = regexp.MustCompile(`\]\(https://[^)]*\)`)
	ourMarker = regexp.MustCompile(`^<!-- throughline:v1 \S+ \S+ \S+ -->\n`)
	codeSpan  = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
)

// checkMarkdown looks for what GitHub or Linear would act on outside code.
func checkMarkdown(t *testing.T, block string) {
	t.Helper()
	text := ourMarker.ReplaceAllString(block, "")
	for _, bad := range []string{"<!--", "-->", "<script", "![", "\u202E", "\U000E0041"} {
		if strings.Contains(codeSpan.ReplaceAllString(text, ""), bad) {
			t.Errorf("the block has %q", bad)
		}
	}
	text = ourLink.ReplaceAllString(codeSpan.ReplaceAllString(text, ""), "]")
	for _, re := range []*regexp.Regexp{mention, reference, bareURL} {
		if m := re.FindString(text); m != "" {
			i := strings.Index(text, m)
			t.Errorf("the block has %q in %q", m, text[max(0, i-40):min(len(text), i+40)])
		}
	}
}
