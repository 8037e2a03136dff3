-- What the spool holds, with and without files of its own, answered by the index alone.
DROP INDEX objects_waiting;
CREATE INDEX objects_waiting ON objects (created_at, bytes, deleted_at) WHERE uploaded_at IS NULL AND lost IS NULL;
