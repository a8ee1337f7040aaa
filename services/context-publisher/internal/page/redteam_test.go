package page_test

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
)

// tag is an element with the names of its attributes, which is all that a browser acts on
// beside addresses.
var (
	tag       = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)
	attribute = regexp.MustCompile(`\s([a-zA-Z-]+)="[^"]*"`)
)

func tags(body string) []string {
	var out []string
	for _, t := range tag.FindAllString(body, -1) {
		out = append(out, attribute.ReplaceAllString(t, " $1"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestRedTeam shows the hostile texts of a class wherever somebody outside can write: no view has an
// element, an attribute or an outside address that a view of plain words does not have.
func TestRedTeam(t *testing.T) {
	t.Parallel()
	const plain = "plain words of a customer"
	views := func(s site, words string) []string {
		return []string{"/", "/clusters/" + s.world.Workspace("acme").First(), "/tickets", "/tickets/jira/PROJ-142", "/feedback",
			"/feedback/" + feedback.ID("itm", "acme", words), "/digest/2026-11-22"}
	}
	show := func(t *testing.T, words string) map[string]string {
		s := serveWorld(t, func(w *apitest.World) { w.FillWith("acme", words) })
		b := s.browser(t, apitest.Token("acme"))
		out := map[string]string{}
		for i, path := range views(s, words) {
			resp, body := b.get(path)
			if resp.StatusCode != 200 {
				t.Fatalf("%s: %d", path, resp.StatusCode)
			}
			out[views(s, plain)[i]] = body
		}
		return out
	}
	allowed := map[string][]string{}
	for path, body := range show(t, plain) {
		allowed[path] = tags(body)
	}
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			var said []string
			for _, x := range of {
				said = append(said, x.Text)
			}
			seen := ""
			for path, body := range show(t, strings.Join(said, "\n")) {
				seen += body
				for _, got := range tags(body) {
					if !slices.Contains(allowed[path], got) {
						t.Errorf("%s has %s", path, got)
					}
				}
				for _, m := range address.FindAllStringSubmatch(body, -1) {
					u, err := url.Parse(html.UnescapeString(m[1]))
					if err != nil || u.Scheme != "" && u.Scheme != "https" || strings.HasSuffix(u.Hostname(), "evil.example") {
						t.Errorf("%s leads to %s", path, m[1])
					}
				}
				for _, r := range body {
					if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) {
						t.Errorf("%s has the hidden character %U", path, r)
					}
				}
			}
			for _, x := range of {
				if !strings.Contains(seen, x.Canary) {
					t.Errorf("%s is not shown, so that this shows nothing", x.Canary)
				}
			}
		})
	}
}
