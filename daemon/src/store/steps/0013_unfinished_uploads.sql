-- Uploads in parts that are under way, so that they go on where they stopped.
CREATE TABLE uploads (
    sha256 TEXT PRIMARY KEY REFERENCES objects (sha256) ON DELETE CASCADE,
    -- Way, endpoint and bucket: what was begun elsewhere is of no use.
    place TEXT NOT NULL,
    -- What the object store calls it.
    upload TEXT NOT NULL,
    part_bytes INTEGER NOT NULL CHECK (part_bytes > 0),
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE upload_parts (
    sha256 TEXT NOT NULL REFERENCES uploads (sha256) ON DELETE CASCADE,
    -- From 0.
    number INTEGER NOT NULL CHECK (number >= 0),
    -- What the object store answered; it wants to hear it again at the end.
    receipt TEXT NOT NULL,
    PRIMARY KEY (sha256, number)
) STRICT, WITHOUT ROWID;
