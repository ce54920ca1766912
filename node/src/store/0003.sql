-- Version 3. Other super nodes that serve the same addresses.

-- It came from another super node, which pushes and forwards it by itself.
ALTER TABLE envelopes ADD COLUMN peer INTEGER NOT NULL DEFAULT 0 CHECK (peer IN (0, 1));

-- Members' word that this node may register their addresses at others, and what the DHT is to say of this node.
-- Keys stand here once more: an address goes with its last lease and envelope, and its row is given to another.
CREATE TABLE delegations (
  address          BLOB    NOT NULL PRIMARY KEY CHECK (length(address) = 32),
  blinded_key      BLOB    NOT NULL CHECK (length(blinded_key) = 32),
  access_key       BLOB    NOT NULL CHECK (length(access_key) = 32),
  until_s          INTEGER NOT NULL,
  signature        BLOB    NOT NULL CHECK (length(signature) = 64),
  record_key       BLOB    CHECK (length(record_key) = 32),
  record_secret    BLOB    CHECK (length(record_secret) = 32),
  record_slot      INTEGER,
  -- The slot that is asked for; null: the node's own.
  wanted_slot      INTEGER CHECK (wanted_slot BETWEEN 0 AND 7),
  record_seq       INTEGER,
  record_value     BLOB,
  record_signature BLOB    CHECK (length(record_signature) = 64)
) STRICT, WITHOUT ROWID;
CREATE INDEX delegations_by_end ON delegations (until_s);

CREATE TABLE peers (
  row       INTEGER NOT NULL PRIMARY KEY,
  node      BLOB    NOT NULL UNIQUE CHECK (length(node) = 32),
  host      TEXT    NOT NULL,
  port      INTEGER NOT NULL,
  -- When it last answered, and when somebody last named it; Unix seconds.
  reached_s INTEGER NOT NULL,
  named_s   INTEGER NOT NULL
) STRICT;

CREATE TABLE peer_addresses (
  address  BLOB    NOT NULL,
  peer_row INTEGER NOT NULL,
  PRIMARY KEY (address, peer_row)
) STRICT, WITHOUT ROWID;
CREATE INDEX peer_addresses_by_peer ON peer_addresses (peer_row);
