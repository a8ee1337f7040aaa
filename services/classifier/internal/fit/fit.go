// Package fit makes the heads that ship with the classifier out of labelled texts that may be
// bundled. It promises the same heads for the same texts and embedder, and refuses lines
// whose label it does not know.
package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// Text is a labelled text. Kind or Mood may be empty: it then teaches the other head alone.
// Body is what stands under it, where it is a title; Channel is where it was said.
type Text struct {
	Text, Body string
	Channel    string
	Kind       feedback.Kind
	Mood       string
	Weight     float32
}

// What a text of another purpose counts for beside one labelled by our guide.
const (
	opinionWeight = 0.5
	intentWeight  = 0.3
)

// sources are the files of the seed folder, whose GUIDE.md describes them.
var sources = []struct {
	name   string
	weight float32
	mood   bool // praise and trouble have the mood that goes without saying
}{
	{"own.jsonl", 1, true},
	{"labelled.jsonl", 1, true},
	{"sentences.jsonl", 1, false},
	{"opinions.jsonl", opinionWeight, false},
	{"intents.jsonl", intentWeight, true},
}

// Load reads the texts of the seed folder.
func Load(seed fs.FS) ([]Text, error) {
	var out []Text
	for _, source := range sources {
		raw, err := fs.ReadFile(seed, source.name)
		if err != nil {
			return nil, fmt.Errorf("load texts: %w", err)
		}
		number := 0
		for l := range strings.Lines(string(raw)) {
			number++
			t, err := parse(l)
			if err != nil {
				return nil, fmt.Errorf("load texts: %s line %d: %w", source.name, number, err)
			}
			if source.mood && t.Mood == "" {
				t.Mood = moodOf(t.Kind, t.Channel)
			}
			if t.Channel == "" {
				t.Channel = source.name
			}
			t.Weight = source.weight
			out = append(out, t)
		}
	}
	return out, nil
}

func parse(l string) (Text, error) {
	var v struct {
		Text    string        `json:"text"`
		Body    string        `json:"body"`
		Kind    feedback.Kind `json:"kind"`
		Mood    string        `json:"mood"`
		Channel string        `json:"channel"`
	}
	if err := json.Unmarshal([]byte(l), &v); err != nil {
		return Text{}, err
	}
	switch {
	case v.Kind == "" && v.Mood == "":
		return Text{}, errors.New("it has neither kind nor mood")
	case v.Kind != "" && !slices.Contains(feedback.Kinds, v.Kind):
		return Text{}, fmt.Errorf("kind %q is not one of ours", v.Kind)
	case v.Mood != "" && !slices.Contains(judge.Moods, v.Mood):
		return Text{}, fmt.Errorf("mood %q is not one of ours", v.Mood)
	}
	return Text{Text: v.Text, Body: v.Body, Channel: v.Channel, Kind: v.Kind, Mood: v.Mood}, nil
}

// moodOf is the mood that goes without saying: praise is positive, trouble negative, but for
// the sober titles of issues; the rest is neutral.
func moodOf(k feedback.Kind, channel string) string {
	switch k {
	case feedback.Praise:
		return judge.Positive
	case feedback.Bug, feedback.Usability, feedback.Complaint:
		if channel != "issue" {
			return judge.Negative
		}
	case feedback.Question, feedback.Other:
		return judge.Neutral
	case feedback.FeatureRequest:
		if channel != "review" {
			return judge.Neutral
		}
	}
	return ""
}

// Report says how the heads do on a channel that they were not fitted on: each is held out
// in turn. A file without channels is one.
type Report struct {
	Texts        int
	KindAccuracy float64
	MoodAccuracy float64
}

// prior is what a kind's score is raised by. What people write to a product is bugs and
// wishes more often than the texts of the seed folder are, which have some of everything.
// Chosen on the development sets.
var prior = map[feedback.Kind]float32{feedback.Bug: 0.3, feedback.FeatureRequest: 0.6}

// Heads fits both heads and calibrates them on held-out channels, because that is what they
// will meet.
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
	raise := make([]float32, len(kinds))
	for i, k := range feedback.Kinds {
		raise[i] = prior[k]
	}
	var ofKind, ofMood []linear.Sample
	var kindFold, moodFold []string
	for i, t := range texts {
		s := linear.Sample{Sparse: l.Features(judge.Titled(t.Text, t.Body)...), Dense: judge.Meaning(vectors[i]), Weight: t.Weight}
		if s.Class = slices.Index(kinds, string(t.Kind)); s.Class >= 0 {
			ofKind, kindFold = append(ofKind, s), append(kindFold, t.Channel)
		}
		if s.Class = slices.Index(judge.Moods, t.Mood); s.Class >= 0 {
			ofMood, moodFold = append(ofMood, s), append(moodFold, t.Channel)
		}
	}
	h := judge.Heads{Space: e.Space().ID()}
	r := Report{Texts: len(texts)}
	if h.Kind, r.KindAccuracy, err = fitOne(kinds, ofKind, kindFold, raise, kind); err != nil {
		return h, r, err
	}
	h.Mood, r.MoodAccuracy, err = fitOne(judge.Moods, ofMood, moodFold, make([]float32, len(judge.Moods)), mood)
	return h, r, err
}

// fitOne fits a head whose scores are raised by raise, calibrates it on the samples of each
// fold in turn, held out, and says what share of those it got right.
func fitOne(classes []string, samples []linear.Sample, fold []string, raise []float32, o linear.Options) (*linear.Head, float64, error) {
	learnt := func(s []linear.Sample) (*linear.Head, error) {
		h, err := linear.Fit(classes, s, o)
		if err == nil {
			for c, by := range raise {
				h.Bias[c] += by
			}
		}
		return h, err
	}
	var scores [][]float64
	var truth []int
	right := 0
	for _, out := range slices.Compact(slices.Sorted(slices.Values(fold))) {
		var learn, hold []linear.Sample
		for i, s := range samples {
			if fold[i] == out {
				hold = append(hold, s)
			} else {
				learn = append(learn, s)
			}
		}
		h, err := learnt(learn)
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
	h, err := learnt(samples)
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
	KindOptions = linear.Options{Bits: 16, Epochs: 10, Rate: 0.05, Shrink: 1e-4, Drop: 0.3, Seed: 7, Rounds: 5}
	MoodOptions = linear.Options{Bits: 16, Epochs: 10, Rate: 0.05, Shrink: 1e-4, Drop: 0.3, Seed: 7, Rounds: 5}
)
