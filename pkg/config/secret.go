package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mask is what a secret prints as.
const Mask = "***"

// Secret is a value that never prints. In the file it is written env:NAME or
// file:PATH; the value is read once, when the configuration is loaded.
type Secret struct {
	reference string
	value     string
}

// What keeps a secret from being read.
var (
	ErrNoVariable   = errors.New("is not set")
	ErrNoSecretFile = errors.New("read secret file")
)

// SecretFiles lists the files that secrets of the configuration were read from, sorted.
func (c Config) SecretFiles() []string {
	var out []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch {
		case v.Type() == secretType:
			if path, ok := strings.CutPrefix(v.Interface().(Secret).reference, "file:"); ok && !slices.Contains(out, path) {
				out = append(out, path)
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(v.Elem())
		}
	}
	walk(reflect.ValueOf(c))
	slices.Sort(out)
	return out
}

// NewSecret makes a secret of a value, for wiring and tests.
func NewSecret(value string) Secret { return Secret{value: value} }

// Value returns the secret itself.
func (s Secret) Value() string { return s.value }

// String masks the secret.
func (s Secret) String() string {
	if s.value == "" && s.reference == "" {
		return ""
	}
	return Mask
}

// GoString masks the secret in %#v too.
func (s Secret) GoString() string { return s.String() }

// MarshalJSON masks the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML shows where the secret comes from, never what it is.
func (s Secret) MarshalYAML() (any, error) {
	if s.reference != "" {
		return s.reference, nil
	}
	return s.String(), nil
}

// UnmarshalYAML reads env:NAME or file:PATH. A secret written into the file itself is
// an error.
func (s *Secret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: a secret is written env:NAME or file:PATH", n.Line)
	}
	if err := s.resolve(n.Value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

func (s *Secret) resolve(ref string) error {
	kind, name, ok := strings.Cut(ref, ":")
	switch {
	case ref == "":
		return nil
	case ok && kind == "env":
		v, set := os.LookupEnv(name)
		if !set || v == "" {
			return fmt.Errorf("environment variable %s %w", name, ErrNoVariable)
		}
		s.reference, s.value = ref, v
	case ok && kind == "file":
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoSecretFile, err)
		}
		s.reference, s.value = ref, strings.TrimSpace(string(b))
	default:
		return fmt.Errorf("a secret is written env:NAME or file:PATH, never in the file itself")
	}
	return nil
}
