// Package fit makes the heads that ship with the classifier out of labelled texts that may be
// bundled. It promises the same heads for the same texts and embedder, and refuses lines
// whose label it does not know.
package fit

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// Text is a labelled text. Kind or Mood may be empty: it then teaches the other head alone.
type Text struct {
	Text   string
	Kind   feedback.Kind
	Mood   string
	Weight float32
}

// Load reads what the heads are fitted on: own.jsonl and labelled.jsonl of the seed folder
// (see its GUIDE.md), and from the folder of bundled sets the sentiment sentences' training
// part, the opinions on apps, and the questions and commands to an assistant.
func Load(seed, data fs.FS) ([]Text, error) {
	var out []Text
	add := func(t Text) { out = append(out, t) }
	for _, name := range []string{"own.jsonl", "labelled.jsonl"} {
		err := each(seed, name, func(l line) error {
			k := feedback.Kind(l.Kind)
			if !slices.Contains(feedback.Kinds, k) {
				return fmt.Errorf("kind %q is not one of ours", l.Kind)
			}
			add(Text{Text: l.Text, Kind: k, Mood: moodOf(k, l.Channel), Weight: 1})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := each(data, "uci-sentiment/train.jsonl", func(l line) error {
		if !slices.Contains(judge.Moods, l.Label) {
			return fmt.Errorf("label %q is not a mood", l.Label)
		}
		add(Text{Text: l.Text, Mood: l.Label, Weight: 1})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(data, "app-reviews/opinions.jsonl", func(l line) error {
		switch {
		case l.Pos != "" && l.Neg == "":
			add(Text{Text: l.Text, Kind: feedback.Praise, Mood: judge.Positive, Weight: opinionWeight})
		case l.Neg != "" && l.Pos == "":
			add(Text{Text: l.Text, Mood: judge.Negative, Weight: opinionWeight})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	n := 0
	err = each(data, "clinc150/train.jsonl", func(l line) error {
		// Every thirtieth: five of each intent.
		if n++; n%30 == 0 && opensQuestion(l.Text) {
			add(Text{Text: l.Text, Kind: feedback.Question, Mood: judge.Neutral, Weight: intentWeight})
		}
		return nil
	})
	return out, err
}

// What a text of another purpose counts for beside one labelled by our guide.
const (
	opinionWeight = 0.5
	intentWeight  = 0.3
)

func opensQuestion(text string) bool {
	first, _, _ := strings.Cut(text, " ")
	return slices.Contains([]string{"how", "what", "when", "where", "why", "who", "which", "what's", "does", "do", "is", "are"}, first)
}

// moodOf is the mood that goes without saying: praise is positive, a problem negative, but
// for the sober titles of issues; the rest is neutral.
func moodOf(k feedback.Kind, channel string) string {
	switch {
	case k == feedback.Praise:
		return judge.Positive
	case k == feedback.Problem && channel != "issue":
		return judge.Negative
	case k == feedback.Question || k == feedback.Other || k == feedback.Request && channel != "review":
		return judge.Neutral
	}
	return ""
}

type line struct {
	Text    string `json:"text"`
	Kind    string `json:"kind"`
	Label   string `json:"label"`
	Channel string `json:"channel"`
	Pos     string `json:"pos"`
	Neg     string `json:"neg"`
}

func each(files fs.FS, name string, f func(line) error) error {
	raw, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("load texts: %w", err)
	}
	number := 0
	for l := range strings.Lines(string(raw)) {
		number++
		if strings.TrimSpace(l) == "" {
			continue
		}
		var v line
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			return fmt.Errorf("load texts: %s line %d: %w", name, number, err)
		}
		if err := f(v); err != nil {
			return fmt.Errorf("load texts: %s line %d: %w", name, number, err)
		}
	}
	return nil
}

// Report says how the heads do on texts they were not fitted on: five-fold cross-validation
// over the texts themselves, which flatters, because they are of one making.
type Report struct {
	Texts        int
	KindAccuracy float64
	MoodAccuracy float64
}

// Heads fits both heads and calibrates them on held-out folds.
func Heads(ctx context.Context, texts []Text, e embed.Embedder, kind, mood linear.Options) (judge.Heads, Report, error) {
	l, err := judge.NewLexicon()
	if err != nil {
		return judge.Heads{}, Report{}, err
	}
	vectors, err := vectorsOf(ctx, texts, e)
	if err != nil {
		return judge.Heads{}, Report{}, err
	}
	kinds := make([]string, len(feedback.Kinds))
	for i, k := range feedback.Kinds {
		kinds[i] = string(k)
	}
	var ofKind, ofMood []linear.Sample
	for i, t := range texts {
		s := linear.Sample{Sparse: l.Features(judge.Part{Text: t.Text, Weight: 1}), Dense: judge.Meaning(vectors[i]), Weight: t.Weight}
		if s.Class = slices.Index(kinds, string(t.Kind)); s.Class >= 0 {
			ofKind = append(ofKind, s)
		}
		if s.Class = slices.Index(judge.Moods, t.Mood); s.Class >= 0 {
			ofMood = append(ofMood, s)
		}
	}
	h := judge.Heads{Space: e.Space().ID()}
	r := Report{Texts: len(texts)}
	if h.Kind, r.KindAccuracy, err = fitOne(kinds, ofKind, kind); err != nil {
		return h, r, err
	}
	h.Mood, r.MoodAccuracy, err = fitOne(judge.Moods, ofMood, mood)
	return h, r, err
}

const folds = 5

func fitOne(classes []string, samples []linear.Sample, o linear.Options) (*linear.Head, float64, error) {
	var scores [][]float64
	var truth []int
	right := 0
	place := rand.New(rand.NewPCG(1, 2)).Perm(len(samples))
	for fold := range folds {
		var learn, hold []linear.Sample
		for i, s := range samples {
			if place[i]%folds == fold {
				hold = append(hold, s)
			} else {
				learn = append(learn, s)
			}
		}
		h, err := linear.Fit(classes, learn, o)
		if err != nil {
			return nil, 0, err
		}
		for _, s := range hold {
			score := h.Scores(s.Sparse, s.Dense)
			scores, truth = append(scores, score), append(truth, s.Class)
			if slices.Index(score, slices.Max(score)) == s.Class {
				right++
			}
		}
	}
	h, err := linear.Fit(classes, samples, o)
	if err != nil {
		return nil, 0, err
	}
	h.Temperature = float32(linear.Calibrate(scores, truth))
	return h, float64(right) / float64(len(truth)), nil
}

func vectorsOf(ctx context.Context, texts []Text, e embed.Embedder) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for batch := range slices.Chunk(texts, 256) {
		words := make([]string, len(batch))
		for i, t := range batch {
			words[i] = t.Text
		}
		v, err := e.Embed(ctx, words)
		if err != nil {
			return nil, fmt.Errorf("embed texts: %w", err)
		}
		out = append(out, v...)
	}
	return out, nil
}

// The options that the shipped heads were fitted with, chosen on the development sets.
var (
	KindOptions = linear.Options{Bits: 16, Epochs: 10, Rate: 0.15, Shrink: 1e-4, Drop: 0.3, Seed: 7}
	MoodOptions = linear.Options{Bits: 16, Epochs: 10, Rate: 0.15, Shrink: 1e-4, Drop: 0.3, Seed: 7}
)
