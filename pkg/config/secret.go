package config

import (
	"fmt"
	"os"
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
			return fmt.Errorf("environment variable %s is not set", name)
		}
		s.reference, s.value = ref, v
	case ok && kind == "file":
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read secret file: %w", err)
		}
		s.reference, s.value = ref, strings.TrimSpace(string(b))
	default:
		return fmt.Errorf("a secret is written env:NAME or file:PATH, never in the file itself")
	}
	return nil
}
