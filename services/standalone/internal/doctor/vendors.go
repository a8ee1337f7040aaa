package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/outbound"
)

// question asks a vendor who we are: the cheapest request that a wrong token fails.
type question struct {
	method, url, authorization, body string
}

// ask is nil where a connection has no token to try.
func ask(k config.Connection) *question {
	base := func(usual string) string {
		if k.BaseURL == "" {
			return usual
		}
		return strings.TrimRight(k.BaseURL, "/")
	}
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	const viewer = `{"query":"query { viewer { id } }"}`
	switch {
	case k.Type == "slack" && k.BotToken.Value() != "":
		return &question{http.MethodPost, base("https://slack.com") + "/api/auth.test", "Bearer " + k.BotToken.Value(), "{}"}
	case k.Type == "intercom" && k.APIToken.Value() != "":
		return &question{http.MethodGet, base("https://api.intercom.io") + "/me", "Bearer " + k.APIToken.Value(), ""}
	case k.Type == "zendesk" && k.APIToken.Value() != "" && k.BaseURL != "":
		return &question{http.MethodGet, base("") + "/api/v2/users/me.json", basic(k.Email+"/token", k.APIToken.Value()), ""}
	case k.Type == "jira" && k.APIToken.Value() != "" && k.BaseURL != "":
		return &question{http.MethodGet, base("") + "/rest/api/3/myself", basic(k.Email, k.APIToken.Value()), ""}
	case k.Type == "linear" && k.APIKey.Value() != "":
		return &question{http.MethodPost, base("https://api.linear.app") + "/graphql", k.APIKey.Value(), viewer}
	case k.Type == "github" && k.Token.Value() != "":
		// An app's installation token has no user: the limits answer for every token.
		return &question{http.MethodGet, base("https://api.github.com") + "/rate_limit", "Bearer " + k.Token.Value(), ""}
	}
	return nil
}

var errTokenRefused = errors.New("the token is refused")

// vendors tries the token of every connection that has one.
func (d *Doctor) vendors(ctx context.Context) {
	guard, err := outbound.NewGuard(d.config.Outbound.Allow)
	if err != nil {
		d.add("outbound", "", err, "name networks, such as 10.20.0.0/16")
		return
	}
	client := &http.Client{Timeout: d.Client.Timeout, Transport: guard.Transport()} // as the services call them
	defer client.CloseIdleConnections()
	for _, w := range d.config.Workspaces {
		for _, k := range w.Connections {
			q := ask(k)
			if q == nil {
				continue
			}
			err := d.try(ctx, client, k, q)
			remedy := "check base_url, the network and the proxy between; deliveries are taken meanwhile, and what is to be written waits"
			switch {
			case errors.As(err, new(outbound.InternalError)):
				remedy = "if that address is meant, add its network to outbound.allow; else find out who changed base_url, or the name behind it"
			case errors.Is(err, errTokenRefused):
				remedy = "make a new token at the vendor with the rights that deploy/guides/connecting.md lists, and set it"
			}
			d.add("token", k.ID+" ("+k.Type+") is accepted", err, remedy)
		}
	}
}

// try asks. Its error names the connection and never the token, nor what the vendor said.
func (d *Doctor) try(ctx context.Context, client *http.Client, k config.Connection, q *question) error {
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, strings.NewReader(q.body))
	if err != nil {
		return fmt.Errorf("%s (%s): base_url is no address", k.ID, k.Type)
	}
	r.Header.Set("Authorization", q.authorization)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "throughline")
	before := d.Now()
	res, err := client.Do(r)
	if internal := new(outbound.InternalError); errors.As(err, internal) {
		return fmt.Errorf("%s (%s): %w", k.ID, k.Type, *internal)
	}
	if err != nil {
		return fmt.Errorf("%s (%s): %s does not answer", k.ID, k.Type, r.URL.Host)
	}
	defer res.Body.Close()
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		d.clocks = append(d.clocks, clock{r.URL.Host, date.Sub(before.Truncate(time.Second))})
	}
	// Slack and GraphQL say no with a 200.
	var said struct {
		OK     *bool             `json:"ok"`
		Errors []json.RawMessage `json:"errors"`
	}
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&said)
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden,
		res.StatusCode == http.StatusOK && (said.OK != nil && !*said.OK || len(said.Errors) > 0):
		return fmt.Errorf("%s (%s): %w by %s", k.ID, k.Type, errTokenRefused, r.URL.Host)
	case res.StatusCode/100 != 2:
		return fmt.Errorf("%s (%s): %s answers %d", k.ID, k.Type, r.URL.Host, res.StatusCode)
	}
	return nil
}
