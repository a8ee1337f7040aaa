package backfill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/ingestor/internal/backfill"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// A backfill that is killed again and again goes on from its last page and stores every
// message once.
func TestAKilledBackfillResumes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	z := vendortest.NewZendesk("bot@acme.example", "token", 10)
	z.AddUser(vendortest.ZendeskUser{ID: 1, Name: "Ada", Role: "end-user"})
	const tickets = 95
	for i := range tickets {
		at := now.Add(-time.Duration(1000-i) * time.Minute)
		z.AddTicket(vendortest.ZendeskTicket{ID: int64(i), Status: "open", UpdatedAt: at, Comments: []vendortest.ZendeskComment{{ID: int64(1000 + i), AuthorID: 1, Body: fmt.Sprint("words ", i), Public: true, CreatedAt: at}}})
	}
	url, err := z.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close() })
	b := bustest.New(t)
	committer := bus.NewCommitter(b.JetStream(), b.Syncer(), bus.CommitterOptions{})
	t.Cleanup(func() { _ = committer.Close(context.Background()) })
	kv, err := b.Bucket(t.Context(), bus.BucketCursors)
	if err != nil {
		t.Fatal(err)
	}
	asked, _ := json.Marshal(backfill.Job{Workspace: "acme", Connection: "acme-zendesk", Since: now.Add(-24 * time.Hour), Asked: now, State: backfill.Running})
	if _, err := kv.Create(t.Context(), backfill.Key("acme", "acme-zendesk"), asked); err != nil {
		t.Fatal(err)
	}
	// live runs until the process has asked so often, or until the end.
	live := func(requests int) backfill.Job {
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		r := &backfill.Runner{
			Bus: b, Appender: committer, Decode: decode.Changes, HTTP: &http.Client{Timeout: 10 * time.Second}, Logger: slog.New(slog.DiscardHandler),
			Connections: map[string]config.Connection{"acme-zendesk": {ID: "acme-zendesk", Type: "zendesk", BaseURL: url, Email: "bot@acme.example", APIToken: config.NewSecret("token")}},
			Workspaces:  map[string]string{"acme-zendesk": "acme"},
			Now:         func() time.Time { return now },
			Wait: func(ctx context.Context, _ time.Duration) error {
				if requests--; requests < 0 {
					kill()
				}
				return ctx.Err()
			},
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		watch, err := kv.Watch(ctx, backfill.Key("acme", "acme-zendesk"))
		if err != nil {
			t.Fatal(err)
		}
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
				j, _, err := backfill.Read(t.Context(), kv, "acme", "acme-zendesk")
				if err != nil {
					t.Fatal(err)
				}
				return j
			case entry := <-watch.Updates():
				var j backfill.Job
				if entry != nil && json.Unmarshal(entry.Value(), &j) == nil && j.State != backfill.Running {
					kill()
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the backfill neither ended nor was killed")
			}
		}
	}
	lives := 0
	var j backfill.Job
	for j.State != backfill.Done {
		before := j.Report.Pages
		// A page costs eleven requests; every life but the last dies within one.
		if j = live(30); j.Report.Pages <= before {
			t.Fatalf("a life brought nothing: %+v", j)
		}
		lives++
	}
	if lives < 4 || j.Report.Pages != 10 {
		t.Errorf("%d lives, %+v", lives, j.Report)
	}
	s, err := b.JetStream().Stream(t.Context(), bus.Deliveries)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != tickets {
		t.Errorf("%d deliveries of %d messages", n, tickets)
	}
}
