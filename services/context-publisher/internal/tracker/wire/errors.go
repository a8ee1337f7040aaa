package wire

import (
	"errors"
	"fmt"
	"time"
)

// LimitError says that the vendor asked for a pause. Nothing is wrong with the
// request: the same one may be sent again after RetryAfter.
type LimitError struct {
	Op    string // what was tried, "jira: update comment"
	Why   string // the vendor's name for the limit, may be empty
	After time.Duration
}

func (e *LimitError) Error() string {
	why := ""
	if e.Why != "" {
		why = " (" + e.Why + ")"
	}
	return fmt.Sprintf("%s: rate limited%s, retry after %s", e.Op, why, e.After)
}

// RetryAfter is how long to wait, at least one second.
func (e *LimitError) RetryAfter() time.Duration { return e.After }

// PermanentError says that trying again changes nothing until a person does
// what Reason says.
type PermanentError struct {
	Op     string
	Status int    // the HTTP status, 0 where none was involved
	Reason string // for an operator: what to fix
}

func (e *PermanentError) Error() string {
	if e.Status == 0 {
		return e.Op + ": " + e.Reason
	}
	return fmt.Sprintf("%s: HTTP %d: %s", e.Op, e.Status, e.Reason)
}

// Permanent is always true.
func (e *PermanentError) Permanent() bool { return true }

// TemporaryError says that the vendor or the network failed and that the same
// request may succeed later. Whether the request took effect is not known.
type TemporaryError struct {
	Op     string
	Status int // the HTTP status, 0 where no answer came
	Err    error
}

func (e *TemporaryError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: HTTP %d from the vendor", e.Op, e.Status)
}

// Unwrap gives the transport's error, so that a cancelled context is seen.
func (e *TemporaryError) Unwrap() error { return e.Err }

// Temporary is always true.
func (e *TemporaryError) Temporary() bool { return true }

// RetryAfter gives the pause a vendor asked for, and whether it asked for one.
func RetryAfter(err error) (time.Duration, bool) {
	var limit *LimitError
	if errors.As(err, &limit) {
		return limit.After, true
	}
	return 0, false
}

// IsPermanent says whether a person has to act before a retry makes sense.
func IsPermanent(err error) bool {
	var permanent *PermanentError
	return errors.As(err, &permanent)
}
