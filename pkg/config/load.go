package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Prefix starts the name of every environment variable that overrides a field.
const Prefix = "THROUGHLINE_"

// Load reads the file at path ("" for none), applies the environment and the
// defaults, and validates. The error lists every mistake, one a line.
func Load(path string) (Config, error) {
	var c Config
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if c, err = Parse(b); err != nil {
			return Config{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := override(&c, os.Environ()); err != nil {
		return Config{}, err
	}
	c.defaults()
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Parse reads YAML without defaults or validation. A key it does not know is an error
// that names its line.
func Parse(b []byte) (Config, error) {
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, readable(err)
	}
	return c, nil
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type config\.(\S+)`)

// readable turns the decoder's words into the operator's.
func readable(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err
	}
	var errs []error
	for _, s := range te.Errors {
		errs = append(errs, errors.New(unknownField.ReplaceAllString(s, `unknown key "$1"`)))
	}
	return errors.Join(errs...)
}

// override applies THROUGHLINE_* variables. The name of a field's variable is its path
// in upper case, joined by _; elements of lists are named by their index:
// THROUGHLINE_WORKSPACES_0_TIMEZONE. Lists of strings are split at commas. A variable
// that names no field is an error, since it is a misspelt setting more often than not.
func override(c *Config, environ []string) error {
	var errs []error
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		path, ok := strings.CutPrefix(name, Prefix)
		if !ok || reserved[path] {
			continue
		}
		if err := set(reflect.ValueOf(c).Elem(), path, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// reserved are variables with our prefix that are not fields: where to find things
// that make installs.
var reserved = map[string]bool{"CONFIG": true, "MODELS": true, "ENGINE": true, "TOKEN": true, "URL": true}

var errNoField = errors.New("names no field of the configuration")

var secretType = reflect.TypeFor[Secret]()

// set walks the struct along the underscore-joined path.
func set(v reflect.Value, path, value string) error {
	if v.Type() == secretType {
		if path != "" {
			return errNoField
		}
		s := Secret{}
		if err := s.resolve(value); err != nil {
			return err
		}
		v.Set(reflect.ValueOf(s))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return set(v.Elem(), path, value)
	case reflect.Struct:
		for i := range v.NumField() {
			key := strings.ToUpper(strings.Split(v.Type().Field(i).Tag.Get("yaml"), ",")[0])
			if path == key {
				return set(v.Field(i), "", value)
			}
			if rest, ok := strings.CutPrefix(path, key+"_"); ok {
				if err := set(v.Field(i), rest, value); !errors.Is(err, errNoField) {
					return err
				}
			}
		}
		return errNoField
	case reflect.Map: // of numbers by name
		if path == "" {
			return errNoField
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return err
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(strings.ToLower(path)), reflect.ValueOf(number))
		return nil
	case reflect.Slice:
		if path == "" && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf(strings.Split(value, ",")))
			return nil
		}
		index, rest, _ := strings.Cut(path, "_")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i > 999 {
			return errNoField
		}
		for v.Len() <= i {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		}
		return set(v.Index(i), rest, value)
	}
	if path != "" {
		return errNoField
	}
	switch v.Interface().(type) {
	case string:
		v.SetString(value)
	case int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return errors.New("is not a whole number")
		}
		v.SetInt(int64(n))
	case float64:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return errors.New("is not a number")
		}
		v.SetFloat(f)
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("is not true or false")
		}
		v.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return errors.New("is not a duration such as 30s")
		}
		v.SetInt(int64(d))
	default:
		return errNoField
	}
	return nil
}

func (c *Config) defaults() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Listen, "127.0.0.1:8080")
	def(&c.Data, "./data")
	scheme := "http://"
	if c.TLS.Certificate != "" {
		scheme = "https://"
	}
	def(&c.PublicURL, scheme+c.Listen)
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	def(&c.Log.Level, "info")
	def(&c.Log.Format, "text")
	def(&c.Models.Embeddings.Provider, "local")
	def(&c.Models.Chat.Provider, "none")
	if c.Models.Chat.AskBelow == 0 {
		c.Models.Chat.AskBelow = 0.7
	}
	if c.Models.Chat.Timeout == 0 {
		c.Models.Chat.Timeout = 30 * time.Second
	}
	if c.NATS.URL == "" {
		def(&c.NATS.Mode, "embedded")
	}
	if len(c.ClickHouse.Addr) == 0 {
		def(&c.ClickHouse.Mode, "embedded")
	}
	def(&c.ClickHouse.Database, "throughline")
	def(&c.ClickHouse.Username, "default")
	if c.NATS.Replicas == 0 {
		c.NATS.Replicas = 1
	}
	def(&c.SMTP.TLS, "starttls")
	def(&c.SignIn.OIDC.GroupsClaim, "groups")
	if c.Traces.Ratio == 0 {
		c.Traces.Ratio = 1
	}
	for i := range c.Workspaces {
		def(&c.Workspaces[i].Timezone, "UTC")
	}
}

// Print writes the effective configuration as YAML: secrets show where they come from,
// never what they are.
func (c Config) Print(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return enc.Close()
}
