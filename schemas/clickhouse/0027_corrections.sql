-- What people say that a signal is, beside what the classifier took it for: the labelled set
-- of a workspace, of which its own head is made. It holds vectors and no words; an item's
-- erasure or deletion withdraws its rows. version is the time in microseconds.
CREATE TABLE IF NOT EXISTS corrections {{on_cluster}} (
    workspace LowCardinality(String),
    signal    String,
    item      String,
    was       LowCardinality(String),
    kind      LowCardinality(String),
    space     LowCardinality(String),
    vector    Array(Float32) CODEC(ZSTD(1)),
    made_by   String,
    made_at   DateTime64(6, 'UTC'),
    version   UInt64,
    deleted   UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, signal)
{{settings}};
