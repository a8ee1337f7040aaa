package process

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/throughline-dev/throughline/pkg/certtest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// NATS over TLS, with an authority of one's own: the client comes in where it knows the
// authority, also from an address that does not say tls, and nowhere else.
func TestNATSOverTLS(t *testing.T) {
	t.Parallel()
	files, others := certtest.New(t), certtest.New(t)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, TLSConfig: files.Server(t), TLSTimeout: 5, Username: "throughline", Password: "of-nats"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	address := s.Addr().String()
	dial := func(scheme, ca string) error {
		nc, err := DialNATS(config.NATS{URL: scheme + address, CA: ca, Username: "throughline", Password: config.NewSecret("of-nats")}, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer nc.Close()
		if _, err := nc.TLSConnectionState(); err != nil {
			t.Errorf("%s: the connection is in the clear: %v", scheme, err)
		}
		return nc.Flush()
	}
	for _, scheme := range []string{"tls://", "nats://"} {
		if err := dial(scheme, files.CA); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		for what, ca := range map[string]string{"the system's authorities": "", "another authority": others.CA} {
			if err := dial(scheme, ca); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%s with %s: %v", scheme, what, err)
			}
		}
	}
	if err := dial("tls://", "/nowhere"); err == nil {
		t.Error("a file of authorities that is not there is no error")
	}
}

// ClickHouse over TLS: a real engine behind a port that speaks TLS.
func TestClickHouseOverTLS(t *testing.T) {
	t.Parallel()
	files, others := certtest.New(t), certtest.New(t)
	plain := storetest.Options(t)
	encrypted := terminate(t, files.Server(t), plain.Addr[0])
	open := func(c config.ClickHouse) error {
		c.Addr, c.Database, c.Username, c.Password = []string{encrypted}, plain.Database, plain.Username, config.NewSecret(plain.Password)
		o, err := StoreOptions(c)
		if err != nil {
			return err
		}
		db, err := store.Open(t.Context(), o)
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Ping(t.Context())
	}
	if err := open(config.ClickHouse{TLS: true, CA: files.CA}); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]config.ClickHouse{"the system's authorities": {TLS: true}, "another authority": {TLS: true, CA: others.CA}} {
		if err := open(c); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("with %s: %v", what, err)
		}
	}
	for what, ca := range map[string]string{"a file that is not there": "/nowhere", "a file without a certificate": files.Key} {
		if err := open(config.ClickHouse{TLS: true, CA: ca}); err == nil || !strings.Contains(err.Error(), "clickhouse.ca") {
			t.Errorf("with %s: %v", what, err)
		}
	}
}

// terminate listens with TLS and passes on what comes to an address in the clear.
func terminate(t *testing.T, c *tls.Config, to string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					_, _ = io.Copy(out, in)
					out.Close()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}
