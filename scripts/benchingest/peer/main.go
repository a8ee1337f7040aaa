// Command peer is a Watermill program that does what Throughline's edge does with a Slack webhook:
// it verifies the signature over the raw body, reads the event, and answers 200 once a
// JetStream server, which syncs every message, has it. It is what make bench-ingest
// compares with, written the way Watermill's documentation writes it.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	stdhttp "net/http"
	"os"
	"os/signal"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-http/v2/pkg/http"
	wnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	broker := flag.String("nats", nats.DefaultURL, "JetStream server")
	secret := flag.String("secret", "", "Slack signing secret")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, *broker, []byte(*secret)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, broker string, secret []byte) error {
	log := watermill.NopLogger{}
	nc, err := nats.Connect(broker)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "deliveries", Subjects: []string{"deliveries"}, Storage: nats.FileStorage, Duplicates: 30 * time.Minute, Compression: nats.S2Compression}); err != nil {
		return err
	}
	publisher, err := wnats.NewPublisher(wnats.PublisherConfig{URL: broker, Marshaler: &wnats.NATSMarshaler{}, JetStream: wnats.JetStreamConfig{TrackMsgId: true}}, log)
	if err != nil {
		return err
	}
	subscriber, err := http.NewSubscriber(listen, http.SubscriberConfig{UnmarshalMessageFunc: func(_ string, r *stdhttp.Request) (*message.Message, error) { return verify(r, secret) }}, log)
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, log)
	if err != nil {
		return err
	}
	router.AddHandler("accept", "/webhooks/slack", subscriber, "deliveries", publisher, normalise)
	go func() {
		<-router.Running()
		go func() {
			if err := subscriber.StartHTTPServer(); err != nil && !errors.Is(err, stdhttp.ErrServerClosed) {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		for subscriber.Addr() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("listening on", subscriber.Addr())
	}()
	return router.Run(ctx)
}

var errSignature = errors.New("the signature is not valid")

// verify checks Slack's signature over the raw body.
func verify(r *stdhttp.Request, secret []byte) (*message.Message, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("v0:" + r.Header.Get("X-Slack-Request-Timestamp") + ":"))
	m.Write(body)
	if !hmac.Equal([]byte("v0="+hex.EncodeToString(m.Sum(nil))), []byte(r.Header.Get("X-Slack-Signature"))) {
		return nil, errSignature
	}
	return message.NewMessage(watermill.NewUUID(), body), nil
}

// normalise reads the event for its id, by which the server recognises it, and wraps it.
func normalise(in *message.Message) ([]*message.Message, error) {
	var e struct {
		EventID string          `json:"event_id"`
		Type    string          `json:"type"`
		Event   json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(in.Payload, &e); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"id": e.EventID, "kind": "slack", "received_at": time.Now().UTC(), "body": []byte(in.Payload)})
	if err != nil {
		return nil, err
	}
	return []*message.Message{message.NewMessage(e.EventID, body)}, nil
}
