package fold_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/fold"
)

var (
	place = change.Place{Source: feedback.Slack, External: "T1:C1:1"}
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func said(id string, version int, who, text string) change.MessageUpserted {
	n, _ := strconv.Atoi(strings.TrimLeft(id, "m"))
	return change.MessageUpserted{
		Place: place, ID: id, Version: int64(version), Author: change.Author{ID: who, Name: strings.ToUpper(who)},
		At: at(n), Changed: at(n + version), Text: text,
	}
}

// folded applies changes with rising sequences and returns the state and every item that
// was revised on the way.
func folded(t *testing.T, changes ...change.Change) (*fold.State, []feedback.Item) {
	t.Helper()
	s := fold.New("acme", "acme-slack", place)
	var out []feedback.Item
	for i, c := range changes {
		if err := s.Apply(c, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
		out = append(out, s.Revise()...)
	}
	return s, out
}

func TestOneItemForEachCustomerInOrderOfTime(t *testing.T) {
	t.Parallel()
	_, items := folded(t, said("m2", 1, "ada", "It stopped on Monday."), said("m1", 1, "ada", "Export fails."), said("m3", 1, "bob", "Here too."))
	if len(items) != 3 {
		t.Fatalf("%d revisions", len(items))
	}
	ada, bob := items[1], items[2]
	if ada.Text != "Export fails.\n\nIt stopped on Monday." || ada.Revision != 2 || ada.Customer.Name != "ADA" || !ada.CreatedAt.Equal(at(1)) || !ada.UpdatedAt.Equal(at(3)) {
		t.Errorf("ada: %+v", ada)
	}
	if bob.Text != "Here too." || bob.Revision != 1 || bob.ID == ada.ID || bob.Conversation != ada.Conversation {
		t.Errorf("bob: %+v", bob)
	}
}

func TestOnlyWhatIsSaidMakesARevision(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes []change.Change
		want    int
	}{
		"the same again":            {[]change.Change{said("m1", 1, "ada", "x"), said("m1", 1, "ada", "x")}, 1},
		"a newer version, no edit":  {[]change.Change{said("m1", 1, "ada", "x"), said("m1", 5, "ada", "x")}, 1},
		"an older version":          {[]change.Change{said("m1", 5, "ada", "x"), said("m1", 1, "ada", "y")}, 1},
		"an edit":                   {[]change.Change{said("m1", 1, "ada", "x"), said("m1", 2, "ada", "y")}, 2},
		"equal version, later word": {[]change.Change{said("m1", 1, "ada", "x"), said("m1", 1, "ada", "y")}, 2},
		"the same words twice":      {[]change.Change{said("m1", 1, "ada", "x"), said("m2", 1, "ada", "x")}, 1},
		"delete of nothing":         {[]change.Change{change.MessageDeleted{Place: place, ID: "m1", At: at(1)}}, 0},
		"delete, then the message":  {[]change.Change{change.MessageDeleted{Place: place, ID: "m1", At: at(9)}, said("m1", 1, "ada", "x")}, 0},
		"deleted twice":             {[]change.Change{said("m1", 1, "ada", "x"), change.MessageDeleted{Place: place, ID: "m1", At: at(9)}, change.MessageDeleted{Place: place, ID: "m1", At: at(10)}}, 2},
		"a deleted conversation":    {[]change.Change{said("m1", 1, "ada", "x"), change.ConversationDeleted{Place: place, At: at(9)}, said("m2", 1, "ada", "y")}, 2},
		"another author":            {[]change.Change{said("m1", 1, "ada", "x"), said("m1", 2, "bob", "x")}, 3},
	} {
		if _, items := folded(t, c.changes...); len(items) != c.want {
			t.Errorf("%s: %d revisions, want %d", name, len(items), c.want)
		}
	}
}

// What was deleted with its conversation comes back when that is restored and it is told
// again; what was deleted by itself does not, in whatever order it is heard of.
func TestARestoredConversationIsToldAgain(t *testing.T) {
	t.Parallel()
	deleted, restored := change.ConversationDeleted{Place: place, At: at(9)}, change.ConversationRestored{Place: place, At: at(20)}
	own := change.MessageDeleted{Place: place, ID: "m2", At: at(8)}
	first, second := said("m1", 1, "ada", "x"), said("m2", 1, "ada", "y")
	for name, changes := range map[string][]change.Change{
		"in order":                        {first, second, own, deleted, restored, first, second},
		"the message's own deletion last": {first, second, deleted, own, restored, second, first},
		"the restoration first":           {first, second, own, restored, deleted},
		"twice":                           {first, second, own, deleted, deleted, restored, restored, second, first},
		"known only afterwards":           {deleted, own, restored, second, first},
	} {
		_, items := folded(t, changes...)
		if last := items[len(items)-1]; last.Text != "x" {
			t.Errorf("%s: %q", name, last.Text)
		}
	}
	for name, changes := range map[string][]change.Change{
		"deleted again":    {first, deleted, restored, first, change.ConversationDeleted{Place: place, At: at(30)}, first},
		"restored earlier": {first, deleted, change.ConversationRestored{Place: place, At: at(5)}, first},
	} {
		_, items := folded(t, changes...)
		if last := items[len(items)-1]; last.Text != "" {
			t.Errorf("%s: %q", name, last.Text)
		}
	}
}

func TestADeletedItemKeepsNoWordsAndNoName(t *testing.T) {
	t.Parallel()
	s, items := folded(t, said("m1", 1, "ada", "secret words"), change.MessageDeleted{Place: place, ID: "m1", At: at(9)})
	last := items[len(items)-1]
	if last.Revision != 2 || last.Text != "" || len(last.Messages) != 0 || last.Customer.Name != "" || last.URL != "" || !last.CreatedAt.Equal(at(1)) || !last.UpdatedAt.Equal(at(9)) {
		t.Errorf("got %+v", last)
	}
	if b, _ := json.Marshal(s); strings.Contains(string(b), "secret") || strings.Contains(string(b), "ADA") {
		t.Errorf("the state still holds the words: %s", b)
	}
}

func TestAStatementReplacesTheConversation(t *testing.T) {
	t.Parallel()
	state := func(version int64, texts ...string) change.ConversationStated {
		c := change.ConversationStated{Place: place, Version: version}
		for i, text := range texts {
			m := said("m"+strconv.Itoa(i), int(version), "ada", text)
			c.Messages = append(c.Messages, m)
		}
		return c
	}
	_, items := folded(t, state(1, "a", "b", "c"), state(1, "a", "b", "c"), state(3, "a", "x"), state(2, "old"), state(3, "a", "y"))
	var texts []string
	for _, it := range items {
		texts = append(texts, it.Text)
	}
	if want := []string{"a\n\nb\n\nc", "a\n\nx", "a\n\ny"}; !reflect.DeepEqual(texts, want) {
		t.Errorf("got %q", texts)
	}
}

func TestWithdrawalIsFinalForWhatWasSaidBefore(t *testing.T) {
	t.Parallel()
	s, items := folded(t, said("m1", 1, "ada", "x"), said("m2", 1, "bob", "y"))
	s.Withdraw(items[0].Customer.ID, at(60))
	gone := s.Revise()
	if len(gone) != 1 || gone[0].ID != items[0].ID || gone[0].Text != "" {
		t.Fatalf("got %+v", gone)
	}
	for _, late := range []change.MessageUpserted{said("m1", 9, "ada", "x again"), said("m5", 1, "ada", "said before")} {
		if err := s.Apply(late, 9); err != nil {
			t.Fatal(err)
		}
	}
	if again := s.Revise(); len(again) != 0 {
		t.Errorf("came back: %+v", again)
	}
	if err := s.Apply(said("m90", 1, "ada", "new words"), 10); err != nil {
		t.Fatal(err)
	}
	if now := s.Revise(); len(now) != 1 || now[0].Text != "new words" || now[0].Revision != 3 {
		t.Errorf("what was said later: %+v", now)
	}
}

// The order of arrival must not matter, nor how often each change arrives: every shuffle
// ends with the same items, to the byte. In every third round different versions may read
// alike; then no revision is made, so that versions and time stamps of the item published
// last depend on the order, and only the words are compared.
func TestAnyOrderOfArrivalEndsTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		alike := round%3 == 0
		var changes []change.Change
		for m := range 1 + r.IntN(5) {
			id, who := "m"+strconv.Itoa(m), []string{"ada", "bob"}[r.IntN(2)]
			for v := range 1 + r.IntN(4) {
				text := id + " at " + strconv.Itoa(v)
				if alike {
					text = "text " + strconv.Itoa(r.IntN(3))
				}
				changes = append(changes, said(id, v+1, who, text))
			}
			if r.IntN(4) == 0 {
				changes = append(changes, change.MessageDeleted{Place: place, ID: id, At: at(500)})
			}
		}
		if r.IntN(8) == 0 {
			changes = append(changes, change.ConversationDeleted{Place: place, At: at(600)})
		}
		want := final(t, changes, alike)
		for range 10 {
			shuffled := append([]change.Change{}, changes...)
			shuffled = append(shuffled, changes[r.IntN(len(changes))])
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if got := final(t, shuffled, alike); got != want {
				t.Fatalf("round %d:\n%+v\n got %s\nwant %s", round, shuffled, got, want)
			}
		}
	}
}

// final is what the items say at the end, without how many revisions it took.
func final(t *testing.T, changes []change.Change, words bool) string {
	t.Helper()
	_, items := folded(t, changes...)
	last := map[string]feedback.Item{}
	for _, it := range items {
		it.Revision = 0
		if words {
			it.UpdatedAt = time.Time{}
			for i := range it.Messages {
				it.Messages[i].Version = 0
			}
		}
		if len(it.Messages) == 0 {
			delete(last, it.ID)
			continue
		}
		last[it.ID] = it
	}
	b, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFoldingTwiceIsFoldingOnce(t *testing.T) {
	t.Parallel()
	changes := []change.Change{
		said("m1", 1, "ada", "x"), said("m1", 1, "ada", "tie"), said("m1", 3, "ada", "y"), said("m2", 1, "bob", "z"),
		change.MessageDeleted{Place: place, ID: "m2", At: at(4)}, said("m3", 1, "bob", "w"),
	}
	s, _ := folded(t, changes...)
	before, _ := json.Marshal(s)
	for i, c := range changes {
		if err := s.Apply(c, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
		if items := s.Revise(); len(items) > 0 {
			t.Errorf("change %d was folded again: %+v", i, items)
		}
	}
	if after, _ := json.Marshal(s); string(before) != string(after) {
		t.Errorf("state\n was %s\n  is %s", before, after)
	}
}

func TestAConversationHasLimits(t *testing.T) {
	t.Parallel()
	s := fold.New("acme", "c", place)
	big := said("m1", 1, "ada", strings.Repeat("x", fold.MaxText))
	if err := s.Apply(big, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(said("m2", 1, "ada", "y"), 2); !errors.Is(err, fold.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := s.Apply(said("m1", 2, "ada", "shorter"), 3); err != nil {
		t.Errorf("a smaller edit: %v", err)
	}
}
