-- Tickets as their trackers last described them; version is the vendor's.
CREATE TABLE IF NOT EXISTS tickets {{on_cluster}} (
    workspace   LowCardinality(String),
    tracker     LowCardinality(String),
    key         String,
    connection  LowCardinality(String),
    external_id String,
    project     LowCardinality(String),
    title       String,
    body        String CODEC(ZSTD(3)),
    status      LowCardinality(String),
    category    LowCardinality(String),
    labels      Array(String),
    assignee    String,
    url         String,
    restricted  UInt8,
    created_at  DateTime64(6, 'UTC'),
    updated_at  DateTime64(6, 'UTC'),
    space       LowCardinality(String),
    vector      Array(Float32) CODEC(ZSTD(1)),
    version     UInt64,
    deleted     UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, tracker, key)
{{settings}};

-- Every move of a ticket, with the brief's revision at that moment: "since this ticket
-- was picked up" is the newest row whose category is in_progress.
CREATE TABLE IF NOT EXISTS ticket_moves {{on_cluster}} (
    workspace LowCardinality(String),
    tracker   LowCardinality(String),
    key       String,
    version   UInt64,
    status    LowCardinality(String),
    category  LowCardinality(String),
    previous  LowCardinality(String),
    revision  UInt64,
    at        DateTime64(6, 'UTC')
) ENGINE = {{replacing}}
ORDER BY (workspace, tracker, key, version)
{{settings}};

-- Which cluster answers to which ticket, with the score's terms and the sentences that
-- matched. A pin or a rejection by a person stands until a person changes it.
CREATE TABLE IF NOT EXISTS attachments {{on_cluster}} (
    workspace LowCardinality(String),
    tracker   LowCardinality(String),
    ticket    String,
    cluster   String,
    mode      LowCardinality(String),
    score     Float64,
    terms     Map(LowCardinality(String), Float64),
    reasons   Array(String),
    decided_by String,
    decision  String,
    at        DateTime64(6, 'UTC'),
    version   UInt64,
    deleted   UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, tracker, ticket, cluster)
{{settings}};

-- Every revision of every ticket's brief, for "what changed since".
CREATE TABLE IF NOT EXISTS briefs {{on_cluster}} (
    workspace  LowCardinality(String),
    tracker    LowCardinality(String),
    ticket     String,
    revision   UInt64,
    hash       String,
    material   UInt8,
    changes    Array(String),
    body       String CODEC(ZSTD(3)),
    position   UInt64,
    created_at DateTime64(6, 'UTC')
) ENGINE = {{replacing}}
ORDER BY (workspace, tracker, ticket, revision)
{{settings}};

-- People's decisions, the queryable copy of the decisions bucket.
CREATE TABLE IF NOT EXISTS decisions {{on_cluster}} (
    workspace LowCardinality(String),
    id        String,
    action    LowCardinality(String),
    cluster   String,
    into      String,
    signals   Array(String),
    name      String,
    tracker   LowCardinality(String),
    ticket    String,
    undone_by String,
    decided_by String,
    reason    String,
    at        DateTime64(6, 'UTC'),
    version   UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, id)
{{settings}};

-- Digests as they were sent.
CREATE TABLE IF NOT EXISTS digests {{on_cluster}} (
    workspace  LowCardinality(String),
    date       Date,
    body       String CODEC(ZSTD(3)),
    position   UInt64,
    created_at DateTime64(6, 'UTC'),
    version    UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, date)
{{settings}};
