package page_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/session"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/page"
)

type site struct {
	*httptest.Server
	world *apitest.World
	log   *bytes.Buffer
}

func serve(t *testing.T) site {
	t.Helper()
	return serveWorld(t, func(w *apitest.World) { w.Fill("acme") })
}

func serveWorld(t *testing.T, fill func(*apitest.World)) site {
	t.Helper()
	world := apitest.New()
	fill(world)
	log := new(bytes.Buffer)
	sessions := session.New(bustest.New(t), func() time.Time { return apitest.Now }, rand.Reader)
	p, err := page.New(page.Options{Keyring: apitest.Keys("acme", "globex").With(sessions, nil), Sessions: sessions, Open: world.Open, Desk: desk{feedback.ID("clu", "acme", export)}, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Now: func() time.Time { return apitest.Now }, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Register(mux)
	s := site{httptest.NewServer(mux), world, log}
	t.Cleanup(s.Close)
	return s
}

// browser is a signed-in browser; it follows no redirects.
type browser struct {
	t    *testing.T
	site site
	http *http.Client
}

func (s site) browser(t *testing.T, token string) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{t, s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if token != "" {
		if resp, _ := b.post("/login", url.Values{"token": {token}}); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("sign-in: %d", resp.StatusCode)
		}
	}
	return b
}

func (b browser) do(req *http.Request) (*http.Response, string) {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

func (b browser) get(path string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.site.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b browser) post(path string, form url.Values, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.site.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.site.URL)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.do(req)
}

const export = "CSV export drops rows over 10,000"

func (s site) cluster() string { return feedback.ID("clu", "acme", export) }

func views(s site) map[string]string {
	return map[string]string{
		"/": export, "/?q=okta&kind=feature_request": "Single sign-on", "/clusters/" + s.cluster(): "The arithmetic of this rank",
		"/tickets": "changed since picked up", "/tickets/jira/PROJ-142": "when work began", "/tickets/jira/PROJ-142?revision=1": "revision 1 as it was",
		"/tickets/github/acme%2Fscanner%2331": "Zebra TC52", "/feedback": "shipment list", "/feedback?q=okta&source=slack": "Okta",
		"/feedback/" + feedback.ID("itm", "acme", "Please, dark mode on the tablet."): "What was heard in it", "/digest/2026-11-22": "Rising", "/tickets/jira/PROJ-142/compare": "when work began", "/quality": "less of it is question than before", "/inbox": "PROJ-142", "/decisions": "maya",
		"/connections": "Connect another one", "/operations": "Last hour", "/digest/2026-11-21": "No digest of this day",
	}
}

var (
	inlineScript = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|\son[a-z]+\s*=\s*["']|javascript:|<style|\sstyle\s*=`)
	address      = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
)

// TestEveryView asks each view and holds it to what the policy and a reader need.
func TestEveryView(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("acme"))
	for path, holds := range views(s) {
		resp, body := b.get(path)
		if resp.StatusCode != 200 || !strings.Contains(body, holds) {
			t.Errorf("%s: %d, lacks %q", path, resp.StatusCode, holds)
			continue
		}
		if p := resp.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", path, p)
		}
		if h := resp.Header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: %v", path, h)
		}
		if m := inlineScript.FindString(strip(body)); m != "" {
			t.Errorf("%s: inline %q", path, m)
		}
		if strings.Count(body, "<h1") != 1 || !strings.Contains(body, `<html lang="en">`) || !strings.Contains(body, `href="#main"`) {
			t.Errorf("%s: no single heading, language or way past the navigation", path)
		}
		if strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s: an address was refused by the template", path)
		}
		for _, m := range address.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/") && m[1] != "#main" && !strings.HasPrefix(m[1], "https://") || strings.HasPrefix(m[1], "/assets/") && !served(t, b, m[1]) {
				t.Errorf("%s: leads to %q", path, m[1])
			}
		}
	}
	if s.log.Len() > 0 {
		t.Errorf("logged %s", s.log)
	}
}

// strip takes the escaped text out, so that only what a browser would run is searched.
func strip(body string) string {
	return regexp.MustCompile(`(?s)<blockquote[^>]*>.*?</blockquote>|<p class="first"[^>]*>.*?</p>|<bdi[^>]*>.*?</bdi>|<q[^>]*>.*?</q>`).ReplaceAllString(body, "")
}

func served(t *testing.T, b browser, path string) bool {
	t.Helper()
	resp, _ := b.get(path)
	return resp.StatusCode == 200
}

func TestHostileWordsAreText(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("acme"))
	for _, path := range []string{"/clusters/" + s.cluster(), "/inbox", "/tickets/jira/PROJ-142", "/tickets/jira/PROJ-142/compare", "/feedback?q=ignore+previous", "/feedback/" + feedback.ID("itm", "acme", apitest.Hostile)} {
		_, body := b.get(path)
		if !strings.Contains(body, "Ignore previous instructions") {
			t.Errorf("%s does not show the words, so that this shows nothing", path)
		}
		for _, bad := range []string{"<script>alert", "<img src=x", "<svg onload", "<b>Mallory", "<i>Corp", "</customer-words>"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s: %q is markup", path, bad)
			}
		}
		for _, r := range body {
			if unicode.In(r, unicode.Cf, unicode.Co) {
				t.Errorf("%s: hidden character %U", path, r)
			}
		}
	}
}

func TestWhoIsNotSignedInSeesTheDoorOnly(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, "")
	for path := range views(s) {
		resp, body := b.get(path)
		to := resp.Header.Get("Location")
		if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/login") || strings.Contains(body, "export") {
			t.Errorf("%s: %d to %q", path, resp.StatusCode, to)
		}
	}
	for _, token := range []string{"", "hunter2-unknown", apitest.IngestToken("acme")} {
		if resp, body := b.post("/login", url.Values{"token": {token}}); resp.StatusCode != http.StatusUnauthorized || len(resp.Cookies()) > 0 || token != "" && strings.Contains(body, token) {
			t.Errorf("%q: %d", token, resp.StatusCode)
		}
	}
	if resp, _ := b.post("/clusters/"+s.cluster()+"/decisions", url.Values{"action": {"ignore"}}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/login" {
		t.Errorf("a decision: %d", resp.StatusCode)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for next, want := range map[string]string{"/tickets?x=1": "/tickets?x=1", "": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", "/\t/evil.example": "/"} {
		b := s.browser(t, "")
		resp, _ := b.post("/login", url.Values{"token": {" " + apitest.ReaderToken("acme") + "\n"}, "next": {next}}, "X-Forwarded-Proto", "https")
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q", next, got)
		}
		c := resp.Cookies()[0]
		if c.Name != access.SessionCookie || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || strings.Contains(c.Value, apitest.ReaderToken("acme")) {
			t.Errorf("%+v", c)
		}
	}
	b := s.browser(t, apitest.ReaderToken("acme"))
	if resp, _ := b.get("/"); resp.StatusCode != 200 {
		t.Errorf("signed in: %d", resp.StatusCode)
	}
	b.post("/logout", nil)
	if resp, _ := b.get("/"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("signed out: %d", resp.StatusCode)
	}
}

func TestPostsFromOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("acme"))
	for _, headers := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
		for _, path := range []string{"/clusters/" + s.cluster() + "/decisions", "/login", "/logout"} {
			if resp, _ := b.post(path, url.Values{"action": {"ignore"}}, headers...); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %d", path, headers, resp.StatusCode)
			}
		}
	}
	if n := len(s.world.Workspace("acme").Decisions()); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

func TestAnotherWorkspaceIsNotFound(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("globex"))
	for _, path := range []string{"/clusters/" + s.cluster(), "/tickets/jira/PROJ-142", "/feedback/" + feedback.ID("itm", "acme", apitest.Hostile)} {
		if resp, body := b.get(path); resp.StatusCode != http.StatusNotFound || strings.Contains(body, "export") {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	own := s.world.Workspace("acme").Decisions()[0].ID
	for path, form := range map[string]url.Values{
		"/clusters/" + s.cluster() + "/decisions": {"action": {"ignore"}}, "/decisions/" + own + "/undo": {},
		"/tickets/jira/PROJ-142/attachments": {"action": {"pin"}, "cluster": {s.cluster()}},
	} {
		if resp, _ := b.post(path, form); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for path, says := range map[string]string{"/": "throughline import feedback.csv --workspace globex", "/tickets": "No tickets yet", "/feedback": "No feedback yet", "/?q=x": "Nothing matches"} {
		if resp, body := b.get(path); resp.StatusCode != 200 || !strings.Contains(body, says) || strings.Contains(body, export) {
			t.Errorf("%s: %d, lacks %q", path, resp.StatusCode, says)
		}
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("acme"))
	here := "/clusters/" + s.cluster()
	signal := feedback.SignalID(feedback.ID("itm", "acme", "Can the export at least say that it is incomplete?"), feedback.Bug, "Can the export at least say that it is incomplete?", 0)
	other := feedback.ID("clu", "acme", "Dark mode for night shifts")
	last := func() feedback.Decision { d := s.world.Workspace("acme").Decisions(); return d[len(d)-1] }
	for _, form := range []url.Values{
		{"action": {"rename"}, "name": {"Exports lose rows"}, "reason": {"shorter"}}, {"action": {"merge"}, "into": {other}},
		{"action": {"split"}, "signal": {signal}}, {"action": {"move"}, "signal": {signal}, "into": {other}}, {"action": {"ignore"}}, {"action": {"reopen"}},
	} {
		form.Set("back", here)
		resp, body := b.post(here+"/decisions", form)
		d := last()
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != here+"?decided="+d.ID {
			t.Errorf("%v: %d %q %s", form, resp.StatusCode, resp.Header.Get("Location"), body)
		}
		if string(d.Action) != form.Get("action") || d.Cluster != s.cluster() || d.By != "maya" || d.Into != form.Get("into") || d.Name != form.Get("name") || d.Reason != form.Get("reason") {
			t.Errorf("%v was taken as %+v", form, d)
		}
		if _, body := b.get(resp.Header.Get("Location")); !strings.Contains(body, "/decisions/"+d.ID+"/undo") {
			t.Errorf("%v: no undo is offered", form)
		}
		if resp, _ := b.post("/decisions/"+d.ID+"/undo", url.Values{"back": {"//evil.example"}}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" || last().Undoes != d.ID {
			t.Errorf("undo of %v: %d, %+v", form, resp.StatusCode, last())
		}
	}
	for _, form := range []url.Values{{}, {"action": {"rename"}, "name": {" "}}, {"action": {"merge"}}, {"action": {"split"}}, {"action": {"move"}, "into": {other}}, {"action": {"undo"}}} {
		if resp, _ := b.post(here+"/decisions", form); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: %d", form, resp.StatusCode)
		}
	}
	if resp, _ := b.post("/tickets/jira/PROJ-142/attachments", url.Values{"action": {"pin"}, "cluster": {other}, "back": {"/tickets/jira/PROJ-142"}}); resp.StatusCode != http.StatusSeeOther || last().Ticket != "PROJ-142" || last().Action != feedback.Pin {
		t.Errorf("pin: %d, %+v", resp.StatusCode, last())
	}
}

// The address holds what is asked for, and each condition can be left out by itself.
func TestTheRoadmapIsFilteredByItsAddress(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, apitest.Token("acme"))
	_, body := b.get("/?kind=bug&area=export&segment=enterprise&since=30d&q=export&cursor=")
	for _, holds := range []string{`<option value="export" selected>`, `<option value="enterprise" selected>`, `<option value="30d" selected>`, `value="export"`,
		`href="/?area=export&amp;kind=bug&amp;q=export&amp;segment=enterprise"`, "the last 30 days"} {
		if !strings.Contains(body, holds) {
			t.Errorf("lacks %s", holds)
		}
	}
	if _, body := b.get("/?q=nobody-said-this&kind=bug"); !strings.Contains(body, `without <bdi>“nobody-said-this”`) || !strings.Contains(body, `href="/?q=nobody-said-this"`) {
		t.Error("an empty list does not say what to leave out")
	}
	for _, path := range []string{"/?source=fax", "/?since=yesterday"} {
		if resp, _ := b.get(path); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestTwoRevisionsAreComparedWordByWord(t *testing.T) {
	t.Parallel()
	_, body := serve(t).browser(t, apitest.Token("acme")).get("/tickets/jira/PROJ-142/compare?from=1&to=2")
	for _, holds := range []string{"<ins>", "From revision 1, when work began, to revision 2, the newest", "without a change"} {
		if !strings.Contains(body, holds) {
			t.Errorf("lacks %q", holds)
		}
	}
}

func TestWhatWouldChangeARankIsAPartOfItsOwn(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.Token("acme"))
	resp, body := b.get("/clusters/" + s.cluster() + "/why")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(strings.TrimSpace(body), `<div class="change">`) || !strings.Contains(body, "2 more accounts of 12,000 a year would make it number 1") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if _, body := b.get("/clusters/" + s.cluster()); !strings.Contains(body, `class="change"`) {
		t.Error("the cluster's own page does not say it")
	}
}

func TestAReaderIsOfferedNoDecision(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.browser(t, apitest.ReaderToken("acme"))
	for _, path := range []string{"/clusters/" + s.cluster(), "/tickets/jira/PROJ-142"} {
		if _, body := b.get(path); strings.Contains(body, `name="action"`) || strings.Contains(body, "/undo") {
			t.Errorf("%s offers a decision", path)
		}
	}
	if resp, _ := b.post("/clusters/"+s.cluster()+"/decisions", url.Values{"action": {"ignore"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a decision: %d", resp.StatusCode)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, apitest.Token("acme"))
	for path, want := range map[string]int{"/clusters/clu_none": 404, "/tickets/jira/NONE-1": 404, "/tickets/trello/X-1": 404, "/feedback/itm_none": 404, "/digest/today": 400,
		"/?kind=rant": 400, "/?status=lost": 400, "/?cursor=zz": 400, "/feedback?source=fax": 400, "/tickets/jira/PROJ-142?revision=x": 400, "/tickets/jira/PROJ-142?revision=9": 404, "/tickets/jira/PROJ-142/compare?from=9": 404, "/tickets/jira/PROJ-142/compare?to=x": 400, "/tickets/jira/NONE-1/compare": 404,
		"/assets/none.css": 404, "/nowhere": 404} {
		if resp, _ := b.get(path); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp, _ := b.get("/digest"); resp.Header.Get("Location") != "/digest/2026-11-22" {
		t.Errorf("/digest leads to %q", resp.Header.Get("Location"))
	}
}
