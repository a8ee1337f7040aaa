// Package tracker writes one block of live context to a ticket of Jira,
// Linear or GitHub, and reads tickets.
//
// It promises: one block per ticket, updated in place and never duplicated,
// also when the caller's record of it was lost or two workers race; a block
// that a person deleted is not written again unless asked; customer words
// reach a vendor as literal text, unable to mention, embed, link or close a
// marker; errors say whether to wait (RetryAfter() time.Duration), to try
// again (Temporary() bool) or what a person has to fix (Permanent() bool), and
// contain neither secrets nor customer text.
//
// It refuses to write into a ticket's description, to change a ticket, to
// decide what a brief says, and to retry by itself.
package tracker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/wire"
)

// Block is what a ticket shall show: a brief, already bounded by its writer.
type Block struct {
	// Title is one line of plain text; it heads the block.
	Title string
	// Markdown is the text in the subset of package markup. Customer words in
	// it stand in block quotes (markup.QuoteLines makes one).
	Markdown string
	// URL is the brief's page, absolute; empty where there is none, then no
	// link or attachment is written.
	URL string
	// Revision is the brief's revision, for people and logs.
	Revision int
	// Hash identifies the content: equal hashes mean nothing to write. It must
	// not be empty.
	Hash string
	// Recreate asks for a new comment where a person deleted the old one.
	Recreate bool
}

// Ref is where a block lives, and how far a write that failed has come. The
// caller keeps it in the ledger and hands it back as it came.
type Ref struct {
	ID    string            `json:"id"`  // the comment; empty where none is known yet
	URL   string            `json:"url"` // its address for people
	Extra map[string]string `json:"extra,omitempty"`
}

// Outcome is what an Upsert did.
type Outcome string

// The outcomes. Gone means that a person deleted the block and that nothing
// was written.
const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged"
	Gone      Outcome = "gone"
)

// Ticket is what a tracker says about a ticket now. Title and Body are written
// by people and as untrusted as customer text.
type Ticket struct {
	Key            string // PROJ-1, ENG-1, owner/repo#1; the current one, also where an old one was asked for
	ID             string // the tracker's own id, stable when the key changes
	Title          string
	Body           string // Markdown or plain text
	Status         string // the tracker's own word, "In Review"
	StatusCategory feedback.StatusCategory
	URL            string
	Labels         []string
	Assignee       string // display name, may be empty
	Restricted     bool   // Jira: an issue security level is set; customers' words do not belong beside it unasked
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Identity is who we are in a tracker. Events whose actor has this ID are
// echoes of our own writes.
type Identity struct {
	ID   string
	Name string
}

// Tracker is one connection to one vendor. Implementations are safe for
// concurrent use.
type Tracker interface {
	// Kind says which vendor this is.
	Kind() feedback.Tracker
	// Upsert makes the ticket show b, once. known is what an earlier Upsert
	// gave, nil where nothing is recorded: then an existing block of ours is
	// looked for first. The Ref is the zero value for Gone. With an error it
	// says how far the write has come: handed back, the next Upsert goes on with
	// the request that failed, so that a vendor that fails one request in three
	// is written to all the same.
	Upsert(ctx context.Context, key string, known *Ref, b Block) (Ref, Outcome, error)
	// Remove takes the block away: the known one, or the one it finds where none
	// is known. A block or a ticket that is not there is no error. To
	// write one again later, pass no known Ref and set Recreate. With an error
	// the Ref is what is left to remove.
	Remove(ctx context.Context, key string, known Ref) (Ref, error)
	// Fetch reads the ticket. A ticket that is not visible is a permanent error.
	Fetch(ctx context.Context, key string) (Ticket, error)
	// Self says who we are. The answer is asked for once and kept.
	Self(ctx context.Context) (Identity, error)
}

// Options are what the constructors have in common; the zero value works.
type Options = wire.Options

// The three kinds of errors.
type (
	LimitError     = wire.LimitError
	PermanentError = wire.PermanentError
	TemporaryError = wire.TemporaryError
)

// RetryAfter gives the pause the vendor asked for, and whether err is such a
// request.
func RetryAfter(err error) (time.Duration, bool) { return wire.RetryAfter(err) }

// IsPermanent says whether a person has to act before a retry makes sense.
func IsPermanent(err error) bool { return wire.IsPermanent(err) }

const (
	extraHash       = "hash"
	extraLinkHash   = "link_hash"
	extraIssueID    = "issue_id"
	extraAttachment = "attachment_id"
	extraGeneration = "generation"

	// How far a write has come: own comments were looked for and none was there;
	// no comment is remembered either; the new comment was not yet seen to be the
	// only one; the comment is not yet remembered. And of a removal: the comment is
	// gone.
	extraSought       = "sought"
	extraUnremembered = "unremembered"
	extraAlone        = "alone"
	extraUnmarked     = "unmarked"
	extraRemoved      = "removed"

	// How many own comments of one ticket are looked at; beyond it something
	// else is wrong.
	maxPages = 50
)

// isMissing says whether the vendor answered that the ticket is not there (any more).
func isMissing(err error) bool {
	var permanent *PermanentError
	return errors.As(err, &permanent) && (permanent.Status == http.StatusNotFound || permanent.Status == http.StatusGone)
}

// progress is a Ref to work on: what is known so far, never the caller's own map.
func progress(known *Ref) Ref {
	r := Ref{Extra: map[string]string{}}
	if known != nil {
		r.ID, r.URL = known.ID, known.URL
		maps.Copy(r.Extra, known.Extra)
	}
	return r
}

func checkBlock(vendor feedback.Tracker, b Block) error {
	op := string(vendor) + ": upsert block"
	if b.Hash == "" {
		return &PermanentError{Op: op, Reason: "the block has no hash"}
	}
	if b.URL != "" {
		if _, ok := markup.WebURL(b.URL); !ok {
			return &PermanentError{Op: op, Reason: "the block's URL is not an absolute http(s) URL: check the public address in the configuration"}
		}
	}
	return nil
}

// fit renders b with its text cut so that the rendering is at most limit
// UTF-16 code units. Where text was cut, the last line says so.
func fit(b Block, limit int, render func(title string, nodes []markup.Node) string) (string, error) {
	title := markup.CutUnits(oneLine(b.Title), 200)
	whole := render(title, markup.Parse(b.Markdown))
	if markup.Units(whole) <= limit {
		return whole, nil
	}
	note := "\n\nCut here: the whole text does not fit into this tracker."
	if b.URL != "" {
		note = "\n\nCut here: [the whole brief](" + b.URL + ") does not fit into this tracker."
	}
	// No rendering is shorter than the words in it; a text of mostly blank
	// lines may lose a little more than it had to.
	text, _ := markup.Cut(beginning(b.Markdown, limit), func(s string) bool {
		return markup.Units(render(title, markup.Parse(s+note))) <= limit
	})
	out := render(title, markup.Parse(text+note))
	if markup.Units(out) > limit {
		return "", fmt.Errorf("fit block: %w", errNoRoom)
	}
	return out, nil
}

// beginning is at most the first n runes.
func beginning(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

var errNoRoom = errors.New("title and note alone exceed the limit")
