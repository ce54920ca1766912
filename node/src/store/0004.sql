-- Version 4. Caps on whoever makes up keys: leases of super nodes, networks, evictions.

-- A lease of another super node, which stands while a client has one on the same address. Those from before are taken
-- away, as some may stand alone; super nodes register again by themselves.
ALTER TABLE leases ADD COLUMN peer INTEGER NOT NULL DEFAULT 0 CHECK (peer IN (0, 1));
DELETE FROM leases WHERE registration_row IN (SELECT row FROM registrations WHERE peer = 1);
DELETE FROM registrations WHERE peer = 1;
DELETE FROM addresses WHERE envelopes = 0 AND row NOT IN (SELECT address_row FROM leases);
DROP INDEX leases_by_address;
CREATE INDEX leases_by_address ON leases (address_row, peer);

-- How many there are, so that nobody counts them.
ALTER TABLE registrations ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
UPDATE registrations SET leases = (SELECT count(*) FROM leases WHERE registration_row = registrations.row);

-- The network that a registration came from, hashed with a key of this node; NULL if that is not known.
ALTER TABLE registrations ADD COLUMN network BLOB CHECK (length(network) = 8);
CREATE TABLE networks (
  network     BLOB    NOT NULL PRIMARY KEY CHECK (length(network) = 8),
  clients     INTEGER NOT NULL DEFAULT 0,
  peers       INTEGER NOT NULL DEFAULT 0,
  delegations INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- Read from its beginning, it has the super node that was unseen longest.
CREATE INDEX registrations_of_peers ON registrations (seen_s) WHERE peer = 1;

-- A delegation goes with the last lease of a client on its address.
ALTER TABLE delegations ADD COLUMN network BLOB CHECK (length(network) = 8);
DELETE FROM delegations WHERE address NOT IN (SELECT address FROM addresses JOIN leases ON address_row = addresses.row);
DELETE FROM peer_addresses WHERE address NOT IN (SELECT address FROM delegations);
DELETE FROM peers WHERE row NOT IN (SELECT peer_row FROM peer_addresses);

-- Whom the tree of an invitation pushed out in the last 24 hours.
CREATE TABLE evictions (
  row   INTEGER NOT NULL PRIMARY KEY,
  chain BLOB    NOT NULL CHECK (length(chain) = 32),
  at_s  INTEGER NOT NULL
) STRICT;
CREATE INDEX evictions_by_chain ON evictions (chain, at_s);
CREATE INDEX evictions_by_time ON evictions (at_s);
