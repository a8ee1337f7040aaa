-- What people should hear of at once: bursts of something new or rising, spikes of
-- severity, large accounts that speak of leaving. signals are what was said, the newest
-- first; p how probable it is by chance, 0 where that was not asked. Who was told is in the
-- bucket ledger.
CREATE TABLE IF NOT EXISTS alerts {{on_cluster}} (
    workspace LowCardinality(String),
    id        String,
    at        DateTime64(6, 'UTC'),
    kind      LowCardinality(String),
    cluster   String,
    signals   Array(String),
    voices    UInt32,
    hours     Float64,
    p         Float64,
    at_risk   Float64,
    version   UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, at, id)
{{settings}};
