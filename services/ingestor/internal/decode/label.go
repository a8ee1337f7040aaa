package decode

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
)

// What ids are called is told by deliveries of its own, before or after the messages that use
// the ids. It is kept in the bucket of items beside who is who: a person's name by their own
// identity, so that an erasure finds it; what words refer to by the vendor's id, where that of
// a person only points to their name.

func nameKey(workspace, identity string) string { return workspace + ".name." + identity }

func labelKey(workspace, connection, id string) string {
	return workspace + ".label." + feedback.ID("lbl", connection, id)
}

// pointer begins a label that points to a person's identity.
const pointer = "="

// Disconnected is the key, in the bucket of items, of the sequence of the delivery that told
// that a connection's vendor sends nothing more.
func Disconnected(workspace, connection string) string {
	return workspace + ".disconnected." + connection
}

func (o *outcome) disconnected() {
	o.people[Disconnected(o.Workspace, o.delivery.Connection)] = strconv.FormatUint(o.Sequence, 10)
}

// label keeps what an id is called. Of a person it is told to what they said without a name.
func (o *outcome) label(ctx context.Context, c change.Labelled) error {
	own := labelKey(o.Workspace, o.delivery.Connection, c.ID)
	_, mention, person := strings.Cut(c.ID, ":")
	if !person {
		o.people[own] = c.Name
		return nil
	}
	name := c.Name
	if c.Of != "" {
		team, err := o.value(ctx, labelKey(o.Workspace, o.delivery.Connection, c.Of))
		if err != nil {
			return err
		}
		if team != "" {
			name += " (" + team + ")"
		}
	}
	identity := feedback.CustomerID(o.Workspace, c.Source, c.ID, "")
	k := nameKey(o.Workspace, identity)
	known, err := o.value(ctx, k)
	if err != nil || known == name {
		return err
	}
	o.people[k], o.people[labelKey(o.Workspace, o.delivery.Connection, mention)] = name, pointer+identity
	keys, err := o.places(ctx, []string{identity})
	if err != nil {
		return err
	}
	for k := range keys {
		conv, err := o.open(ctx, k, nil)
		if err != nil {
			return err
		}
		if conv != nil && conv.state.Name(identity, name) {
			o.touched[k] = conv
		}
	}
	return nil
}

// labelled is what words refer to, "" where that was never told.
func (o *outcome) labelled(ctx context.Context, id string) (string, error) {
	name, err := o.value(ctx, labelKey(o.Workspace, o.delivery.Connection, id))
	if identity, person := strings.CutPrefix(name, pointer); person && err == nil {
		return o.value(ctx, nameKey(o.Workspace, identity))
	}
	return name, err
}

// unnamed forgets what a person is called.
func (o *outcome) unnamed(ctx context.Context, identities []string) error {
	for _, id := range identities {
		k := nameKey(o.Workspace, id)
		known, err := o.value(ctx, k)
		if err != nil {
			return err
		}
		if known != "" {
			o.people[k] = ""
		}
	}
	return nil
}

// referred are ids in the words of a Slack message, as its decoder leaves them.
var referred = regexp.MustCompile(`[@#][UWC][A-Z0-9]{2,20}\b`)

// named puts names where a message of Slack has ids.
func (o *outcome) named(ctx context.Context, c change.MessageUpserted) (change.MessageUpserted, error) {
	if c.Place.Source != feedback.Slack {
		return c, nil
	}
	var failed error
	if c.Author.Name == "" {
		c.Author.Name, failed = o.value(ctx, nameKey(o.Workspace, feedback.CustomerID(o.Workspace, feedback.Slack, c.Author.ID, "")))
	}
	c.Text = referred.ReplaceAllStringFunc(c.Text, func(r string) string {
		name, err := o.labelled(ctx, r[1:])
		if err != nil {
			failed = err
		}
		if name == "" {
			return r
		}
		return r[:1] + name
	})
	return c, failed
}
