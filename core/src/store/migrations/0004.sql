-- What was spent, a row an hour of Unix time. `sealed`: sums by reason and network.
CREATE TABLE usage (
    hour   INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- The user's preference, and when messages come. `sealed`: both.
CREATE TABLE power (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL
) STRICT;

-- Tickets for polls by datagram. `sealed`: the ticket and its secret.
CREATE TABLE tickets (
    id         INTEGER PRIMARY KEY,
    node       INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    -- by the own clock
    expires_ms INTEGER NOT NULL,
    -- how often it was sent
    used       INTEGER NOT NULL DEFAULT 0,
    sealed     BLOB NOT NULL
) STRICT;
CREATE INDEX tickets_by_node ON tickets (node);

-- Where a node reaches this phone by push. `sealed`: the endpoint and its keys, and what the node said of itself.
CREATE TABLE pushes (
    node    INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    -- 0 nothing, 1 to be told to the node, 2 told and not confirmed, 3 confirmed, 4 to be withdrawn, 5 dropped by the node
    state   INTEGER NOT NULL,
    told_ms INTEGER,
    sealed  BLOB NOT NULL
) STRICT;

-- Large bodies that were announced and wait for a better network. `sealed`: address and envelope id.
CREATE TABLE unfetched (
    id      INTEGER PRIMARY KEY,
    node    INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    tag     BLOB NOT NULL UNIQUE,
    kind    INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    -- when it was announced
    seen_ms INTEGER NOT NULL,
    sealed  BLOB NOT NULL
) STRICT;
