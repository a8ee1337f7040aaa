package api

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// TicketAnswer is a ticket with how current it is.
type TicketAnswer struct {
	read.TicketDetail
	Freshness
}

func (a *API) ticket(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	tracker, key, err := trackerAndKey(r)
	if err != nil {
		return err
	}
	t, err := ws.Ticket(r.Context(), tracker, key)
	if err != nil {
		return err
	}
	fresh, err := ws.Freshness(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, TicketAnswer{TicketDetail: t, Freshness: fresh})
}

// BriefAnswer is a brief with its ETag, how far the clusters lag behind, and what
// changed where that was asked. As of when, and as of which position, the brief says
// itself.
type BriefAnswer struct {
	brief.Brief
	ETag    string        `json:"etag"`
	LagMS   int64         `json:"lag_ms"`
	Changes *read.Changes `json:"changes,omitempty"`
}

// brief answers the newest brief of a ticket, or with revision= an older one. since= is
// a revision, or pickup for the one that work began with; budget_tokens= cuts it.
func (a *API) brief(w http.ResponseWriter, r *http.Request, ws Workspace) error {
	tracker, key, err := trackerAndKey(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	revision, err := number(q.Get("revision"), "revision", 0)
	if err != nil {
		return err
	}
	budget, err := number(q.Get("budget_tokens"), "budget_tokens", brief.MinBudget)
	if err != nil {
		return err
	}
	var since *read.Since
	if s := q.Get("since"); s == "pickup" {
		since = &read.Since{PickUp: true}
	} else if s != "" {
		n, err := number(s, "since", 0)
		if err != nil {
			return invalid{"since is a revision, or pickup"}
		}
		since = &read.Since{Revision: n}
	}
	b, err := ws.Brief(r.Context(), tracker, key, revision)
	if err != nil {
		return err
	}
	var changes *read.Changes
	if since != nil {
		c, err := ws.Changes(r.Context(), tracker, key, *since)
		if err != nil {
			return err
		}
		changes = &c
	}
	markdown := preferred(r.Header.Get("Accept"), "application/json", "text/markdown") == "text/markdown"
	etag := tag(b, changes, budget, markdown)
	w.Header().Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	b = brief.Fit(b, int(min(budget, 1<<20)))
	if markdown {
		var c *brief.Changes
		if changes != nil {
			c = &changes.Changes
		}
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = w.Write([]byte(brief.Markdown(b, c)))
		return nil
	}
	fresh, err := ws.Freshness(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, BriefAnswer{Brief: b, ETag: etag, LagMS: fresh.LagMS, Changes: changes})
}

// tag identifies an answer: the revision and its hash, and what of it was asked.
func tag(b brief.Brief, c *read.Changes, budget uint64, markdown bool) string {
	t := fmt.Sprintf("%d-%s", b.Revision, b.Hash)
	if c != nil {
		t += fmt.Sprintf("-since%d", c.From)
	}
	if budget > 0 {
		t += fmt.Sprintf("-budget%d", budget)
	}
	if markdown {
		t += "-md"
	}
	return `"` + t + `"`
}

// matches compares as If-None-Match does: weakly, any of a list, or *.
func matches(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}

// preferred is the media type that Accept gives the greatest weight; the first where it
// names none of them, the last of those that weigh the same.
func preferred(accept string, kinds ...string) string {
	best := map[string]float64{}
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		weight := 1.0
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			weight = q
		}
		best[kind] = max(best[kind], weight)
	}
	chosen := kinds[0]
	for _, kind := range kinds[1:] {
		if best[kind] > 0 && best[kind] >= best[chosen] {
			chosen = kind
		}
	}
	return chosen
}

func number(s, name string, least uint64) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n < least {
		return 0, invalid{fmt.Sprintf("%s is a number from %d", name, least)}
	}
	return n, nil
}
