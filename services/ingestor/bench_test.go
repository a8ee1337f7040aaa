package ingestor_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/benchtest"
	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/ingestor"
)

// BenchmarkWebhook sends signed Slack webhooks of 2 KB with varied bodies through HTTP on
// loopback, 64 at a time, each durable and synced before its answer. The client, the
// server and the broker share the machine; cpu-ns/item is of all three.
func BenchmarkWebhook(b *testing.B) {
	bb := bustest.New(b)
	committer := bus.NewCommitter(bb.JetStream(), bb.Syncer(), bus.CommitterOptions{})
	b.Cleanup(func() { _ = committer.Close(context.Background()) })
	service, err := ingestor.New(ingestor.Config{Workspaces: workspaces()}, ingestor.Deps{
		Bus: bb, Appender: committer, Store: storetest.New(b), Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }, Holder: "bench",
	})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	service.Register(mux)
	srv := httptest.NewServer(mux)
	b.Cleanup(srv.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var n atomic.Int64
	filler := strings.Repeat("the export of reports stops half way ", 50)
	b.SetParallelism(32)
	meter := benchtest.Start(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := slackMessage(fmt.Sprint(n.Add(1), " ", filler), "")
			req, err := http.NewRequest(http.MethodPost, srv.URL+"/webhooks/acme-slack", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			for k, v := range sign("slack", signing, []byte(body)) {
				req.Header.Set(k, v)
			}
			res, err := client.Do(req)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Errorf("%v %v", res, err)
				return
			}
			res.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	meter.Report(1)
}
