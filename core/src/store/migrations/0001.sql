-- Numbers and times stand in clear; everything that names a person, channel, address, node or peer, holds a
-- secret or a body, is a `sealed` column (AES-256-GCM) or a `tag` (keyed hash).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE profile (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE nodes (
    id      INTEGER PRIMARY KEY,
    tag     BLOB NOT NULL UNIQUE,
    sealed  BLOB NOT NULL,
    cursor  BLOB,
    -- node clock minus own clock at the last hello, milliseconds, and when that was by the own clock
    offset_ms INTEGER,
    seen_ms   INTEGER
) STRICT;

CREATE TABLE channels (
    id         INTEGER PRIMARY KEY,
    name_tag   BLOB NOT NULL UNIQUE,
    sealed     BLOB NOT NULL,
    muted      INTEGER NOT NULL DEFAULT 0,
    -- 0 active, 1 moved without us
    state      INTEGER NOT NULL DEFAULT 0,
    -- messages up to this row were read
    read_up_to INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;

-- The keys of a channel: one row in use, and those that rotation retired until their envelopes are gone.
CREATE TABLE accesses (
    id         INTEGER PRIMARY KEY,
    channel    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    tag        BLOB NOT NULL UNIQUE,
    number     INTEGER NOT NULL,
    retired_ms INTEGER,
    read_epoch INTEGER,
    sealed     BLOB NOT NULL,
    read       BLOB
) STRICT;
CREATE INDEX accesses_by_channel ON accesses (channel);

CREATE TABLE leases (
    node      INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    access    INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
    epoch     INTEGER NOT NULL,
    lease_end INTEGER NOT NULL,
    PRIMARY KEY (node, access, epoch)
) STRICT, WITHOUT ROWID;

-- Leases to release at a node after a channel was left; sealed holds the address.
CREATE TABLE releases (
    id     INTEGER PRIMARY KEY,
    node   INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE authors (
    id         INTEGER PRIMARY KEY,
    channel    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    tag        BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    own        INTEGER NOT NULL DEFAULT 0,
    -- 1: seals only, so cannot read
    write_only INTEGER NOT NULL DEFAULT 0,
    -- 1: another author had used this name before
    name_taken INTEGER NOT NULL DEFAULT 0,
    -- 1: left out by rotation
    removed    INTEGER NOT NULL DEFAULT 0,
    -- 1: two different messages claim the same predecessor
    forked     INTEGER NOT NULL DEFAULT 0,
    first_ms   INTEGER NOT NULL,
    UNIQUE (channel, tag)
) STRICT;

-- How far each author has come under one set of keys.
CREATE TABLE chains (
    access         INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
    author         INTEGER NOT NULL REFERENCES authors (id) ON DELETE CASCADE,
    first_sequence INTEGER NOT NULL,
    last_sequence  INTEGER NOT NULL,
    received       INTEGER NOT NULL,
    verified_epoch INTEGER NOT NULL,
    last           BLOB NOT NULL,
    PRIMARY KEY (access, author)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    channel  INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    author   INTEGER NOT NULL REFERENCES authors (id) ON DELETE CASCADE,
    time_ms  INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- 0 received, 1 queued, 2 at node, 3 expired, 4 deleted here, 5 control (not shown)
    state    INTEGER NOT NULL,
    tag      BLOB NOT NULL UNIQUE,
    sealed   BLOB NOT NULL
) STRICT;
CREATE INDEX messages_by_time ON messages (channel, time_ms, id);

CREATE TABLE outbox (
    message    INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    access     INTEGER REFERENCES accesses (id) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    -- when it was sealed, by the header; NULL: not yet
    time_ms    INTEGER,
    sealed     BLOB NOT NULL
) STRICT;

CREATE TABLE deliveries (
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    node    INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (message, node)
) STRICT, WITHOUT ROWID;

-- Envelopes whose author has not introduced a key yet.
CREATE TABLE pending (
    id      INTEGER PRIMARY KEY,
    access  INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
    hint    BLOB NOT NULL,
    tag     BLOB NOT NULL UNIQUE,
    time_ms INTEGER NOT NULL,
    sealed  BLOB NOT NULL
) STRICT;

CREATE TABLE rotations (
    access      INTEGER PRIMARY KEY REFERENCES accesses (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    first_ms    INTEGER NOT NULL,
    repeated_ms INTEGER NOT NULL,
    sealed      BLOB NOT NULL
) STRICT;
