package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
)

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	atPattern   = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

	connectionTypes = []string{"slack", "intercom", "zendesk", "webhook", "email", "jira", "linear", "github"}
	scopes          = []string{"read", "ingest", "decide", "administer"}
)

// reservedConnections are ids that the product uses for its own deliveries.
var reservedConnections = []string{"api", "import"}

// Validate reports every mistake, each with the path of the field and what it may be.
func (c Config) Validate() error {
	var v violations
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		v.add("listen", "must be host:port")
	}
	v.url("public_url", c.PublicURL)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.oneOf("models.embeddings.provider", c.Models.Embeddings.Provider, "local", "lexical", "openai")
	v.oneOf("models.chat.provider", c.Models.Chat.Provider, "none", "openai")
	if c.Models.Embeddings.Provider == "openai" && c.Models.Embeddings.Model == "" {
		v.add("models.embeddings.model", "is required with provider openai")
	}
	if c.Models.Chat.Provider == "openai" && c.Models.Chat.Model == "" {
		v.add("models.chat.model", "is required with provider openai")
	}
	chat := c.Models.Chat
	if chat.AskBelow < 0 || chat.AskBelow > 1 {
		v.add("models.chat.ask_below", "must be between 0 and 1")
	}
	if chat.Attempts < 0 || chat.Concurrency < 0 || chat.PerMinute < 0 || chat.BudgetPerDay < 0 || chat.PromptPrice < 0 || chat.CompletionPrice < 0 {
		v.add("models.chat", "attempts, concurrency, per_minute, budget_per_day and prices must not be negative")
	}
	if chat.BudgetPerDay > 0 && chat.PromptPrice == 0 && chat.CompletionPrice == 0 {
		v.add("models.chat.budget_per_day", "needs prompt_price and completion_price")
	}
	v.url("models.embeddings.base_url", c.Models.Embeddings.BaseURL)
	v.url("models.chat.base_url", c.Models.Chat.BaseURL)
	if (c.NATS.Mode == "embedded") == (c.NATS.URL != "") {
		v.add("nats", "give either mode: embedded or a url")
	}
	if (c.NATS.Username == "") != (c.NATS.Password.Value() == "") || c.NATS.Username != "" && c.NATS.Credentials.Value() != "" {
		v.add("nats.username", "goes with password, and without credentials")
	}
	if (c.ClickHouse.Mode == "embedded") == (len(c.ClickHouse.Addr) > 0) {
		v.add("clickhouse", "give either mode: embedded or addr")
	}
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(c.ClickHouse.Database) {
		v.add("clickhouse.database", "must be letters, digits and _")
	}
	if c.ClickHouse.Sharded && c.ClickHouse.Cluster == "" {
		v.add("clickhouse.sharded", "needs the name of a cluster")
	}
	v.oneOf("smtp.tls", c.SMTP.TLS, "starttls", "implicit", "none")
	if c.SMTP.Addr != "" {
		if _, _, err := net.SplitHostPort(c.SMTP.Addr); err != nil {
			v.add("smtp.addr", "must be host:port")
		}
		if _, err := mail.ParseAddress(c.SMTP.From); err != nil {
			v.add("smtp.from", "must be the address that digests come from")
		}
	}
	v.url("sign_in.oidc.issuer", c.SignIn.OIDC.Issuer)
	if c.SignIn.OIDC.Issuer != "" && c.SignIn.OIDC.ClientID == "" {
		v.add("sign_in.oidc.client_id", "is required with an issuer")
	}
	v.url("traces.endpoint", c.Traces.Endpoint)
	if !(c.Traces.Ratio > 0 && c.Traces.Ratio <= 1) {
		v.add("traces.ratio", "must be above 0 and at most 1")
	}
	if c.Profiles.Listen != "" {
		host, _, err := net.SplitHostPort(c.Profiles.Listen)
		switch ip := net.ParseIP(host); {
		case err != nil:
			v.add("profiles.listen", "must be host:port")
		case (ip == nil || !ip.IsLoopback()) && c.Profiles.Token.Value() == "":
			v.add("profiles.token", "is required where profiles are served beyond loopback")
		}
	}
	for i, network := range c.Outbound.Allow {
		if _, err := netip.ParsePrefix(network); err != nil {
			v.add(fmt.Sprintf("outbound.allow[%d]", i), "must be a network such as 10.20.0.0/16 or 127.0.0.1/32")
		}
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		v.add("tls", "needs a certificate and its key")
	}
	if c.ClickHouse.CA != "" && !c.ClickHouse.TLS {
		v.add("clickhouse.ca", "goes with tls: true")
	}
	workspaces, connections, tokens := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, w := range c.Workspaces {
		at := fmt.Sprintf("workspaces[%d]", i)
		v.id(at+".id", w.ID, workspaces)
		if _, err := time.LoadLocation(w.Timezone); err != nil {
			v.add(at+".timezone", "is not an IANA time zone such as Europe/Berlin")
		}
		for j, t := range w.APITokens {
			at := fmt.Sprintf("%s.api_tokens[%d]", at, j)
			if t.Name == "" {
				v.add(at+".name", "is required: it is shown as who decided")
			}
			hash := t.SHA256
			switch {
			case (t.Token.Value() == "") == (t.SHA256 == ""):
				v.add(at+".token", "is required, as env:NAME or file:PATH, or sha256 in its place")
			case t.SHA256 == "":
				hash = fmt.Sprintf("%x", sha256.Sum256([]byte(t.Token.Value())))
			case !hashPattern.MatchString(t.SHA256):
				v.add(at+".sha256", "must be 64 hexadecimal digits in lower case")
			}
			if tokens[hash] {
				v.add(at+".token", "is used by another token")
			}
			tokens[hash] = hash != ""
			for _, s := range t.Scopes {
				v.oneOf(at+".scopes", s, scopes...)
			}
		}
		for j, m := range w.Members {
			at := fmt.Sprintf("%s.members[%d]", at, j)
			if (m.Group != "") == (m.Email != "") {
				v.add(at, "give either group or email")
			}
			for _, s := range m.Scopes {
				v.oneOf(at+".scopes", s, "read", "decide", "administer")
			}
		}
		for j, k := range w.Connections {
			at := fmt.Sprintf("%s.connections[%d]", at, j)
			v.id(at+".id", k.ID, connections)
			if slices.Contains(reservedConnections, k.ID) {
				v.add(at+".id", "is reserved")
			}
			v.oneOf(at+".type", k.Type, connectionTypes...)
			v.url(at+".base_url", k.BaseURL)
			if k.PerMinute < 0 {
				v.add(at+".per_minute", "must be 0, no limit, or more")
			}
		}
		for j, to := range w.Alerts.To {
			at := fmt.Sprintf("%s.alerts.to[%d]", at, j)
			switch {
			case (to.Slack != nil) == (to.Webhook != nil):
				v.add(at, "give either slack or webhook")
			case to.Slack != nil:
				v.destination(at, w, Destination{Slack: to.Slack})
			default:
				v.url(at+".webhook.url", to.Webhook.URL)
				if to.Webhook.URL == "" || to.Webhook.Secret.Value() == "" {
					v.add(at+".webhook", "needs a url and a secret, as env:NAME or file:PATH")
				}
			}
		}
		if w.RetentionDays < 0 {
			v.add(at+".retention_days", "must be 0, for ever, or more")
		}
		for _, name := range slices.Sorted(maps.Keys(w.Rank.Weights)) {
			v.oneOf(at+".rank.weights", name, "reach", "worth", "severity", "momentum", "churn")
			if !(w.Rank.Weights[name] >= 0) {
				v.add(at+".rank.weights."+name, "must be 0 or more")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(w.Rank.Boosts)) {
			v.oneOf(at+".rank.boosts", name, "bug", "feature_request", "usability", "question", "praise", "complaint", "other")
		}
		if w.Digest.At != "" && !atPattern.MatchString(w.Digest.At) {
			v.add(at+".digest.at", "must be HH:MM")
		}
		for j, d := range w.Digest.To {
			v.destination(fmt.Sprintf("%s.digest.to[%d]", at, j), w, d)
		}
	}
	return errors.Join(v...)
}

type violations []error

func (v *violations) add(field, what string) { *v = append(*v, fmt.Errorf("%s: %s", field, what)) }

func (v *violations) oneOf(field, got string, want ...string) {
	if !slices.Contains(want, got) {
		v.add(field, fmt.Sprintf("%q is none of %q", got, want))
	}
}

func (v *violations) id(field, id string, seen map[string]bool) {
	switch {
	case !idPattern.MatchString(id):
		v.add(field, "must be lower-case letters, digits, - and _, at most 63")
	case seen[id]:
		v.add(field, fmt.Sprintf("%q is used twice", id))
	}
	seen[id] = true
}

func (v *violations) url(field, raw string) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		v.add(field, "must be an http or https URL")
	}
}

func (v *violations) destination(field string, w Workspace, d Destination) {
	switch {
	case (d.Slack != nil) == (d.Email != ""):
		v.add(field, "give either slack or email")
	case d.Slack != nil:
		known := slices.ContainsFunc(w.Connections, func(c Connection) bool {
			return c.ID == d.Slack.Connection && c.Type == "slack" && c.BotToken.Value() != ""
		})
		if !known {
			v.add(field+".slack.connection", "must name a slack connection of this workspace that has a bot_token")
		}
		if d.Slack.Channel == "" {
			v.add(field+".slack.channel", "is required")
		}
	}
}
