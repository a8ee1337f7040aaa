package api

import (
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

func (a *API) clusters(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	q := r.URL.Query()
	n, err := limit(q)
	if err != nil {
		return err
	}
	if err := oneOf("kind", q.Get("kind"), kinds()...); err != nil {
		return err
	}
	if err := oneOf("status", q.Get("status"), Statuses...); err != nil {
		return err
	}
	if err := oneOf("source", q.Get("source"), sources()...); err != nil {
		return err
	}
	since, err := since(q)
	if err != nil {
		return err
	}
	page, err := ws.Clusters(r.Context(), read.ClusterQuery{
		Kind: q.Get("kind"), Status: q.Get("status"), Q: q.Get("q"), Source: q.Get("source"), Segment: q.Get("segment"), Area: q.Get("area"), Since: since,
		Limit: n, Cursor: q.Get("cursor"),
	})
	if err != nil {
		return err
	}
	return list(w, r, ws, page)
}

// ClusterAnswer is a cluster with how current it is; its own watermark says as of which
// position.
type ClusterAnswer struct {
	read.Cluster
	AsOf  time.Time `json:"as_of"`
	LagMS int64     `json:"lag_ms"`
}

func (a *API) cluster(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	c, err := ws.Cluster(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	fresh, err := ws.Freshness(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, ClusterAnswer{Cluster: c, AsOf: fresh.AsOf, LagMS: fresh.LagMS})
}

func (a *API) signals(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	if _, err := ws.Cluster(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	page, err := ws.Signals(r.Context(), r.PathValue("id"), n, r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return list(w, r, ws, page)
}

func (a *API) history(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	if _, err := ws.Cluster(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	events, err := ws.History(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return list(w, r, ws, read.Page[read.Event]{Items: events})
}

func (a *API) explain(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	e, err := ws.Explain(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, e)
}

func (a *API) ranks(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	days, err := ws.RankDays(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return list(w, r, ws, read.Page[read.RankDay]{Items: days})
}

func (a *API) feedback(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	q := r.URL.Query()
	n, err := limit(q)
	if err != nil {
		return err
	}
	if err := oneOf("source", q.Get("source"), sources()...); err != nil {
		return err
	}
	since, err := since(q)
	if err != nil {
		return err
	}
	page, err := ws.Feedback(r.Context(), read.FeedbackQuery{
		Q: q.Get("q"), Source: q.Get("source"), Customer: q.Get("customer"), Since: since, Limit: n, Cursor: q.Get("cursor"),
	})
	if err != nil {
		return err
	}
	return list(w, r, ws, page)
}

// Sources are the sources that can be asked for.
var Sources = []feedback.Source{feedback.Slack, feedback.Intercom, feedback.Zendesk, feedback.Webhook, feedback.Email, feedback.Import}

func sources() []string {
	words := make([]string, len(Sources))
	for i, s := range Sources {
		words[i] = string(s)
	}
	return words
}

// since reads a time or the beginning of a date; the zero time where there is none.
func since(q url.Values) (time.Time, error) {
	s := q.Get("since")
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid{"since is a time (2026-11-20T08:00:00Z) or a date (2026-11-20)"}
}

func (a *API) feedbackItem(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	item, err := ws.FeedbackItem(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, item)
}

func (a *API) audit(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := ws.Audit(r.Context(), n, r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return list(w, r, ws, page)
}

func (a *API) tickets(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := ws.Tickets(r.Context(), n, r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return list(w, r, ws, page)
}

// digest answers the digest of a local day, or with "today" the newest, as JSON, Markdown, a
// page, or the blocks of a Slack message.
func (a *API) digest(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	var date time.Time
	if day := r.PathValue("date"); day != "today" {
		var err error
		if date, err = time.Parse(time.DateOnly, day); err != nil {
			return invalid{"the date is written 2026-11-22, or today"}
		}
	}
	d, err := ws.Digest(r.Context(), date)
	if err != nil {
		return err
	}
	switch kind := preferred(r.Header.Get("Accept"), "application/json", "text/markdown", "text/html", slackBlocks); kind {
	case "text/markdown":
		return write(w, kind+"; charset=utf-8", digest.Markdown(d))
	case "text/html":
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		return write(w, kind+"; charset=utf-8", digest.HTML(d, ""))
	case slackBlocks:
		text, blocks := digest.Slack(d, "")
		return answer(w, http.StatusOK, map[string]any{"text": text, "blocks": blocks})
	}
	return answer(w, http.StatusOK, d)
}

// slackBlocks is the media type under which the arguments of chat.postMessage are asked for.
const slackBlocks = "application/vnd.slack+json"

func write(w http.ResponseWriter, kind, text string) error {
	w.Header().Set("Content-Type", kind)
	_, _ = io.WriteString(w, text) // a reader that went away is no fault of ours
	return nil
}
