package fit_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/fit"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
)

// The seed must stay what its guide says: a thousand texts of our own and more, every kind
// in every channel, and nothing twice but what people say in a word or two.
func TestSeedIsMixedOverChannelsAndKinds(t *testing.T) {
	t.Parallel()
	texts, err := fit.Load(os.DirFS("../../seed"))
	if err != nil {
		t.Fatal(err)
	}
	own, seen := 0, map[string]bool{}
	mixed := map[string]map[feedback.Kind]int{}
	for _, x := range texts {
		if !slices.Contains([]string{"chat", "ticket", "review", "issue", "call"}, x.Channel) {
			continue
		}
		own++
		if mixed[x.Channel] == nil {
			mixed[x.Channel] = map[feedback.Kind]int{}
		}
		mixed[x.Channel][x.Kind]++
		if key := x.Channel + "\x00" + x.Text + "\x00" + x.Body; len(x.Text) > 20 && seen[key] {
			t.Errorf("a text is there twice: %.60q", x.Text)
		} else {
			seen[key] = true
		}
	}
	if own < 2000 || len(mixed) != 5 {
		t.Errorf("%d texts over %d channels", own, len(mixed))
	}
	for channel, kinds := range mixed {
		for _, k := range feedback.Kinds {
			if kinds[k] == 0 {
				t.Errorf("%s has no %s", channel, k)
			}
		}
	}
}

func TestLoadNamesTheLineItCannotUse(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"no label": `{"text":"a"}`, "strange kind": `{"text":"a","kind":"gripe"}`, "strange mood": `{"text":"a","mood":"sad"}`, "not JSON": `{`} {
		files := fstest.MapFS{"own.jsonl": {Data: []byte(`{"text":"fine","kind":"praise","channel":"chat"}` + "\n" + line)}}
		if _, err := fit.Load(files); err == nil || !strings.Contains(err.Error(), "own.jsonl line 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwnHeadLearnsLabelsOfASetAndIsTheSameTwice(t *testing.T) {
	t.Parallel()
	lexicon, err := judge.NewLexicon()
	if err != nil {
		t.Fatal(err)
	}
	var examples []fit.Example
	for range 8 {
		examples = append(examples,
			fit.Example{Text: "the invoice is wrong", Vector: []float32{1, 0}, Label: "money"},
			fit.Example{Text: "the door is stuck", Body: "lock and key", Vector: []float32{0, 1}, Label: "house"})
	}
	first, err := fit.NewOwn(lexicon, examples)
	if err != nil {
		t.Fatal(err)
	}
	second, err := fit.NewOwn(lexicon, examples)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Labels(), []string{"house", "money"}) {
		t.Fatalf("labels %v", first.Labels())
	}
	p := first.Probabilities("a wrong invoice", "", []float32{1, 0})
	if p[1] < 0.8 || !slices.Equal(p, second.Probabilities("a wrong invoice", "", []float32{1, 0})) {
		t.Errorf("probabilities %v", p)
	}
	if _, err := fit.NewOwn(lexicon, examples[:1]); err == nil {
		t.Error("one label was enough")
	}
}
