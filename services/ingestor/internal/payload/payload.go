// Package payload reads the JSON of strangers. Check is the strict gate at the edge:
// what it lets through is well-formed, valid UTF-8, free of NULs, of bounded depth and
// without repeated names, so that no two readers of it can disagree. Decode and the
// lenient scalar types read what vendors really send (numbers as strings, strings as
// numbers, null anywhere, five spellings of a time) behind that gate.
//
// No error of this package repeats anything of the payload but positions and the names
// of our own fields.
package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how many arrays and objects may be nested. The deepest recorded vendor
// payload has 11 levels.
const MaxDepth = 64

// What Check refuses.
var (
	ErrSyntax    = errors.New("body is not one well-formed JSON value")
	ErrUTF8      = errors.New("body is not valid UTF-8")
	ErrNUL       = errors.New("body contains NUL characters")
	ErrDepth     = fmt.Errorf("body is nested deeper than %d levels", MaxDepth)
	ErrDuplicate = errors.New("body names a member of an object twice")
)

// Shape is what Check learned about the top level of a value.
type Shape struct {
	Kind    byte              // '{' object, '[' array, '"' string, '0' number, 't', 'f' or 'n'
	Strings map[string]string // string members of a top-level object
	Members map[string]byte   // kinds of all members of a top-level object
}

// Has reports whether the top-level object has all members.
func (s Shape) Has(names ...string) bool {
	for _, n := range names {
		if _, ok := s.Members[n]; !ok {
			return false
		}
	}
	return true
}

// Check reads body once, without building it, and refuses what is not one clean JSON
// value with one of the errors above.
func Check(body []byte) (Shape, error) {
	if !utf8.Valid(body) {
		return Shape{}, ErrUTF8
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return Shape{}, ErrNUL
	}
	escapedNUL := bytes.Contains(body, nul)
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	s := Shape{Strings: map[string]string{}, Members: map[string]byte{}}
	name, isName, done := "", false, false
	for {
		t, err := d.ReadToken()
		if errors.Is(err, io.EOF) && done {
			return s, nil
		}
		if err != nil {
			return Shape{}, refusal(err)
		}
		depth, kind := d.StackDepth(), byte(t.Kind())
		switch {
		case done:
			return Shape{}, ErrSyntax // a second value
		case depth > MaxDepth:
			return Shape{}, ErrDepth
		case kind == '"' && escapedNUL && strings.IndexByte(t.String(), 0) >= 0:
			return Shape{}, ErrNUL
		}
		done = depth == 0
		switch {
		case s.Kind == 0:
			s.Kind = kind
		case s.Kind != '{' || done:
		case isName:
			if s.Members[name] = kind; kind == '"' {
				s.Strings[name] = t.String()
			}
			isName = false
		case depth == 1 && kind == '"':
			name, isName = t.String(), true
		}
	}
}

// nul is a NUL as JSON escapes it; looking for it first saves decoding every string.
var nul = []byte(`\u0000`)

func refusal(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return ErrDuplicate
	}
	if errors.As(err, &syntactic) && syntactic.ByteOffset >= 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (at byte %d)", ErrSyntax, syntactic.ByteOffset)
	}
	return ErrSyntax
}

// Decode reads JSON into v. Its errors name a position or one of our fields, never what
// the payload says there.
func Decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return fmt.Errorf("malformed JSON at byte %d", syntax.Offset)
	case errors.As(err, &typed):
		return fmt.Errorf("member %q is not of the expected type", typed.Field)
	default:
		return errors.New("JSON is not of the expected shape")
	}
}
