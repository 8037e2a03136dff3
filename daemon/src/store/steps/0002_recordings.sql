-- Recorded video: segment files, the fragments in them, their decoder settings and the coverage ledger.
CREATE TABLE inits (
    id TEXT PRIMARY KEY,
    data BLOB NOT NULL,
    mime TEXT NOT NULL,
    codec TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera TEXT NOT NULL,
    stream TEXT NOT NULL CHECK (stream IN ('main', 'sub')),
    path TEXT NOT NULL UNIQUE,
    init_id TEXT NOT NULL REFERENCES inits (id),
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    frames INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT,
    evidence INTEGER NOT NULL DEFAULT 0,
    synced INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX segments_camera_time ON segments (camera, stream, start);
CREATE INDEX segments_time ON segments (start);
CREATE INDEX segments_open ON segments (id) WHERE closed = 0;
-- The order of eviction (invariant R5): continuous before evidence, synced before unsynced, oldest first.
CREATE INDEX segments_eviction ON segments (evidence, synced DESC, start) WHERE closed = 1;

CREATE TABLE fragments (
    segment_id INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    offset INTEGER NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes > 0),
    start INTEGER NOT NULL,
    duration_us INTEGER NOT NULL CHECK (duration_us >= 0),
    frames INTEGER NOT NULL,
    key INTEGER NOT NULL,
    PRIMARY KEY (segment_id, offset)
) STRICT, WITHOUT ROWID;

-- Seconds that should have been recorded and are not, with the reason (invariant R4).
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera TEXT NOT NULL,
    stream TEXT NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX gaps_camera_time ON gaps (camera, stream, start);

-- Sums kept beside the rows, because counting millions of segments for a status page is too slow.
CREATE TABLE recording_totals (
    camera TEXT NOT NULL,
    stream TEXT NOT NULL,
    segments INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    PRIMARY KEY (camera, stream)
) STRICT, WITHOUT ROWID;
