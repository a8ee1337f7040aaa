package broker_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/broker"
)

// TestMain is also the program that the crash tests kill: see child_test.go.
func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(runChild())
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, options broker.Options) *broker.Server {
	t.Helper()
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	if options.Reserve == (broker.Reserve{}) {
		options.Reserve = broker.Reserve{Bytes: 1 << 20}
	}
	s, err := broker.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// open connects to s and makes sure that the stream S is there.
func open(t *testing.T, s *broker.Server) (*nats.Conn, jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateOrUpdateStream(t.Context(), streamConfig())
	if err != nil {
		t.Fatal(err)
	}
	return nc, js, stream
}

func TestMessagesSurviveAStopAndAStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, broker.Options{Dir: dir})
	nc, js, _ := open(t, first)
	if _, err := js.Publish(t.Context(), "s.a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := first.Sync(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	if err := first.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	nc.Close()
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Healthy(t.Context()); err == nil {
		t.Error("a stopped broker is healthy")
	}
	if err := first.Sync(t.Context(), "S"); err == nil {
		t.Error("a stopped broker syncs")
	}

	_, _, stream := open(t, start(t, broker.Options{Dir: dir}))
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(msg.Data) != "kept" {
		t.Errorf("got %+v, %v", msg, err)
	}
}

func TestSecondBrokerOnADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, broker.Options{Dir: dir})
	second, err := broker.Start(t.Context(), broker.Options{Dir: dir})
	if err == nil {
		t.Fatal(errors.Join(errors.New("two brokers share a directory"), second.Stop(t.Context())))
	}
	if !strings.Contains(err.Error(), "another process has it open") {
		t.Error(err)
	}
}

func TestStartRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := start(t, broker.Options{Listen: "127.0.0.1:0"})
	for name, options := range map[string]broker.Options{
		"no directory":       {},
		"directory is file":  {Dir: file},
		"negative size":      {Dir: t.TempDir(), MaxStore: -1},
		"unknown durability": {Dir: t.TempDir(), Durability: "sometimes"},
		"open door":          {Dir: t.TempDir(), Listen: "0.0.0.0:0"},
		"address in use":     {Dir: t.TempDir(), Listen: strings.TrimPrefix(taken.ClientURL(), "nats://")},
	} {
		if s, err := broker.Start(t.Context(), options); err == nil {
			t.Error(name, "is accepted", s.Stop(t.Context()))
		}
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := broker.Start(ctx, broker.Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, %v", s, err)
	}
	start(t, broker.Options{Dir: dir}) // nothing was left running, the lock is free
}

func TestNoSpaceIsUnhealthyWithNumbers(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Reserve: broker.Reserve{Bytes: 1 << 60}})
	for _, err := range []error{s.CheckSpace(), s.Healthy(t.Context())} {
		if !errors.Is(err, broker.ErrNoSpace) || !strings.Contains(err.Error(), "MB free of") {
			t.Errorf("got %v", err)
		}
	}
}

func TestInProcessOnlyHasNoAddress(t *testing.T) {
	t.Parallel()
	if url := start(t, broker.Options{}).ClientURL(); url != "" {
		t.Errorf("listens on %s", url)
	}
}

func TestServeWantsItsTokenAndStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ready, result := make(chan *broker.Server, 1), make(chan error, 1)
	go func() {
		result <- broker.Serve(ctx, broker.Options{
			Dir: t.TempDir(), Listen: "127.0.0.1:0", Token: "open sesame", Reserve: broker.Reserve{Bytes: 1},
		}, func(s *broker.Server) { ready <- s })
	}()
	var s *broker.Server
	select {
	case s = <-ready:
	case err := <-result:
		t.Fatal(err)
	}
	if s.Mode() != "always" {
		t.Errorf("mode %q: clients of another process have no barrier", s.Mode())
	}
	if nc, err := nats.Connect(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("a client without the token is let in")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.Token("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), streamConfig()); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	own, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	own.Close()
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestServeRefusesBarrierAndNoAddress(t *testing.T) {
	t.Parallel()
	for _, options := range []broker.Options{
		{Dir: t.TempDir(), Listen: "127.0.0.1:0", Durability: broker.Barrier},
		{Dir: t.TempDir()},
	} {
		if err := broker.Serve(t.Context(), options, nil); err == nil {
			t.Errorf("%+v is accepted", options)
		}
	}
}
