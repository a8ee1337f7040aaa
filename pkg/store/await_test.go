package store_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
)

// A server that comes while it is waited for is enough.
func TestAwaitWaitsForAServerThatComes(t *testing.T) {
	t.Parallel()
	o := storetest.Options(t)
	server := o.Addr[0]
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Addr = []string{free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Await(t.Context(), o, 0); !store.Retryable(err) {
		t.Errorf("nobody listens: %v", err)
	}
	come := sync.OnceFunc(func() { forward(t, o.Addr[0], server) })
	o.Logger = slog.New(heard{slog.DiscardHandler, come})
	if err := store.Await(t.Context(), o, time.Minute); err != nil {
		t.Error(err)
	}
}

// heard calls back for every line that is logged.
type heard struct {
	slog.Handler
	back func()
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(context.Context, slog.Record) error {
	h.back()
	return nil
}

// forward listens at an address and passes everything on to another, until the test ends.
func forward(t *testing.T, at, to string) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, from)
				_ = server.(*net.TCPConn).CloseWrite() // what the server still says is heard to its end
			}()
			go func() {
				_, _ = io.Copy(from, server)
				from.Close()
				server.Close()
			}()
		}
	}()
}
