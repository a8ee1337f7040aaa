-- Feedback items at their newest revision. A deleted item keeps its identity and
-- loses its text. ORDER BY answers "this item"; lists by time use the skip index.
CREATE TABLE IF NOT EXISTS items {{on_cluster}} (
    workspace      LowCardinality(String),
    id             String,
    revision       UInt64,
    source         LowCardinality(String),
    connection     LowCardinality(String),
    conversation   String,
    customer       String,
    customer_name  String,
    customer_email String,
    account_id     String,
    account_name   String,
    text           String CODEC(ZSTD(3)),
    messages       String CODEC(ZSTD(3)),
    url            String,
    created_at     DateTime64(6, 'UTC'),
    updated_at     DateTime64(6, 'UTC'),
    accepted_at    DateTime64(6, 'UTC'),
    delivery       String,
    sequence       UInt64,
    deleted        UInt8,
    INDEX by_created created_at TYPE minmax GRANULARITY 1,
    INDEX by_conversation conversation TYPE bloom_filter GRANULARITY 4
) ENGINE = {{replacing "revision" "deleted"}}
ORDER BY (workspace, id)
{{settings}};

-- Accounts as they were last put: what a customer's company is worth a year.
CREATE TABLE IF NOT EXISTS accounts {{on_cluster}} (
    workspace LowCardinality(String),
    id        String,
    name      String,
    domains   Array(String),
    value     Float64,
    currency  LowCardinality(String),
    plan      LowCardinality(String),
    segment   LowCardinality(String),
    version   UInt64,
    deleted   UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, id)
{{settings}};
