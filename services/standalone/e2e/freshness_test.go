package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// The load of the freshness test; `make bench-freshness` plays the one that is promised.
var (
	freshTickets = flag.Int("tickets", 6, "tickets of the freshness test")
	freshItems   = flag.Int("items", 24, "webhooks of the freshness test")
	freshRate    = flag.Int("rate", 4, "webhooks a second of the freshness test")
)

// desk stands before Jira's stand-in and notes when each ticket's block was written first
// and last.
type desk struct {
	*httptest.Server
	first  map[string]chan time.Time
	writes atomic.Int64
}

var comment = regexp.MustCompile(`^/rest/api/3/issue/([A-Z]+-[0-9]+)/comment(/|$)`)

func newDesk(t *testing.T, jira string, keys []string) *desk {
	t.Helper()
	to, err := url.Parse(jira)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{first: map[string]chan time.Time{}}
	for _, k := range keys {
		d.first[k] = make(chan time.Time, 1)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		m := comment.FindStringSubmatch(r.Request.URL.Path)
		if m == nil || r.Request.Method == http.MethodGet || r.Request.Method == http.MethodDelete || r.StatusCode >= 300 {
			return nil
		}
		select {
		case d.first[m[1]] <- time.Now():
		default: // a later write
		}
		d.writes.Add(1)
		return nil
	}
	d.Server = httptest.NewServer(proxy)
	t.Cleanup(d.Close)
	return d
}

// Customers write about tickets through signed webhooks, at a steady rate; what is measured
// is from a webhook's 2xx to the block that its ticket shows first, in the tracker.
func TestTheFirstChangeReachesTheTrackerAtOnce(t *testing.T) {
	t.Parallel()
	texts, err := demo.Texts()
	if err != nil {
		t.Fatal(err)
	}
	accounts := demo.Accounts()
	var tickets []demo.Ticket
	var keys []string
	for n := range *freshTickets {
		title := texts[n].Text
		title = strings.ToValidUTF8(title[:min(len(title), 90)], "")
		tickets = append(tickets, demo.Ticket{Tracker: "jira", Key: fmt.Sprintf("FRESH-%d", n+1), Title: title})
		keys = append(keys, tickets[n].Key)
	}
	var d *desk
	s := begin(t, *freshTickets+*freshItems, func(s *shape) {
		s.trackers.Add(tickets)
		d = newDesk(t, s.trackers.URLs["jira"], keys)
		s.env = append(s.env, "THROUGHLINE_WORKSPACES_0_CONNECTIONS_3_BASE_URL="+d.URL)
	})
	ctx := deadline(t)
	sender := s.play(0).Sender
	for _, k := range tickets {
		if err := sender.Send(ctx, demo.Create(k, at)); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range keys {
		s.until(t, "the brief of "+k, func() bool { return sender.Get(ctx, "/v1/tickets/jira/"+k+"/brief", &struct{}{}) == nil })
	}

	var mu sync.Mutex
	accepted := map[string]time.Time{}
	tick := time.NewTicker(time.Second / time.Duration(*freshRate))
	defer tick.Stop()
	var sending sync.WaitGroup
	for n := range *freshItems {
		<-tick.C
		k := (n * 7919) % len(tickets) // spread, each as often
		text := demo.Text{ID: fmt.Sprintf("fresh-%d", n), Text: fmt.Sprintf("%s What about %s?", texts[k].Text, keys[k])}
		sending.Go(func() {
			if err := sender.Send(ctx, demo.Feedback(n, text, time.Now().UTC(), accounts)); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if _, known := accepted[keys[k]]; !known {
				accepted[keys[k]] = time.Now()
			}
		})
	}
	sending.Wait()
	var took []time.Duration
	var missing []string
	within, over := context.WithTimeout(ctx, patience) // for all of them
	defer over()
	for k, since := range accepted {
		select {
		case shown := <-d.first[k]:
			took = append(took, max(0, shown.Sub(since)))
		case <-within.Done():
			select {
			case shown := <-d.first[k]:
				took = append(took, max(0, shown.Sub(since)))
			default:
				missing = append(missing, k)
			}
		}
	}
	slices.Sort(took)
	slices.Sort(missing)
	at := func(share float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[int(share*float64(len(took)-1))].Round(time.Millisecond)
	}
	t.Logf("%d webhooks at %d a second over %d tickets; from the 2xx to the first block of %d tickets: median %s, 95 %% %s, 99 %% %s, longest %s; %d writes",
		*freshItems, *freshRate, len(tickets), len(took), at(.5), at(.95), at(.99), at(1), d.writes.Load())
	if len(missing) > 0 {
		t.Errorf("%d tickets show no block: %s", len(missing), strings.Join(missing, ", "))
	}
	if text := s.page(t, "/metrics"); !strings.Contains(text, `throughline_freshness_seconds_count{change="first",stage="tracker"}`) {
		t.Error("/metrics has no histogram of the first changes")
	}
}
