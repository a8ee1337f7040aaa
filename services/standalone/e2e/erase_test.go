package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/demo"
)

// theirs are words that only the customer to be erased uses; none stands in their name.
var theirs = []string{"zebrafish", "kaleidoskop", "quetzalcoatl", "brontosaurus", "wolpertinger", "mumpitzig", "axolotl", "philippa", "nachtigall"}

// customer is who is erased: known by one address in two sources.
var customer = object{"id": "c900", "type": "user", "name": "Philippa Nachtigall", "email": "philippa@nachtigall.example"}

// After an erasure no byte of what the customer said is left anywhere: not in a stream, a
// part of a table, a bucket, a snapshot, a dead letter, a log, an answer or a tracker.
// What others said stays.
func TestNothingIsLeftOfAnErasedCustomer(t *testing.T) {
	t.Parallel()
	s := allInOne(t)
	p := s.play(0)
	send := func(vendor string, body object) {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Sender.Send(deadline(t), demo.Request{Connection: "demo-" + vendor, Vendor: vendor, ContentType: "application/json", Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	intercom := func(n int, topic string, item object) {
		item["type"], item["id"] = "conversation", "77"
		send("intercom", object{"type": "notification_event", "app_id": "app", "id": fmt.Sprint("notif_", n), "topic": topic, "created_at": at.Unix() + int64(n), "data": object{"item": item}})
	}
	if err := p.Sender.SendAll(deadline(t), []demo.Request{demo.Create(demo.Tickets()[0], at.Add(-time.Hour))}, func() {}); err != nil {
		t.Fatal(err)
	}
	opening := object{"id": "s1", "body": "<p>Downloaded songs disappear when I go offline, my zebrafish playlist too</p>", "author": customer}
	intercom(1, "conversation.user.created", object{"created_at": at.Unix(), "source": opening})
	intercom(2, "conversation.user.replied", object{"source": opening, "conversation_parts": object{"conversation_parts": []object{
		{"id": "p1", "part_type": "comment", "body": "<p>Offline downloads of the Kaleidoskop album will not play without internet</p>", "author": customer, "created_at": at.Unix() + 2, "updated_at": at.Unix() + 2}}}})
	// An agent's answer repeats what was asked, and quotes it.
	intercom(3, "conversation.admin.replied", object{"source": opening, "conversation_parts": object{"conversation_parts": []object{
		{"id": "p2", "part_type": "comment", "body": "<p>About your zebrafish playlist: please sign in again</p>", "author": object{"type": "admin", "id": "1"}, "created_at": at.Unix() + 3}}}})
	// A dead letter holds what could not be decoded.
	intercom(4, "conversation_part.redacted", object{"source": object{"body": "<p>mumpitzig axolotl</p>", "author": customer}, "type": "x"})
	var lines []object
	for i, text := range []string{"Downloaded songs do not play offline, says the quetzalcoatl app", "Offline mode loses my downloaded songs, brontosaurus edition"} {
		lines = append(lines, object{"id": fmt.Sprint("f", i), "text": text, "author": customer, "created_at": at.Format(time.RFC3339)})
	}
	for i := range 6 {
		lines = append(lines, object{"id": fmt.Sprint("g", i), "text": fmt.Sprintf("Offline mode does not work: downloaded songs are gone after update number %d", i), "author": object{"id": fmt.Sprint("u", i), "email": fmt.Sprintf("u%d@other.example", i)}, "created_at": at.Format(time.RFC3339)})
	}
	if err := p.Sender.Post(deadline(t), "/v1/feedback", lines); err != nil {
		t.Fatal(err)
	}
	lines[0]["text"] = "Downloaded songs do not play offline, says the wolpertinger app" // an edit leaves the old words in history
	if err := p.Sender.Post(deadline(t), "/v1/feedback", lines[:1]); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if len(s.pinAll(t, demo.Tickets()[0])) == 0 {
		t.Fatal("no clusters")
	}

	look := search{words: theirs}
	s.until(t, "the customer's words in the tracker", func() bool {
		for place := range look.everywhere(t, s).places("tracker") {
			return place != ""
		}
		return false
	})
	before := look.everywhere(t, s)
	for _, w := range theirs {
		if len(before[w]) == 0 {
			t.Fatalf("%s was never stored, so that its absence would prove nothing", w)
		}
	}

	out := s.command(t, "erase", "--customer", "philippa@nachtigall.example", "--json")
	var report struct {
		State  string
		Places []struct {
			Kind, Name            string
			Looked, Cleaned, Left int
		}
	}
	if err := json.Unmarshal(out, &report); err != nil || report.State != "done" {
		t.Errorf("the report says %q (%v)", report.State, err)
	}
	cleaned := map[string]int{}
	for _, p := range report.Places {
		cleaned[p.Kind+" "+p.Name] = p.Cleaned
		if p.Left > 0 {
			t.Errorf("the report says that %d values of %s %s still hold words", p.Left, p.Kind, p.Name)
		}
	}
	for _, place := range []string{"stream DELIVERIES", "stream ITEMS", "stream SIGNALS", "stream DEADLETTERS", "table deliveries", "table inputs", "table briefs"} {
		if cleaned[place] == 0 {
			t.Errorf("nothing was cleaned in %s", place)
		}
	}
	for _, after := range []found{look.answers(t, s), look.everywhere(t, s)} {
		for w, places := range after {
			t.Errorf("%s is still in %s", w, strings.Join(places, ", "))
		}
	}
	var others struct{ Items []struct{ Text string } }
	if err := p.Sender.Get(t.Context(), "/v1/feedback?limit=200", &others); err != nil {
		t.Fatal(err)
	}
	if len(others.Items) != 6 {
		t.Errorf("%d items are left of the 6 that others said: %v", len(others.Items), others.Items)
	}

	// What was said before and comes late, or comes again, stays away.
	intercom(1, "conversation.user.created", object{"created_at": at.Unix(), "source": opening})
	s.programs["throughline"].stop(t)
	for w, places := range look.everywhere(t, s) {
		for _, place := range places {
			if !strings.Contains(place, "DELIVERIES") && !strings.Contains(place, "clickhouse") {
				t.Errorf("%s came back to %s", w, place)
			}
		}
	}
	s.restart(t, "throughline")
	if err := s.play(0).Sender.Get(deadline(t), "/v1/feedback?limit=200", &others); err != nil {
		t.Fatal(err)
	}
	if len(others.Items) != 6 {
		t.Errorf("%d items after the late delivery", len(others.Items))
	}
}

// places are those whose name starts so, with what was found there.
func (f found) places(prefix string) map[string]bool {
	out := map[string]bool{}
	for _, all := range f {
		for _, place := range all {
			if strings.HasPrefix(place, prefix) {
				out[place] = true
			}
		}
	}
	return out
}

// until waits for a condition.
func (s *shape) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := deadline(t)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come about", what)
		}
	}
}

// command runs the command line against the shape and returns what it prints.
func (s *shape) command(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(deadline(t), binary(t, "throughline"), args...)
	cmd.Env = append(os.Environ(), "THROUGHLINE_URL="+s.url, "THROUGHLINE_TOKEN="+demo.Secrets["DEMO_TOKEN"])
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("throughline %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out
}
