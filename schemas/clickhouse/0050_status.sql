-- How far the work on a cluster is: open, planned, in_progress, shipped or ignored, moved by
-- the tickets it answers to and by people (merged for one that stands no more).
-- status_since is when that came about, 1970 where it always was so; people_since how many
-- people spoke of it after it had shipped: a possible regression. Rows from before say
-- active for open.
ALTER TABLE clusters {{on_cluster}}
    ADD COLUMN IF NOT EXISTS status_since DateTime64(6, 'UTC') AFTER status,
    ADD COLUMN IF NOT EXISTS people_since UInt32 AFTER status_since;

-- The status that a person marked a cluster with.
ALTER TABLE decisions {{on_cluster}} ADD COLUMN IF NOT EXISTS status LowCardinality(String) AFTER name;

-- Made anew below.
DROP VIEW IF EXISTS ranked_clusters {{on_cluster}};

-- The ranking: every standing cluster with the terms of its rank, as of the workspace's
-- watermark. The arithmetic is that of package rank, which has the formula and a test that
-- keeps both equal; /v1/clusters reads this view. Ties are broken by id.
CREATE VIEW IF NOT EXISTS ranked_clusters {{on_cluster}} AS
SELECT
    c.* REPLACE (if(c.status = 'active', 'open', c.status) AS status),
    w.as_of AS now,
    w.position AS watermark,
    w.since AS since,
    w.formula AS formula,
    if(length(w.weights) = 5, w.weights, [0.35, 0.25, 1.0, 0.2, 0.5]) AS weights,
    greatest(0, dateDiff('microsecond', c.as_of, now)) / 86400e6 AS age_days,
    greatest(1, dateDiff('microsecond', w.since, greatest(now, c.as_of)) / 86400e6) AS seen_days,
    exp2(-age_days / 14) AS faded,
    c.people / (c.people + 5) AS confidence,
    weights[1] * log1p(c.reach * faded) AS term_reach,
    weights[2] * log1p(c.worth * faded / 10000) AS term_worth,
    weights[3] * (c.severity_sum + 1.5) / (c.people + 5) AS term_severity,
    weights[4] * confidence * least(2, greatest(-1, log(
        (c.fast * exp2(-age_days / 3) * log(2) / 3 / (1 - exp2(-seen_days / 3)) + 0.5)
        / (c.slow * exp2(-age_days / 28) * log(2) / 28 / (1 - exp2(-seen_days / 28)) + 0.5)))) AS term_momentum,
    weights[5] * (c.churning + 0.25) / (c.people + 5) AS term_churn,
    c.boost AS term_boost,
    term_reach + term_worth + term_severity + term_momentum + term_churn + term_boost AS score,
    row_number() OVER (PARTITION BY c.workspace ORDER BY c.status = 'ignored', score DESC, c.id) AS rank
FROM clusters AS c FINAL
INNER JOIN watermarks AS w FINAL ON w.workspace = c.workspace
WHERE c.retired = 0;
