// Package config reads the one YAML file that configures Throughline, lets the
// environment override every field, and resolves secrets so that they never sit in
// the file. It refuses what it does not know, naming the line, and reports every
// mistake at once.
package config

import (
	"time"
)

// Config is what an operator sets. The zero value of every field has a default,
// given in its comment.
type Config struct {
	Listen     string      `yaml:"listen"`     // address of the HTTP server; default 127.0.0.1:8080
	Data       string      `yaml:"data"`       // folder of the embedded engines; default ./data
	PublicURL  string      `yaml:"public_url"` // what links in tickets and digests start with; default http://<listen>
	Log        Log         `yaml:"log"`
	Workspaces []Workspace `yaml:"workspaces"`
	Models     Models      `yaml:"models"`
	NATS       NATS        `yaml:"nats"`
	ClickHouse ClickHouse  `yaml:"clickhouse"`
	SMTP       SMTP        `yaml:"smtp"`
	SignIn     SignIn      `yaml:"sign_in"`
	Traces     Traces      `yaml:"traces"`
	Profiles   Profiles    `yaml:"profiles"`
	Metrics    Metrics     `yaml:"metrics"`
	Outbound   Outbound    `yaml:"outbound"`
	TLS        TLS         `yaml:"tls"`
}

// Metrics says who may read /metrics; everybody who reaches the port, by default.
type Metrics struct {
	Token Secret `yaml:"token"` // asked for as a bearer token, where it is set; no workspace's token opens them
}

// Outbound says where requests may go whose address a workspace's connections and alerts
// name, or that a vendor's answer or a delivery leads to: to public addresses, and nowhere
// else by default.
type Outbound struct {
	Allow []string `yaml:"allow"` // networks that are reached besides, such as 10.20.0.0/16 or 127.0.0.1/32
}

// TLS has the port served over TLS; without it a proxy has to. Renewed files are read without
// a restart.
type TLS struct {
	Certificate string `yaml:"certificate"` // file with the chain, as PEM
	Key         string `yaml:"key"`         // file with the private key, as PEM
}

// SignIn says how people sign in at the page besides by a workspace's token.
type SignIn struct {
	OIDC OIDC `yaml:"oidc"`
}

// OIDC is an OpenID provider. Its own settings need <public_url>/login/callback as the address
// to come back to.
type OIDC struct {
	Name         string   `yaml:"name"`          // what the page calls it; default the issuer's host
	Issuer       string   `yaml:"issuer"`        // address whose /.well-known/openid-configuration describes it; empty means none
	ClientID     string   `yaml:"client_id"`     // as the provider knows us
	ClientSecret Secret   `yaml:"client_secret"` // empty for a public client: PKCE is used in any case
	Scopes       []string `yaml:"scopes"`        // asked for besides openid, email and profile
	GroupsClaim  string   `yaml:"groups_claim"`  // claim that lists a person's groups; default groups
}

// Member is who an OpenID provider may vouch for, and what they may do; exactly one of Group
// and Email is set. An e-mail address counts only where the provider has verified it.
type Member struct {
	Group  string   `yaml:"group"`
	Email  string   `yaml:"email"`
	Scopes []string `yaml:"scopes"` // read, decide, administer
}

// Traces says where spans go; nowhere by default.
type Traces struct {
	Endpoint      string  `yaml:"endpoint"`      // of a collector that takes OTLP over HTTP, such as http://collector:4318/v1/traces
	Authorization Secret  `yaml:"authorization"` // value of the header that the collector asks for
	Ratio         float64 `yaml:"ratio"`         // share of deliveries that are traced, above 0 and at most 1; default 1
}

// Profiles says where the process shows what it is busy with (net/http/pprof); nowhere by
// default.
type Profiles struct {
	Listen string `yaml:"listen"` // host:port; beyond loopback only with a token
	Token  Secret `yaml:"token"`  // asked for as a bearer token, where it is set
}

// Log says how to log.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error; default info
	Format string `yaml:"format"` // text or json; default text
}

// Workspace is a tenant: the boundary of all data.
type Workspace struct {
	ID          string       `yaml:"id"`       // lower-case letters, digits, - and _
	Timezone    string       `yaml:"timezone"` // IANA name; default UTC
	APITokens   []Token      `yaml:"api_tokens"`
	Members     []Member     `yaml:"members"` // people who sign in at the OpenID provider
	Connections []Connection `yaml:"connections"`
	Digest      Digest       `yaml:"digest"`
	Rank        Rank         `yaml:"rank"`
	Alerts      Alerts       `yaml:"alerts"`
	// RetentionDays is how many days after its last word an item is erased, and how old an
	// archived delivery may become; 0, the default, keeps everything.
	RetentionDays int `yaml:"retention_days"`
}

// Alerts says who hears at once of bursts, spikes of severity and large accounts that speak of
// leaving; nobody by default.
type Alerts struct {
	To []AlertDestination `yaml:"to"`
}

// AlertDestination is one receiver of alerts; exactly one field is set.
type AlertDestination struct {
	Slack   *SlackDestination `yaml:"slack,omitempty"`
	Webhook *AlertWebhook     `yaml:"webhook,omitempty"`
}

// AlertWebhook is an address that alerts are posted to as JSON, signed by Standard Webhooks.
type AlertWebhook struct {
	URL    string `yaml:"url"`
	Secret Secret `yaml:"secret"`
}

// Rank is what a workspace makes of the formula of ranks (package rank). What is not named
// is as documented.
type Rank struct {
	Weights  map[string]float64 `yaml:"weights"`  // reach, worth, severity, momentum, churn; 0 or more
	Segments map[string]float64 `yaml:"segments"` // what the value of accounts of a segment is multiplied by; default 1
	Boosts   map[string]float64 `yaml:"boosts"`   // what is added to the score of clusters of a kind; default praise -0.6, other -0.3
}

// Location is the workspace's time zone. Validate has checked that it exists.
func (w Workspace) Location() *time.Location {
	loc, err := time.LoadLocation(w.Timezone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// Token lets a program call the API. It is given itself, or as the hash of what was handed
// out: then the token is written down nowhere here.
type Token struct {
	Name   string   `yaml:"name"`
	Token  Secret   `yaml:"token"`
	SHA256 string   `yaml:"sha256"` // of the token, 64 hexadecimal digits; instead of token
	Scopes []string `yaml:"scopes"` // read, ingest, decide, administer
}

// Connection is one configured source or tracker, with its secrets. Which fields
// matter depends on Type.
type Connection struct {
	ID   string `yaml:"id"`   // unique among all connections: it is part of the webhook URL
	Type string `yaml:"type"` // slack, intercom, zendesk, webhook, email, jira, linear or github

	SigningSecret  Secret `yaml:"signing_secret"`  // slack, zendesk, webhook, email
	ClientSecret   Secret `yaml:"client_secret"`   // intercom
	WebhookSecret  Secret `yaml:"webhook_secret"`  // jira, linear, github
	PreviousSecret Secret `yaml:"previous_secret"` // accepted beside the current one while secrets rotate

	BaseURL  string `yaml:"base_url"`  // of the vendor's API; default the vendor's own
	BotToken Secret `yaml:"bot_token"` // slack
	Email    string `yaml:"email"`     // jira: whose api_token it is; email: where customers write to
	APIToken Secret `yaml:"api_token"` // jira, zendesk, intercom
	APIKey   Secret `yaml:"api_key"`   // linear
	Token    Secret `yaml:"token"`     // github

	// Bots lists ids of bots whose posts count as customers' words (slack).
	Bots []string `yaml:"bots"`
	// PerMinute is how many signed deliveries a minute are taken, a minute's worth at once; more
	// are answered 429 with Retry-After. 0, the default, is no limit.
	PerMinute int `yaml:"per_minute"`
	// Capture lists emoji, without colons, whose reaction makes feedback of the message under
	// it (slack, with a bot token).
	Capture []string `yaml:"capture"`
}

// Tracker reports whether the connection is a tracker rather than a source.
func (c Connection) Tracker() bool {
	return c.Type == "jira" || c.Type == "linear" || c.Type == "github"
}

// Secrets returns the secrets that may sign a delivery, the current one first. None
// means that the connection cannot receive: its endpoint refuses everything.
func (c Connection) Secrets() []string {
	var current Secret
	switch c.Type {
	case "slack", "zendesk", "webhook", "email":
		current = c.SigningSecret
	case "intercom":
		current = c.ClientSecret
	case "jira", "linear", "github":
		current = c.WebhookSecret
	}
	var out []string
	for _, s := range []Secret{current, c.PreviousSecret} {
		if s.Value() != "" {
			out = append(out, s.Value())
		}
	}
	return out
}

// Digest says when and where the morning digest goes.
type Digest struct {
	At string        `yaml:"at"` // HH:MM in the workspace's time zone; empty means no digest is sent
	To []Destination `yaml:"to"`
}

// Destination is one receiver of the digest; exactly one field is set.
type Destination struct {
	Slack *SlackDestination `yaml:"slack,omitempty"`
	Email string            `yaml:"email,omitempty"`
}

// SlackDestination is a channel reached through a Slack connection of the workspace.
type SlackDestination struct {
	Connection string `yaml:"connection"`
	Channel    string `yaml:"channel"`
}

// SMTP says where mail, a digest, is handed in.
type SMTP struct {
	Addr     string `yaml:"addr"`     // host:port; empty means that no mail is sent
	From     string `yaml:"from"`     // the sender's address, with or without a name
	Username string `yaml:"username"` // empty means no login
	Password Secret `yaml:"password"`
	TLS      string `yaml:"tls"` // starttls (default), implicit, or none for a relay on this machine
}

// Models says which models judge and embed.
type Models struct {
	Dir        string     `yaml:"dir"` // folder of the embedded model's weights; default: beside the binary, then .cache/models
	Embeddings Embeddings `yaml:"embeddings"`
	Chat       Chat       `yaml:"chat"`
}

// Embeddings is the model that embeds.
type Embeddings struct {
	Provider   string `yaml:"provider"` // local (default), lexical or openai
	BaseURL    string `yaml:"base_url"`
	Model      string `yaml:"model"`
	Dimensions int    `yaml:"dimensions"`
	APIKey     Secret `yaml:"api_key"`
}

// Chat is the model that extracts and writes.
type Chat struct {
	Provider string        `yaml:"provider"` // none (default) or openai
	BaseURL  string        `yaml:"base_url"`
	Model    string        `yaml:"model"`
	APIKey   Secret        `yaml:"api_key"`
	Timeout  time.Duration `yaml:"timeout"` // of one call; default 30s

	AskBelow    float64 `yaml:"ask_below"`   // items with a signal less sure than this are read by it; default 0.7, and 1 is every item
	Attempts    int     `yaml:"attempts"`    // calls for one item, the first included; default 3
	Concurrency int     `yaml:"concurrency"` // calls at once; default 8
	PerMinute   int     `yaml:"per_minute"`  // calls begun in a minute; default no limit

	BudgetPerDay    float64 `yaml:"budget_per_day"`   // money that calls may cost in a day (UTC); default no limit
	PromptPrice     float64 `yaml:"prompt_price"`     // of a million tokens sent, in the budget's currency
	CompletionPrice float64 `yaml:"completion_price"` // of a million tokens answered
}

// NATS says where the event log is.
type NATS struct {
	Mode        string `yaml:"mode"` // embedded, or empty with url; default embedded
	URL         string `yaml:"url"`
	Credentials Secret `yaml:"credentials"` // path of a credentials file, as file:PATH
	Username    string `yaml:"username"`    // instead of credentials, with a password
	Password    Secret `yaml:"password"`
	CA          string `yaml:"ca"`       // file with the authorities that sign the server's certificate, as PEM; default the system's
	Replicas    int    `yaml:"replicas"` // of streams; default 1
	Listen      string `yaml:"listen"`   // embedded only: also serve NATS clients here; default nowhere
}

// ClickHouse says where the store is.
type ClickHouse struct {
	Mode     string   `yaml:"mode"` // embedded, or empty with addr; default embedded
	Addr     []string `yaml:"addr"`
	Database string   `yaml:"database"` // default throughline
	Username string   `yaml:"username"` // default default
	Password Secret   `yaml:"password"`
	Cluster  string   `yaml:"cluster"` // name of a replicated cluster; default none
	Sharded  bool     `yaml:"sharded"` // the cluster has shards, over which workspaces are spread
	TLS      bool     `yaml:"tls"`
	CA       string   `yaml:"ca"` // file with the authorities that sign the server's certificate, as PEM; default the system's
}
