package decode_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// decoder is a handler over a broker and an engine of the test's own.
type decoder struct {
	t    *testing.T
	h    *decode.Handler
	log  *eventLog
	next uint64
}

func newDecoder(t *testing.T) *decoder {
	t.Helper()
	states, erasures := buckets(t)
	log := &eventLog{body: map[string]string{}}
	f := faulty{&fuse{left: 1 << 30}, log, storetest.New(t)}
	return &decoder{t: t, log: log, h: &decode.Handler{
		Publisher: f, Store: f, States: states, Erasures: erasures, Held: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
		Outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decoded"}, []string{"kind", "outcome"}),
	}}
}

// take decodes one delivery and returns the events that it made.
func (d *decoder) take(kind, body string) []event.Envelope {
	d.t.Helper()
	d.next++
	in := event.Delivery{ID: fmt.Sprintf("dlv_%03d", d.next), Connection: "acme-" + kind, Kind: kind, ReceivedAt: received.Add(time.Duration(d.next) * time.Second), Headers: map[string]string{}, Body: []byte(body)}
	if kind == "email" {
		in.Headers["content-type"] = "message/rfc822"
	}
	e, err := event.New(event.DeliveryAccepted, "ingestor", "acme", in.ID, in.ID, in.ReceivedAt, in)
	if err != nil {
		d.t.Fatal(err)
	}
	before := len(d.log.ids)
	if errs := d.h.Handle(d.t.Context(), []bus.Message{{Envelope: e, Sequence: d.next, StoredAt: in.ReceivedAt}}); errs[0] != nil {
		d.t.Fatal(errs[0])
	}
	var out []event.Envelope
	for _, id := range d.log.ids[before:] {
		e, err := event.Decode([]byte(d.log.body[id]))
		if err != nil {
			d.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// voices are the customers of the newest revision of every item.
func (d *decoder) voices() []string {
	newest := map[string]string{}
	for _, id := range d.log.ids {
		e, err := event.Decode([]byte(d.log.body[id]))
		if err != nil {
			d.t.Fatal(err)
		}
		if !strings.HasPrefix(string(e.Type), "item.") {
			continue
		}
		it, err := event.Payload[event.Item](e)
		if err != nil {
			d.t.Fatal(err)
		}
		newest[it.Item.ID] = it.Item.Customer.ID
	}
	var out []string
	for _, c := range newest {
		out = append(out, c)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func zendeskUser(id, email string) string {
	return `{"type":"zen:event-type:user.created","time":"2026-11-22T12:00:00Z","detail":{"id":"` + id + `","email":"` + email + `"},"event":{}}`
}

func mailFrom(address, id string) string {
	return "From: Ada <" + address + ">\r\nMessage-ID: <" + id + ">\r\n\r\nThe export fails.\r\n"
}

// One person writes through Intercom, Zendesk and mail, under two addresses. What ties
// these together comes last.
func TestOnePersonInThreeSourcesUnderTwoAddressesIsOneVoice(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	d.take("intercom", intercom("conversation.user.created", `"type":"conversation","id":"7","source":{"id":"s1","body":"<p>Slow</p>","author":{"type":"user","id":"c1","email":"ada@work.example"}}`))
	d.take("zendesk", comment(`"is_public":true,"author":{"id":"9","is_staff":false,"name":"Ada"}`))
	d.take("email", mailFrom("ada@home.example", "m1"))
	d.take("email", mailFrom("grace@other.example", "m2"))
	if got := d.voices(); len(got) != 4 {
		t.Fatalf("nothing ties them together yet, but: %v", got)
	}
	d.take("zendesk", zendeskUser("9", "ada@home.example"))
	if got := d.voices(); len(got) != 3 {
		t.Errorf("Zendesk's user 9 is ada@home, but: %v", got)
	}
	out := d.take("zendesk", zendeskUser("9", "Ada@Work.example"))
	if got := d.voices(); len(got) != 2 {
		t.Errorf("Zendesk's user 9 is ada@work too, but: %v", got)
	}
	for _, e := range out {
		it, err := event.Payload[event.Item](e)
		if err != nil || it.Item.Revision != 2 && it.Item.Revision != 3 || it.Item.Text == "" {
			t.Errorf("told as %+v, %v", it, err)
		}
	}
	d.take("zendesk", strings.Replace(comment(`"is_public":true,"author":{"id":"9","is_staff":false}`), `"id":5`, `"id":6`, 1))
	if got := d.voices(); len(got) != 2 {
		t.Errorf("what they say later is another voice: %v", got)
	}
	if again := d.take("zendesk", zendeskUser("9", "ada@work.example")); len(again) != 0 {
		t.Errorf("told again: %v", again)
	}
	// Whoever of these identities is erased, all of the person is.
	d.take("erasure", `{"customer":"`+feedback.CustomerID("acme", feedback.Email, "", "ada@home.example")+`"}`)
	words, deleted := 0, 0
	for _, s := range statesOf(t, d.h.States) {
		words += strings.Count(s, "Slow") + strings.Count(s, "Export fails")
		deleted += strings.Count(s, `"gone":true`)
	}
	if words != 0 || deleted != 4 {
		t.Errorf("%d of the erased person's words are left, %d messages are gone", words, deleted)
	}
}

func TestAnAddressThatManyShareIsNoPerson(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for i := range 60 {
		d.take("zendesk", strings.Replace(comment(fmt.Sprintf(`"is_public":true,"author":{"id":"%d","is_staff":false}`, i)), `"id":5`, fmt.Sprintf(`"id":%d`, i), 1))
	}
	for i := range 60 {
		d.take("zendesk", zendeskUser(fmt.Sprint(i), "info@big.example"))
	}
	if got := d.voices(); len(got) < 36 {
		t.Errorf("60 people are %d voices", len(got))
	}
}

func TestWhatIsToldOfAnAccountAddsUp(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	last := func(out []event.Envelope) string {
		t.Helper()
		for _, e := range slices.Backward(out) {
			if e.Type == event.AccountChanged {
				a, err := event.Payload[event.Account](e)
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("%+v", a.Account)
			}
		}
		return ""
	}
	entry := func(id, account string) string {
		return `{"id":"` + id + `","text":"Export fails","author":{"id":"u1"},"account":` + account + `}`
	}
	for i, c := range []struct{ kind, body, want string }{
		{"webhook", entry("1", `{"id":"initech","name":"Initech"}`), ""},
		{"webhook", entry("2", `{"id":"initech","value":1200,"currency":"EUR"}`), "{ID:initech Name: Domains:[] Value:1200 Currency:EUR Plan: Segment:}"},
		{"webhook", entry("3", `{"id":"initech","name":"Initech","plan":"Team","domains":["@Initech.example"]}`), "{ID:initech Name:Initech Domains:[initech.example] Value:1200 Currency:EUR Plan:Team Segment:}"},
		{"webhook", entry("4", `{"id":"initech","plan":"Team"}`), ""},
		{"accounts", `[{"id":"initech","name":"Initech Ltd","value":5000}]`, "{ID:initech Name:Initech Ltd Domains:[] Value:5000 Currency: Plan: Segment:}"},
		{"intercom", intercom("company.updated", `"type":"company","id":"x1","company_id":"initech","name":"Initech","monthly_spend":100,"plan":{"name":"Pro"},"website":"https://www.initech.example"`), "{ID:initech Name:Initech Domains:[initech.example] Value:1200 Currency: Plan:Pro Segment:}"},
		{"zendesk", `{"type":"zen:event-type:organization.created","time":"2026-11-22T12:00:00Z","detail":{"id":"77","name":"Umbrella"},"event":{}}`, "{ID:77 Name:Umbrella Domains:[] Value:0 Currency: Plan: Segment:}"},
	} {
		if got := last(d.take(c.kind, c.body)); got != c.want {
			t.Errorf("%d: got %s, want %s", i, got, c.want)
		}
	}
}
