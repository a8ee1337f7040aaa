-- The clusterer's log: what it took, in the order it took it. position counts from 1
-- without gaps; replaying the log over an empty space gives the present clusters.
-- epoch is that of the lease under which the row was written: where two owners wrote
-- the same position, the later owner's row stands.
CREATE TABLE IF NOT EXISTS inputs {{on_cluster}} (
    workspace LowCardinality(String),
    position  UInt64,
    epoch     UInt64,
    kind      LowCardinality(String),
    id        String,
    sequence  UInt64,
    payload   String CODEC(ZSTD(3))
) ENGINE = {{replacing "epoch"}}
ORDER BY (workspace, position)
{{settings}};

-- Which cluster each signal is in, since which position, how sure and who decided.
-- version is epoch * 2^40 + position. A removed signal has deleted = 1.
CREATE TABLE IF NOT EXISTS assignments {{on_cluster}} (
    workspace    LowCardinality(String),
    signal       String,
    cluster      String,
    item         String,
    customer     String,
    account      String,
    kind         LowCardinality(String),
    severity     Float32,
    said_at      DateTime64(6, 'UTC'),
    similarity   Float32,
    runner_up    Float32,
    runner_up_id String,
    reason       LowCardinality(String),
    decided_by   LowCardinality(String),
    position     UInt64,
    version      UInt64,
    deleted      UInt8,
    INDEX by_cluster cluster TYPE bloom_filter GRANULARITY 4,
    INDEX by_item item TYPE bloom_filter GRANULARITY 4
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, signal)
{{settings}};

-- Clusters with the inputs of their rank as of their own newest signal (as_of); the
-- view ranked_clusters scales them to the workspace's watermark and does the
-- arithmetic. A merged or emptied cluster stays, with merged_into and retired = 1.
CREATE TABLE IF NOT EXISTS clusters {{on_cluster}} (
    workspace    LowCardinality(String),
    id           String,
    name         String,
    name_pinned  UInt8,
    status       LowCardinality(String),
    merged_into  String,
    retired      UInt8,
    kind         LowCardinality(String),
    kinds        Map(LowCardinality(String), UInt32),
    sources      Map(LowCardinality(String), UInt32),
    medoid       String,
    signals      UInt32,
    items        UInt32,
    voices       UInt32,
    accounts     UInt32,
    reach        Float64,
    worth        Float64,
    severity_sum Float64,
    fast         Float64,
    slow         Float64,
    as_of        DateTime64(6, 'UTC'),
    first_seen   DateTime64(6, 'UTC'),
    last_seen    DateTime64(6, 'UTC'),
    space        LowCardinality(String),
    centroid     Array(Float32) CODEC(ZSTD(1)),
    position     UInt64,
    version      UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, id)
{{settings}};

-- What became of each cluster: created, merged, split, renamed, ignored, reopened,
-- with the decision that caused it ('' for the machine).
CREATE TABLE IF NOT EXISTS cluster_events {{on_cluster}} (
    workspace LowCardinality(String),
    cluster   String,
    position  UInt64,
    ordinal   UInt32,
    kind      LowCardinality(String),
    other     String,
    detail    String,
    decision  String,
    at        DateTime64(6, 'UTC'),
    version   UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, cluster, position, ordinal)
{{settings}};

-- How far a workspace's clusters have come: the newest position, the time of the
-- newest signal taken, which is what ranks are computed at.
CREATE TABLE IF NOT EXISTS watermarks {{on_cluster}} (
    workspace LowCardinality(String),
    position  UInt64,
    as_of     DateTime64(6, 'UTC'),
    version   UInt64
) ENGINE = {{replacing "version"}}
ORDER BY workspace
{{settings}};
