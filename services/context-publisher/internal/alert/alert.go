// Package alert tells people at once what should not wait for the morning's digest: bursts
// of something new or rising, spikes of severity, large accounts that speak of leaving, and
// what is heard again of something that had shipped.
//
// It promises that each destination hears of an alert once, with customers' own words, and
// of nothing that is older than a day: a history that is imported alarms nobody. What was
// told is in the ledger; a crash between the call and its record is mended by Slack's own
// copy of the message's key, and by the id that a webhook's receiver gets.
package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

const (
	fresh    = 24 * time.Hour // how old an alert may be to be told
	quotes   = 5              // of an alert, at most
	patience = 10 * time.Second
)

// Alert is one alert with the words behind it, as a webhook gets it.
type Alert struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // new, rising, severity, churn or regression
	At      time.Time `json:"at"`
	Cluster string    `json:"cluster"`
	Name    string    `json:"name"`
	Voices  uint32    `json:"voices"` // accounts that said it
	Hours   float64   `json:"hours"`  // within how many hours
	AtRisk  float64   `json:"at_risk,omitempty"`
	URL     string    `json:"url,omitempty"`
	Quotes  []Quote   `json:"quotes"`
}

// Quote is what a customer said, verbatim without hidden characters.
type Quote struct {
	Signal string `json:"signal"`
	Item   string `json:"item"`
	Text   string `json:"text"`
	URL    string `json:"url,omitempty"`
}

// Options is what a Teller needs.
type Options struct {
	Bus        *bus.Bus
	Store      *store.DB
	Workspaces []config.Workspace
	Slack      map[string]*slackpost.Poster // by connection
	Holder     string
	PublicURL  string
	Every      time.Duration     // how often it looks; 0 means 10 s
	Transport  http.RoundTripper // to webhooks; nil means http.DefaultTransport
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Teller tells alerts.
type Teller struct {
	Options
	ledger keyed.Records[keyed.Write]
	told   *prometheus.CounterVec
	client *http.Client
}

// New checks the options; it starts nothing.
func New(ctx context.Context, o Options) (*Teller, error) {
	for _, w := range o.Workspaces {
		for _, to := range w.Alerts.To {
			if to.Slack != nil && o.Slack[to.Slack.Connection] == nil {
				return nil, fmt.Errorf("workspace %s: alerts to slack: connection %s has no bot_token", w.ID, to.Slack.Connection)
			}
		}
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	t := &Teller{Options: o, client: &http.Client{Transport: o.Transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	var err error
	if t.ledger, err = keyed.Open[keyed.Write](ctx, o.Bus, bus.BucketLedger); err != nil {
		return nil, err
	}
	t.told = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_publisher_alerts_total", Help: "Alerts by outcome (sent, delayed, refused)."}, []string{"outcome"})
	if err := o.Registerer.Register(t.told); err != nil {
		return nil, fmt.Errorf("register alert metrics: %w", err)
	}
	for _, outcome := range []string{"sent", "delayed", "refused"} {
		t.told.WithLabelValues(outcome) // a series that begins at one never increased
	}
	return t, nil
}

// Run tells what there is to tell until ctx ends, under a lease per shard.
func (t *Teller) Run(ctx context.Context) error {
	var ids []string
	for _, w := range t.Workspaces {
		if len(w.Alerts.To) > 0 {
			ids = append(ids, w.ID)
		}
	}
	return t.Bus.PerShard(ctx, "alerts", t.Holder, ids, func(ctx context.Context, n int, _ *bus.Lease) error {
		tick := time.NewTicker(t.Every)
		defer tick.Stop()
		for {
			for _, w := range t.Workspaces {
				if len(w.Alerts.To) == 0 || feedback.Shard(w.ID) != n {
					continue
				}
				if err := t.Tell(ctx, w); err != nil && ctx.Err() == nil {
					t.Logger.Warn("alerts not told; will try again", "workspace", w.ID, "error", err)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

// Tell makes every destination of a workspace hear of every alert of the last day, once.
func (t *Teller) Tell(ctx context.Context, w config.Workspace) error {
	alerts, err := t.load(ctx, w.ID)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		for _, to := range w.Alerts.To {
			if err := t.send(ctx, w.ID, a, to); err != nil {
				t.told.WithLabelValues("delayed").Inc()
				return err
			}
		}
	}
	return nil
}

// load reads the alerts of the last day, oldest first, with their quotes.
func (t *Teller) load(ctx context.Context, ws string) ([]Alert, error) {
	rows, err := t.Store.Conn().Query(ctx, `SELECT a.id, a.kind, a.at, a.cluster, c.name, a.voices, a.hours, a.at_risk, a.signals
		FROM (SELECT * FROM alerts FINAL WHERE workspace = ? AND at > ?) AS a
		LEFT JOIN (SELECT id, name FROM clusters FINAL WHERE workspace = ?) AS c ON c.id = a.cluster ORDER BY a.at, a.id`, ws, t.Now().Add(-fresh), ws)
	if err != nil {
		return nil, query.Failed("list alerts", err)
	}
	defer rows.Close()
	var out []Alert
	for rows.Next() {
		var a Alert
		var signals []string
		if err := rows.Scan(&a.ID, &a.Kind, &a.At, &a.Cluster, &a.Name, &a.Voices, &a.Hours, &a.AtRisk, &signals); err != nil {
			return nil, query.Failed("read alert", err)
		}
		a.At, a.Name = a.At.UTC(), brief.Clean(a.Name)
		if t.PublicURL != "" {
			a.URL = t.PublicURL + "/clusters/" + a.Cluster
		}
		if a.Quotes, err = t.quotes(ctx, ws, signals); err != nil {
			return nil, err
		}
		if len(a.Quotes) > 0 { // what was withdrawn since is not told
			out = append(out, a)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, query.Failed("list alerts", err)
	}
	return out, nil
}

func (t *Teller) quotes(ctx context.Context, ws string, signals []string) ([]Quote, error) {
	rows, err := t.Store.Conn().Query(ctx, `SELECT s.id, s.item, s.quote, i.url FROM (SELECT id, item, quote, said_at FROM signals FINAL WHERE workspace = ? AND id IN ?) AS s
		LEFT JOIN (SELECT id, url FROM items FINAL WHERE workspace = ?) AS i ON i.id = s.item ORDER BY s.said_at DESC, s.id LIMIT ?`, ws, signals, ws, quotes)
	if err != nil {
		return nil, query.Failed("list quotes of alert", err)
	}
	defer rows.Close()
	var out []Quote
	for rows.Next() {
		var q Quote
		if err := rows.Scan(&q.Signal, &q.Item, &q.Text, &q.URL); err != nil {
			return nil, query.Failed("read quote of alert", err)
		}
		q.Text = brief.Clean(q.Text)
		out = append(out, q)
	}
	if err := rows.Err(); err != nil {
		return nil, query.Failed("list quotes of alert", err)
	}
	return out, nil
}

// send makes one destination hear of one alert, unless it has.
func (t *Teller) send(ctx context.Context, ws string, a Alert, to config.AlertDestination) error {
	name := "webhook"
	if to.Slack != nil {
		name = "slack:" + to.Slack.Connection + ":" + to.Slack.Channel
	} else {
		name += ":" + to.Webhook.URL
	}
	key := keyed.DigestKey(ws, a.ID, name)
	entry, revision, err := t.ledger.Get(ctx, key)
	if err != nil || entry.State == keyed.Written || entry.State == keyed.Gone || entry.State == keyed.Refused {
		return err
	}
	entry = keyed.Write{Workspace: ws, State: keyed.Writing, Hash: a.ID, At: t.Now().UTC()}
	if revision, err = t.ledger.Put(ctx, key, entry, revision); err != nil {
		return err
	}
	if to.Slack != nil {
		_, _, err = t.Slack[to.Slack.Connection].Post(ctx, to.Slack.Channel, nil, slackpost.Message{Key: ws + "/" + a.ID, Title: Title(a), Markdown: Markdown(a), URL: a.URL, Hash: a.ID})
	} else {
		err = t.post(ctx, *to.Webhook, a)
	}
	entry.State = keyed.Written
	if err != nil {
		if !tracker.IsPermanent(err) {
			return err
		}
		entry.State, entry.Problem = keyed.Refused, err.Error()
		t.Logger.Warn("an alert was refused", "workspace", ws, "alert", a.ID, "error", err)
	}
	t.told.WithLabelValues(map[string]string{keyed.Written: "sent", keyed.Refused: "refused"}[entry.State]).Inc()
	_, err = t.ledger.Put(ctx, key, entry, revision)
	return err
}

// post sends an alert to a webhook, signed by Standard Webhooks. Its webhook-id is the
// alert's, so that a receiver that gets it twice knows.
func (t *Teller) post(ctx context.Context, to config.AlertWebhook, a Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write alert: %w", err)
	}
	secret := []byte(to.Secret.Value())
	if encoded, prefixed := strings.CutPrefix(to.Secret.Value(), "whsec_"); prefixed {
		if secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return fmt.Errorf("post alert: the secret starts with whsec_ but the rest is not base64")
		}
	}
	at := strconv.FormatInt(t.Now().Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(a.ID + "." + at + "."))
	_, _ = mac.Write(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post alert: the url cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("webhook-id", a.ID)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	answer, err := t.client.Do(req)
	if err != nil {
		return fmt.Errorf("post alert: the webhook does not answer")
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("post alert: the webhook answers %d", answer.StatusCode)
	}
	return nil
}

// Title says in our own words what is the matter.
func Title(a Alert) string {
	within := fmt.Sprintf("%d accounts within %.0f hours", a.Voices, a.Hours)
	switch a.Kind {
	case "new":
		return "New: " + within + " speak of something that was not heard before"
	case "severity":
		return fmt.Sprintf("Severe: %d accounts within the hour", a.Voices)
	case "churn":
		return fmt.Sprintf("A large account speaks of leaving: %.0f a year", a.AtRisk)
	case "regression":
		return "A possible regression: a customer speaks again of something that had shipped"
	default:
		return "Rising: " + within
	}
}

// Markdown is an alert in the subset of package markup, customers' words quoted.
func Markdown(a Alert) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cluster %s:\n\n%s\n\nWhat they say:\n\n", a.Cluster, markup.QuoteLines(a.Name))
	for _, q := range a.Quotes {
		fmt.Fprintf(&b, "%s\n\n", markup.QuoteLines(q.Text))
	}
	return b.String()
}
