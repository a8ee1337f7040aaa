-- The archive of raw deliveries, for replay past the stream's window and for
-- "show me what the vendor sent". Read by sequence (replay) and by id (one delivery):
-- ORDER BY answers "everything of a workspace from here on".
CREATE TABLE IF NOT EXISTS deliveries {{on_cluster}} (
    workspace   LowCardinality(String),
    sequence    UInt64,
    id          String,
    connection  LowCardinality(String),
    kind        LowCardinality(String),
    received_at DateTime64(6, 'UTC'),
    headers     Map(LowCardinality(String), String),
    body        String CODEC(ZSTD(3)),
    INDEX by_id id TYPE bloom_filter GRANULARITY 4
) ENGINE = {{replacing}}
ORDER BY (workspace, sequence)
{{settings}};
