package classifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/measure"
)

// The fields of an answer that labels are compared with.
const (
	fieldKind      = "kind"
	fieldSentiment = "sentiment"
)

// Labels says what the labels of a set mean in ours.
type Labels struct {
	of map[string][]label // by the set's label; nil where its labels are ours
}

// label is a value of a field.
type label struct{ field, value string }

// NewLabels understands a map of labels, of any of these shapes (in YAML), mixed at will:
//
//	bug report: bug                  # a label of the set: one of ours
//	rating: null                     # not scored
//	praise: [thanks, compliment]     # one of ours: labels of the set
//	kind: {bug report: bug}          # the same, grouped by field
//	sentiment: {happy: positive}
//
// Ours are the kinds, and for sentiment negative, neutral and positive. Labels that a map
// does not name are not scored. What is neither is an error that names the entry.
func NewLabels(entries map[string]any) (Labels, error) {
	l := Labels{of: map[string][]label{}}
	return l, l.add(entries)
}

func (l Labels) add(entries map[string]any) error {
	for key, value := range entries {
		switch v := value.(type) {
		case nil:
		case map[string]any:
			if err := l.add(v); err != nil {
				return err
			}
		case []any:
			ours, err := ourLabel(key)
			if err != nil {
				return err
			}
			for _, theirs := range v {
				l.of[fmt.Sprint(theirs)] = append(l.of[fmt.Sprint(theirs)], ours)
			}
		default:
			ours, err := ourLabel(fmt.Sprint(v))
			if err != nil {
				return err
			}
			l.of[key] = append(l.of[key], ours)
		}
	}
	return nil
}

func ourLabel(word string) (label, error) {
	if v, err := strconv.ParseFloat(strings.TrimSpace(word), 64); err == nil && v >= -1 && v <= 1 {
		return label{fieldSentiment, measure.Mood(v)}, nil
	}
	plain := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(word)))
	if slices.Contains(feedback.Kinds, feedback.Kind(plain)) {
		return label{fieldKind, plain}, nil
	}
	if slices.Contains(judge.Moods, plain) {
		return label{fieldSentiment, plain}, nil
	}
	return label{}, fmt.Errorf("read label: %q is neither a kind (%s), nor negative, neutral or positive, nor a sentiment from -1 to 1: a map says what it means", word, joined(feedback.Kinds))
}

func joined(kinds []feedback.Kind) string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

// read says what a value of a field means. Absent, null and unmapped values mean nothing.
// strange are labels that only a head of the set's own knows: they are kinds as they stand.
func (l Labels) read(raw json.RawMessage, strange bool) ([]label, error) {
	var value any
	if len(raw) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, errors.New("read label: not JSON")
	}
	switch value.(type) {
	case nil:
		return nil, nil
	case map[string]any, []any:
		return nil, errors.New("read label: neither a word nor a number")
	}
	word := fmt.Sprint(value)
	if l.of != nil {
		return l.of[word], nil
	}
	ours, err := ourLabel(word)
	if err != nil && strange {
		return []label{{fieldKind, word}}, nil
	}
	return []label{ours}, err
}
