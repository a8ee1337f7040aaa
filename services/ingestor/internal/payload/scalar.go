package payload

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Text is a string that vendors also send as a number, a boolean or null: an id mostly.
// Numbers keep their digits; null, objects and arrays read as "".
type Text string

// UnmarshalJSON never fails on well-formed JSON.
func (t *Text) UnmarshalJSON(b []byte) error {
	*t = ""
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err == nil {
			*t = Text(s)
		}
	case 'n', '{', '[':
	default:
		*t = Text(b)
	}
	return nil
}

// Bool is a boolean that may be missing: nil is not false.
type Bool struct{ value *bool }

// UnmarshalJSON reads true, false and their spellings as strings; all else is missing.
func (v *Bool) UnmarshalJSON(b []byte) error {
	v.value = nil
	switch strings.ToLower(strings.Trim(string(b), `"`)) {
	case "true":
		yes := true
		v.value = &yes
	case "false":
		no := false
		v.value = &no
	}
	return nil
}

// Yes reports a value that is present and true.
func (v Bool) Yes() bool { return v.value != nil && *v.value }

// No reports a value that is present and false.
func (v Bool) No() bool { return v.value != nil && !*v.value }

// Time is a point in time in any of the spellings that the six vendors use: RFC 3339
// with 0 to 9 fraction digits, Jira's zone without a colon, and Unix seconds or
// milliseconds as a number or a string. What cannot be read is the zero time: a missing
// or odd time stamp never drops a message.
type Time struct{ time.Time }

var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02 15:04:05.999999999 UTC",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02",
}

// UnmarshalJSON never fails on well-formed JSON.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s Text
	_ = s.UnmarshalJSON(b)
	t.Time = ParseTime(string(s))
	return nil
}

// ParseTime reads a time as Time does. Numbers above 1e11 are milliseconds.
func ParseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case math.IsNaN(f) || f <= 0 || f > 1e15:
			return time.Time{}
		case f > 1e11:
			return sane(time.UnixMicro(int64(f * 1e3)))
		}
		whole, fraction, _ := strings.Cut(s, ".")
		seconds, err := strconv.ParseInt(whole, 10, 64)
		if err != nil { // written with an exponent
			return sane(time.UnixMicro(int64(f * 1e6)))
		}
		nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		return sane(time.Unix(seconds, nanos))
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, s); err == nil {
			return sane(at)
		}
	}
	return time.Time{}
}

// sane keeps times that JSON and the store can hold, in UTC and whole microseconds.
func sane(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}
	}
	return t
}

// First returns the first time that is not zero.
func First(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// Version is a time as a version: its microseconds, 0 for the zero time.
func Version(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
