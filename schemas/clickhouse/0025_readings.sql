-- How each item's newest revision was read: in which language, by what, with how many
-- signals, and where it has none, why (empty, automatic, thanks, courtesy, quoted, neutral).
-- Nothing is left out silently. version is the stream sequence of the item event.
CREATE TABLE IF NOT EXISTS readings {{on_cluster}} (
    workspace   LowCardinality(String),
    item        String,
    language    LowCardinality(String),
    unsupported UInt8,
    silence     LowCardinality(String),
    read_by     LowCardinality(String),
    signals     UInt32,
    version     UInt64,
    deleted     UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, item)
{{settings}};
