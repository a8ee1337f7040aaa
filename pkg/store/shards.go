package store

import (
	"fmt"
	"regexp"
	"strings"
)

// On a cluster with shards, a table of the migrations becomes two: <table>_local holds the
// rows of a shard's workspaces, replicated; <table> is Distributed over the shards by
// workspace, so that what belongs to one workspace is on one shard, joins included. Reading
// and inserting go through <table>; what rewrites rows goes to <table>_local, on every shard.

// localSuffix ends the name of a table that holds one shard's rows.
const localSuffix = "_local"

var (
	createTable = regexp.MustCompile(`(?is)^CREATE\s+TABLE\s+IF\s+NOT\s+EXISTS\s+(\w+)`)
	alterTable  = regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+(\w+)`)
	perColumn   = regexp.MustCompile(`(?is)\b(ADD|MODIFY|DROP|RENAME)\s+COLUMN\b`)
)

// spread makes the statements for a cluster with shards of one for a cluster. What is of no
// column concerns the shards' own tables alone.
func (d dialect) spread(statement string) []string {
	if !d.sharded {
		return []string{statement}
	}
	if m := createTable.FindStringSubmatchIndex(statement); m != nil {
		table := statement[m[2]:m[3]]
		return []string{
			statement[:m[3]] + localSuffix + statement[m[3]:],
			fmt.Sprintf("CREATE TABLE IF NOT EXISTS %[1]s %[2]s AS %[1]s%[3]s ENGINE = Distributed(`%[4]s`, currentDatabase(), %[1]s%[3]s, cityHash64(workspace))", table, d.onCluster(), localSuffix, d.cluster),
		}
	}
	if m := alterTable.FindStringSubmatchIndex(statement); m != nil {
		local := statement[:m[3]] + localSuffix + statement[m[3]:]
		if perColumn.MatchString(statement) {
			return []string{local, statement}
		}
		return []string{local}
	}
	return []string{statement}
}

// Rewrites is how a statement begins that updates or deletes rows of a table, wherever they
// are: ALTER TABLE with the table's name.
func (db *DB) Rewrites(table string) string {
	d := db.dialect()
	if d.sharded {
		return "ALTER TABLE " + table + localSuffix + " " + d.onCluster()
	}
	return "ALTER TABLE " + table
}

// Whole is the name under which the rows of a table that this server holds are read together
// with those of the other shards.
func (db *DB) Whole(table string) string {
	if db.sharded {
		return strings.TrimSuffix(table, localSuffix)
	}
	return table
}

// Everywhere is a table of the database system, as every server of the cluster has it.
func (db *DB) Everywhere(table string) string {
	if db.cluster == "" {
		return "system." + table
	}
	return fmt.Sprintf("clusterAllReplicas(`%s`, system.%s)", db.cluster, table)
}
