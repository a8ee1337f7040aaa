package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// One person writes in three sources under two addresses: three voices until something ties
// them together, and one from then on. What their company is worth decides a rank.
func TestPeopleNotMessagesAndTheirWorth(t *testing.T) {
	t.Parallel()
	s := begin(t, 12, lexical)
	ctx, sender := deadline(t), s.play(0).Sender
	send := func(vendor string, v object) {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(ctx, demo.Request{Connection: "demo-" + vendor, Vendor: vendor, ContentType: "application/json", Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	slack := func(event object) {
		send("slack", object{"type": "event_callback", "team_id": "T1", "event_id": fmt.Sprint("Ev", len(event), event["ts"]), "event": event})
	}
	zendesk := func(kind string, detail, event object) {
		send("zendesk", object{"type": "zen:event-type:" + kind, "id": fmt.Sprint(kind, detail), "time": at.Format(time.RFC3339), "detail": detail, "event": event})
	}
	// Nobody repeats another word for word: who does is no voice.
	const slow, dark = "stops after ten pages", "a dark mode for working at night"
	slack(object{"type": "message", "channel": "C1", "user": "U1", "ts": fmt.Sprintf("%d.000100", at.Unix()), "text": "The export to PDF always " + slow + "."})
	send("intercom", object{"type": "notification_event", "app_id": "app", "id": "n1", "topic": "conversation.user.created", "created_at": at.Unix(), "data": object{"item": object{
		"type": "conversation", "id": "7", "created_at": at.Unix(), "source": object{"id": "s1", "body": "<p>Our export to PDF always " + slow + ".</p>", "author": object{"type": "user", "id": "c1", "email": "ada@work.example"}},
	}}})
	zendesk("ticket.comment_added", object{"id": "5"}, object{"comment": object{"id": "77", "body": "My export to PDF always " + slow + ", sadly.", "is_public": true, "author": object{"id": "9", "is_staff": false}}})
	for i, user := range []string{"U6", "U7", "U8", "U9"} {
		text := []string{"Please add ", "Please, please add ", "Could you please add ", "Please just add "}[i] + dark + "."
		slack(object{"type": "message", "channel": "C1", "user": user, "ts": fmt.Sprintf("%d.00020%d", at.Unix(), i), "text": text})
	}
	before := s.clusterOf(t, ctx, slow, func(c demo.Cluster) bool { return c.Signals == 3 && c.Voices == 3 })

	slack(object{"type": "user_change", "user": object{"id": "U1", "profile": object{"email": "ada@home.example"}}})
	for _, address := range []string{"ada@home.example", "Ada@work.example"} {
		zendesk("user.identity_created", object{"id": "9", "email": address}, object{})
	}
	one := s.clusterOf(t, ctx, slow, func(c demo.Cluster) bool { return c.Voices == 1 })
	if one.ID != before.ID || one.Signals != 3 || one.Score >= before.Score {
		t.Errorf("as one voice: %+v, before: %+v", one, before)
	}
	first := s.clusterOf(t, ctx, dark, func(c demo.Cluster) bool { return c.Rank == 1 && c.Voices == 4 })
	if err := sender.Put(ctx, "/v1/accounts", []object{{"id": "work", "name": "Work Ltd", "domains": []string{"work.example", "home.example"}, "value": 2_000_000, "currency": "EUR"}}); err != nil {
		t.Fatal(err)
	}
	worth := s.clusterOf(t, ctx, slow, func(c demo.Cluster) bool { return c.Rank == 1 })
	if worth.Worth <= one.Worth || worth.Score <= first.Score {
		t.Errorf("with the account's value: %+v, without: %+v", worth, one)
	}
	s.correctAll(t, ctx, worth.ID, "question")
	s.clusterOf(t, ctx, slow, func(c demo.Cluster) bool { return c.Kind == "question" && c.ID == worth.ID && c.Signals == 3 })
}

// correctAll has a person say of every signal of a cluster that it is of a kind.
func (s *shape) correctAll(t *testing.T, ctx context.Context, cluster, kind string) {
	t.Helper()
	var signals struct{ Items []struct{ ID string } }
	if err := s.play(0).Sender.Get(ctx, "/v1/clusters/"+cluster+"/signals", &signals); err != nil || len(signals.Items) == 0 {
		t.Fatalf("%d signals (%v)", len(signals.Items), err)
	}
	for _, signal := range signals.Items {
		if err := s.play(0).Sender.Post(ctx, "/v1/signals/"+signal.ID+"/correction", object{"kind": kind}); err != nil {
			t.Fatal(err)
		}
	}
}

// clusterOf waits until the cluster that holds these words is as expected.
func (s *shape) clusterOf(t *testing.T, ctx context.Context, words string, ok func(demo.Cluster) bool) demo.Cluster {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	var last []demo.Cluster
	for {
		var page struct{ Items []demo.Cluster }
		if err := s.play(0).Sender.Get(ctx, "/v1/clusters?limit=50", &page); err == nil {
			last = page.Items
			for _, c := range last {
				if len(c.Quotes) > 0 && strings.Contains(c.Quotes[0].Quote, words) && ok(c) {
					return c
				}
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("the cluster of %q is not as expected; there are %+v", words, last)
		}
	}
}
