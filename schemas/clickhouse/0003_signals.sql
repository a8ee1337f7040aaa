-- Signals of each item's newest revision. version is the stream sequence of the item
-- event they answer; a signal that a revision no longer has is written once more with
-- deleted = 1 and without its words.
CREATE TABLE IF NOT EXISTS signals {{on_cluster}} (
    workspace  LowCardinality(String),
    id         String,
    item       String,
    revision   UInt64,
    ordinal    UInt32,
    kind       LowCardinality(String),
    span_start UInt32,
    span_end   UInt32,
    quote      String CODEC(ZSTD(3)),
    sentiment  Float32,
    severity   Float32,
    confidence Float32,
    area       LowCardinality(String),
    space      LowCardinality(String),
    vector     Array(Float32) CODEC(ZSTD(1)),
    source     LowCardinality(String),
    customer   String,
    said_at    DateTime64(6, 'UTC'),
    version    UInt64,
    deleted    UInt8,
    INDEX by_item item TYPE bloom_filter GRANULARITY 4
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, id)
{{settings}};
