package alert_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/alert"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/worldtest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// Slack and a webhook that fails at first hear of an alert once each, with the words; an old
// alert is told to nobody.
func TestEachDestinationHearsOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	w := worldtest.New("acme", storetest.New(t), nil)
	w.Say(t, worldtest.Saying{Cluster: "clu_exports", Customer: "Ada", Account: "a1", Text: "The export loses a day <!channel>", At: noon().Add(-time.Hour), Severity: 0.9})
	insert := func(id string, at time.Time) {
		err := w.DB.Insert(t.Context(), "alerts", []string{"workspace", "id", "at", "kind", "cluster", "signals", "voices", "hours", "p", "at_risk", "version"},
			[][]any{{"acme", id, at, "rising", "clu_exports", []string{w.SignalID(0)}, uint32(4), 6.0, 1e-7, 0.0, uint64(1)}}, "")
		if err != nil {
			t.Fatal(err)
		}
	}
	insert("alr_new", noon().Add(-time.Hour))
	insert("alr_old", noon().AddDate(0, 0, -3))

	cloud := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-right", Now: noon})
	cloud.AddChannel("C1", "product")
	base, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	poster, err := slackpost.New(slackpost.Config{BaseURL: base, BotToken: "xoxb-right"}, wire.Options{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	var got []alert.Alert
	tries := 0
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("hush"))
		_, _ = mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
		if r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Error("the signature is wrong")
		}
		var a alert.Alert
		if err := json.Unmarshal(body, &a); err != nil {
			t.Error(err)
		}
		got = append(got, a)
	}))
	t.Cleanup(hook.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	text := "workspaces:\n  - id: acme\n    connections:\n      - {id: acme-slack, type: slack, bot_token: \"file:" + secret + "\"}\n    alerts:\n      to:\n        - slack: {connection: acme-slack, channel: C1}\n        - webhook: {url: \"" + hook.URL + "\", secret: \"file:" + secret + "\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	teller, err := alert.New(t.Context(), alert.Options{Bus: b, Store: w.DB, Workspaces: c.Workspaces, Slack: map[string]*slackpost.Poster{"acme-slack": poster},
		Holder: "one", PublicURL: "https://throughline.example", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	if err := teller.Tell(t.Context(), c.Workspaces[0]); err == nil {
		t.Error("a webhook that fails is taken for one that heard")
	}
	for range 3 {
		if err := teller.Tell(t.Context(), c.Workspaces[0]); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0].ID != "alr_new" || len(got[0].Quotes) != 1 || !strings.HasPrefix(got[0].Quotes[0].Text, "The export loses a day") || tries != 2 {
		t.Errorf("the webhook heard %+v in %d tries", got, tries)
	}
	if posted := cloud.Messages("C1"); len(posted) != 1 || strings.Contains(posted[0].Text, "<!channel>") {
		t.Errorf("slack heard %+v", posted)
	}
}
