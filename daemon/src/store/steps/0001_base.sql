-- Settings that belong to the data, and the files and records that travel to the centre.
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Content-addressed files under objects/. A row outlives its file: `deleted_at` says that it was here.
CREATE TABLE objects (
    sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    content_type TEXT NOT NULL,
    bucket TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    uploaded_at INTEGER,
    deleted_at INTEGER,
    -- Why the file is gone although it was never uploaded.
    lost TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_created ON objects (created_at) WHERE deleted_at IS NULL;

-- Records for the centre. `seq`, `prev` and `hash` are given when a record first joins a batch; `missing` counts
-- its objects that are neither uploaded nor lost, and only records with none missing are numbered (invariant S1).
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 2),
    kind TEXT NOT NULL,
    thing TEXT NOT NULL,
    objects TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    missing INTEGER NOT NULL DEFAULT 0 CHECK (missing >= 0),
    epoch INTEGER,
    seq INTEGER,
    prev TEXT,
    hash TEXT
) STRICT;
CREATE INDEX outbox_ready ON outbox (lane, id) WHERE seq IS NULL AND missing = 0;
CREATE INDEX outbox_blocked ON outbox (lane, id) WHERE seq IS NULL AND missing > 0;
-- Numbered records whose objects the centre could not find: they hold up the chain.
CREATE INDEX outbox_held ON outbox (seq) WHERE seq IS NOT NULL AND missing > 0;
CREATE UNIQUE INDEX outbox_numbered ON outbox (seq) WHERE seq IS NOT NULL;

CREATE TABLE outbox_objects (
    outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL REFERENCES objects (sha256),
    PRIMARY KEY (outbox_id, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_objects_sha ON outbox_objects (sha256);
