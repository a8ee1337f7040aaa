package doctor

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/config"
)

// address looks whether the address is free or served by a Throughline, and in the second
// case whether that one is ready and can be reached through public_url.
func (d *Doctor) address(ctx context.Context) {
	l, err := net.Listen("tcp", d.config.Listen)
	if err == nil {
		_ = l.Close()
		d.add("address", d.config.Listen+" is free", nil, "")
		return
	}
	here := "http://" + d.config.Listen
	if d.config.TLS.Certificate != "" {
		here = d.config.PublicURL // its certificate is for that name
	}
	res, asked := d.get(ctx, here+"/readyz")
	if asked != nil {
		d.add("address", "", fmt.Errorf("%s cannot be listened on: %w", d.config.Listen, err),
			"stop the other program that has it (ss -ltnp shows which), or choose another with listen:")
		return
	}
	d.add("address", d.config.Listen+" is served by a running Throughline", nil, "")
	var notReady []string
	for _, p := range res.Parts {
		if !p.Ready {
			notReady = append(notReady, p.Name+": "+p.Error)
		}
	}
	var unready error
	if len(notReady) > 0 {
		unready = errors.New(strings.Join(notReady, "; "))
	}
	d.add("readiness", "every part is ready", unready, "look at the part that is named, and at the log of the process")
	d.wayIn(ctx, here)
}

// readiness is what /readyz answers.
type readiness struct {
	Ready *bool
	Parts []struct {
		Name, Error string
		Ready       bool
	}
}

func (d *Doctor) get(ctx context.Context, url string) (readiness, error) {
	var out readiness
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return out, err
	}
	res, err := d.Client.Do(r)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&out); err != nil {
		return out, err
	}
	if out.Ready == nil {
		return out, errors.New("the answer is not Throughline's")
	}
	return out, nil
}

// handshake is a signed request that a connection answers without keeping it: what a vendor
// sends to try an address. Kinds of connections without one have none.
func (d *Doctor) handshake(k config.Connection) (body string, headers map[string]string) {
	secrets := k.Secrets()
	if len(secrets) == 0 {
		return "", nil
	}
	sign := func(h func() hash.Hash, text string) string {
		m := hmac.New(h, []byte(secrets[0]))
		m.Write([]byte(text))
		return hex.EncodeToString(m.Sum(nil))
	}
	switch k.Type {
	case "slack":
		body = `{"type":"url_verification","challenge":"doctor"}`
		at := strconv.FormatInt(d.Now().Unix(), 10)
		headers = map[string]string{"X-Slack-Request-Timestamp": at, "X-Slack-Signature": "v0=" + sign(sha256.New, "v0:"+at+":"+body)}
	case "intercom":
		body = `{"type":"notification_event","topic":"ping","data":{}}`
		headers = map[string]string{"X-Hub-Signature": "sha1=" + sign(sha1.New, body)}
	case "github":
		body = `{"zen":"Keep it logically awesome.","hook_id":1}`
		headers = map[string]string{"X-GitHub-Event": "ping", "X-Hub-Signature-256": "sha256=" + sign(sha256.New, body)}
	}
	return body, headers
}

// wayIn sends a handshake of each kind to the running process itself and, where public_url
// is another address, through it. What arrives here and not there was changed between.
func (d *Doctor) wayIn(ctx context.Context, here string) {
	tried := map[string]bool{}
	for _, w := range d.config.Workspaces {
		for _, k := range w.Connections {
			body, headers := d.handshake(k)
			if headers == nil || tried[k.Type] {
				continue
			}
			tried[k.Type] = true
			path := "/webhooks/" + k.ID
			if err := d.shake(ctx, here+path, body, headers); err != nil {
				d.add("webhooks", "", fmt.Errorf("%s (%s): the running process %w", k.ID, k.Type, err),
					"start it again with this configuration: it has another secret, or does not know the connection")
				continue
			}
			if d.config.PublicURL == here {
				continue
			}
			d.add("proxy", k.ID+" ("+k.Type+") is reached through "+d.config.PublicURL, d.through(ctx, k, path, body, headers),
				"let the proxy pass the headers "+names(headers)+" and the body as they come, and send /webhooks to Throughline (deploy/proxy/nginx.conf); check DNS and certificate where nothing answers")
		}
	}
}

func (d *Doctor) through(ctx context.Context, k config.Connection, path, body string, headers map[string]string) error {
	if err := d.shake(ctx, d.config.PublicURL+path, body, headers); err != nil {
		return fmt.Errorf("%s (%s): a signed request that is accepted at %s comes through %s broken: it %w", k.ID, k.Type, d.config.Listen, d.config.PublicURL, err)
	}
	return nil
}

// shake fails on anything but a 2xx.
func (d *Doctor) shake(ctx context.Context, url, body string, headers map[string]string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return errors.New("has no usable address")
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	res, err := d.Client.Do(r)
	if err != nil {
		return errors.New("does not answer")
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("answers %d", res.StatusCode)
	}
	return nil
}

func names(headers map[string]string) string {
	var out []string
	for _, n := range []string{"X-Slack-Request-Timestamp", "X-Slack-Signature", "X-Hub-Signature", "X-GitHub-Event", "X-Hub-Signature-256"} {
		if _, ok := headers[n]; ok {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}
