package decode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/erase"
	"github.com/throughline-dev/throughline/services/ingestor/internal/fold"
)

// parallel is how many states are read or saved at a time.
const parallel = 16

// work is one batch on its way: the states it touches, the rows and events it makes.
type work struct {
	handler       *Handler
	mu            sync.Mutex
	conversations map[string]*conversation // by key
	items         [][]any
	accounts      [][]any
	events        []bus.Outgoing
	people        map[string]string // voices and accounts to remember, by key
	erasures      []erase.Job
}

// conversation is a folded state with where it came from.
type conversation struct {
	state    *fold.State
	revision uint64          // of the key, 0 if it does not exist yet
	saved    []byte          // the state as it was read
	indexed  map[string]bool // customers that the index already knows
}

// key of a conversation's state. Two more kinds of keys are the index: an item's holds
// its conversation, and <workspace>.<customer>.<conversation> the customer that it is
// about, so that a withdrawal finds everything without reading everything.
func key(workspace, id string) string { return workspace + "." + id }

// load reads the states that the batch is about.
func (w *work) load(ctx context.Context, meanings []meaning) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	seen := map[string]bool{}
	for _, m := range meanings {
		for _, c := range m.changes {
			place, ok := fold.Place(c)
			if !ok {
				continue
			}
			blank := fold.New(m.Workspace, m.delivery.Connection, place)
			k := key(m.Workspace, blank.Conversation)
			if seen[k] {
				continue
			}
			seen[k] = true
			g.Go(func() error {
				_, err := w.open(ctx, k, blank)
				return err
			})
		}
	}
	return g.Wait()
}

// open returns a state of the batch, reading it if need be. Where there is none yet, it
// is blank; where that is nil, so is the answer.
func (w *work) open(ctx context.Context, k string, blank *fold.State) (*conversation, error) {
	w.mu.Lock()
	c, ok := w.conversations[k]
	w.mu.Unlock()
	if ok {
		return c, nil
	}
	c = &conversation{state: blank, indexed: map[string]bool{}}
	entry, err := w.handler.States.Get(ctx, k)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		if blank == nil {
			return nil, nil
		}
	case err != nil:
		return nil, fmt.Errorf("read conversation: %w", err)
	default:
		c.state, c.revision, c.saved = new(fold.State), entry.Revision(), entry.Value()
		if err := json.Unmarshal(entry.Value(), c.state); err != nil {
			return nil, fmt.Errorf("read conversation: malformed state")
		}
		for customer := range c.state.Items {
			c.indexed[customer], c.indexed[c.state.Voice(customer)] = true, true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conversations[k] = c
	return c, nil
}

// fold applies one delivery and collects what follows from it. refused concerns this
// delivery alone, failed the whole batch.
func (w *work) fold(ctx context.Context, m meaning) (refused, failed error) {
	out := &outcome{work: w, meaning: m, touched: map[string]*conversation{}}
	for _, c := range m.changes {
		switch c := c.(type) {
		case change.TicketChanged:
			if err := out.remembered(ctx, c); err != nil {
				return nil, err
			}
		case change.TicketPlaced:
			if err := out.placed(ctx, c); err != nil {
				return nil, err
			}
		case change.AccountChanged:
			if err := out.put(c); err != nil {
				return nil, err
			}
		case change.AccountTold:
			if err := out.told(ctx, c); err != nil {
				return nil, err
			}
		case change.CustomerMet:
			if _, err := out.meet(ctx, c.Source, c.Author); err != nil {
				return nil, err
			}
		case change.CustomerErased:
			if err := out.erase(ctx, c); err != nil {
				return nil, err
			}
		case change.ItemWithdrawn:
			if err := out.withdraw(ctx, c); err != nil {
				return nil, err
			}
		case change.Expired:
			if err := out.expire(ctx, c); err != nil {
				return nil, err
			}
		case change.Labelled:
			if err := out.label(ctx, c); err != nil {
				return nil, err
			}
		case change.Disconnected:
			out.disconnected()
		case change.Nothing:
		default:
			if said, ok := c.(change.MessageUpserted); ok {
				named, err := out.named(ctx, said)
				if err != nil {
					return nil, err
				}
				c = named
			}
			place, _ := fold.Place(c)
			k := key(m.Workspace, feedback.ConversationID(m.Workspace, place.Source, place.External))
			conv := w.conversations[k]
			if err := conv.state.Apply(c, m.Sequence); err != nil {
				refused = bus.Permanent(fmt.Errorf("fold delivery: %w", err))
			} else if err := out.attribute(ctx, conv.state, c); err != nil {
				return nil, err
			}
			w.handler.withhold(conv.state)
			out.touched[k] = conv
		}
	}
	out.revise()
	w.events = append(w.events, out.events...)
	return refused, out.err
}

// withhold withdraws from a conversation what people said who were erased since.
func (h *Handler) withhold(s *fold.State) {
	if len(h.erased) == 0 {
		return
	}
	for _, m := range s.Messages {
		for _, id := range []string{m.Customer.ID, m.Ref} {
			if until, ok := h.erased[erase.Key(s.Workspace, id)]; ok {
				s.Withdraw(m.Customer.ID, until)
			}
		}
	}
}

// outcome collects the events of one delivery, in order.
type outcome struct {
	*work
	meaning
	touched map[string]*conversation
	events  []bus.Outgoing
	err     error
}

// block is how many ordinals each conversation of a delivery has to itself. After a crash
// some of them may have nothing more to say; the ordinals of the others must not shift.
const block = 1000

func (o *outcome) origin(ordinal int) event.Origin {
	return event.Origin{Delivery: o.delivery.ID, Sequence: o.Sequence, Ordinal: ordinal, AcceptedAt: o.StoredAt.UTC()}
}

func (o *outcome) emit(stage string, t event.Type, subject, id string, payload any) {
	e, err := event.New(t, "ingestor", o.Workspace, subject, id, o.delivery.ReceivedAt, payload)
	if err != nil {
		o.err = err
		return
	}
	o.events = append(o.events, bus.Outgoing{Subject: bus.Subject(stage, o.Workspace), Event: e, Trace: o.Trace})
}

// revise makes revisions of what this delivery changed, in an order that does not depend
// on anything but the delivery.
func (o *outcome) revise() {
	first := len(o.events) // these do not depend on any state
	for b, k := range slices.Sorted(maps.Keys(o.touched)) {
		for i, it := range o.touched[k].state.Revise() {
			t := event.ItemEdited
			switch {
			case len(it.Messages) == 0:
				t = event.ItemDeleted
			case it.Revision == 1:
				t = event.ItemReceived
			}
			origin := o.origin(first + b*block + i)
			o.items = append(o.items, itemRow(it, origin))
			o.emit("items", t, it.ID, fmt.Sprintf("item:%s:%d", it.ID, it.Revision), event.Item{Origin: origin, Item: it})
		}
	}
}

func (o *outcome) ticket(c change.TicketChanged) {
	c.Ticket.Workspace, c.Ticket.Connection = o.Workspace, o.delivery.Connection
	id := fmt.Sprintf("ticket:%s:%s:%s", c.Ticket.Tracker, c.Ticket.Key, o.delivery.ID)
	o.emit("tickets", c.Type, c.Ticket.Key, id, event.Ticket{
		Origin: o.origin(len(o.events)), Ticket: c.Ticket, Previous: c.Previous, PreviousCategory: c.PreviousCategory,
	})
}

func (o *outcome) account(c change.AccountChanged) {
	o.accounts = append(o.accounts, accountRow(o.Workspace, c.Account, o.Sequence))
	o.emit("items", event.AccountChanged, c.Account.ID, fmt.Sprintf("account:%s:%s", c.Account.ID, o.delivery.ID), event.Account{Origin: o.origin(len(o.events)), Account: c.Account})
}

// withdraw takes back one item. An item that does not exist (any more) is no error: the
// deletion may have been asked for twice.
func (o *outcome) withdraw(ctx context.Context, c change.ItemWithdrawn) error {
	conversation, err := o.conversationOf(ctx, c.Item)
	if err != nil || conversation == "" {
		return err
	}
	k := key(o.Workspace, conversation)
	conv, err := o.open(ctx, k, nil)
	if err != nil || conv == nil {
		return err
	}
	for customer := range conv.state.Customers() {
		if feedback.ItemID(o.Workspace, conversation, customer) == c.Item {
			conv.state.Withdraw(customer, c.At)
			o.touched[k] = conv
		}
	}
	return nil
}

// expire withdraws items for their age, and notes it as the erasure of what was that old.
func (o *outcome) expire(ctx context.Context, c change.Expired) error {
	for _, item := range c.Items {
		if err := o.withdraw(ctx, change.ItemWithdrawn{Item: item, At: c.Until}); err != nil {
			return err
		}
	}
	o.record(erase.Job{Workspace: o.Workspace, Customer: erase.ByAge, Items: c.Items, Delivery: o.delivery.ID, Sequence: o.Sequence, Until: c.Until})
	return nil
}

// conversationOf finds the conversation of an item in the batch or in the index.
func (o *outcome) conversationOf(ctx context.Context, item string) (string, error) {
	for _, conv := range o.conversations {
		for customer := range conv.state.Items {
			if conv.state.Workspace == o.Workspace && feedback.ItemID(o.Workspace, conv.state.Conversation, customer) == item {
				return conv.state.Conversation, nil
			}
		}
	}
	entry, err := o.handler.States.Get(ctx, key(o.Workspace, item))
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read index: %w", err)
	}
	return string(entry.Value()), nil
}

// erase withdraws a customer from every conversation and says so; what it leaves of the
// items follows.
func (o *outcome) erase(ctx context.Context, c change.CustomerErased) error {
	ids := []string{c.Customer}
	if c.Customer == "" {
		ids = []string{feedback.CustomerID(o.Workspace, c.Source, c.Author.ID, "")}
		if byEmail := feedback.CustomerID(o.Workspace, c.Source, c.Author.ID, c.Author.Email); byEmail != ids[0] {
			ids = append(ids, byEmail)
		}
	}
	ids, err := o.everyIdentity(ctx, ids)
	if err != nil {
		return err
	}
	if err := o.unnamed(ctx, ids); err != nil {
		return err
	}
	found := map[string][]string{} // customer → items
	keys, err := o.places(ctx, ids)
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		conv, err := o.open(ctx, k, nil)
		if err != nil {
			return err
		}
		if conv == nil {
			continue
		}
		for customer, ref := range conv.state.Customers() {
			if !slices.Contains(ids, customer) && !slices.Contains(ids, ref) && !keys[k][customer] {
				continue
			}
			conv.state.Withdraw(customer, c.At)
			o.touched[k] = conv
			for _, id := range slices.Compact(slices.Sorted(slices.Values([]string{customer, conv.state.Voice(customer)}))) {
				found[id] = append(found[id], feedback.ItemID(o.Workspace, conv.state.Conversation, customer))
			}
		}
	}
	if _, spoke := found[ids[0]]; !spoke && (len(found) == 0 || c.Customer != "") { // what was asked for is told of by that name
		every := []string{}
		for _, items := range found {
			every = append(every, items...)
		}
		slices.Sort(every)
		found[ids[0]] = slices.Compact(every)
	}
	for _, customer := range slices.Sorted(maps.Keys(found)) {
		slices.Sort(found[customer])
		o.record(erase.Job{Workspace: o.Workspace, Customer: customer, Items: found[customer], Delivery: o.delivery.ID, Sequence: o.Sequence, Until: c.At})
		o.emit("items", event.CustomerErased, customer, fmt.Sprintf("erasure:%s:%s", customer, o.delivery.ID), event.Erasure{Origin: o.origin(len(o.events)), Customer: customer, Items: found[customer]})
	}
	return nil
}

// record notes an erasure, for the eraser and for what comes late.
func (o *outcome) record(j erase.Job) {
	o.erasures = append(o.erasures, j)
	if k := erase.Key(j.Workspace, j.Customer); j.Until.After(o.handler.erased[k]) {
		o.handler.erased[k] = j.Until
	}
}

// places finds the keys of the conversations that customers spoke in, and as whom: in
// the index, and among the conversations of this batch, which it does not know yet.
func (o *outcome) places(ctx context.Context, ids []string) (map[string]map[string]bool, error) {
	out := map[string]map[string]bool{}
	for k, conv := range o.conversations {
		if conv.state.Workspace == o.Workspace {
			out[k] = map[string]bool{}
		}
	}
	for _, id := range ids {
		if !validCustomer.MatchString(id) {
			continue
		}
		prefix := key(o.Workspace, id) + "."
		lister, err := o.handler.States.ListKeysFiltered(ctx, prefix+"*")
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		for k := range lister.Keys() {
			entry, err := o.handler.States.Get(ctx, k)
			if err != nil {
				return nil, fmt.Errorf("read index: %w", err)
			}
			conversation := key(o.Workspace, k[len(prefix):])
			if out[conversation] == nil {
				out[conversation] = map[string]bool{}
			}
			out[conversation][string(entry.Value())] = true
		}
	}
	return out, nil
}

// write stores the rows, leaving out any that the store can never hold.
func (w *work) write(ctx context.Context) error {
	if err := w.insert(ctx, "items", itemColumns, w.items); err != nil {
		return err
	}
	return w.insert(ctx, "accounts", accountColumns, w.accounts)
}

func (w *work) insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	for len(rows) > 0 {
		err := w.handler.Store.Insert(ctx, table, columns, rows, token(table, rows))
		var bad *store.RowError
		if !errors.As(err, &bad) {
			return err
		}
		w.handler.Logger.Error("row cannot be stored and is left out", "table", table, "error", err)
		rows = slices.Delete(slices.Clone(rows), bad.Index, bad.Index+1)
	}
	return nil
}

// remember saves the states, index first, so that a state that is saved is indexed.
func (w *work) remember(ctx context.Context) error {
	g, saving := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for k, c := range w.conversations {
		g.Go(func() error { return w.save(saving, k, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, j := range w.erasures {
		if err := erase.Record(ctx, w.handler.Erasures, j); err != nil {
			return err
		}
	}
	return w.rememberPeople(ctx)
}

func (w *work) save(ctx context.Context, k string, c *conversation) error {
	if err := w.index(ctx, c); err != nil {
		return err
	}
	body, err := json.Marshal(c.state)
	if err != nil {
		return fmt.Errorf("save conversation: %w", err)
	}
	if bytes.Equal(body, c.saved) {
		return nil
	}
	if c.revision == 0 {
		_, err = w.handler.States.Create(ctx, k, body)
	} else {
		_, err = w.handler.States.Update(ctx, k, body, c.revision)
	}
	if err != nil {
		return fmt.Errorf("save conversation: %w", err)
	}
	return nil
}

func (w *work) index(ctx context.Context, c *conversation) error {
	s := c.state
	for customer, ref := range s.Customers() {
		if c.indexed[customer] && c.indexed[s.Voice(customer)] {
			continue
		}
		entries := map[string]string{
			key(s.Workspace, feedback.ItemID(s.Workspace, s.Conversation, customer)): s.Conversation,
			key(s.Workspace, customer) + "." + s.Conversation:                        customer,
		}
		if voice := s.Voice(customer); voice != customer {
			entries[key(s.Workspace, voice)+"."+s.Conversation] = customer
		}
		if ref != "" {
			entries[key(s.Workspace, ref)+"."+s.Conversation] = customer
		}
		for k, v := range entries {
			if _, err := w.handler.States.PutString(ctx, k, v); err != nil {
				return fmt.Errorf("save index: %w", err)
			}
		}
	}
	return nil
}
