package table

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Flat is a JSON object as text by path: author.name. Lists of plain values are joined by
// commas; lists of objects are left out.
type Flat struct {
	paths  []string // in the order of the object
	values map[string]string
}

// Get returns the value at a path, "" if there is none.
func (f Flat) Get(path string) string { return f.values[path] }

// maxNesting is how deep an object's members are looked for.
const maxNesting = 6

// Flatten reads an object. What is not one has no paths.
func Flatten(raw json.RawMessage) Flat {
	f := Flat{values: map[string]string{}}
	f.object(raw, "", 0)
	return f
}

func (f *Flat) object(raw json.RawMessage, prefix string, depth int) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') || depth > maxNesting {
		return
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return
		}
		path := prefix + name
		switch value[0] {
		case '{':
			f.object(value, path+".", depth+1)
		case '[':
			f.list(value, path)
		default:
			f.put(path, scalar(value))
		}
	}
}

func (f *Flat) list(raw json.RawMessage, path string) {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return
	}
	var texts []string
	for _, v := range all {
		if v[0] == '{' || v[0] == '[' {
			return
		}
		texts = append(texts, scalar(v))
	}
	f.put(path, strings.Join(texts, ", "))
}

func (f *Flat) put(path, value string) {
	if _, known := f.values[path]; !known {
		f.paths = append(f.paths, path)
	}
	f.values[path] = value
}

// scalar writes numbers with their digits, and null as nothing.
func scalar(raw json.RawMessage) string {
	var s string
	switch {
	case string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &s) == nil:
		return s
	}
	return string(raw)
}

// Members lists the names of an object's own members, in order.
func Members(raw json.RawMessage) []string {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var out []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return out
		}
		name, _ := key.(string)
		out = append(out, name)
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return out
		}
	}
	return out
}
