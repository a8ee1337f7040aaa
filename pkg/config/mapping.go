package config

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// ReadMapping reads a small YAML file of the user's own that maps words to words, such as a
// data set's labels to ours: a mapping of any depth, or an error that names the line.
func ReadMapping(r io.Reader) (map[string]any, error) {
	var m map[string]any
	if err := yaml.NewDecoder(r).Decode(&m); err != nil {
		return nil, fmt.Errorf("read mapping: %w", err)
	}
	return m, nil
}
