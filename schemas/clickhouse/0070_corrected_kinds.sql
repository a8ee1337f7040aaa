-- Corrections by the decision that made each, so that taking one back gives back what an
-- earlier one said. words is a hash of the item's id and the quote: a correction holds for
-- the words, whatever id a signal of them has. A row is gone once its decision was undone or
-- its item erased; it holds vectors and no words. version is the time in microseconds.
CREATE TABLE IF NOT EXISTS corrected_kinds {{on_cluster}} (
    workspace LowCardinality(String),
    decision  String,
    signal    String,
    item      String,
    words     String,
    was       LowCardinality(String),
    kind      LowCardinality(String),
    space     LowCardinality(String),
    vector    Array(Float32) CODEC(ZSTD(1)),
    made_by   String,
    made_at   DateTime64(6, 'UTC'),
    version   UInt64,
    deleted   UInt8
) ENGINE = {{replacing "version" "deleted"}}
ORDER BY (workspace, decision)
{{settings}};

-- How each workspace's own head does on corrections that it was not shown; the newest row of
-- a workspace stands.
CREATE TABLE IF NOT EXISTS own_heads {{on_cluster}} (
    workspace     LowCardinality(String),
    space         LowCardinality(String),
    corrections   UInt32,
    shipped_right UInt32,
    own_right     UInt32,
    chance        Float64,
    used          UInt8,
    version       UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, space)
{{settings}};

-- The kind that a decision says a signal is of.
ALTER TABLE decisions {{on_cluster}} ADD COLUMN IF NOT EXISTS kind LowCardinality(String) AFTER name;

-- Corrections before they were decisions: nobody can say who decided them.
DROP TABLE IF EXISTS corrections {{on_cluster}};
