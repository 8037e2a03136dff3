-- Recordings that go to the centre with their video are a lane of their own, after the last one.
ALTER TABLE outbox ADD COLUMN whole INTEGER NOT NULL DEFAULT 0 CHECK (whole BETWEEN 0 AND 1);
DROP INDEX outbox_ready;
DROP INDEX outbox_blocked;
CREATE INDEX outbox_ready ON outbox (lane + whole, id) WHERE seq IS NULL AND missing = 0;
CREATE INDEX outbox_blocked ON outbox (lane + whole, id) WHERE seq IS NULL AND missing > 0;
-- What an upload has to read when the object has no file of its own.
CREATE INDEX segments_digest ON segments (sha256) WHERE sha256 IS NOT NULL;
-- What the spool holds, answered by the index alone.
CREATE INDEX objects_waiting ON objects (created_at, bytes) WHERE uploaded_at IS NULL AND lost IS NULL;
