package digest_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
)

var (
	element     = regexp.MustCompile(`</?[a-zA-Z!][^>]*>`)
	slackEntity = regexp.MustCompile(`<[^>]*>`)
)

// TestRedTeam puts each hostile text wherever a digest holds words from outside, and
// looks for them outside of the quotes of every format.
func TestRedTeam(t *testing.T) {
	t.Parallel()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	ours := element.FindAllString(digest.HTML(hostileDigest(t, "plain words"), ""), -1)
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for _, x := range of {
				d := hostileDigest(t, x.Text)
				page := digest.HTML(d, "")
				for _, e := range element.FindAllString(page, -1) {
					if !slices.Contains(ours, e) && e != "<br>" {
						t.Errorf("%s: the page has %s", x.Canary, e)
					}
				}
				outside := regexp.MustCompile(`(?s)<blockquote.*?</blockquote>`).ReplaceAllString(page, "")
				_, blocks := digest.Slack(d, "https://throughline.example/digest/2026-11-22")
				for _, b := range blocks {
					for _, e := range slackEntity.FindAllString(b.Text.Text, -1) {
						if !strings.HasPrefix(e, "<https://throughline.example/") {
							t.Errorf("%s: Slack is told %s", x.Canary, e)
						}
					}
					if b.Text.Type == "mrkdwn" && !b.Text.Verbatim {
						t.Errorf("%s: Slack may make mentions of what looks like one", x.Canary)
					}
				}
				for name, text := range map[string]string{"html": outside, "markdown": unquoted(digest.Markdown(d)), "slack": unquoted(slackText(blocks))} {
					if strings.Contains(text, x.Canary) {
						t.Errorf("%s: left its quote in %s: %s", x.Canary, name, text)
					}
				}
				if !strings.Contains(page, x.Canary) || !strings.Contains(slackText(blocks), x.Canary) {
					t.Errorf("%s is not shown, so that this shows nothing", x.Canary)
				}
			}
		})
	}
}

func hostileDigest(t *testing.T, words string) digest.Digest {
	t.Helper()
	words = brief.Clean(strings.TrimPrefix(words, "The CSV export stops half way. ")) // what attacks, before anything is cut
	world := apitest.New()
	d, err := world.FillWith("acme", words).Digest(t.Context(), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	d.Tickets[0].Title = words
	d.Shipped = []digest.Shipped{{Tracker: feedback.Jira, Key: "PROJ-7", Title: words}}
	d.AtRisk = []digest.Risk{{Account: "a1", Name: words, Worth: brief.Money{Amount: 1, Currency: "EUR"}, Cluster: "clu_x", Need: words, Quote: words, Item: "itm_x"}}
	d.Undecided = []digest.Pending{{Tracker: feedback.Jira, Key: "PROJ-142", Cluster: "clu_x", Name: words, Score: .5}}
	return d
}

func unquoted(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, ">") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func slackText(blocks []slackpost.Block) string {
	var out []string
	for _, b := range blocks {
		out = append(out, b.Text.Text)
	}
	return strings.Join(out, "\n")
}
