package event_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/schemas"
)

func compile(t *testing.T, typ event.Type) *jsonschema.Schema {
	t.Helper()
	name := "events/" + string(typ) + ".schema.json"
	b, err := fs.ReadFile(schemas.Events, name)
	if err != nil {
		t.Fatalf("every event has a schema: %v", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func examples(t *testing.T, typ event.Type, validity string) map[string][]byte {
	t.Helper()
	dir := path.Join("events/examples", string(typ), validity)
	entries, err := fs.ReadDir(schemas.Events, dir)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%s has no %s examples: %v", typ, validity, err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		b, err := fs.ReadFile(schemas.Events, path.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = b
	}
	return out
}

// Every valid example is accepted by its schema and by Decode, and what Go writes of it
// is accepted again; every invalid one is refused by its schema.
func TestExamplesAgreeWithSchemasAndTypes(t *testing.T) {
	t.Parallel()
	for _, typ := range event.Types() {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			schema := compile(t, typ)
			check := func(b []byte) error {
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				return schema.Validate(v)
			}
			for name, b := range examples(t, typ, "valid") {
				if err := check(b); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				e, err := event.Decode(b)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				again, err := roundTrip(e)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if err := check(again); err != nil {
					t.Errorf("%s, written by Go: %v", name, err)
				}
			}
			for name, b := range examples(t, typ, "invalid") {
				if check(b) == nil {
					t.Errorf("%s is accepted", name)
				}
			}
		})
	}
}

// roundTrip reads the payload into its Go type and writes the envelope again.
func roundTrip(e event.Envelope) ([]byte, error) {
	payload := event.Blank(e.Type)
	if err := json.Unmarshal(e.Data, payload); err != nil {
		return nil, err
	}
	e, err := event.New(e.Type, strings.TrimPrefix(e.Source, "throughline/"), e.Workspace, e.Subject, e.ID, e.Time, payload)
	if err != nil {
		return nil, err
	}
	return event.Encode(e)
}

// Encode takes data over as it is; the whole is what encoding/json makes of it.
func TestEncodeWritesWhatTheLibraryWould(t *testing.T) {
	t.Parallel()
	e, err := event.New(event.AccountChanged, "test", "acme", "a<b>", "id \u2028", time.Unix(1, 5).In(time.FixedZone("", 3600)), event.Account{Account: feedback.Account{ID: "a", Name: "<&> “ü” \u0000"}})
	if err != nil {
		t.Fatal(err)
	}
	empty := e
	empty.Data = nil
	for _, e := range []event.Envelope{e, empty} {
		got, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := json.Marshal(e); string(got) != string(want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	e, err := event.New(event.AccountChanged, "test", "acme", "a", "id", time.Unix(0, 0), event.Account{Account: feedback.Account{ID: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*event.Envelope){
		"type":        func(e *event.Envelope) { e.Type = "account.changed.v2" },
		"specversion": func(e *event.Envelope) { e.SpecVersion = "0.3" },
		"id":          func(e *event.Envelope) { e.ID = "" },
		"workspace":   func(e *event.Envelope) { e.Workspace = "" },
	} {
		broken := e
		change(&broken)
		b, err := event.Encode(broken)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := event.Decode(b); err == nil {
			t.Errorf("wrong %s is accepted", name)
		}
	}
	if _, err := event.Payload[event.Ticket](e); err == nil {
		t.Error("an account is read as a ticket")
	}
}

func TestVectorsAreExact(t *testing.T) {
	t.Parallel()
	in := feedback.Vector{1, -0.5, 3.1415927, 1e-38}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out feedback.Vector
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	for i := range in {
		if in[i] != out[i] {
			t.Errorf("component %d: %v became %v", i, in[i], out[i])
		}
	}
	for _, bad := range []string{`"AA=="`, `"AADAfw=="`, `[1]`, `"%"`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
