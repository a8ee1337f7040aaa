package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `
listen: 127.0.0.1:9000
workspaces:
  - id: acme
    timezone: Europe/Berlin
    api_tokens: [ {name: ci, token: "env:TEST_ACME_TOKEN", scopes: [read, ingest, decide]} ]
    connections:
      - {id: acme-slack, type: slack, signing_secret: "env:TEST_SLACK_SECRET", bot_token: "env:TEST_SLACK_BOT"}
      - {id: acme-jira, type: jira, webhook_secret: "env:TEST_JIRA_SECRET", base_url: "https://acme-jira.example", email: "bot@acme.example"}
    digest: {at: "07:30", to: [{slack: {connection: acme-slack, channel: C0123}}, {email: pm@acme.example}]}
models:
  embeddings: {provider: local}
  chat: {provider: none}
nats: {mode: embedded}
clickhouse: {mode: embedded}
`

func environment(t *testing.T) {
	t.Helper()
	t.Setenv("TEST_ACME_TOKEN", "token-value")
	t.Setenv("TEST_SLACK_SECRET", "slack-value")
	t.Setenv("TEST_SLACK_BOT", "bot-value")
	t.Setenv("TEST_JIRA_SECRET", "jira-value")
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "throughline.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadReadsTheDocumentedFile(t *testing.T) {
	environment(t)
	c, err := Load(write(t, example))
	if err != nil {
		t.Fatal(err)
	}
	w := c.Workspaces[0]
	if w.APITokens[0].Token.Value() != "token-value" || w.Connections[0].Secrets()[0] != "slack-value" {
		t.Error("secrets were not resolved")
	}
	if c.Data != "./data" || c.PublicURL != "http://127.0.0.1:9000" || w.Location().String() != "Europe/Berlin" {
		t.Errorf("defaults: data %q, public_url %q, zone %s", c.Data, c.PublicURL, w.Location())
	}
}

func TestUnknownKeyNamesItsLine(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("listen: 127.0.0.1:1\nlisten_adress: x\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "listen_adress") {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentOverridesEveryKindOfField(t *testing.T) {
	environment(t)
	t.Setenv("THROUGHLINE_LISTEN", "127.0.0.1:7000")
	t.Setenv("THROUGHLINE_PUBLIC_URL", "https://tl.example/")
	t.Setenv("THROUGHLINE_WORKSPACES_0_TIMEZONE", "Asia/Tokyo")
	t.Setenv("THROUGHLINE_WORKSPACES_0_CONNECTIONS_0_SIGNING_SECRET", "env:TEST_JIRA_SECRET")
	t.Setenv("THROUGHLINE_CLICKHOUSE_MODE", "")
	t.Setenv("THROUGHLINE_CLICKHOUSE_ADDR", "a:9000,b:9000")
	t.Setenv("THROUGHLINE_CLICKHOUSE_TLS", "true")
	t.Setenv("THROUGHLINE_MODELS_CHAT_TIMEOUT", "5s")
	c, err := Load(write(t, example))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Listen, " ", c.PublicURL, " ", c.Workspaces[0].Timezone, " ", c.Workspaces[0].Connections[0].Secrets(), " ", c.ClickHouse.Addr, " ", c.ClickHouse.TLS, " ", c.Models.Chat.Timeout)
	if want := "127.0.0.1:7000 https://tl.example Asia/Tokyo [jira-value] [a:9000 b:9000] true 5s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMisspeltVariableIsAnError(t *testing.T) {
	t.Setenv("THROUGHLINE_LISTN", "x")
	if _, err := Load(""); err == nil || !strings.Contains(err.Error(), "THROUGHLINE_LISTN") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	environment(t)
	c, err := Load(write(t, example))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	printed := out.String() + string(js) + fmt.Sprintf("%v %+v %#v", c, c, c)
	for _, secret := range []string{"token-value", "slack-value", "bot-value", "jira-value"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q was printed", secret)
		}
	}
	if !strings.Contains(out.String(), "env:TEST_SLACK_SECRET") {
		t.Error("config print does not say where a secret comes from")
	}
}

func TestSecretInTheFileIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("workspaces:\n  - id: a\n    api_tokens:\n      - {name: x, token: hunter2}\n"))
	if err == nil || !strings.Contains(err.Error(), "line 4") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestValidateReportsEveryMistake(t *testing.T) {
	environment(t)
	text := strings.NewReplacer("id: acme\n", "id: ACME\n", "Europe/Berlin", "Mars/Olympus", "07:30", "7:30", "type: jira", "type: trello", "connection: acme-slack", "connection: nobody").Replace(example)
	_, err := Load(write(t, text))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"workspaces[0].id", "timezone", "digest.at", "connections[1].type", "digest.to[0].slack.connection"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported in:\n%v", want, err)
		}
	}
}

func TestSignIn(t *testing.T) {
	environment(t)
	text := strings.Replace(example, "    digest:", `    members:
      - {group: product, scopes: [read, decide]}
      - {email: boss@acme.example, scopes: [administer]}
    digest:`, 1) + "sign_in:\n  oidc: {issuer: \"https://id.example\", client_id: throughline}\n"
	c, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Workspaces[0].Members; len(m) != 2 || m[0].Group != "product" || m[1].Scopes[0] != "administer" || c.SignIn.OIDC.GroupsClaim != "groups" {
		t.Errorf("%+v, %+v", m, c.SignIn)
	}
	_, err = Load(write(t, strings.NewReplacer("client_id: throughline", "name: x", "https://id.example", "id.example", "group: product,", "", "scopes: [administer]", "scopes: [ingest]").Replace(text)))
	for _, want := range []string{"sign_in.oidc.issuer", "sign_in.oidc.client_id", "workspaces[0].members[0]", "workspaces[0].members[1].scopes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported in: %v", want, err)
		}
	}
}

func TestRankOfAWorkspace(t *testing.T) {
	t.Setenv("THROUGHLINE_WORKSPACES_0_RANK_WEIGHTS_CHURN", "0.8")
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	text := "workspaces:\n  - id: acme\n    rank:\n      weights: {reach: 0.5}\n      segments: {enterprise: 2}\n      boosts: {praise: -1}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Workspaces[0].Rank
	if r.Weights["reach"] != 0.5 || r.Weights["churn"] != 0.8 || r.Segments["enterprise"] != 2 || r.Boosts["praise"] != -1 {
		t.Errorf("%+v", r)
	}
	r.Weights["luck"], r.Boosts["magic"] = -1, 1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "luck") || !strings.Contains(err.Error(), "magic") {
		t.Errorf("got %v", err)
	}
}

// What keeps others out: hashes of tokens, where requests may go, certificates, who reads metrics.
func TestWhatKeepsOthersOut(t *testing.T) {
	environment(t)
	hash := strings.Repeat("0a", 32)
	text := strings.Replace(example, `token: "env:TEST_ACME_TOKEN"`, `sha256: "`+hash+`"`, 1) +
		"outbound: {allow: [10.20.0.0/16, \"::1/128\"]}\ntls: {certificate: /c.pem, key: /k.pem}\nmetrics: {token: \"env:TEST_ACME_TOKEN\"}\n"
	c, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Workspaces[0].APITokens[0].SHA256 != hash || len(c.Outbound.Allow) != 2 || c.Metrics.Token.Value() != "token-value" || c.PublicURL != "https://127.0.0.1:9000" {
		t.Errorf("%+v", c)
	}
	twice := strings.Replace(text, "api_tokens: [", `api_tokens: [ {name: b, sha256: "`+hash+`"},`, 1)
	for what, wrong := range map[string]string{
		"workspaces[0].api_tokens[0].sha256": strings.Replace(text, hash, strings.ToUpper(hash), 1),
		"workspaces[0].api_tokens[0].token":  strings.Replace(text, "name: ci,", `name: ci, token: "env:TEST_ACME_TOKEN",`, 1),
		"is used by another token":           twice,
		"outbound.allow[0]":                  strings.Replace(text, "10.20.0.0/16", "10.20.0.1", 1),
		"tls: needs":                         strings.Replace(text, ", key: /k.pem", "", 1),
		"clickhouse.ca":                      strings.Replace(text, "clickhouse: {mode: embedded}", "clickhouse: {mode: embedded, ca: /c.pem}", 1),
	} {
		if _, err := Load(write(t, wrong)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s is not reported in: %v", what, err)
		}
	}
}
