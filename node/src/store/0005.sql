-- Version 5. Where a client is woken by push: one place for each registration, with which it goes.
CREATE TABLE pushes (
  registration_row INTEGER NOT NULL PRIMARY KEY,
  -- 0 challenged, 1 confirmed, 2 dropped
  state     INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
  -- why it was dropped, as in the protocol
  trouble   INTEGER NOT NULL DEFAULT 0,
  -- Unix seconds of the last challenge, or of when it was dropped
  since_s   INTEGER NOT NULL,
  challenge BLOB    NOT NULL CHECK (length(challenge) = 16),
  -- NULL for Web Push; else `target` is a token for the operator's gateway
  platform  TEXT,
  target    TEXT    NOT NULL,
  p256dh    BLOB    CHECK (length(p256dh) = 65),
  auth      BLOB    CHECK (length(auth) = 16)
) STRICT;
-- What a restart interrupted.
CREATE INDEX pushes_challenged ON pushes (since_s) WHERE state = 0;
CREATE INDEX pushes_confirmed ON pushes (registration_row) WHERE state = 1;
