package decode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/fold"
)

// A person has several identities: an id with each vendor, and addresses. What is seen
// together once (a vendor's id with an address) is one person from then on, and so is what
// hangs together over several such sightings: one voice. Items keep the identity that they
// were said under, which is part of their id; whose voice it is, is told with them, and
// told anew when two voices turn out to be one.
//
// Two kinds of keys in the bucket of items hold it. They consist of our own ids, which are
// hashes, and tell nothing about anybody:
//
//	<workspace>.voice.<identity>           the voice that an identity belongs to; that one
//	                                       may have joined another since
//	<workspace>.voices.<voice>.<identity>  that a voice has this identity besides its own
//
// They are saved after the conversations: a crash in between makes a join happen again,
// which changes nothing, where the other order would forget whom to tell. Of them, what a
// voice has is saved before what points to it, so that a join is one write: it happened or
// it did not.

// maxIdentities bounds a voice: an address that hundreds of people share is no person.
const maxIdentities = 24

// maxKnown bounds what a handler remembers of voices, so that it need not ask.
const maxKnown = 100_000

func voiceKey(workspace, identity string) string { return workspace + ".voice." + identity }

func memberKey(workspace, voice, identity string) string {
	return workspace + ".voices." + voice + "." + identity
}

// voiceOf returns the voice of an identity, "" for one that was never seen.
func (w *work) voiceOf(ctx context.Context, workspace, identity string) (string, error) {
	for hop := 0; hop < maxIdentities; hop++ {
		voice, err := w.value(ctx, voiceKey(workspace, identity))
		if err != nil || voice == "" || voice == identity {
			return voice, err
		}
		identity = voice
	}
	return identity, nil
}

// value reads what is known of a person or an account, "" where that is nothing.
func (w *work) value(ctx context.Context, k string) (string, error) {
	if v, ok := w.people[k]; ok {
		return v, nil
	}
	if v, ok := w.handler.known[k]; ok {
		return v, nil
	}
	entry, err := w.handler.States.Get(ctx, k)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		w.handler.know(k, "")
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read who is who: %w", err)
	}
	w.handler.know(k, string(entry.Value()))
	return string(entry.Value()), nil
}

// know remembers what is saved.
func (h *Handler) know(key, voice string) {
	if h.known == nil || len(h.known) >= maxKnown {
		h.known = map[string]string{}
	}
	h.known[key] = voice
}

// belong notes that an identity is of a voice.
func (w *work) belong(workspace, identity, voice string) {
	w.people[voiceKey(workspace, identity)] = voice
	if identity != voice {
		w.people[memberKey(workspace, voice, identity)] = voice
	}
}

// members lists the identities of a voice, its own first.
func (w *work) members(ctx context.Context, workspace, voice string) ([]string, error) {
	found := map[string]bool{}
	prefix := memberKey(workspace, voice, "")
	lister, err := w.handler.States.ListKeysFiltered(ctx, prefix+"*")
	if err != nil {
		return nil, fmt.Errorf("read voice: %w", err)
	}
	for k := range lister.Keys() {
		found[k[len(prefix):]] = true
	}
	for k := range w.people {
		if len(k) > len(prefix) && k[:len(prefix)] == prefix {
			found[k[len(prefix):]] = true
		}
	}
	delete(found, voice)
	return append([]string{voice}, slices.Sorted(maps.Keys(found))...), nil
}

// meet finds the voice of somebody who is seen with a vendor's id and perhaps an address,
// joining what belongs together. What is seen for the first time joins what is known.
func (o *outcome) meet(ctx context.Context, source feedback.Source, a change.Author) (voice string, err error) {
	own := feedback.CustomerID(o.Workspace, source, a.ID, "")
	byAddress := feedback.CustomerID(o.Workspace, source, a.ID, a.Email)
	known, err := o.voiceOf(ctx, o.Workspace, own)
	if err != nil {
		return "", err
	}
	if byAddress == own {
		if known == "" {
			known = own
			o.belong(o.Workspace, own, own)
		}
		return known, nil
	}
	addressed, err := o.voiceOf(ctx, o.Workspace, byAddress)
	if err != nil {
		return "", err
	}
	switch {
	case known == "" && addressed == "":
		o.belong(o.Workspace, byAddress, byAddress)
		o.belong(o.Workspace, own, byAddress)
		return byAddress, nil
	case known == "":
		o.belong(o.Workspace, own, addressed)
		return addressed, nil
	case addressed == "":
		o.belong(o.Workspace, byAddress, known)
		return known, nil
	case known == addressed:
		return known, nil
	}
	return o.join(ctx, min(known, addressed), max(known, addressed), addressed)
}

// join makes two voices one, and tells it of everything that the second has said. Where
// that would be more than a person, both stay what they are.
func (o *outcome) join(ctx context.Context, into, from, otherwise string) (string, error) {
	moving, err := o.members(ctx, o.Workspace, from)
	if err != nil {
		return "", err
	}
	staying, err := o.members(ctx, o.Workspace, into)
	if err != nil {
		return "", err
	}
	if len(moving)+len(staying) > maxIdentities {
		return otherwise, nil
	}
	for _, identity := range moving {
		o.people[memberKey(o.Workspace, into, identity)] = into
	}
	o.belong(o.Workspace, from, into)
	keys, err := o.places(ctx, moving)
	if err != nil {
		return "", err
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		conv, err := o.open(ctx, k, nil)
		if err != nil {
			return "", err
		}
		if conv == nil {
			continue
		}
		for _, identity := range moving {
			if conv.state.Attribute(identity, into) {
				o.touched[k] = conv
			}
		}
	}
	return into, nil
}

// everyIdentity adds to identities all others of the same people.
func (o *outcome) everyIdentity(ctx context.Context, ids []string) ([]string, error) {
	out := slices.Clone(ids)
	for _, id := range ids {
		voice, err := o.voiceOf(ctx, o.Workspace, id)
		if err != nil {
			return nil, err
		}
		if voice == "" {
			continue
		}
		all, err := o.members(ctx, o.Workspace, voice)
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// attribute tells a conversation whose voices the people are whom a change quotes.
func (o *outcome) attribute(ctx context.Context, s *fold.State, c change.Change) error {
	var said []change.MessageUpserted
	switch c := c.(type) {
	case change.MessageUpserted:
		said = []change.MessageUpserted{c}
	case change.ConversationStated:
		said = c.Messages
	}
	for _, m := range said {
		voice, err := o.meet(ctx, s.Source, m.Author)
		if err != nil {
			return err
		}
		s.Attribute(feedback.CustomerID(o.Workspace, s.Source, m.Author.ID, m.Author.Email), voice)
	}
	return nil
}

// accountKey holds an account as it is known, for what tells only a part of it.
func accountKey(workspace, id string) string {
	return workspace + ".account." + feedback.ID("acc", workspace, id)
}

// put states an account whole.
func (o *outcome) put(c change.AccountChanged) error {
	b, err := json.Marshal(c.Account)
	if err != nil {
		return fmt.Errorf("save account: %w", err)
	}
	o.people[accountKey(o.Workspace, c.Account.ID)] = string(b)
	o.account(c)
	return nil
}

// told adds to an account what a delivery tells of it; what it does not tell stays.
func (o *outcome) told(ctx context.Context, c change.AccountTold) error {
	k := accountKey(o.Workspace, c.Account.ID)
	known, err := o.value(ctx, k)
	if err != nil {
		return err
	}
	account := feedback.Account{ID: c.Account.ID}
	if known != "" {
		if err := json.Unmarshal([]byte(known), &account); err != nil {
			return fmt.Errorf("read account: malformed state")
		}
	}
	merged := c.Over(account)
	if b, err := json.Marshal(merged); err != nil {
		return fmt.Errorf("save account: %w", err)
	} else if string(b) == known {
		return nil
	}
	return o.put(change.AccountChanged{Account: merged})
}

// rememberPeople saves voices and accounts.
func (w *work) rememberPeople(ctx context.Context) error {
	var phases [3][]string
	for k, v := range w.people {
		parts := strings.Split(k, ".")
		switch {
		case parts[1] != "voice":
			phases[0] = append(phases[0], k)
		case parts[2] == v:
			phases[1] = append(phases[1], k)
		default:
			phases[2] = append(phases[2], k)
		}
	}
	for _, keys := range phases {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, k := range keys {
			g.Go(func() error {
				if _, err := w.handler.States.PutString(ctx, k, w.people[k]); err != nil {
					return fmt.Errorf("save who is who: %w", err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	for k, v := range w.people {
		w.handler.know(k, v)
	}
	return nil
}
