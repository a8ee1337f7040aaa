package repocheck

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
)

const contracts = "schemas/README.md"

// durables says of every durable of the topology which stream it reads and what for; its
// name is followed by suffix, where <shard> stands for the two digits of a shard.
var durables = []struct{ name, suffix, stream, service, job string }{
	{bus.IngestorDecode, "", bus.Deliveries, "ingestor", "decodes, in the order of the stream; one process at a time"},
	{bus.IngestorArchive, "", bus.Deliveries, "ingestor", "copies deliveries to the table `deliveries`"},
	{bus.IngestorLookup, "", bus.Deliveries, "ingestor", "asks Slack and Zendesk what their deliveries leave open; one process at a time"},
	{bus.Classifier, "", bus.Items, "classifier", "judges and embeds; any number of processes share it"},
	{bus.ClassifierDecisions, "", bus.Signals, "classifier", "keeps what people say that signals are, and has their items read again"},
	{bus.Clusterer, "-<shard>", bus.Items, "clusterer", "takes items in order, one process per shard; it awaits the result of each, which it reads from `SIGNALS` and `DEADLETTERS` without a durable"},
	{bus.Clusterer, "-<shard>-decisions", bus.Signals, "clusterer", "applies people's decisions, and what tickets say of the clusters that answer to them, in order"},
	{bus.PublisherTickets, "-<shard>", bus.Tickets, "context-publisher", "keeps tickets and attaches clusters to them"},
	{bus.PublisherWorlds, "-<shard>", bus.Worlds, "context-publisher", "refreshes the briefs that a change concerns"},
	{bus.PublisherBriefs, "-<shard>", bus.Briefs, "context-publisher", "writes blocks to trackers"},
	{"publisher-decisions", "-<shard>", bus.Signals, "context-publisher", "applies pins and rejections"},
}

// days writes a duration in the largest unit that leaves no rest.
func days(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

func TestTopologyIsDocumented(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| stream | subjects | published by | a message is | kept | message ids remembered |\n|---|---|---|---|---|---|\n")
	for _, s := range bus.Topology {
		subjects := make([]string, len(s.Subjects))
		for i, x := range s.Subjects {
			subjects[i] = "`" + x + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", s.Name, strings.Join(subjects, ", "), s.Owner, s.Holds, days(s.MaxAge), days(s.Window))
	}
	b.WriteString("\n| durable | reads | of | does |\n|---|---|---|---|\n")
	for _, d := range durables {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", d.name+d.suffix, d.stream, d.service, d.job)
	}
	b.WriteString("\n| bucket | written by | holds |\n|---|---|---|\n")
	for _, k := range bus.Buckets {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Owner, k.Holds)
	}
	fmt.Fprintf(&b, "| `%s` (objects) | clusterer | snapshots of workspaces, which the bucket `%s` points to |\n", bus.SnapshotStore, bus.BucketSnapshots)
	compare(t, contracts, "topology", b.String())
}

// The constants that name durables and buckets are exactly those that the tables tell of.
func TestTopologyHasEveryConstant(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(sources(t), func(s *source) bool { return s.path == "pkg/bus/topology.go" })
	if i < 0 {
		t.Fatal("pkg/bus/topology.go is gone")
	}
	var told []string
	for _, d := range durables {
		told = append(told, d.name)
		if !slices.ContainsFunc(bus.Topology, func(s bus.Stream) bool { return s.Name == d.stream }) {
			t.Errorf("the durable %s reads %s, which is no stream", d.name, d.stream)
		}
	}
	for _, s := range bus.Topology {
		told = append(told, s.Name)
	}
	for _, k := range bus.Buckets {
		told = append(told, k.Name)
	}
	told = append(told, bus.SnapshotStore)
	for _, d := range sources(t)[i].file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for n, id := range v.Names {
				if !slices.Contains(told, text(v.Values[n])) {
					t.Errorf("pkg/bus/topology.go names %s, of which no table tells: add its row to durables in this file, or to the table in the code", id.Name)
				}
			}
		}
	}
}

// Every consumer is named by a constant of the topology, so that the table of durables
// is complete.
func TestDurablesAreNamedInTheTopology(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.helper() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			from, name, ok := s.selects(lit.Type)
			if !ok || from != module+"pkg/bus" || name != "Consumer" {
				return true
			}
			for _, e := range lit.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if id, ok := kv.Key.(*ast.Ident); ok && (id.Name == "Durable" || id.Name == "Stream") && text(kv.Value) != "" {
						t.Errorf("%s: %s is %s; name it in pkg/bus/topology.go", s.pos(kv), id.Name, text(kv.Value))
					}
				}
			}
			return true
		})
	}
}

// The table of facts names every stream, bucket and table, and nothing else.
func TestEveryFactHasOneHome(t *testing.T) {
	t.Parallel()
	doc := read(t, contracts)
	_, facts, ok := strings.Cut(doc, "## Who owns which fact")
	if !ok {
		t.Fatalf("%s has no section \"Who owns which fact\"", contracts)
	}
	facts, _, _ = strings.Cut(facts, "\n## ")
	var exist []string
	for _, s := range bus.Topology {
		exist = append(exist, "stream "+s.Name)
	}
	for _, k := range bus.Buckets {
		exist = append(exist, "bucket "+k.Name)
	}
	exist = append(exist, "objects "+bus.SnapshotStore)
	exist = append(exist, tables(t)...)
	var told []string
	for _, m := range regexp.MustCompile("(stream|bucket|objects|table|view) `([A-Za-z_-]+)`").FindAllStringSubmatch(facts, -1) {
		told = append(told, m[1]+" "+m[2])
	}
	for _, e := range exist {
		if !slices.Contains(told, e) {
			t.Errorf("%s: the table of facts does not say who owns the %s", contracts, e)
		}
	}
	for _, e := range told {
		if !slices.Contains(exist, e) {
			t.Errorf("%s: the table of facts names the %s, which does not exist", contracts, e)
		}
	}
}
