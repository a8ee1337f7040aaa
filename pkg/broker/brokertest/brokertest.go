// Package brokertest gives a test a real broker of its own: a NATS server with
// JetStream in this process, over the test's temporary directory.
package brokertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/throughline-dev/throughline/pkg/broker"
)

// New starts a broker that ends with the test. It does not listen on any
// port: connect with [Dial]. Its warnings and errors go to the test's log. It
// keeps 16 MB of disk free and lets streams reserve up to 1 TB, so that the
// limits of production streams can be used as they are. It syncs for real,
// with [broker.Barrier].
func New(t testing.TB) *broker.Server {
	t.Helper()
	server, err := broker.Start(t.Context(), broker.Options{
		Dir:      t.TempDir(),
		MaxStore: 1 << 40,
		Reserve:  broker.Reserve{Bytes: 16 << 20},
		Logger:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatalf("start broker: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("stop broker: %v", err)
		}
	})
	return server
}

// Dial opens a connection to server that closes with the test.
func Dial(t testing.TB, server *broker.Server) *nats.Conn {
	t.Helper()
	nc, err := server.Connect()
	if err != nil {
		t.Fatalf("connect to broker: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Connect starts a broker and returns a connection to it; both end with the
// test.
func Connect(t testing.TB) *nats.Conn {
	t.Helper()
	return Dial(t, New(t))
}
