package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/vendortest"
)

// Secrets are what the demo's configuration refers to. They protect nothing.
var Secrets = map[string]string{
	"DEMO_TOKEN":           "demo-token-please-change",
	"DEMO_SLACK_SECRET":    "demo-slack-signing-secret",
	"DEMO_INTERCOM_SECRET": "demo-intercom-client-secret",
	"DEMO_ZENDESK_SECRET":  "demo-zendesk-signing-secret",
	"DEMO_JIRA_SECRET":     "demo-jira-webhook-secret",
	"DEMO_JIRA_TOKEN":      "demo-jira-api-token",
	"DEMO_LINEAR_SECRET":   "demo-linear-webhook-secret",
	"DEMO_LINEAR_KEY":      "demo-linear-api-key",
	"DEMO_GITHUB_SECRET":   "demo-github-webhook-secret",
	"DEMO_GITHUB_TOKEN":    "demo-github-token",
}

// Trackers are the stand-ins for the three trackers' APIs, holding the demo's tickets.
type Trackers struct {
	jira   *vendortest.Jira
	linear *vendortest.Linear
	github *vendortest.GitHub
	// URLs maps a tracker to the address of its stand-in.
	URLs map[string]string
}

// StartTrackers listens on free ports of this machine.
func StartTrackers() (*Trackers, error) {
	// Webhooks move the demo's tickets; what the stand-ins show of them is older than that, and
	// nothing that a reconciliation would bring.
	old := func() time.Time { return time.Now().AddDate(0, -6, 0) }
	linear, err := vendortest.NewLinear(vendortest.LinearOptions{APIKey: Secrets["DEMO_LINEAR_KEY"], Now: old})
	if err != nil {
		return nil, fmt.Errorf("start trackers: %w", err)
	}
	t := &Trackers{
		jira:   vendortest.NewJira(vendortest.JiraOptions{Email: "bot@demo.example", APIToken: Secrets["DEMO_JIRA_TOKEN"], Now: old}),
		linear: linear,
		github: vendortest.NewGitHub(vendortest.GitHubOptions{Token: Secrets["DEMO_GITHUB_TOKEN"], Now: old}),
		URLs:   map[string]string{},
	}
	for name, server := range map[string]interface {
		Listen(string) (string, error)
	}{"jira": t.jira, "linear": t.linear, "github": t.github} {
		if t.URLs[name], err = server.Listen("127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start trackers: %w", err)
		}
	}
	t.Add(Tickets())
	return t, nil
}

// Add makes tickets known to their trackers, in the first stage.
func (t *Trackers) Add(tickets []Ticket) {
	for _, k := range tickets {
		switch k.Tracker {
		case "jira":
			t.jira.AddIssue(vendortest.JiraIssue{Key: k.Key, Summary: k.Title, Description: k.Body, Status: Todo.name, Category: Todo.jiraCategory})
		case "linear":
			t.linear.AddIssue(vendortest.LinearIssue{Key: k.Key, Title: k.Title, Description: k.Body, State: Todo.name, StateType: Todo.linearType})
		default:
			t.github.AddIssue(vendortest.GitHubIssue{Key: k.Key, Title: k.Title, Body: k.Body, State: "open"})
		}
	}
}

// Environment is what a Throughline process needs to run the demo's configuration against
// these trackers, as NAME=value.
func (t *Trackers) Environment() []string {
	var out []string
	for name, value := range Secrets {
		out = append(out, name+"="+value)
	}
	for i, name := range []string{"jira", "linear", "github"} {
		out = append(out, fmt.Sprintf("THROUGHLINE_WORKSPACES_0_CONNECTIONS_%d_BASE_URL=%s", i+3, t.URLs[name]))
	}
	return out
}

// Block is what Throughline has written to one ticket.
type Block struct {
	Tracker, Key, Text string
	Edits              int
}

// Blocks lists the blocks that Throughline wrote, as read from the stand-ins over HTTP.
func (t *Trackers) Blocks() ([]Block, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	var out []Block
	for _, name := range []string{"jira", "linear", "github"} {
		res, err := client.Get(t.URLs[name] + "/_written")
		if err != nil {
			return nil, fmt.Errorf("read blocks: %w", err)
		}
		var page struct {
			Tickets []vendortest.Written `json:"tickets"`
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		res.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read blocks: %w", err)
		}
		for _, w := range page.Tickets {
			for _, b := range w.Blocks {
				if b.Own {
					out = append(out, Block{name, w.Key, strings.TrimSpace(b.Text), b.Edits})
				}
			}
		}
	}
	return out, nil
}

// Close stops the stand-ins.
func (t *Trackers) Close() {
	t.jira.Close()
	t.linear.Close()
	t.github.Close()
}
