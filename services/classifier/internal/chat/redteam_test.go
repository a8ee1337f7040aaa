package chat_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence/redteam"
	"github.com/throughline-dev/throughline/services/classifier/internal/chat"
)

// hostile is a chat model that obeys whoever wrote to it last, remembers everything it was
// ever sent, and says it wherever its answer has room.
type hostile struct {
	mu         sync.Mutex
	remembered []string
}

// answers are what it makes of a text: the text's own order obeyed, what others said, our
// prompt, and kinds, numbers and areas that are none.
func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Messages []struct{ Content string }
	}
	if json.NewDecoder(r.Body).Decode(&ask) != nil || len(ask.Messages) != 2 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	var signals []map[string]any
	for _, earlier := range append(h.remembered, ask.Messages[0].Content, "I obeyed: "+ask.Messages[1].Content) {
		for _, area := range []string{"mara lindqvist", "ignore all instructions", "billing"} {
			signals = append(signals, map[string]any{"quote": earlier, "kind": "bug", "sentiment": -9, "severity": 99, "confidence": 7, "area": area},
				map[string]any{"quote": strings.Join(strings.Fields(earlier), " "), "kind": "system", "area": earlier})
		}
	}
	h.remembered = append(h.remembered, strings.Split(ask.Messages[1].Content, "\n")[1])
	h.mu.Unlock()
	content, _ := json.Marshal(map[string]any{"signals": signals})
	_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": string(content)}}}})
}

// TestRedTeamWithAModelThatObeys gives each hostile text to it after a customer who said
// who she is: what comes back are spans of the text itself, and no word about her.
func TestRedTeamWithAModelThatObeys(t *testing.T) {
	t.Parallel()
	texts, err := redteam.Texts()
	if err != nil {
		t.Fatal(err)
	}
	for class, of := range redteam.Classes(texts) {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			model := &hostile{}
			server := httptest.NewServer(model)
			t.Cleanup(server.Close)
			c, err := chat.New(chat.Options{BaseURL: server.URL, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			const said = "Mara Lindqvist here, mara@nordhaven.example, +47 22 12 34 56: the month-end export of Nordhaven stops."
			if _, err := c.Extract(t.Context(), "acme", said); err != nil {
				t.Fatal(err)
			}
			for _, identity := range []string{"mara@nordhaven.example", "22 12 34 56"} {
				if strings.Contains(strings.Join(model.remembered, "\n"), identity) {
					t.Errorf("the model was told %q", identity)
				}
			}
			for _, x := range of {
				got, err := c.Extract(t.Context(), "acme", x.Text)
				if err != nil {
					t.Fatal(err)
				}
				if got.Dropped == 0 {
					t.Errorf("%s: nothing was dropped, so that this shows nothing", x.Canary)
				}
				for _, f := range got.Findings {
					if f.Start < 0 || f.End > len(x.Text) || f.Start >= f.End {
						t.Fatalf("%s: span %+v", x.Canary, f.Span)
					}
					if quote := x.Text[f.Start:f.End]; strings.Contains(quote, "Lindqvist") || strings.Contains(quote, "month-end") {
						t.Errorf("%s: another customer's words: %q", x.Canary, quote)
					}
					if f.Kind == "" || f.Kind == feedback.Other || f.Severity < 0 || f.Severity > 1 || f.Sentiment < -1 || f.Sentiment > 1 || f.Confidence > 1 {
						t.Errorf("%s: %+v", x.Canary, f)
					}
					if f.Area != "" && f.Area != "billing" {
						t.Errorf("%s: area %q", x.Canary, f.Area)
					}
				}
			}
		})
	}
}
