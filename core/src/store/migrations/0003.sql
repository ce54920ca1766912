-- Who named a node: 0 the user, 1 a link, 2 a member, 3 the DHT.
ALTER TABLE nodes ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
-- 0 polled, 1 standby, 2 only remembered
ALTER TABLE nodes ADD COLUMN role INTEGER NOT NULL DEFAULT 2;
-- when the user removed it: until the user adds it again nobody else does
ALTER TABLE nodes ADD COLUMN removed_ms INTEGER;
-- what was seen of it, sealed
ALTER TABLE nodes ADD COLUMN state BLOB;
