-- Version 6. A node has a record for each slot that it may take, since it learns only later which are free.
CREATE TABLE records (
  address   BLOB    NOT NULL CHECK (length(address) = 32),
  slot      INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 7),
  -- Unix seconds when it was signed
  seq       INTEGER NOT NULL,
  value     BLOB    NOT NULL,
  signature BLOB    NOT NULL CHECK (length(signature) = 64),
  PRIMARY KEY (address, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO records (address, slot, seq, value, signature)
  SELECT address, record_slot, record_seq, record_value, record_signature FROM delegations
  WHERE record_slot BETWEEN 0 AND 7 AND record_seq IS NOT NULL AND record_value IS NOT NULL AND record_signature IS NOT NULL;
ALTER TABLE delegations DROP COLUMN record_slot;
ALTER TABLE delegations DROP COLUMN record_seq;
ALTER TABLE delegations DROP COLUMN record_value;
ALTER TABLE delegations DROP COLUMN record_signature;
-- The slot whose record is kept new; null: the first that the node may take.
ALTER TABLE delegations RENAME COLUMN wanted_slot TO slot;
