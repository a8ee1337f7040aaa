package bus

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// The streams, one per stage.
const (
	Deliveries  = "DELIVERIES"
	Items       = "ITEMS"
	Tickets     = "TICKETS"
	Signals     = "SIGNALS"
	Worlds      = "WORLDS"
	Briefs      = "BRIEFS"
	DeadLetters = "DEADLETTERS"
)

// Stream is a row of the topology: what a stream holds, who alone publishes to it,
// and its limits.
type Stream struct {
	Name     string
	Subjects []string
	Owner    string        // the service that publishes
	Holds    string        // what a message is
	MaxAge   time.Duration // how long a message is kept
	Window   time.Duration // how long the server remembers message ids
}

// Topology is the table of every stream. Subjects are
// <stage>.<shard>.<workspace>[.<more>]; the shard token is there from the first day
// so that growing is configuration.
var Topology = []Stream{
	// Ids are remembered in memory: a flood of deliveries would fill it, and what a vendor sends
	// again later than that the decoder recognises by what it says.
	{Deliveries, []string{"deliveries.*.*.*"}, "ingestor", "one inbound request as it came", 7 * 24 * time.Hour, 2 * time.Minute},
	{Items, []string{"items.*.*"}, "ingestor; classifier (items read again)", "feedback items, accounts and erasures, decoded", 30 * 24 * time.Hour, 30 * time.Minute},
	{Tickets, []string{"tickets.*.*"}, "ingestor", "tickets as they move", 30 * 24 * time.Hour, 30 * time.Minute},
	{Signals, []string{"signals.*.*", "decisions.*.*", "attached.*.*"}, "classifier; context-publisher (decisions, attached)", "what the clusterer takes: classified items, people's decisions, and which clusters answer to a ticket", 30 * 24 * time.Hour, 30 * time.Minute},
	{Worlds, []string{"worlds.*.*"}, "clusterer", "what one input changed in a workspace's clusters", 30 * 24 * time.Hour, 30 * time.Minute},
	{Briefs, []string{"briefs.*.*"}, "context-publisher", "new revisions of briefs", 30 * 24 * time.Hour, 30 * time.Minute},
	{DeadLetters, []string{"deadletters.*.*.*"}, "every service", "events given up on, with their reason", 90 * 24 * time.Hour, 30 * time.Minute},
}

// streamOf is the stream that holds what is published to a subject, "" if none does.
func streamOf(subject string) string {
	stage, _, _ := strings.Cut(subject, ".")
	for _, s := range Topology {
		for _, held := range s.Subjects {
			if strings.HasPrefix(held, stage+".") {
				return s.Name
			}
		}
	}
	return ""
}

// Buckets is the table of every key-value bucket: the home of what needs
// compare-and-set.
var Buckets = []struct{ Name, Owner, Holds string }{
	{BucketLeases, "whoever holds the lease", "who may decide for a shard, with the epoch that fences writes, and which processes share a job"},
	{BucketItems, "ingestor", "the folded state of each conversation: its messages, versions and items"},
	{BucketTickets, "context-publisher", "each ticket's newest version, pick-up revision and brief revision"},
	{BucketLedger, "context-publisher", "what was written to which tracker or destination, with its hash"},
	{BucketDecisions, "context-publisher", "people's decisions"},
	{BucketCursors, "the service that polls", "how far a backfill or a rebuild has come"},
	{BucketErasures, "ingestor", "which customers were erased until when, and the report that proves it"},
	{BucketSessions, "context-publisher", "who is signed in at the page, by the hash of a cookie; for a week"},
	{BucketSnapshots, "clusterer", "which snapshot of a workspace is the newest, by position"},
}

// The key-value buckets.
const (
	BucketLeases    = "leases"
	BucketItems     = "items"
	BucketTickets   = "tickets"
	BucketLedger    = "ledger"
	BucketDecisions = "decisions"
	BucketCursors   = "cursors"
	BucketErasures  = "erasures"
	BucketSessions  = "sessions"
	BucketSnapshots = "snapshots"
)

// SnapshotStore is the object store of the clusterer's snapshots.
const SnapshotStore = "snapshots-data"

// The durables: one per job, named for the service and the job.
const (
	IngestorDecode      = "ingestor-decode"
	IngestorArchive     = "ingestor-archive"
	IngestorLookup      = "ingestor-lookup"
	Classifier          = "classifier"
	ClassifierDecisions = "classifier-decisions"
	Clusterer           = "clusterer" // followed by -<shard>
	PublisherTickets    = "publisher-tickets"
	PublisherWorlds     = "publisher-worlds"
	PublisherBriefs     = "publisher-briefs"
)

// workspacePattern keeps a workspace id a single subject token, KV key part and
// file name.
var workspacePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidWorkspace reports whether an id may name a workspace or a connection: lower
// case letters, digits, - and _, at most 63, starting with a letter or digit.
func ValidWorkspace(id string) bool { return workspacePattern.MatchString(id) }

// Subject builds <stage>.<shard>.<workspace>[.<more>]. It panics on a workspace that
// ValidWorkspace refuses: configuration and the HTTP edge check before.
func Subject(stage, workspace string, more ...string) string {
	if !ValidWorkspace(workspace) {
		panic(fmt.Sprintf("bus: %q is not a workspace id", workspace))
	}
	s := stage + "." + feedback.ShardToken(workspace) + "." + workspace
	for _, m := range more {
		if !ValidWorkspace(m) {
			panic(fmt.Sprintf("bus: %q is not a subject token", m))
		}
		s += "." + m
	}
	return s
}
