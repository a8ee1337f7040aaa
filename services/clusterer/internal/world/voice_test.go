package world

import (
	"reflect"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Two identities that turn out to be one person are one voice from then on: the item is
// told again, with the same words, under the other's name.
func TestTwoIdentitiesOfOnePersonAreOneVoice(t *testing.T) {
	t.Parallel()
	w := New("acme", DefaultOptions())
	vector := make(feedback.Vector, 32)
	vector[0] = 1
	say := func(sequence uint64, item string, revision int64, customer string) Outcome {
		t.Helper()
		out, err := w.Take(Input{Sequence: sequence, Classified: &event.Classified{
			ItemSequence: sequence,
			Item: &event.ItemHead{
				ID: item, Revision: revision, Source: feedback.Slack, CreatedAt: start, UpdatedAt: start.Add(time.Duration(revision) * time.Hour),
				Customer: feedback.Customer{ID: customer},
			},
			Signals: []feedback.Signal{{ID: "sig_" + item, Item: item, Revision: revision, Kind: feedback.Bug, Quote: "export fails", Space: "test/32", Vector: vector}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	say(1, "itm_1", 1, "cus_slack")
	say(2, "itm_2", 1, "cus_mail")
	s, _ := w.Signal("sig_itm_2")
	if c, ok := w.Cluster(s.Cluster); !ok || c.Voices != 2 {
		t.Fatalf("before: %+v", c)
	}
	out := say(3, "itm_2", 2, "cus_slack")
	s, _ = w.Signal("sig_itm_2")
	if c, _ := w.Cluster(s.Cluster); c.Voices != 1 || s.Customer != "cus_slack" || len(out.Signals) != 1 || len(out.Clusters) != 1 {
		t.Errorf("after: %d voices, signal of %s, written anew: %+v", c.Voices, s.Customer, out)
	}
	if len(w.customers["cus_mail"].Signals) != 0 || len(w.customers["cus_slack"].Signals) != 2 {
		t.Error("the person's signals are not theirs")
	}
	snapshot, err := w.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore("acme", DefaultOptions(), snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(picture(w), picture(restored)) {
		t.Error("a restart ranks the person's words otherwise")
	}
}
