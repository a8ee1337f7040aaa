-- Who did what, when and from where: sign-ins, decisions, and what only administrators may do,
-- refused requests included. Rows are added and never changed. route is the kind of request,
-- target the path that was asked, address where the connection came from and forwarded what
-- the proxy said of that. It holds names of people of the workspace, and no customer's words.
CREATE TABLE IF NOT EXISTS audit {{on_cluster}} (
    workspace LowCardinality(String),
    at        DateTime64(6, 'UTC'),
    id        String,
    who       String,
    via       LowCardinality(String),
    route     LowCardinality(String),
    target    String,
    status    UInt16,
    address   String,
    forwarded String
) ENGINE = {{merge}}
ORDER BY (workspace, at, id)
{{settings}};
