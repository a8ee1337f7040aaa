-- The ranking: every standing cluster with the terms of its rank, as of the workspace's
-- watermark. The arithmetic is that of package rank, which has the formula and a test that
-- keeps both equal; /v1/clusters reads this view. Ties are broken by id.
CREATE VIEW IF NOT EXISTS ranked_clusters {{on_cluster}} AS
SELECT
    c.*,
    w.as_of AS now,
    w.position AS watermark,
    greatest(0, dateDiff('microsecond', c.as_of, now)) / 86400e6 AS age_days,
    exp2(-age_days / 14) AS faded,
    0.35 * log1p(c.reach * faded) AS term_reach,
    0.25 * log1p(c.worth * faded / 10000) AS term_worth,
    1.0 * (c.severity_sum + 1.5) / (c.signals + 5) AS term_severity,
    0.2 * least(2, greatest(-1, log(
        (c.fast * exp2(-age_days / 3) * log(2) / 3 + 0.5) / (c.slow * exp2(-age_days / 28) * log(2) / 28 + 0.5)))) AS term_momentum,
    term_reach + term_worth + term_severity + term_momentum AS score,
    row_number() OVER (PARTITION BY c.workspace ORDER BY c.status = 'ignored', score DESC, c.id) AS rank
FROM clusters AS c FINAL
INNER JOIN watermarks AS w FINAL ON w.workspace = c.workspace
WHERE c.retired = 0;
