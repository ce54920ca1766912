-- Version 2. Who is let in, how near they are to the operator, and what they were told when they had to go.

-- NULL: a stranger.
ALTER TABLE registrations ADD COLUMN hop_count INTEGER CHECK (hop_count BETWEEN 1 AND 6);
-- The last key of the introduction that the hop count is from, and when that introduction ends.
ALTER TABLE registrations ADD COLUMN holder BLOB CHECK (length(holder) = 32);
ALTER TABLE registrations ADD COLUMN introduction_end_s INTEGER;
-- When the client was here last, to the hour.
ALTER TABLE registrations ADD COLUMN seen_s INTEGER NOT NULL DEFAULT 0;
-- Another super node, with delegated leases.
ALTER TABLE registrations ADD COLUMN peer INTEGER NOT NULL DEFAULT 0 CHECK (peer IN (0, 1));
CREATE UNIQUE INDEX registrations_by_holder ON registrations (holder) WHERE holder IS NOT NULL;
CREATE INDEX registrations_by_introduction_end ON registrations (introduction_end_s)
  WHERE introduction_end_s IS NOT NULL;
-- Read backwards, it begins with the farthest client, and of those with the one that was unseen longest.
CREATE INDEX registrations_by_distance ON registrations (coalesce(hop_count, 7), seen_s DESC) WHERE peer = 0;

-- The subtrees of the tree of introductions that a client is in: depth 1 is the operator's invitation.
CREATE TABLE chains (
  registration_row INTEGER NOT NULL,
  depth            INTEGER NOT NULL,
  chain            BLOB    NOT NULL CHECK (length(chain) = 32),
  PRIMARY KEY (registration_row, depth)
) STRICT, WITHOUT ROWID;
CREATE INDEX chains_by_chain ON chains (chain);

-- What the operator handed out, and how many clients each may bring.
CREATE TABLE invitations (
  chain     BLOB    NOT NULL PRIMARY KEY CHECK (length(chain) = 32),
  label     TEXT    NOT NULL,
  quota     INTEGER NOT NULL CHECK (quota >= 0),
  expiry_s  INTEGER NOT NULL,
  created_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Subtrees that are turned away until their introductions have ended anyway.
CREATE TABLE revocations (
  chain   BLOB    NOT NULL PRIMARY KEY CHECK (length(chain) = 32),
  until_s INTEGER NOT NULL,
  reason  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Why a client lost its leases: a Reason of the protocol, told until it registers again or until this time.
CREATE TABLE endings (
  pseudonym BLOB    NOT NULL PRIMARY KEY CHECK (length(pseudonym) = 32),
  reason    INTEGER NOT NULL,
  until_s   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX endings_by_time ON endings (until_s);

-- For digests, lists and reconciliation, which read nothing else.
CREATE INDEX envelopes_by_address_and_time ON envelopes (address_row, time_ms, id);
