package ingestor_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// While a secret rotates, deliveries signed with either are taken, side by side and without
// one refusal; once the old one is retired, it opens nothing.
func TestSecretRotationUnderLoad(t *testing.T) {
	t.Parallel()
	rotating := start(t)
	var senders sync.WaitGroup
	for s := range 8 {
		senders.Go(func() {
			for i := range 25 {
				secret := signing
				if (s+i)%2 == 0 {
					secret = retired
				}
				body := []byte(slackMessage(fmt.Sprint("said ", s, " ", i), ""))
				if a := rotating.post("slack", body, sign("slack", secret, body)); a.status != http.StatusOK {
					t.Errorf("signed with %s: %d %s", secret, a.status, a.body)
				}
			}
		})
	}
	senders.Wait()

	after := start(t, func(c *ingestor.Config, _ *ingestor.Deps) {
		c.Workspaces[0].Connections[0].PreviousSecret = config.Secret{}
	})
	body := []byte(slackMessage("said", ""))
	if a := after.post("slack", body, sign("slack", retired, body)); a.status != http.StatusUnauthorized {
		t.Errorf("the retired secret: %d %s", a.status, a.body)
	}
	if a := after.post("slack", body, nil); a.status != http.StatusOK {
		t.Errorf("the current secret: %d %s", a.status, a.body)
	}
}
