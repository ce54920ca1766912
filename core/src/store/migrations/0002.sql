-- Introductions that this phone holds, one a node (`tag`). `sealed`: the chain and the secret of its last key.
CREATE TABLE introductions (
    tag      BLOB PRIMARY KEY,
    sealed   BLOB NOT NULL,
    -- as which hop count the node counted us when we showed it; NULL: not yet
    counted  INTEGER,
    -- when it was shown last without being counted
    tried_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Introductions that this phone asked for. `sealed`: the node and the secret of the key that was made for it.
CREATE TABLE asked (
    channel  INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    tag      BLOB NOT NULL,
    sealed   BLOB NOT NULL,
    asked_ms INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    PRIMARY KEY (channel, tag)
) STRICT, WITHOUT ROWID;

-- Introductions that this phone gave: one an author and chain that was extended (`tag` of both).
CREATE TABLE grants (
    tag      BLOB PRIMARY KEY,
    -- the chain that was extended
    chain    BLOB NOT NULL,
    -- the key that it was given to
    key      BLOB NOT NULL,
    given_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_chain ON grants (chain);

-- Super nodes that a channel's link or its members named. `author` NULL: a link. `sealed`: node and hop count.
CREATE TABLE named_nodes (
    id         INTEGER PRIMARY KEY,
    channel    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    author     INTEGER REFERENCES authors (id) ON DELETE CASCADE,
    sealed     BLOB NOT NULL,
    -- 1: the author introduces members there
    introduces INTEGER NOT NULL,
    named_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX named_nodes_by_channel ON named_nodes (channel);

-- What this phone told a channel's members of its own nodes (`tag`), and whether it introduces them.
CREATE TABLE told (
    channel    INTEGER PRIMARY KEY REFERENCES channels (id) ON DELETE CASCADE,
    introduces INTEGER NOT NULL,
    tag        BLOB,
    told_ms    INTEGER NOT NULL
) STRICT;

-- What a node was told of an address's other nodes (`tag`), and when.
CREATE TABLE announcements (
    node    INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    access  INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
    epoch   INTEGER NOT NULL,
    tag     BLOB NOT NULL,
    told_ms INTEGER NOT NULL,
    PRIMARY KEY (node, access, epoch)
) STRICT, WITHOUT ROWID;
