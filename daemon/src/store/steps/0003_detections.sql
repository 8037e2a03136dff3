-- Passages of vehicles. `n` is the time of the best frame in microseconds, moved on until it is free, so that the
-- table itself is the index by time and every secondary index ends in time order.
CREATE TABLE detections (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    camera TEXT NOT NULL,
    plate TEXT NOT NULL,
    layout TEXT NOT NULL,
    confidence REAL NOT NULL,
    alternatives TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    best_at INTEGER NOT NULL,
    quad TEXT NOT NULL,
    bbox TEXT NOT NULL,
    frame_width INTEGER NOT NULL,
    frame_height INTEGER NOT NULL,
    direction TEXT,
    reads INTEGER NOT NULL,
    single INTEGER NOT NULL,
    crop TEXT REFERENCES objects (sha256),
    frame TEXT REFERENCES objects (sha256),
    clip TEXT REFERENCES objects (sha256),
    clip_unavailable TEXT,
    slots TEXT NOT NULL,
    -- Everything the plate can be searched by, words parted by one space.
    search TEXT NOT NULL
) STRICT;
CREATE INDEX detections_camera ON detections (camera);
CREATE INDEX detections_awaiting_clip ON detections (last_seen) WHERE clip IS NULL AND clip_unavailable IS NULL;

-- Trigrams of `search`, without positions: candidates are confirmed against the row.
CREATE VIRTUAL TABLE detection_trigrams USING fts5 (
    search, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram'
);
