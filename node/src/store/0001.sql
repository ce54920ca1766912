-- Version 1. Positions are those of the node's log: assigned in the commit, never used twice.
CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE addresses (
  row         INTEGER NOT NULL PRIMARY KEY,
  address     BLOB    NOT NULL UNIQUE CHECK (length(address) = 32),
  blinded_key BLOB    NOT NULL CHECK (length(blinded_key) = 32),
  access_key  BLOB    NOT NULL CHECK (length(access_key) = 32),
  envelopes   INTEGER NOT NULL CHECK (envelopes >= 0),
  bytes       INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;

CREATE TABLE envelopes (
  position    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  address_row INTEGER NOT NULL,
  id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 32),
  time_ms     INTEGER NOT NULL,
  kind        INTEGER NOT NULL,
  sealed      BLOB    NOT NULL
) STRICT;
CREATE INDEX envelopes_by_address ON envelopes (address_row, position);
CREATE INDEX envelopes_by_time ON envelopes (time_ms);

CREATE TABLE registrations (
  row       INTEGER NOT NULL PRIMARY KEY,
  pseudonym BLOB    NOT NULL UNIQUE CHECK (length(pseudonym) = 32),
  id        BLOB    NOT NULL CHECK (length(id) = 16),
  version   INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
  registration_row INTEGER NOT NULL,
  address_row      INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  end_s            INTEGER NOT NULL,
  PRIMARY KEY (registration_row, address_row)
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_by_address ON leases (address_row);
CREATE INDEX leases_by_end ON leases (end_s);
