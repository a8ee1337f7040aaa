package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

// Play is one run of the demo against a running Throughline.
type Play struct {
	Sender   *Sender
	Trackers *Trackers
	// At is when the last feedback was said; the first was said sixty days before. The
	// same time gives the same webhooks, byte for byte.
	At time.Time
	// Texts bounds how many of the bundled texts are played; 0 means all.
	Texts int
	// Quiet is how long nothing may change before the pipeline counts as at rest; 0 means
	// three seconds. Where processes are killed it is longer than a lease.
	Quiet time.Duration
	// Progress is told how many of how many webhooks were sent. May be nil.
	Progress func(done, total int)
}

// span is how many days of feedback the demo shows.
const span = 60 * 24 * time.Hour

// quiet is the default of Quiet, patience how long anything may take.
const (
	quiet    = 3 * time.Second
	patience = 100 * time.Second
)

// before is the share of the feedback that arrives before the tickets move.
const before = 0.9

// Deliveries builds every feedback webhook in order of time.
func (p *Play) Deliveries() ([]Request, error) {
	texts, err := Texts()
	if err != nil {
		return nil, err
	}
	if p.Texts > 0 {
		texts = texts[:p.Texts]
	}
	accounts := Accounts()
	out := make([]Request, len(texts))
	for i, t := range texts {
		age := span * time.Duration(len(texts)-1-i) / time.Duration(len(texts))
		out[i] = Feedback(i, t, p.At.Add(-age).Truncate(time.Second), accounts)
	}
	return out, nil
}

// Result is what a run of the demo came to.
type Result struct {
	Sent, Items int
	Confirmed   int // suggestions that the demo's product manager confirmed
	Clusters    []Cluster
	Blocks      []Block
	Words       []string // every text that was sent
}

// Cluster is what the demo shows of a cluster.
type Cluster struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`
	Rank     int     `json:"rank"`
	Score    float64 `json:"score"`
	Signals  int     `json:"signals"`
	Voices   int     `json:"voices"`
	Accounts int     `json:"accounts"`
	Worth    float64 `json:"worth"`
	Quotes   []struct {
		Quote string `json:"quote"`
	} `json:"quotes"`
	Tickets []struct {
		Key  string `json:"key"`
		Mode string `json:"mode"`
	} `json:"tickets"`
	Watermark uint64 `json:"watermark"`
}

// Run plays the whole story: accounts, feedback, tickets that are created and move, more
// feedback, everything once more (which must change nothing), and the summary.
func (p *Play) Run(ctx context.Context) (Result, error) {
	deliveries, err := p.Deliveries()
	if err != nil {
		return Result{}, err
	}
	var result Result
	for _, d := range deliveries {
		result.Words = append(result.Words, d.Words)
	}
	cut := int(before * float64(len(deliveries)))
	total := 2*len(deliveries) + 4*len(Tickets())
	sent := func() {
		result.Sent++
		if p.Progress != nil {
			p.Progress(result.Sent, total)
		}
	}
	var created, moved []Request
	for i, t := range Tickets() {
		created = append(created, Create(t, p.At.Add(-48*time.Hour+time.Duration(i)*time.Minute)))
		moved = append(moved, Move(t, Todo, InProgress, p.At.Add(-24*time.Hour+time.Duration(i)*time.Minute)))
	}
	if err := p.Sender.Put(ctx, "/v1/accounts", Accounts()); err != nil {
		return Result{}, err
	}
	for _, step := range [][]Request{deliveries[:cut], created} {
		if err := p.Sender.SendAll(ctx, step, sent); err != nil {
			return Result{}, err
		}
	}
	if err := p.Settle(ctx); err != nil {
		return Result{}, err
	}
	if result.Confirmed, err = p.confirm(ctx); err != nil {
		return Result{}, err
	}
	for _, step := range [][]Request{moved, deliveries[cut:], deliveries, created, moved} {
		if err := p.Sender.SendAll(ctx, step, sent); err != nil {
			return Result{}, err
		}
	}
	if p.Trackers != nil {
		if err := p.written(ctx); err != nil {
			return Result{}, err
		}
	}
	if err := p.Settle(ctx); err != nil {
		return Result{}, err
	}
	// What stood out among the first feedback may be one of many among all of it.
	again, err := p.confirm(ctx)
	if err != nil {
		return Result{}, err
	}
	if result.Confirmed += again; again > 0 {
		if err := p.Settle(ctx); err != nil {
			return Result{}, err
		}
	}
	if result.Clusters, err = p.clusters(ctx, 200); err != nil {
		return Result{}, err
	}
	if result.Items, err = p.items(ctx); err != nil {
		return Result{}, err
	}
	if p.Trackers != nil {
		if result.Blocks, err = p.Trackers.Blocks(); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

func (p *Play) clusters(ctx context.Context, limit int) ([]Cluster, error) {
	var page struct {
		Items []Cluster `json:"items"`
	}
	err := p.Sender.Get(ctx, fmt.Sprintf("/v1/clusters?limit=%d", limit), &page)
	return page.Items, err
}

// confirm plays the product manager: where nothing is attached to a ticket with certainty,
// the best suggestion is pinned, as soon as there is one. It reports how many it pinned.
func (p *Play) confirm(ctx context.Context) (int, error) {
	pinned := 0
	for _, t := range Tickets() {
		path := "/v1/tickets/" + t.Tracker + "/" + url.PathEscape(t.Key)
		err := p.await(ctx, "clusters for ticket "+t.Key, func() (bool, error) {
			var ticket struct {
				Attachments []struct {
					Cluster string  `json:"cluster"`
					Mode    string  `json:"mode"`
					Score   float64 `json:"score"`
				} `json:"attachments"`
			}
			err := p.Sender.Get(ctx, path, &ticket)
			if errors.Is(err, ErrNotFound) {
				return false, nil
			}
			if err != nil || len(ticket.Attachments) == 0 {
				return false, err
			}
			best := ticket.Attachments[0]
			for _, a := range ticket.Attachments {
				if a.Mode != "suggested" {
					return true, nil
				}
				if a.Score > best.Score {
					best = a
				}
			}
			err = p.Sender.Post(ctx, path+"/attachments", map[string]string{"action": "pin", "cluster": best.Cluster, "reason": "confirmed in the demo"})
			if errors.Is(err, ErrRefused) {
				return false, nil // the cluster was merged while it was looked at: look again
			}
			pinned++
			return true, err
		})
		if err != nil {
			return pinned, err
		}
	}
	return pinned, nil
}

// await asks until done says yes, for as long as a demo may take.
func (p *Play) await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s; look at /readyz and `throughline dead-letter ls`", patience, what)
		}
	}
}

// items counts the feedback items, page by page.
func (p *Play) items(ctx context.Context) (int, error) {
	n := 0
	for cursor := ""; ; {
		var page struct {
			Items      []struct{} `json:"items"`
			NextCursor string     `json:"next_cursor"`
		}
		if err := p.Sender.Get(ctx, "/v1/feedback?limit=200&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return 0, err
		}
		n += len(page.Items)
		if page.NextCursor == "" {
			return n, nil
		}
		cursor = page.NextCursor
	}
}

// Settle waits until nothing has changed for a while: neither the ranking's watermark nor the
// blocks in the trackers.
func (p *Play) Settle(ctx context.Context) error {
	last, since := "", p.Sender.Now()
	return p.await(ctx, "the pipeline to come to rest", func() (bool, error) {
		clusters, err := p.clusters(ctx, 200)
		if err != nil {
			return false, err
		}
		now := fmt.Sprint(len(clusters))
		if len(clusters) > 0 {
			now += fmt.Sprint(clusters[0].Watermark)
		}
		if p.Trackers != nil {
			blocks, err := p.Trackers.Blocks()
			if err != nil {
				return false, err
			}
			for _, b := range blocks {
				now += fmt.Sprint(b.Key, b.Edits)
			}
		}
		if now != last {
			last, since = now, p.Sender.Now()
		}
		return len(clusters) > 0 && p.Sender.Now().Sub(since) > cmp.Or(p.Quiet, quiet), nil
	})
}

// written waits until every ticket has its block: a pin is written when its turn comes.
func (p *Play) written(ctx context.Context) error {
	return p.await(ctx, "a block in every ticket", func() (bool, error) {
		blocks, err := p.Trackers.Blocks()
		if err != nil {
			return false, err
		}
		has := map[string]bool{}
		for _, b := range blocks {
			has[b.Key] = true
		}
		for _, t := range Tickets() {
			if !has[t.Key] {
				return false, nil
			}
		}
		return true, nil
	})
}

// Check says what a run did not show that it must.
func (r Result) Check() error {
	var errs []error
	if len(r.Clusters) < 10 {
		errs = append(errs, fmt.Errorf("only %d clusters are ranked", len(r.Clusters)))
	}
	for _, c := range r.Clusters {
		for _, q := range c.Quotes {
			if !said(r.Words, q.Quote) {
				errs = append(errs, fmt.Errorf("a quote of cluster %s is nothing that was sent", c.ID))
			}
		}
	}
	blocks := map[string]int{}
	for _, b := range r.Blocks {
		blocks[b.Key]++
	}
	for _, t := range Tickets() {
		if blocks[t.Key] != 1 {
			errs = append(errs, fmt.Errorf("ticket %s has %d blocks", t.Key, blocks[t.Key]))
		}
	}
	return errors.Join(errs...)
}

func said(words []string, quote string) bool {
	for _, w := range words {
		if strings.Contains(w, quote) {
			return true
		}
	}
	return false
}

// Print writes the summary for a person.
func (r Result) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%d webhooks sent (every one of them twice), %d feedback items, %d clusters, %d tickets with a block each (%d of them after a suggestion was confirmed)\n\n", r.Sent, r.Items, len(r.Clusters), len(r.Blocks), r.Confirmed)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "RANK\tSCORE\tPEOPLE\tACCOUNTS\tWORTH A YEAR\tKIND\tCLUSTER\tTICKETS")
	for _, c := range r.Clusters[:min(12, len(r.Clusters))] {
		var keys []string
		for _, k := range c.Tickets {
			keys = append(keys, k.Key)
		}
		fmt.Fprintf(t, "%d\t%.2f\t%d\t%d\t€%.0f\t%s\t%s\t%s\n", c.Rank, c.Score, c.Voices, c.Accounts, c.Worth, c.Kind, c.Name, strings.Join(keys, " "))
	}
	t.Flush()
	if len(r.Clusters) > 0 && len(r.Clusters[0].Quotes) > 0 {
		fmt.Fprintf(w, "\nThe first one, in a customer's words:\n  “%s”\n", r.Clusters[0].Quotes[0].Quote)
	}
	longest := Block{}
	for _, b := range r.Blocks {
		if len(b.Text) > len(longest.Text) {
			longest = b
		}
	}
	if longest.Text != "" {
		fmt.Fprintf(w, "\nWhat Throughline wrote into %s (updated in place %d times):\n\n", longest.Key, longest.Edits)
		for _, line := range strings.Split(longest.Text, "\n") {
			fmt.Fprintln(w, "  │ "+line)
		}
	}
}
