// Package schemas holds Throughline's contracts as data: the JSON Schemas of
// events with their examples, the ClickHouse migrations, the OpenAPI description
// and recorded vendor payloads. It contains no logic.
package schemas

import "embed"

// ClickHouse holds the migrations, clickhouse/NNNN_name.sql, in order of number.
//
//go:embed clickhouse/*.sql
var ClickHouse embed.FS

// Events holds events/<type>.schema.json and events/examples/<type>/{valid,invalid}/*.json.
//
//go:embed events
var Events embed.FS
