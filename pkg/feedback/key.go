package feedback

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"hash/fnv"
	"strings"
)

// Shards is the number of shards of every stage, fixed for life: a workspace's
// shard is part of its subjects, so changing the number would move its history.
const Shards = 64

// Shard returns the shard of a workspace, in [0, Shards).
func Shard(workspace string) int {
	h := fnv.New32a()
	h.Write([]byte(workspace))
	return int(h.Sum32() % Shards)
}

// ShardToken is the shard as it is written in subjects: two digits.
func ShardToken(workspace string) string { return fmt.Sprintf("%02d", Shard(workspace)) }

// encoding has no padding and only lower-case letters and digits, so that an id is
// a valid subject token, KV key, file name and URL segment.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ID derives a stable identifier from its parts: the prefix, an underscore and 26
// characters (128 bits of SHA-256 over the length-prefixed parts). The same parts
// give the same id everywhere and for ever: this is what makes effects idempotent.
func ID(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return prefix + "_" + encoding.EncodeToString(h.Sum(nil)[:16])
}

// ConversationID identifies a conversation by the source's own identity of it.
func ConversationID(workspace string, source Source, external string) string {
	return ID("cnv", workspace, string(source), external)
}

// CustomerID identifies a customer. An e-mail address, when known, joins the same
// person across sources; else the vendor's own id does.
func CustomerID(workspace string, source Source, external, email string) string {
	if e := strings.ToLower(strings.TrimSpace(email)); e != "" {
		return ID("cus", workspace, "email", e)
	}
	return ID("cus", workspace, string(source), external)
}

// ItemID identifies a feedback item: one customer in one conversation.
func ItemID(workspace, conversation, customer string) string {
	return ID("itm", workspace, conversation, customer)
}

// SignalID identifies a signal by its item and its words, so that a revision that
// leaves a sentence as it was leaves its signal, and its assignment, as they were.
// occurrence tells equal quotes of one item apart, counted from 0.
func SignalID(item string, kind Kind, quote string, occurrence int) string {
	return ID("sig", item, string(kind), quote, fmt.Sprint(occurrence))
}

// IsSignal reports whether an id has the form of a signal's, by which it is told from a
// cluster's where an attachment is of either.
func IsSignal(id string) bool { return strings.HasPrefix(id, "sig_") }
