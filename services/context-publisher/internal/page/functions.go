package page

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

func (p *Page) functions() template.FuncMap {
	return template.FuncMap{
		"clean": brief.Clean,
		"link":  link,
		"ticket": func(t feedback.Tracker, key string) string {
			return "/tickets/" + string(t) + "/" + url.PathEscape(key)
		},
		"ago":      func(t time.Time) string { return ago(p.o.Now().Sub(t)) },
		"day":      func(t time.Time) string { return t.UTC().Format("2 Jan 2006") },
		"stamp":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"money":    func(v float64) string { return brief.Amount(brief.Money{Amount: v}) },
		"amount":   brief.Amount,
		"sum":      func(b *brief.Brief) string { return brief.Sum(*b) },
		"two":      func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) },
		"count":    count,
		"need":     need,
		"verb":     func(action string) string { return cmp.Or(verbs[action], action) },
		"level64":  func(severity float32) string { return level(float64(severity)) },
		"mix":      mixed,
		"allKinds": func() []feedback.Kind { return feedback.Kinds },
		"ruling":   func(r read.Ruling) string { return rulings[r.Action] },
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"deed":     func(route string) string { return cmp.Or(deeds[route], route) },
		"via": func(v string) string {
			return map[string]string{"token": "API token", "page": "token, on the page", "openid": "the OpenID provider"}[v]
		},
		"less":   func(a, b int) int { return a - b },
		"before": func(revision uint64) uint64 { return revision - 1 },
		"other": func(e read.Event) string { // a rename has the old name there
			if strings.HasPrefix(e.Other, "clu_") {
				return e.Other
			}
			return ""
		},
		"percent": percent,
		"trend":   trend,
		"level":   level,
		"bars":    bars,
		"terms":   terms,
		"legend":  legend,
		"kind":    func(k feedback.Kind) string { return kinds[k] },
		"words":   func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"lag":     func(ms int64) string { return ago(time.Duration(ms) * time.Millisecond) },
		"formula": func() string {
			return rank.Formula
		},
		"move": func(was, now uint32) string {
			switch {
			case was == 0:
				return "new in the list"
			case was > now:
				return fmt.Sprintf("up from %d", was)
			case was < now:
				return fmt.Sprintf("down from %d", was)
			}
			return "unchanged"
		},
	}
}

var kinds = map[feedback.Kind]string{
	feedback.Bug: "Bug", feedback.FeatureRequest: "Feature request", feedback.Usability: "Usability", feedback.Question: "Question",
	feedback.Praise: "Praise", feedback.Complaint: "Complaint", feedback.Other: "Other",
}

// deeds say in words what the routes of the audit log do. A route that is not here is shown
// as it is.
var deeds = map[string]string{
	"POST /login": "Signed in", "GET /login/callback": "Signed in", "POST /logout": "Signed out", "POST /workspace": "Went to another workspace",
	"POST /clusters/{id}/decisions": "Decided on a cluster", "POST /v1/clusters/{id}/decisions": "Decided on a cluster",
	"POST /signals/{id}/correction": "Corrected a signal",
	"POST /decisions/{id}/undo":     "Took a decision back", "DELETE /v1/decisions/{id}": "Took a decision back",
	"POST /tickets/{tracker}/{key}/attachments": "Confirmed or rejected an attachment", "POST /v1/tickets/{tracker}/{key}/attachments": "Confirmed or rejected an attachment",
	"POST /v1/signals/{id}/correction": "Corrected a signal",
	"MCP attach_cluster":               "Confirmed an attachment, over MCP", "MCP reject_cluster": "Rejected an attachment, over MCP", "MCP record_decision": "Decided on a cluster, over MCP",
	"POST /v1/dead-letters/{id}/retry": "Retried a dead letter", "DELETE /v1/dead-letters/{id}": "Dropped a dead letter",
	"DELETE /v1/customers/{id}": "Erased a customer", "DELETE /v1/feedback/{id}": "Deleted a feedback item",
	"POST /v1/connections/{id}/backfill": "Began a backfill", "POST /v1/replay": "Began a replay",
}

// verbs are the decisions in words.
var verbs = map[string]string{"merge": "Merged", "split": "Split", "move": "Moved out of", "rename": "Renamed", "ignore": "Ignored", "reopen": "Reopened", "mark": "Marked",
	"pin": "Confirmed", "reject": "Rejected", "correct": "Corrected a signal", "undo": "Took a decision back"}

// rulings say in words what one side of a contradiction decided.
var rulings = map[string]string{"pin": "confirmed it here", "reject": "rejected it here", "ignore": "ignored it", "reopen": "reopened it", "mark": "marked it as", "rename": "named it", "merge": "joined another into it", "split": "split it"}

// link lets an address that leads to the web through, and nothing else.
func link(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d.Minutes()), "minute", "minutes") + " ago"
	case d < 36*time.Hour:
		return count(int(math.Round(d.Hours())), "hour", "hours") + " ago"
	case d < 60*24*time.Hour:
		return count(int(math.Round(d.Hours()/24)), "day", "days") + " ago"
	}
	return count(int(d.Hours()/24/30), "month", "months") + " ago"
}

func count(n any, one, many string) string {
	if s := fmt.Sprint(n); s != "1" {
		return s + " " + many
	}
	return "1 " + one
}

// need says what a term alone would have to become.
func need(n rank.Need) string {
	now, needed := strconv.FormatFloat(n.Now, 'f', 1, 64), strconv.FormatFloat(n.Needed, 'f', 1, 64)
	switch n.Term {
	case "reach":
		return "a reach of " + needed + " instead of " + now
	case "worth":
		return brief.Amount(brief.Money{Amount: n.Needed}) + " a year behind it instead of " + brief.Amount(brief.Money{Amount: n.Now})
	case "severity", "churn":
		share := func(x float64) string { return strconv.Itoa(int(math.Ceil(100*x))) + " %" }
		if n.Term == "churn" {
			return share(n.Needed) + " who speak of leaving instead of " + share(n.Now)
		}
		return "a severity of " + share(n.Needed) + " instead of " + share(n.Now)
	}
	return n.Term + " of " + needed + " instead of " + now
}

// trend names a momentum, the weighted term of the rank.
func trend(momentum float64) string {
	switch {
	case momentum > .05:
		return "rising"
	case momentum < -.05:
		return "cooling"
	}
	return "steady"
}

// level names a severity as briefs do.
func level(severity float64) string {
	switch {
	case severity >= .65:
		return "high"
	case severity >= .35:
		return "medium"
	}
	return "low"
}

// term is one term of a rank as it is drawn: where its bar begins and how wide it is, of
// a hundred.
type term struct {
	Name        string
	Value       float64
	From, Width float64
	Tells       string
}

func terms(t brief.Terms) []term {
	return []term{
		{Name: "reach", Value: t.Reach, Tells: "how many people, faded by how long they have been silent"},
		{Name: "worth", Value: t.Worth, Tells: "what their accounts are worth a year"},
		{Name: "severity", Value: t.Severity, Tells: "how bad it is for them"},
		{Name: "momentum", Value: t.Momentum, Tells: "more or fewer voices than usual"},
		{Name: "churn", Value: t.Churn, Tells: "how many of them speak of leaving"},
		{Name: "boost", Value: t.Boost, Tells: "what the workspace adds for this kind"},
	}
}

// legend names the terms in the order in which they are drawn.
func legend() []string {
	var names []string
	for _, t := range terms(brief.Terms{}) {
		names = append(names, t.Name)
	}
	return names
}

// bars lays the positive terms end to end, so that the whole is the score against the
// best one.
func bars(t brief.Terms, top float64) []term {
	at := 0.0
	all := terms(t)
	for i := range all {
		all[i].From, all[i].Width = at, max(0, all[i].Value)/top*100
		at += all[i].Width
	}
	return all
}

// mix is the kinds of a week as they are drawn, and in words.
type mix struct {
	Parts []term
	Says  string
}

func mixed(w read.Week) mix {
	var m mix
	at := 0.0
	for _, k := range feedback.Kinds {
		n := w.Kinds[string(k)]
		if n == 0 {
			continue
		}
		width := 100 * float64(n) / float64(max(1, w.Signals))
		m.Parts = append(m.Parts, term{Name: string(k), From: at, Width: width})
		at += width
		if m.Says != "" {
			m.Says += ", "
		}
		m.Says += kinds[k] + " " + percent(width/100)
	}
	return m
}

// percent writes a share, of either precision.
func percent(share any) string {
	x, ok := share.(float64)
	if single, is := share.(float32); is {
		x, ok = float64(single), true
	}
	if !ok {
		return ""
	}
	return strconv.Itoa(int(math.Round(100*x))) + " %"
}
