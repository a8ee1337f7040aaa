-- The second formula of the rank: accounts by the square root of their people, severity and
-- churn over people, momentum over accounts and days, a boost by kind, and a workspace's own
-- weights. Rows of the first formula read as: everybody counts, nobody leaves.
ALTER TABLE clusters {{on_cluster}}
    ADD COLUMN IF NOT EXISTS people UInt32 DEFAULT voices AFTER voices,
    ADD COLUMN IF NOT EXISTS churning UInt32 AFTER people,
    ADD COLUMN IF NOT EXISTS at_risk Float64 AFTER worth,
    ADD COLUMN IF NOT EXISTS boost Float64 AFTER slow;

-- What the rank needs of each signal, so that it can be added up again from this table: see
-- rank.Utterance. copy is 0, or equal for long texts that are equal word for word.
ALTER TABLE assignments {{on_cluster}}
    ADD COLUMN IF NOT EXISTS leaving UInt8 AFTER said_at,
    ADD COLUMN IF NOT EXISTS copy UInt64 AFTER leaving,
    ADD COLUMN IF NOT EXISTS weight Float64 DEFAULT 1 AFTER copy;

-- since is the time of the workspace's first signal, formula the version of the arithmetic,
-- weights those of reach, worth, severity, momentum and churn (none: the documented ones).
ALTER TABLE watermarks {{on_cluster}}
    ADD COLUMN IF NOT EXISTS since DateTime64(6, 'UTC') AFTER as_of,
    ADD COLUMN IF NOT EXISTS formula UInt8 DEFAULT 2 AFTER since,
    ADD COLUMN IF NOT EXISTS weights Array(Float64) AFTER formula;

-- Every standing cluster's rank at the end of each day (UTC), with its inputs as of then, the
-- weights and the formula's version: the terms can be computed again from the row.
CREATE TABLE IF NOT EXISTS rank_days {{on_cluster}} (
    workspace     LowCardinality(String),
    day           Date,
    cluster       String,
    place         UInt32,
    of            UInt32,
    score         Float64,
    term_reach    Float64,
    term_worth    Float64,
    term_severity Float64,
    term_momentum Float64,
    term_churn    Float64,
    term_boost    Float64,
    reach         Float64,
    worth         Float64,
    severity_sum  Float64,
    people        UInt32,
    churning      UInt32,
    at_risk       Float64,
    fast          Float64,
    slow          Float64,
    formula       UInt8,
    weights       Array(Float64),
    version       UInt64
) ENGINE = {{replacing "version"}}
ORDER BY (workspace, cluster, day)
{{settings}};

-- Made anew below.
DROP VIEW IF EXISTS ranked_clusters {{on_cluster}};

-- The ranking: every standing cluster with the terms of its rank, as of the workspace's
-- watermark. The arithmetic is that of package rank, which has the formula and a test that
-- keeps both equal; /v1/clusters reads this view. Ties are broken by id.
CREATE VIEW IF NOT EXISTS ranked_clusters {{on_cluster}} AS
SELECT
    c.*,
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
