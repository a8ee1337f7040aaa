// Package store is the way to ClickHouse: connecting, migrations, durable
// inserts and a verdict on errors. The queries of each table live with the
// service that owns it.
//
// It promises that an Insert that returned nil is on disk (with tables made by
// the repository's migrations), that repeating one with the same token adds
// nothing, and that Migrate may run any number of times and in several
// processes at once. It is one implementation for the embedded engine and for
// real servers: only Options differ.
//
// It refuses statements that are not safe to run twice, and puts no customer
// text into errors, logs or metrics of its own making.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say which ClickHouse to use and how.
type Options struct {
	// Addr are the servers' host:port of the native protocol, tried in order.
	Addr []string
	// Database is created when absent; empty means "throughline".
	Database string
	// Username and Password; empty means "default" without a password.
	Username string
	Password string
	// TLS turns on TLS with this configuration; nil means a plain connection.
	TLS *tls.Config
	// Cluster is the name of a ClickHouse cluster with Keeper: tables are then
	// replicated and statements run ON CLUSTER. Empty means a single server.
	Cluster string
	// Sharded says that the cluster has shards, over which tables are spread by workspace.
	Sharded bool
	// MaxConns bounds the connection pool; 0 means 16.
	MaxConns int
	// RetryFor bounds how long Insert repeats a transient failure; 0 means 10 s.
	RetryFor time.Duration
	// Logger gets retries and migrations; nil discards them.
	Logger *slog.Logger
	// Registerer gets the metrics; nil keeps them unregistered. Several DBs may
	// share one: they then share the metrics.
	Registerer prometheus.Registerer
}

// DB is a pool of connections to one database. Its methods may be called from
// several goroutines.
type DB struct {
	conn     driver.Conn
	database string
	cluster  string
	sharded  bool
	retryFor time.Duration
	log      *slog.Logger
	metrics  *metrics
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Open connects, creates the database if it is absent, and pings it. A wrong
// address or password is an error here, not later. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*DB, error) {
	if len(o.Addr) == 0 {
		return nil, errors.New("open store: no address given")
	}
	if o.Database == "" {
		o.Database = "throughline"
	}
	for what, name := range map[string]string{"database": o.Database, "cluster": o.Cluster} {
		if name != "" && !plainName.MatchString(name) {
			return nil, fmt.Errorf("open store: %s name %q: use letters, digits and underscores", what, name)
		}
	}
	if o.Sharded && o.Cluster == "" {
		return nil, errors.New("open store: sharded tables need the name of a cluster")
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	if o.RetryFor == 0 {
		o.RetryFor = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := createDatabase(ctx, o); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	conn, err := clickhouse.Open(driverOptions(o, o.Database, o.MaxConns))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := conn.Ping(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open store: ping: %w", err)
	}
	return &DB{
		conn: conn, database: o.Database, cluster: o.Cluster, sharded: o.Sharded,
		retryFor: o.RetryFor, log: o.Logger, metrics: m,
	}, nil
}

// Conn is the pool, for queries. Writing goes through Insert.
func (db *DB) Conn() driver.Conn { return db.conn }

// Database is the name of the database in use.
func (db *DB) Database() string { return db.database }

// Ping is nil when a server answers now.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	return nil
}

// Close closes the pool; queries under way fail.
func (db *DB) Close() error {
	if err := db.conn.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Await waits for a server that is away or has only started, at most so long, and returns
// why it could not be reached. A server that answers and refuses is an error at once.
func Await(ctx context.Context, o Options, within time.Duration) error {
	conn, err := clickhouse.Open(driverOptions(o, "", 1))
	if err != nil {
		return fmt.Errorf("await store: %w", err)
	}
	defer conn.Close()
	patience, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := conn.Ping(ctx)
		if err == nil {
			return nil
		}
		if !Retryable(err) || !sleep(patience, time.Second) {
			return fmt.Errorf("await store: %w", err)
		}
		if o.Logger != nil {
			o.Logger.Warn("the store is not ready; will try again", "reason", Reason(err))
		}
	}
}

// createDatabase makes o.Database over a connection of its own, because a
// session cannot be opened in a database that is not there yet. A user who may
// not create databases is well served when it exists already.
func createDatabase(ctx context.Context, o Options) error {
	conn, err := clickhouse.Open(driverOptions(o, "", 1))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	var there uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", o.Database).Scan(&there); err != nil {
		return fmt.Errorf("look for database %s: %w", o.Database, err)
	}
	if there > 0 {
		return nil
	}
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS `"+o.Database+"`"+onCluster(o.Cluster)); err != nil {
		return fmt.Errorf("create database %s: %w", o.Database, err)
	}
	return nil
}

// driverOptions are the connection's settings. async_insert is off because an
// insert must be durable when it returns; the time-outs are generous to merges
// on a laptop and still shorter than a message's redelivery.
func driverOptions(o Options, database string, conns int) *clickhouse.Options {
	settings := clickhouse.Settings{
		"async_insert": 0,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}
	if o.Sharded {
		// An insert has returned when the shard has the rows; a join finds what it needs there.
		settings["insert_distributed_sync"] = 1
		settings["distributed_product_mode"] = "local"
	}
	return &clickhouse.Options{
		Addr:             o.Addr,
		Auth:             clickhouse.Auth{Database: database, Username: o.Username, Password: o.Password},
		TLS:              o.TLS,
		Compression:      &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialTimeout:      5 * time.Second,
		ReadTimeout:      30 * time.Second,
		MaxOpenConns:     conns,
		MaxIdleConns:     min(conns, 8),
		ConnMaxLifetime:  time.Hour,
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		Settings:         settings,
	}
}
